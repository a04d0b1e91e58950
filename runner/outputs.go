package runner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// outputs applies a kernel's output messages to a notebook, as
// https://jupyter-client.readthedocs.io/en/stable/messaging.html describes them and
// nbclient and the front ends do it. What it keeps is bounded; what went over the
// bound is marked in the cell.
type outputs struct {
	limit int64
	used  int64

	current  *cellOutputs
	byParent map[string]*cellOutputs // also of finished cells: their threads may still print
	displays map[string][]*output    // by display_id
	widgets  *widgets
}

// cellOutputs are the outputs of one cell.
type cellOutputs struct {
	number int // among the executed cells, from 1: its count, unless the kernel says otherwise
	cell   *notebook.Cell
	index  int
	held   []*output // beside cell.Outputs, one for one
	clear  bool      // clear_output(wait=True): drop everything before the next output
	cut    bool      // the mark is set: only errors follow it
	times  map[string]string
}

// output is what has to be known of one entry of cell.Outputs.
type output struct {
	of   *cellOutputs
	at   int   // index in cell.Outputs
	size int64 // as counted in outputs.used
	text *strings.Builder
}

func newOutputs(limit int64) *outputs {
	o := &outputs{limit: limit, byParent: make(map[string]*cellOutputs), displays: make(map[string][]*output)}
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
	switch {
	case strings.HasPrefix(m.Type, "comm_"):
		o.widgets.message(m)
		return
	case c == nil:
		return // of the client's own probes
	case m.Dropped > 0:
		o.mark(c)
		return
	}
	switch m.Type {
	case "status":
		o.status(c, m)
	case "execute_input":
		c.note("iopub.execute_input", m)
		c.count(m)
	case "stream":
		o.stream(c, m)
	case "display_data", "execute_result", "update_display_data":
		o.display(c, m)
	case "error":
		o.exception(c, m)
	case "clear_output":
		var content struct{ Wait bool }
		if decodeContent(m, &content); content.Wait {
			c.clear = true
			return
		}
		o.drop(c)
	}
}

func (o *outputs) status(c *cellOutputs, m jupyter.Message) {
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

// stream appends text to the cell's last output if that is of the same stream, as
// front ends do.
func (o *outputs) stream(c *cellOutputs, m jupyter.Message) {
	if c.cut && !c.clear {
		return // not worth reading
	}
	var content struct{ Name, Text string }
	decodeContent(m, &content)
	if content.Text == "" {
		return
	}
	if content.Name != "stderr" {
		content.Name = "stdout" // the format has no others
	}
	o.clearIfAsked(c)
	text := content.Text
	if room := max(o.limit-o.used, 0); int64(len(text)) > room {
		text = wholeRunes(text[:room])
		defer o.mark(c)
	}
	o.used += int64(len(text))
	c.text(content.Name, text)
}

// text adds text of a stream.
func (c *cellOutputs) text(name, text string) {
	if text == "" {
		return
	}
	n := len(c.held)
	if n == 0 || c.held[n-1].text == nil || c.cell.Outputs[n-1].Name != name {
		c.add(notebook.Output{Type: "stream", Name: name}, 0).text = new(strings.Builder)
		n++
	}
	last := c.held[n-1]
	last.text.WriteString(text)
	last.size += int64(len(text))
	c.cell.Outputs[n-1].Text = last.text.String()
}

func (c *cellOutputs) add(out notebook.Output, size int64) *output {
	held := &output{of: c, at: len(c.held), size: size}
	c.cell.Outputs = append(c.cell.Outputs, out)
	c.held = append(c.held, held)
	return held
}

func wholeRunes(s string) string {
	for s != "" {
		if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// display adds display data or a result. With a display_id it also replaces what
// all cells show under that id; update_display_data does only that.
func (o *outputs) display(c *cellOutputs, m jupyter.Message) {
	var content struct {
		Data      map[string]any  `json:"data"`
		Metadata  map[string]any  `json:"metadata"`
		Count     *int            `json:"execution_count"`
		Transient json.RawMessage `json:"transient"`
	}
	decodeContent(m, &content)
	var transient struct {
		DisplayID string `json:"display_id"`
	}
	decodeContent(jupyter.Message{Content: content.Transient}, &transient)
	if content.Data == nil {
		content.Data = map[string]any{}
	}
	if content.Metadata == nil {
		content.Metadata = map[string]any{}
	}
	out := notebook.Output{Type: m.Type, Data: content.Data, Metadata: content.Metadata}
	size := int64(len(m.Content))
	if transient.DisplayID != "" {
		o.update(transient.DisplayID, out, size)
	}
	if m.Type == "update_display_data" {
		return
	}
	if m.Type == "execute_result" {
		out.ExecutionCount = content.Count
	}
	o.clearIfAsked(c)
	if c.cut || o.used+size > o.limit {
		o.mark(c)
		return
	}
	o.used += size
	held := c.add(out, size)
	if transient.DisplayID != "" {
		o.displays[transient.DisplayID] = append(o.displays[transient.DisplayID], held)
	}
}

func (o *outputs) update(id string, out notebook.Output, size int64) {
	for _, held := range o.displays[id] {
		if o.used-held.size+size > o.limit {
			o.mark(held.of)
			continue
		}
		o.used += size - held.size
		held.size = size
		shown := &held.of.cell.Outputs[held.at]
		shown.Data, shown.Metadata = out.Data, out.Metadata
	}
}

// exception adds an error. It is kept even if the limit is reached, shortened: it
// says what went wrong.
func (o *outputs) exception(c *cellOutputs, m jupyter.Message) {
	var content struct {
		EName, EValue string
		Traceback     []string
	}
	decodeContent(m, &content)
	o.clearIfAsked(c)
	out := notebook.Output{
		Type: "error", EName: content.EName,
		EValue: cutMiddle(content.EValue, tracebackLimit), Traceback: []string{},
	}
	if whole := strings.Join(content.Traceback, "\n"); len(whole) > 4*tracebackLimit {
		out.Traceback = strings.Split(cutMiddle(whole, 4*tracebackLimit), "\n")
	} else if content.Traceback != nil {
		out.Traceback = content.Traceback
	}
	c.add(out, 0)
}

// mark says once in a cell that output of it is missing.
func (o *outputs) mark(c *cellOutputs) {
	if c.cut {
		return
	}
	c.cut = true
	c.text("stderr", fmt.Sprintf("[nbpress: output cut at %s]\n", megabytes(o.limit)))
}

func megabytes(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

func (o *outputs) clearIfAsked(c *cellOutputs) {
	if c.clear {
		o.drop(c)
	}
}

// drop empties a cell, and forgets which displays it showed.
func (o *outputs) drop(c *cellOutputs) {
	for _, held := range c.held {
		o.used -= held.size
	}
	for id, shown := range o.displays {
		kept := shown[:0]
		for _, held := range shown {
			if held.of != c {
				kept = append(kept, held)
			}
		}
		o.displays[id] = kept
	}
	c.held, c.cell.Outputs, c.clear, c.cut = nil, nil, false, false
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
