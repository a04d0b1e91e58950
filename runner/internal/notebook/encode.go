package notebook

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxIndent is the depth below which values are written on one line, so that
// hostile nesting cannot make the file quadratically larger than the notebook. No
// output reaches it.
const maxIndent = 128

// Encode returns the notebook as Jupyter's nbformat.write writes it: one blank
// per level, keys sorted, characters beyond ASCII kept, texts as lists of
// lines, a final newline. Cells without a valid id get one. The notebook is not
// changed. The error names a value that JSON does not have.
func (nb *Notebook) Encode() ([]byte, error) {
	w := &writer{buf: make([]byte, 0, nb.sizeHint())}
	if err := nb.encode(w); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// Write writes what Encode returns, without having it in memory.
func (nb *Notebook) Write(out io.Writer) error {
	w := &writer{out: bufio.NewWriterSize(out, 64<<10)}
	if err := nb.encode(w); err != nil {
		return err
	}
	return w.out.Flush()
}

func (nb *Notebook) encode(w *writer) error {
	metadata := without(nb.Metadata, "orig_nbformat", "orig_nbformat_minor", "signature")
	w.fields(0, nb.Extra,
		field{"cells", cellList{nb.Cells, nb.ids()}},
		field{"metadata", metadata},
		field{"nbformat", 4},
		field{"nbformat_minor", max(nb.NBFormatMinor, 5)},
	)
	w.raw("\n")
	if w.err != nil {
		return fmt.Errorf("encode notebook: %w", w.err)
	}
	return nil
}

// Snapshot returns the notebook as it is now. It shares the texts and values of nb, which
// do not change, and nothing that does.
func (nb *Notebook) Snapshot() *Notebook {
	snapshot := *nb
	snapshot.Metadata = grown(nb.Metadata).(map[string]any)
	snapshot.Cells = make([]*Cell, len(nb.Cells))
	for i, cell := range nb.Cells {
		c := *cell
		c.Metadata, c.Outputs = maps.Clone(cell.Metadata), slices.Clone(cell.Outputs)
		snapshot.Cells[i] = &c
	}
	return &snapshot
}

// grown returns a value of metadata with its Trees taken apart.
func grown(value any) any {
	switch v := value.(type) {
	case Tree:
		return grown(v.Tree())
	case map[string]any:
		fields := make(map[string]any, len(v))
		for key, value := range v {
			fields[key] = grown(value)
		}
		return fields
	case []any:
		elements := make([]any, len(v))
		for i, element := range v {
			elements[i] = grown(element)
		}
		return elements
	}
	return value
}

// sizeHint returns about how long the file will be, rather too much.
func (nb *Notebook) sizeHint() int {
	const line = 12
	size := 4096
	for _, cell := range nb.Cells {
		size += 1024 + len(cell.Source) + line*strings.Count(cell.Source, "\n")
		for i := range cell.Outputs {
			o := &cell.Outputs[i]
			size += 200 + len(o.Text) + line*strings.Count(o.Text, "\n") + o.Data.sizeHint() + o.Metadata.sizeHint()
		}
	}
	return size + size/64
}

func (j JSON) sizeHint() int {
	const indent = 10
	size := len(j.text)
	for _, split := range []string{",", "{", "[", `\n`} {
		size += indent * bytes.Count(j.text, []byte(split))
	}
	return size
}

// Values that writer knows, beside those of JSON.
type (
	cellList struct {
		cells []*Cell
		ids   []string
	}
	outputList []Output
	lines      string // as a list of lines
	bundle     JSON   // with its texts as lists of lines
)

// field is one member of an object.
type field struct {
	key   string
	value any
}

func (w *writer) cell(c *Cell, id string, depth int) {
	known := make([]field, 0, 7)
	if c.Attachments != nil {
		known = append(known, field{"attachments", splitAttachments(c.Attachments)})
	}
	known = append(known, field{"cell_type", c.Type})
	if c.Type == "code" {
		known = append(known, field{"execution_count", orNil(c.ExecutionCount)})
	}
	known = append(known, field{"id", id}, field{"metadata", without(c.Metadata, "trusted")})
	if c.Type == "code" {
		known = append(known, field{"outputs", outputList(c.Outputs)})
	}
	w.fields(depth, c.Extra, append(known, field{"source", lines(c.Source)})...)
}

func splitAttachments(attachments map[string]any) map[string]any {
	split := make(map[string]any, len(attachments))
	for name, bundle := range attachments {
		if b, ok := bundle.(map[string]any); ok {
			bundle = splitBundle(b)
		}
		split[name] = bundle
	}
	return split
}

func (w *writer) output(o *Output, depth int) {
	kind := field{"output_type", o.Type}
	switch o.Type {
	case "stream":
		w.fields(depth, o.Extra, field{"name", o.Name}, kind, field{"text", lines(o.Text)})
	case "display_data":
		w.fields(depth, o.Extra, field{"data", bundle(o.Data)}, field{"metadata", o.Metadata}, kind)
	case "execute_result":
		w.fields(depth, o.Extra, field{"data", bundle(o.Data)}, field{"execution_count", orNil(o.ExecutionCount)},
			field{"metadata", o.Metadata}, kind)
	case "error":
		w.fields(depth, o.Extra, field{"ename", o.EName}, field{"evalue", o.EValue}, kind, field{"traceback", o.Traceback})
	default:
		w.fields(depth, o.Extra, kind)
	}
}

func orNil(n *int) any {
	if n == nil {
		return nil
	}
	return *n
}

func without(m map[string]any, keys ...string) map[string]any {
	kept := with(m, nil)
	for _, key := range keys {
		delete(kept, key)
	}
	return kept
}

// isText reports whether nbformat splits a MIME type's text into lines.
func isText(mime string) bool {
	return strings.HasPrefix(mime, "text/") || mime == "application/javascript" || mime == "image/svg+xml"
}

// splitBundle splits the texts of a MIME bundle.
func splitBundle(bundle map[string]any) map[string]any {
	split := make(map[string]any, len(bundle))
	for mime, value := range bundle {
		if s, ok := value.(string); ok && isText(mime) {
			value = lines(s)
		}
		split[mime] = value
	}
	return split
}

// ids returns an id for every cell: its own where nbformat 4.5 allows it, else
// one made of the cell's place and source.
func (nb *Notebook) ids() []string {
	valid := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	ids := make([]string, len(nb.Cells))
	taken := map[string]bool{}
	for i, cell := range nb.Cells {
		if valid.MatchString(cell.ID) && !taken[cell.ID] {
			ids[i] = cell.ID
			taken[cell.ID] = true
		}
	}
	for i, cell := range nb.Cells {
		for salt := 0; ids[i] == ""; salt++ {
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", i, salt, cell.Source))
			if id := hex.EncodeToString(sum[:4]); !taken[id] {
				ids[i] = id
				taken[id] = true
			}
		}
	}
	return ids
}

// with returns base and the given fields in one map; fields win.
func with(base, fields map[string]any) map[string]any {
	all := make(map[string]any, len(base)+len(fields))
	maps.Copy(all, base)
	maps.Copy(all, fields)
	return all
}
