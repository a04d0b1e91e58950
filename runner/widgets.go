package runner

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// widgets keeps what a front end would know of a notebook's widgets: for each comm
// that the kernel opened, the state that its messages have told, as
// https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md
// describes them. It is written into the notebook, so that Jupyter and nbconvert draw
// the widgets without a kernel. What it keeps counts into the notebook's limit.
type widgets struct {
	out     *outputs            // whose limit it counts into
	models  map[string]*model   // by comm id
	capture map[string][]*model // output widgets by the request whose output they show; the last one does
	foreign string              // the first target of a comm that is no widget's, cut off if it is long
	cut     string              // there was no room for something
}

// model is the state of one widget.
type model struct {
	fields  []field // sorted by key
	buffers []buffer
	size    int64 // as counted in outputs.used
	closed  bool

	// Of output widgets only.
	request string       // whose output it captures; "": none
	outputs *cellOutputs // stands for the field of that name once something was captured; else nil
}

// field is one entry of a model's state.
type field struct {
	key   string
	value notebook.JSON
}

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
	fieldOverhead  = 48
	bufferOverhead = 192
)

// What a model has at most: no widget comes near it.
const (
	mostFields  = 10_000
	mostBuffers = 1000
	mostPaths   = 1 << 20 // bytes of the paths in one message
	longestID   = 1 << 10 // bytes of the id of a request, whose output it captures
)

func (f field) size() int64  { return int64(fieldOverhead + len(f.key) + f.value.Size()) }
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
	return &widgets{out: out, models: make(map[string]*model), capture: make(map[string][]*model)}
}

// message applies a comm message. A closed widget stays: outputs of cells still show
// it, and it is drawn as it was last, which is what nbclient does.
func (w *widgets) message(m jupyter.Message) {
	if m.Dropped > 0 {
		w.lose(tooFast)
		return
	}
	var c comm
	_ = json.Unmarshal(m.Content, &c) // what cannot be read counts as not sent
	model := w.models[c.ID]
	switch {
	case m.Type == "comm_open" && c.Target != "jupyter.widget":
		w.foreign = cmp.Or(w.foreign, strings.Clone(c.Target[:min(len(c.Target), 100)]))
	case m.Type == "comm_open" && model == nil:
		model = w.open(c.ID)
		if model != nil && !w.update(model, c, m.Buffers) {
			w.out.used -= model.size
			delete(w.models, c.ID)
		}
	case model == nil:
	case m.Type == "comm_close":
		w.redirect(model, "") // the kernel can no longer say when to end that
		model.closed = true
	case c.Data.Method != "echo_update": // that tells other front ends what one of them has set
		w.update(model, c, m.Buffers)
	}
}

// open returns a new model, nil where there is no room for one.
func (w *widgets) open(id string) *model {
	m := &model{size: int64(modelOverhead + 2*len(id))}
	if m.size > w.room() {
		w.lose(w.keeps())
		return nil
	}
	w.out.used += m.size
	w.models[id] = m
	return m
}

func (w *widgets) room() int64 { return max(w.out.limit-w.out.used, 0) }

func (w *widgets) keeps() string {
	return fmt.Sprintf("a notebook keeps %s of outputs and widgets", megabytes(w.out.limit))
}

func (w *widgets) lose(why string) { w.cut = cmp.Or(w.cut, why) }

// update merges what a message says into a model: all of it, or nothing where there is
// no room, and then it reports false.
func (w *widgets) update(m *model, c comm, parts [][]byte) bool {
	if len(c.Data.State) == 0 {
		return true // a message of the widget's own
	}
	fields, err := read(c.Data.State, w.room()+m.size)
	switch {
	case errors.Is(err, notebook.ErrTooLarge):
		w.lose(w.keeps())
		return false
	case err != nil:
		w.lose(err.Error())
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
	if grown > w.room() || len(m.fields)+fresh > mostFields || len(buffers) > mostBuffers {
		w.lose(w.keeps())
		return false
	}
	w.out.used += grown
	m.size += grown
	m.set(fields, fresh)
	m.buffers, m.closed = buffers, false
	w.follow(m, fields)
	return true
}

// read returns the fields of a state, sorted; none where it is no object.
// notebook.ErrTooLarge: they count for more than most, or are too many.
func read(state json.RawMessage, most int64) ([]field, error) {
	parsed, err := notebook.ParseJSON(state, int(most))
	if err != nil {
		return nil, fmt.Errorf("a widget's state: %w", err)
	}
	var fields []field
	for key, value := range parsed.Members() {
		f := field{key, value}
		if most -= f.size(); most < 0 || len(fields) == mostFields {
			return nil, notebook.ErrTooLarge
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func find(fields []field, key string) (int, bool) {
	return slices.BinarySearchFunc(fields, key, func(f field, key string) int { return cmp.Compare(f.key, key) })
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
	if len(parts) == 0 {
		return nil
	}
	parsed, _ := notebook.ParseJSON(paths, mostPaths)
	var buffers []buffer
	for path := range parsed.Elements() {
		if len(parts) == 0 {
			break
		}
		for first := range path.Elements() {
			if key, ok := first.Text(); ok {
				buffers = append(buffers, buffer{key: key, path: path.String(), data: base64.StdEncoding.EncodeToString(parts[0])})
			}
			break
		}
		parts = parts[1:]
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

// follow does what an output widget's front end does when the kernel has set fields.
func (w *widgets) follow(m *model, fields []field) {
	if m.text("_model_module") != "@jupyter-widgets/output" || m.text("_model_name") != "OutputModel" {
		return
	}
	if _, told := find(fields, "outputs"); told && m.outputs != nil {
		w.out.drop(m.outputs)
		m.outputs = nil
	}
	if i, told := find(fields, "msg_id"); told && fields[i].value.Size() <= longestID {
		w.redirect(m, m.text("msg_id"))
	}
}

// redirect makes an output widget show the output of a request instead of the cell, or
// of another widget, until the next redirect. "" ends it.
func (w *widgets) redirect(m *model, request string) {
	if request == m.request {
		return
	}
	others := slices.DeleteFunc(w.capture[m.request], func(other *model) bool { return other == m })
	w.capture[m.request] = others
	if len(others) == 0 {
		delete(w.capture, m.request)
	}
	if m.request = request; request != "" {
		w.capture[request] = append(w.capture[request], m)
	}
}

// shownBy returns what shows a request's output in a cell's stead, nil where nothing
// does.
func (w *widgets) shownBy(request string) *cellOutputs {
	widgets := w.capture[request]
	if len(widgets) == 0 {
		return nil
	}
	m := widgets[len(widgets)-1]
	if m.outputs == nil {
		w.takeOver(m)
	}
	m.outputs.changed = true
	return m.outputs
}

// takeOver makes outputs of what the kernel has told that the widget shows.
func (w *widgets) takeOver(m *model) {
	m.outputs = &cellOutputs{cell: &notebook.Cell{Type: "code"}}
	i, ok := find(m.fields, "outputs")
	if !ok {
		return
	}
	told := m.fields[i].value
	w.out.used -= int64(told.Size())
	m.size -= int64(told.Size())
	m.fields[i].value = notebook.JSON{}
	for output := range told.Elements() {
		content, _ := output.MarshalJSON() // it has the members of a message
		var kind struct {
			Type string `json:"output_type"`
		}
		_ = json.Unmarshal(content, &kind)
		w.out.show(m.outputs, jupyter.Message{Type: kind.Type, Content: content})
	}
}

// mostTold is how much of what an output widget shows the kernel is told.
const mostTold = 1 << 20

// synchronize tells the kernel what output widgets show that it does not know, so that
// the notebook's code can read it. It does not matter whether that arrives: a kernel
// that is gone says so when the next cell is sent. What is large is only in the file:
// it would be sent again for each cell that adds to it.
func (w *widgets) synchronize(send func(commID string, data any) error) {
	for id, m := range w.models {
		if m.outputs == nil || !m.outputs.changed || m.outputs.used > mostTold || m.closed {
			continue
		}
		m.outputs.changed = false
		_ = send(id, map[string]any{
			"method": "update", "state": map[string]any{"outputs": shownOutputs(m.outputs.cell)}, "buffer_paths": []any{},
		})
	}
}

// shownOutputs returns outputs as output widgets have them: as in a notebook, but with
// whole texts.
func shownOutputs(cell *notebook.Cell) []any {
	shown := make([]any, len(cell.Outputs))
	for i, o := range cell.Outputs {
		fields := shownOutput{"output_type": o.Type}
		switch o.Type {
		case "stream":
			fields["name"], fields["text"] = o.Name, o.Text
		case "error":
			fields["ename"], fields["evalue"], fields["traceback"] = o.EName, o.EValue, o.Traceback
		default:
			fields["data"], fields["metadata"] = o.Data, o.Metadata
		}
		if o.Type == "execute_result" {
			fields["execution_count"] = o.ExecutionCount
		}
		shown[i] = fields
	}
	return shown
}

// shownOutput is one output of an output widget.
type shownOutput map[string]any

// Tree returns the output as it is written.
func (o shownOutput) Tree() any { return map[string]any(o) }

// MarshalJSON writes the output for the kernel, where code may print it: in the order
// in which nbclient does it.
func (o shownOutput) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	separator := '{'
	for _, key := range []string{"output_type", "name", "text", "ename", "evalue", "traceback", "metadata", "data", "execution_count"} {
		if o[key] == nil {
			continue
		}
		value, err := json.Marshal(o[key])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%c%q:%s", separator, key, value)
		separator = ','
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// metadata returns what the notebook's metadata says of its widgets, nil where it has
// none.
func (w *widgets) metadata() map[string]any {
	state := make(map[string]any)
	for id, m := range w.models {
		if _, named := find(m.fields, "_model_name"); named {
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

// text returns the string that is a field's value, "" where it is none.
func (m *model) text(key string) string {
	i, ok := find(m.fields, key)
	if !ok {
		return ""
	}
	s, _ := m.fields[i].value.Text()
	return s
}

// Tree returns the model as
// https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/v2/state.schema.json
// describes it.
func (m *model) Tree() any {
	state := make(map[string]any, len(m.fields))
	for _, f := range m.fields {
		state[f.key] = f.value
	}
	if m.outputs != nil {
		state["outputs"] = shownOutputs(m.outputs.cell)
	}
	tree := map[string]any{"state": state}
	for _, key := range []string{"model_name", "model_module", "model_module_version"} {
		tree[key] = state["_"+key] // null where there is none
	}
	if len(m.buffers) > 0 {
		buffers := make([]any, len(m.buffers))
		for i, b := range m.buffers {
			path, _ := notebook.ParseJSON([]byte(b.path), mostPaths)
			buffers[i] = map[string]any{"data": b.data, "encoding": "base64", "path": path}
		}
		tree["buffers"] = buffers
	}
	return tree
}

// warnings says what of the widgets is not in the notebook.
func (w *widgets) warnings() []string {
	for _, m := range w.models {
		if m.outputs != nil {
			w.lose(cmp.Or(m.outputs.cut, m.outputs.missed))
		}
	}
	var notes []string
	if w.cut != "" {
		notes = append(notes, "what widgets show is not complete: "+w.cut)
	}
	if w.foreign != "" {
		notes = append(notes, fmt.Sprintf("the notebook talks to a front end's %q, which there is none of: what that would show is missing", w.foreign))
	}
	return notes
}
