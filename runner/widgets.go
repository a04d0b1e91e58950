package runner

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// widgets keeps what a front end would know of a notebook's widgets: for each comm
// that the kernel opened, the state that its messages have told, as
// https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md
// describes them. It is written into the notebook, so that Jupyter and nbconvert draw
// the widgets without a kernel. What it keeps counts into the notebook's limit.
type widgets struct {
	out     *outputs          // whose limit it counts into
	models  map[string]*model // by comm id
	short   map[string]string // names and values of which every model has some
	foreign string            // the first target of a comm that is no widget's
	cut     bool              // there was no room for something
}

// model is the state of one widget.
type model struct {
	fields  []field // sorted by key
	buffers []buffer
	size    int64 // as counted in outputs.used
}

// field is one entry of a model's state, its value as the kernel sent it.
type field struct{ key, value string }

// buffer is a binary value, which stands outside of the state.
type buffer struct {
	key  string // of the field that it belongs to
	path string // where in the state: a JSON array that begins with key
	data string // base64
}

// About what a model, a field and a buffer take beside their texts, in memory and in
// the file.
const (
	modelOverhead  = 256
	fieldOverhead  = 32
	bufferOverhead = 192
)

func (f field) size() int64  { return int64(fieldOverhead + len(f.key) + len(f.value)) }
func (b buffer) size() int64 { return int64(bufferOverhead + len(b.key) + len(b.path) + len(b.data)) }

// comm is the content of the three comm messages.
type comm struct {
	ID     string `json:"comm_id"`
	Target string `json:"target_name"`
	Data   struct {
		Method string          `json:"method"`
		State  json.RawMessage `json:"state"`
		Paths  json.RawMessage `json:"buffer_paths"`
	} `json:"data"`
}

func newWidgets(out *outputs) *widgets {
	return &widgets{out: out, models: make(map[string]*model), short: make(map[string]string)}
}

// message applies a comm message. A comm_close changes nothing: outputs of cells still
// show the widget, and it is drawn as it was last, which is what nbclient does.
func (w *widgets) message(m jupyter.Message) {
	if m.Dropped > 0 {
		w.cut = true
		return
	}
	var c comm
	_ = json.Unmarshal(m.Content, &c) // what cannot be read counts as not sent
	model := w.models[c.ID]
	switch {
	case m.Type == "comm_open" && c.Target != "jupyter.widget":
		w.foreign = cmp.Or(w.foreign, c.Target)
	case m.Type == "comm_open" && model == nil:
		model = w.open(c.ID)
		if model != nil && !w.update(model, c, m.Buffers) {
			w.out.used -= model.size
			delete(w.models, c.ID)
		}
	case m.Type == "comm_close", model == nil:
	case c.Data.Method != "echo_update": // that tells other front ends what one of them has set
		w.update(model, c, m.Buffers)
	}
}

// open returns a new model, nil where there is no room for one.
func (w *widgets) open(id string) *model {
	m := &model{size: int64(modelOverhead + 2*len(id))}
	if m.size > w.room() {
		w.cut = true
		return nil
	}
	w.out.used += m.size
	w.models[id] = m
	return m
}

func (w *widgets) room() int64 { return max(w.out.limit-w.out.used, 0) }

// update merges what a message says into a model: all of it, or nothing where there is
// no room, and then it reports false.
func (w *widgets) update(m *model, c comm, parts [][]byte) bool {
	fields, ok := w.read(c.Data.State, w.room()+m.size)
	if !ok {
		w.cut = true
		return false
	}
	buffers := m.withBuffers(fields, pair(c.Data.Paths, parts))
	var grown int64
	for _, b := range buffers {
		grown += b.size()
	}
	for _, b := range m.buffers {
		grown -= b.size()
	}
	fresh := 0
	for _, f := range fields {
		grown += f.size()
		if i, found := find(m.fields, f.key); found {
			grown -= m.fields[i].size()
		} else {
			fresh++
		}
	}
	if grown > w.room() {
		w.cut = true
		return false
	}
	w.out.used += grown
	m.size += grown
	m.set(fields, fresh)
	m.buffers = buffers
	return true
}

// read returns the fields of a state, sorted, none where it is no object, and false
// where they take more than most. Of a key that occurs twice the last one counts.
func (w *widgets) read(state json.RawMessage, most int64) ([]field, bool) {
	var fields []field
	for key, value := range members(state) {
		if _, err := notebook.ParseJSON(value, math.MaxInt32); err != nil {
			w.cut = true // nested deeper than Jupyter can read
			continue
		}
		f := field{w.text(key), w.text(value)}
		if most -= f.size(); most < 0 {
			return nil, false
		}
		fields = append(fields, f)
	}
	slices.SortStableFunc(fields, byKey)
	kept := fields[:0]
	for i, f := range fields {
		if i+1 == len(fields) || fields[i+1].key != f.key {
			kept = append(kept, f)
		}
	}
	return kept, true
}

func byKey(a, b field) int { return cmp.Compare(a.key, b.key) }

func find(fields []field, key string) (int, bool) {
	return slices.BinarySearchFunc(fields, field{key: key}, byKey)
}

// text returns b as a string, short ones shared: most of a layout is the same names
// and nulls as of every other.
func (w *widgets) text(b []byte) string {
	const longest, most = 32, 4096
	if len(b) > longest {
		return string(b)
	}
	s, known := w.short[string(b)]
	if !known {
		s = string(b)
		if len(w.short) < most {
			w.short[s] = s
		}
	}
	return s
}

// set replaces and adds fields, fresh of which are new.
func (m *model) set(fields []field, fresh int) {
	if fresh == 0 {
		for _, f := range fields {
			i, _ := find(m.fields, f.key)
			m.fields[i] = f
		}
		return
	}
	old, merged := m.fields, make([]field, 0, len(m.fields)+fresh)
	for _, f := range fields {
		i, found := find(old, f.key)
		merged = append(append(merged, old[:i]...), f)
		if found {
			i++
		}
		old = old[i:]
	}
	m.fields = append(merged, old...)
}

// pair returns a message's buffers: the first path is the first buffer's, and so on to
// the end of the shorter list. A path that cannot be one is left out with its buffer.
func pair(paths json.RawMessage, parts [][]byte) []buffer {
	var buffers []buffer
	for path := range elements(paths) {
		if len(parts) == 0 {
			break
		}
		part := parts[0]
		parts = parts[1:]
		for first := range elements(path) {
			if first[0] == '"' {
				buffers = append(buffers, buffer{key: string(unquote(first)), path: compact(path), data: base64.StdEncoding.EncodeToString(part)})
			}
			break
		}
	}
	return buffers
}

// withBuffers returns the model's buffers after a message: one for each path, and for a
// field that was sent again only those that came with it. (nbclient keeps the old ones,
// and a front end then looks for places that the state no longer has.)
func (m *model) withBuffers(fields []field, sent []buffer) []buffer {
	latest, keys := make(map[string]buffer, len(sent)), make(map[string]bool, len(sent))
	for _, b := range sent {
		latest[b.path], keys[b.key] = b, true
	}
	var buffers []buffer
	for _, old := range m.buffers {
		_, replaced := find(fields, old.key)
		b, ok := latest[old.path]
		switch {
		case ok:
			buffers = append(buffers, b)
			delete(latest, old.path)
		case !replaced && !keys[old.key]:
			buffers = append(buffers, old)
		}
	}
	for _, b := range sent {
		if b, ok := latest[b.path]; ok {
			buffers = append(buffers, b)
			delete(latest, b.path)
		}
	}
	return buffers
}

// metadata returns what the notebook's metadata says of its widgets, nil where it has
// none.
func (w *widgets) metadata() map[string]any {
	state := make(map[string]any)
	for id, m := range w.models {
		if m.value("_model_name") != nil {
			state[id] = m
		}
	}
	if len(state) == 0 {
		return nil
	}
	return map[string]any{"application/vnd.jupyter.widget-state+json": map[string]any{
		"version_major": 2, "version_minor": 0, "state": state,
	}}
}

func (m *model) value(key string) any {
	if i, ok := find(m.fields, key); ok {
		return json.RawMessage(m.fields[i].value)
	}
	return nil
}

// MarshalJSON writes the model as
// https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/v2/state.schema.json
// describes it.
func (m *model) MarshalJSON() ([]byte, error) {
	state := make(map[string]json.RawMessage, len(m.fields))
	for _, f := range m.fields {
		state[f.key] = json.RawMessage(f.value)
	}
	tree := map[string]any{
		"model_name": m.value("_model_name"), "model_module": m.value("_model_module"),
		"model_module_version": m.value("_model_module_version"), "state": state,
	}
	if len(m.buffers) > 0 {
		buffers := make([]any, len(m.buffers))
		for i, b := range m.buffers {
			buffers[i] = map[string]any{"data": b.data, "encoding": "base64", "path": json.RawMessage(b.path)}
		}
		tree["buffers"] = buffers
	}
	return json.Marshal(tree)
}

// warnings says what of the widgets is not in the notebook.
func (w *widgets) warnings() []string {
	var notes []string
	if w.cut {
		notes = append(notes, fmt.Sprintf("the state of widgets was cut: a notebook keeps %s of outputs and widgets", megabytes(w.out.limit)))
	}
	if w.foreign != "" {
		notes = append(notes, fmt.Sprintf("the notebook talks to a front end's %q, which there is none of: what that would show is missing", w.foreign))
	}
	return notes
}

// members are the members of an object in valid JSON; of what is no object, none.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		i := skipBlanks(object, 0)
		if i == len(object) || object[i] != '{' {
			return
		}
		for i = skipBlanks(object, i+1); object[i] == '"'; {
			end := valueEnd(object, i)
			start := skipBlanks(object, skipBlanks(object, end)+1)
			stop := valueEnd(object, start)
			if !yield(unquote(object[i:end]), object[start:stop]) {
				return
			}
			if i = skipBlanks(object, stop); object[i] == ',' {
				i = skipBlanks(object, i+1)
			}
		}
	}
}

// elements are the elements of an array in valid JSON; of what is no array, none.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipBlanks(array, 0)
		if i == len(array) || array[i] != '[' {
			return
		}
		for i = skipBlanks(array, i+1); array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end]) {
				return
			}
			if i = skipBlanks(array, end); array[i] == ',' {
				i = skipBlanks(array, i+1)
			}
		}
	}
}

func skipBlanks(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// valueEnd returns where the value ends that begins at i.
func valueEnd(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default: // a number or a word, or what stands between values
			if depth == 0 {
				return i + len(data[i:]) - len(bytes.TrimLeft(data[i:], "-+.0123456789aeflnrstuE"))
			}
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s)
	return []byte(s)
}

func compact(value []byte) string {
	var b bytes.Buffer
	_ = json.Compact(&b, value)
	return b.String()
}
