package notebook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxIndent is the depth below which values are written on one line, so that
// hostile nesting cannot make the file quadratically larger than the notebook.
const maxIndent = 64

// Encode returns the notebook as Jupyter's nbformat.write writes it: one blank
// per level, keys sorted, characters beyond ASCII kept, texts as lists of
// lines, a final newline. Cells without a valid id get one. The notebook is not
// changed. The error names a value that JSON does not have.
func (nb *Notebook) Encode() ([]byte, error) {
	cells := make([]any, len(nb.Cells))
	ids := nb.ids()
	for i, cell := range nb.Cells {
		cells[i] = cell.tree(ids[i])
	}
	metadata := without(nb.Metadata, "orig_nbformat", "orig_nbformat_minor", "signature")
	tree := with(nb.Extra, map[string]any{
		"cells":          cells,
		"metadata":       metadata,
		"nbformat":       4,
		"nbformat_minor": max(nb.NBFormatMinor, 5),
	})
	var buf bytes.Buffer
	if err := write(&buf, tree, 0); err != nil {
		return nil, fmt.Errorf("encode notebook: %w", err)
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

func (c *Cell) tree(id string) map[string]any {
	fields := map[string]any{
		"id":        id,
		"cell_type": c.Type,
		"metadata":  without(c.Metadata, "trusted"),
		"source":    splitLines(c.Source),
	}
	if c.Attachments != nil {
		attachments := make(map[string]any, len(c.Attachments))
		for name, bundle := range c.Attachments {
			if b, ok := bundle.(map[string]any); ok {
				bundle = splitBundle(b)
			}
			attachments[name] = bundle
		}
		fields["attachments"] = attachments
	}
	if c.Type == "code" {
		outputs := make([]any, len(c.Outputs))
		for i, output := range c.Outputs {
			outputs[i] = output.tree()
		}
		fields["outputs"] = outputs
		fields["execution_count"] = orNil(c.ExecutionCount)
	}
	return with(c.Extra, fields)
}

func (o *Output) tree() map[string]any {
	fields := map[string]any{"output_type": o.Type}
	switch o.Type {
	case "stream":
		fields["name"] = o.Name
		fields["text"] = splitLines(o.Text)
	case "execute_result":
		fields["execution_count"] = orNil(o.ExecutionCount)
		fallthrough
	case "display_data":
		fields["data"] = splitBundle(o.Data)
		fields["metadata"] = without(o.Metadata)
	case "error":
		fields["ename"], fields["evalue"], fields["traceback"] = o.EName, o.EValue, o.Traceback
	}
	return with(o.Extra, fields)
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

// splitBundle splits the texts of a MIME bundle, by nbformat's rule for which
// MIME types are texts.
func splitBundle(bundle map[string]any) map[string]any {
	split := make(map[string]any, len(bundle))
	for mime, value := range bundle {
		isText := strings.HasPrefix(mime, "text/") || mime == "application/javascript" || mime == "image/svg+xml"
		if s, ok := value.(string); ok && isText {
			value = splitLines(s)
		}
		split[mime] = value
	}
	return split
}

// splitLines is Python's str.splitlines(keepends=True), which knows more line
// ends than a newline.
func splitLines(s string) []string {
	lines := []string{}
	start := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch r {
		case '\r':
			if i < len(s) && s[i] == '\n' {
				i++
			}
		case '\n', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		default:
			continue
		}
		lines = append(lines, s[start:i])
		start = i
	}
	if start < len(s) {
		lines = append(lines, s[start:])
	}
	return lines
}

// write writes v as Python's json.dumps(v, indent=1, sort_keys=True,
// ensure_ascii=False, separators=(",", ": ")) does.
func write(buf *bytes.Buffer, v any, depth int) error {
	switch v := v.(type) {
	case nil:
		buf.WriteString("null")
	case bool:
		buf.WriteString(strconv.FormatBool(v))
	case string:
		writeString(buf, v)
	case int:
		buf.WriteString(strconv.Itoa(v))
	case float64:
		return writeFloat(buf, v)
	case json.Number:
		return writeNumber(buf, v)
	case []string:
		return writeSequence(buf, '[', ']', len(v), depth, func(i int) error { writeString(buf, v[i]); return nil })
	case []any:
		return writeSequence(buf, '[', ']', len(v), depth, func(i int) error { return write(buf, v[i], depth+1) })
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		return writeSequence(buf, '{', '}', len(keys), depth, func(i int) error {
			writeString(buf, keys[i])
			buf.WriteString(": ")
			return write(buf, v[keys[i]], depth+1)
		})
	default: // a type of the caller's: what encoding/json makes of it
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return write(buf, decode(data, span{0, len(data)}), depth)
	}
	return nil
}

func writeSequence(buf *bytes.Buffer, open, closing byte, n, depth int, item func(int) error) error {
	buf.WriteByte(open)
	for i := range n {
		if i > 0 {
			buf.WriteByte(',')
		}
		newLine(buf, depth+1)
		if err := item(i); err != nil {
			return err
		}
	}
	if n > 0 {
		newLine(buf, depth)
	}
	buf.WriteByte(closing)
	return nil
}

func newLine(buf *bytes.Buffer, depth int) {
	if depth > maxIndent {
		return
	}
	buf.WriteByte('\n')
	for range depth {
		buf.WriteByte(' ')
	}
}

func writeString(buf *bytes.Buffer, s string) {
	buf.WriteByte('"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch r {
		case '"', '\\':
			buf.WriteByte('\\')
			buf.WriteRune(r)
		case '\n':
			buf.WriteString(`\n`)
		case '\r':
			buf.WriteString(`\r`)
		case '\t':
			buf.WriteString(`\t`)
		case '\f':
			buf.WriteString(`\f`)
		case '\b':
			buf.WriteString(`\b`)
		default:
			if r < ' ' {
				fmt.Fprintf(buf, `\u%04x`, r)
				continue
			}
			buf.WriteRune(r)
		}
	}
	buf.WriteByte('"')
}

// writeNumber writes a number of a JSON text as Python does that has read it.
func writeNumber(buf *bytes.Buffer, n json.Number) error {
	if !isNumber(string(n)) {
		return fmt.Errorf("%q is not a JSON number", n)
	}
	f, err := strconv.ParseFloat(string(n), 64)
	switch {
	case n == "-0":
		buf.WriteByte('0')
	case err != nil || !strings.ContainsAny(string(n), ".eE"): // too large for a float: as it is
		buf.WriteString(string(n))
	default:
		buf.WriteString(pythonFloat(f))
	}
	return nil
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && s[len(s)-1] > ' ' && json.Valid([]byte(s))
}

// writeFloat writes a whole number without a fraction, since a float64 in Go
// often was an integer in JSON.
func writeFloat(buf *bytes.Buffer, f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%v is not a JSON number", f)
	}
	buf.WriteString(wholeOrFloat(f))
	return nil
}

func wholeOrFloat(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return pythonFloat(f)
}

// pythonFloat is Python's repr of a float.
func pythonFloat(f float64) string {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
