package runner

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/redact"
)

// outputs applies a kernel's output messages to a notebook, as
// https://jupyter-client.readthedocs.io/en/stable/messaging.html describes them and
// nbclient and the front ends do it. What it keeps is bounded, per cell and in all;
// what is missing is marked in the cell.
type outputs struct {
	cellLimit, limit int64
	used             int64

	current  *cellOutputs
	byParent map[string]*cellOutputs // also of finished cells: their threads may still print
	displays map[string][]*placed    // by display_id
	widgets  *widgets
	hidden   *redact.Redactor // what is looked for where output is cut; nil: nothing
}

// cellOutputs are the outputs of one cell, or of an output widget.
type cellOutputs struct {
	number int // among the executed cells, from 1: its count, unless the kernel says otherwise
	cell   *notebook.Cell
	index  int
	used   int64               // of outputs.used
	ids    map[string]struct{} // display_ids that it shows
	text   *strings.Builder    // of the last output, if that is a stream
	clear  bool                // clear_output(wait=True): drop everything before the next output
	cut    string              // why nothing but an error is kept any more; "" while there is room
	missed string              // why an output is missing, whatever came after it; "" for none
	spare  int                 // 1 + the place of the error that is kept beyond the limit
	times  map[string]string

	changed bool // of an output widget: the kernel does not know what it shows
}

// placed is one entry of a cell's outputs that has a display_id.
type placed struct {
	of   *cellOutputs
	at   int
	size int64
}

func newOutputs(cellLimit, limit int64) *outputs {
	o := &outputs{
		cellLimit: cellLimit, limit: limit,
		byParent: make(map[string]*cellOutputs), displays: make(map[string][]*placed),
	}
	o.widgets = newWidgets(o)
	return o
}

// begin makes a cell the current one and drops what it held from an earlier run.
func (o *outputs) begin(index int, cell *notebook.Cell) *cellOutputs {
	o.current = &cellOutputs{cell: cell, index: index, times: make(map[string]string)}
	cell.Outputs, cell.ExecutionCount = nil, nil
	return o.current
}

// message applies one message of the output channel.
func (o *outputs) message(m jupyter.Message) {
	c := o.byParent[m.ParentID]
	if m.Own && c == nil {
		c = o.current
		o.byParent[m.ParentID] = c
	}
	if strings.HasPrefix(m.Type, "comm_") {
		o.widgets.message(m)
		return
	}
	if c == nil {
		return // of the client's own requests
	}
	switch m.Type {
	case "status":
		c.status(m)
	case "execute_input":
		c.note("iopub.execute_input", m)
		c.count(m)
	default:
		o.show(cmp.Or(o.widgets.shownBy(m.ParentID), c), m)
	}
}

// show applies a message of output to the cell, or the output widget, that shows it.
func (o *outputs) show(c *cellOutputs, m jupyter.Message) {
	switch m.Type {
	case "stream", "display_data", "execute_result", "update_display_data", "error":
		o.output(c, m)
	case "clear_output":
		var content struct{ Wait bool }
		if decodeContent(m, &content); content.Wait {
			c.clear = true
			return
		}
		o.drop(c)
	default:
		if m.Dropped > 0 {
			o.miss(c, tooFast)
		}
	}
}

func (c *cellOutputs) status(m jupyter.Message) {
	var content struct {
		State string `json:"execution_state"`
	}
	if decodeContent(m, &content); content.State == "busy" || content.State == "idle" {
		c.note("iopub.status."+content.State, m)
	}
}

// note keeps when a message was sent, as Jupyter does in a cell's metadata.
func (c *cellOutputs) note(event string, m jupyter.Message) {
	if t := m.Time(); !t.IsZero() {
		c.times[event] = t.Format(timeFormat)
	}
}

// timeFormat is that of cell.metadata.execution, in UTC.
const timeFormat = "2006-01-02T15:04:05.000000Z"

func (c *cellOutputs) count(m jupyter.Message) {
	var content struct {
		Count int `json:"execution_count"`
	}
	if decodeContent(m, &content); content.Count > 0 {
		c.cell.ExecutionCount = &content.Count
	}
}

// tooFast is why output is missing that the client dropped.
const tooFast = "it came faster than it could be read, or in a message that is too large"

// output applies a message that describes an output. An update_display_data only
// changes what is shown, and does not trigger a clear_output(wait=True).
func (o *outputs) output(c *cellOutputs, m jupyter.Message) {
	update := m.Type == "update_display_data"
	if c.clear && !update {
		o.drop(c)
	}
	if m.Dropped > 0 {
		o.miss(c, tooFast)
		return
	}
	if c.cut != "" && (m.Type == "stream" || m.Type == "display_data" && !bytes.Contains(m.Content, []byte("display_id"))) {
		return // not worth reading
	}
	out, id, err := notebook.OutputFromMessage(m.Type, m.Content, int(o.cellLimit))
	switch {
	case errors.Is(err, notebook.ErrTooLarge):
		o.mark(c)
		return
	case out.Type == "": // the message could not be read
	case out.Type == "stream":
		o.stream(c, out.Name, out.Text)
	case out.Type == "error":
		o.exception(c, out)
	default:
		o.display(c, out, id, update)
	}
	if err != nil {
		o.miss(c, err.Error())
	}
}

// room returns how much may still be kept of a cell.
func (o *outputs) room(c *cellOutputs) int64 {
	return max(0, min(o.cellLimit-c.used, o.limit-o.used))
}

// spend counts size bytes, fewer if it is negative, of a cell's outputs.
func (o *outputs) spend(c *cellOutputs, size int64) {
	c.used += size
	o.used += size
}

// stream appends text to the cell's last output if that is of the same stream, as
// front ends do. Carriage returns and backspaces stay, for them to carry out.
func (o *outputs) stream(c *cellOutputs, name, text string) {
	if c.cut != "" || text == "" {
		return
	}
	var stream int64
	if !c.continues(name) {
		stream = (&notebook.Output{}).Size()
	}
	kept, size := notebook.FitText(text, o.room(c)-stream)
	if kept != "" {
		o.spend(c, stream+size)
		c.write(name, kept)
	}
	if len(kept) < len(text) {
		if c.continues(name) {
			c.last().Text = o.hidden.Begun(c.last().Text)
			c.text = new(strings.Builder) // what it held may be longer
		}
		o.mark(c)
	}
}

// continues reports whether text of a stream goes on in the last output.
func (c *cellOutputs) continues(name string) bool {
	return c.text != nil && c.last().Name == name
}

func (c *cellOutputs) last() *notebook.Output { return &c.cell.Outputs[len(c.cell.Outputs)-1] }

// write adds text of a stream.
func (c *cellOutputs) write(name, text string) {
	if !c.continues(name) {
		c.add(notebook.Output{Type: "stream", Name: name, Text: text})
		c.text = new(strings.Builder)
		return
	}
	last := c.last()
	if c.text.Len() == 0 {
		c.text.WriteString(last.Text)
	}
	c.text.WriteString(text)
	last.Text = c.text.String()
}

// add appends an output and returns its place.
func (c *cellOutputs) add(out notebook.Output) int {
	c.text = nil
	c.cell.Outputs = append(c.cell.Outputs, out)
	return len(c.cell.Outputs) - 1
}

// displayOverhead is what a display_id costs beside its text.
const displayOverhead = 160

// mostPlaced is how many outputs show what one display_id stands for: every message
// with it costs time for each of them.
const mostPlaced = 1000

// display adds display data or a result. With a display_id it also replaces what
// all cells show under that id; an update does only that.
func (o *outputs) display(c *cellOutputs, out notebook.Output, id string, update bool) {
	size := out.Size()
	if id != "" {
		size += displayOverhead + int64(len(id))
		o.update(id, out, size)
	}
	if update || c.cut != "" {
		return
	}
	if id != "" && len(o.displays[id]) == mostPlaced {
		o.miss(c, fmt.Sprintf("%d outputs show its display_id already", mostPlaced))
		return
	}
	if size > o.room(c) {
		o.mark(c)
		return
	}
	o.spend(c, size)
	at := c.add(out)
	if id != "" {
		if c.ids == nil {
			c.ids = make(map[string]struct{})
		}
		c.ids[id] = struct{}{}
		o.displays[id] = append(o.displays[id], &placed{of: c, at: at, size: size})
	}
}

// update replaces what is shown under a display_id.
func (o *outputs) update(id string, out notebook.Output, size int64) {
	for _, d := range o.displays[id] {
		if size-d.size > o.room(d.of) {
			o.mark(d.of)
			continue
		}
		o.spend(d.of, size-d.size)
		d.size = size
		shown := &d.of.cell.Outputs[d.at]
		shown.Data, shown.Metadata = out.Data, out.Metadata
		d.of.changed = true
	}
}

// tracebackLines is how many strings a traceback may have; IPython makes one for each
// frame.
const tracebackLines = 2000

// exception adds an error, shortened if it is long. Where the limit is reached the
// newest one is kept all the same: it says what went wrong.
func (o *outputs) exception(c *cellOutputs, out notebook.Output) {
	out.EName, out.EValue = o.hidden.String(out.EName), o.hidden.String(out.EValue) // while it is whole
	out.Traceback = o.hidden.Pieces(out.Traceback)
	out.EName, out.EValue = cutMiddle(out.EName, messageLimit), cutMiddle(out.EValue, tracebackLimit)
	if whole := strings.Join(out.Traceback, "\n"); len(whole) > 4*tracebackLimit || len(out.Traceback) > tracebackLines {
		out.Traceback = []string{cutMiddle(whole, 4*tracebackLimit)} // readers join it in any case
	}
	size := out.Size()
	switch {
	case c.cut == "" && size <= o.room(c):
		o.spend(c, size)
		c.add(out)
	case c.spare > 0:
		c.cell.Outputs[c.spare-1] = out
	default:
		o.mark(c)
		c.spare = c.add(out) + 1
	}
}

// mark says in a cell which limit it has reached; nothing is kept of it from there on.
func (o *outputs) mark(c *cellOutputs) {
	if c.cut != "" {
		return
	}
	c.cut = "a cell keeps " + megabytes(o.cellLimit)
	if o.limit-o.used < o.cellLimit-c.used {
		c.cut = "a notebook keeps " + megabytes(o.limit)
	}
	c.write("stderr", c.line(fmt.Sprintf("[nbpress: output cut: %s]\n", c.cut)))
}

// miss says in a cell that an output is missing where it would be. What comes after it
// is kept: these words count as output does, and stand once where many are missing.
func (o *outputs) miss(c *cellOutputs, why string) {
	c.missed = why
	words := fmt.Sprintf("[nbpress: output is missing: %s]\n", why)
	if c.continues("stderr") && strings.HasSuffix(c.last().Text, words) {
		return
	}
	o.stream(c, "stderr", c.line(words))
}

// line returns words for stderr so that they begin a line.
func (c *cellOutputs) line(words string) string {
	if c.continues("stderr") && !strings.HasSuffix(c.last().Text, "\n") {
		return "\n" + words
	}
	return words
}

func megabytes(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// drop empties a cell, and forgets which displays it showed.
func (o *outputs) drop(c *cellOutputs) {
	o.spend(c, -c.used)
	for id := range c.ids {
		kept := slices.DeleteFunc(o.displays[id], func(d *placed) bool { return d.of == c })
		if o.displays[id] = slices.Clone(kept); len(kept) == 0 { // nor is the room of those that went kept
			delete(o.displays, id)
		}
	}
	clear(c.ids)
	c.cell.Outputs, c.text, c.clear, c.cut, c.missed, c.spare = nil, nil, false, "", "", 0
}

// decodeContent reads a message's content as far as it fits into v. Peers send odd
// things; what cannot be read counts as not sent.
func decodeContent(m jupyter.Message, v any) {
	if len(m.Content) == 0 {
		return
	}
	d := json.NewDecoder(bytes.NewReader(m.Content))
	d.UseNumber() // as the notebook keeps numbers
	_ = d.Decode(v)
}
