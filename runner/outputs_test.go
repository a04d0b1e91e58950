package runner

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// own makes a message of the current cell.
func own(kind, content string) jupyter.Message {
	return jupyter.Message{Type: kind, ParentID: "now", Own: true, Content: json.RawMessage(content)}
}

// dropped makes a message of the current cell whose content the client let go.
func dropped(kind string) jupyter.Message {
	return jupyter.Message{Type: kind, ParentID: "now", Own: true, Dropped: 7}
}

// empty is what an output without content counts for.
var empty = (&notebook.Output{}).Size()

func TestOutputs_ApplyMessagesInOrder(t *testing.T) {
	tests := map[string]struct {
		limit    int64
		messages []jupyter.Message
		want     string
	}{
		"streams are merged while they follow each other": {
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"a"}`), own("stream", `{"name":"stdout","text":"b\r"}`),
				own("stream", `{"name":"stderr","text":"c"}`), own("stream", `{"name":"stdout","text":"d"}`),
			},
			want: "[ ] stdout ab\r | stderr c | stdout d",
		},
		"odd messages are tolerated": {
			messages: []jupyter.Message{
				own("stream", `[]`), own("stream", `{"name":3,"text":"a"}`), own("display_data", `{}`),
				own("display_data", `{"data":{"text/plain":"x"},"metadata":null,"transient":null}`),
				own("error", `{}`), own("comm_open", `{}`), own("who knows", ``), own("clear_output", `null`),
				own("display_data", `{"data":{"text/plain":"y"},"transient":7}`), own("update_display_data", `{}`),
			},
			want: "[ ] display_data y",
		},
		"clear with wait leaves what nothing follows": {
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"a"}`), own("clear_output", `{"wait":true}`),
				own("update_display_data", `{"data":{},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] stdout a",
		},
		"an update of what was cleared shows nothing": {
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`), own("clear_output", `{}`),
				own("update_display_data", `{"data":{"text/plain":"2"},"transient":{"display_id":"i"}}`),
				own("display_data", `{"data":{"text/plain":"3"},"transient":{"display_id":"i"}}`),
				own("display_data", `{"data":{"text/plain":"4"},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] display_data 4 | display_data 4",
		},
		"text is cut between characters": {
			limit:    empty + 4,
			messages: []jupyter.Message{own("stream", `{"name":"stdout","text":"aéé"}`), own("stream", `{"name":"stdout","text":"bc"}`)},
			want:     "[ ] stdout aé | stderr [nbpress: output cut: a notebook keeps 228 bytes]\n",
		},
		"an error is kept over the limit": {
			limit:    4,
			messages: []jupyter.Message{own("display_data", `{"data":{"text/plain":"long"}}`), own("error", `{"ename":"E"}`)},
			want:     "[ ] stderr [nbpress: output cut: a notebook keeps 4 bytes]\n | error E",
		},
		"what is cleared makes room": {
			limit: empty + 4,
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"1234"}`), own("clear_output", `{}`), own("stream", `{"name":"stdout","text":"5678"}`),
			},
			want: "[ ] stdout 5678",
		},
		"messages that were dropped on the way": {
			messages: []jupyter.Message{
				own("stream", `{"name":"stderr","text":"a"}`), dropped("stream"), dropped("display_data"), dropped("a_new_type"),
				own("stream", `{"name":"stdout","text":"on"}`), dropped("error"),
			},
			want: "[ ] stderr a\n[nbpress: output is missing: " + tooFast + "]\n | stdout on | stderr [nbpress: output is missing: " + tooFast + "]\n",
		},
		"words about what is missing count, too": {
			limit:    empty + 10,
			messages: []jupyter.Message{dropped("stream"), own("stream", `{"name":"stdout","text":"on"}`), dropped("stream")},
			want:     "[ ] stderr [nbpress: \n[nbpress: output cut: a notebook keeps 234 bytes]\n",
		},
		"a result with a display_id is updated, too": {
			messages: []jupyter.Message{
				own("execute_result", `{"data":{"text/plain":"1"},"execution_count":3,"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"2"},"metadata":{"a":1},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] execute_result 2",
		},
		"an update between wait and the next output": {
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`), own("clear_output", `{"wait":true}`),
				own("update_display_data", `{"data":{"text/plain":"2"},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] display_data 2",
		},
		"wait, then a stream": {
			messages: []jupyter.Message{own("error", `{"ename":"E"}`), own("clear_output", `{"wait":true}`), own("stream", `{"name":"stderr","text":"a"}`)},
			want:     "[ ] stderr a",
		},
		"wait, then an error": {
			messages: []jupyter.Message{own("stream", `{"text":"a"}`), own("clear_output", `{"wait":true}`), own("error", `{"ename":"E"}`)},
			want:     "[ ] error E",
		},
		"wait, then a display of the same id": {
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`), own("clear_output", `{"wait":true}`),
				own("display_data", `{"data":{"text/plain":"2"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"3"},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] display_data 3",
		},
		"wait, then output that was dropped on the way": {
			messages: []jupyter.Message{
				own("stream", `{"text":"a"}`), own("clear_output", `{"wait":true}`), dropped("stream"),
			},
			want: "[ ] stderr [nbpress: output is missing: " + tooFast + "]\n",
		},
		"carriage returns and backspaces stay": {
			messages: []jupyter.Message{own("stream", `{"text":"a\rb\b"}`), own("stream", `{"text":"\r\n\u0008c"}`)},
			want:     "[ ] stdout a\rb\b\r\n\bc",
		},
		"streams of other names": {
			messages: []jupyter.Message{own("stream", `{"name":"stdlog","text":"a"}`), own("stream", `{"name":"","text":"b"}`)},
			want:     "[ ] stdout ab",
		},
		"what cannot be read is said": {
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"on","application/json":`+strings.Repeat("[", 101)+strings.Repeat("]", 101)+`}}`), own("display_data", `{`),
			},
			want: "[ ] display_data on | stderr [nbpress: output is missing: \"application/json\": it nests deeper than 100 levels]\n[nbpress: output is missing: its message is not JSON]\n",
		},
		"an update over the limit changes nothing": {
			limit: empty + displayOverhead + 50,
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"`+strings.Repeat("2", 90)+`"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"3"},"transient":{"display_id":"i"}}`),
			},
			want: fmt.Sprintf("[ ] display_data 3 | stderr [nbpress: output cut: a notebook keeps %d bytes]\n", empty+displayOverhead+50),
		},
		"updates count as what is shown now": {
			limit: empty + displayOverhead + 50,
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"twenty characters or"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"another twenty chars"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"and twenty once more"},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] display_data and twenty once more",
		},
		"the newest error is kept over the limit": {
			limit:    empty + 20,
			messages: []jupyter.Message{own("error", `{"ename":"A"}`), own("error", `{"ename":"B"}`), own("error", `{"ename":"C"}`), own("stream", `{"text":"d"}`)},
			want:     fmt.Sprintf("[ ] error A | stderr [nbpress: output cut: a notebook keeps %d bytes]\n | error C", empty+20),
		},
		"the mark begins a line of its own": {
			limit:    empty + 4,
			messages: []jupyter.Message{own("stream", `{"name":"stderr","text":"abcdef"}`)},
			want:     "[ ] stderr abcd\n[nbpress: output cut: a notebook keeps 228 bytes]\n",
		},
		"messages of nobody's": {
			messages: []jupyter.Message{{Type: "stream", ParentID: "probe", Content: json.RawMessage(`{"name":"stdout","text":"a"}`)}},
			want:     "[ ]",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.limit == 0 {
				test.limit = 1 << 20
			}
			o, cell := newOutputs(1<<20, test.limit), &notebook.Cell{Type: "code"}
			o.begin(0, cell)
			for _, m := range test.messages {
				o.message(m)
			}
			if diff := cmp.Diff(test.want, shown(cell)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if o.used < 0 || o.used > test.limit {
				t.Errorf("%d bytes are counted of at most %d", o.used, test.limit)
			}
		})
	}
}

func TestOutputs_LimitCellsAndTheNotebook(t *testing.T) {
	o := newOutputs(empty+10, 2*empty+15)
	var got []string
	for i := range 3 {
		cell := &notebook.Cell{Type: "code"}
		o.begin(i, cell)
		o.message(ofCell(i, i, "stream", `{"text":"0123456789ab"}`))
		got = append(got, shown(cell))
	}
	want := []string{
		"[ ] stdout 0123456789 | stderr [nbpress: output cut: a cell keeps 234 bytes]\n",
		"[ ] stdout 01234 | stderr [nbpress: output cut: a notebook keeps 463 bytes]\n",
		"[ ] stderr [nbpress: output cut: a notebook keeps 463 bytes]\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.message(ofCell(0, 2, "clear_output", `{}`))
	o.message(ofCell(2, 2, "clear_output", `{}`))
	o.message(ofCell(2, 2, "stream", `{"text":"0123456789ab"}`))
	if got, want := shown(o.current.cell), want[0]; got != want {
		t.Errorf("after there was room again: got %s, want %s", got, want)
	}
}

func TestOutputs_ReachTheCellsTheyBelongTo(t *testing.T) {
	o := newOutputs(1<<20, 1<<20)
	cells := make([]*notebook.Cell, 3)
	show := func(id, value string) string {
		return fmt.Sprintf(`{"data":{"text/plain":%q},"transient":{"display_id":%q}}`, value, id)
	}
	for i := range cells {
		cells[i] = &notebook.Cell{Type: "code"}
		o.begin(i, cells[i])
		o.message(ofCell(i, i, "execute_input", fmt.Sprintf(`{"execution_count":%d}`, i+7)))
		o.message(ofCell(i, i, "display_data", show("same", fmt.Sprint(i))))
	}
	check := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, cell := range cells {
			got = append(got, shown(cell))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("the same id in three cells", "[7] display_data 2", "[8] display_data 2", "[9] display_data 2")
	o.message(ofCell(1, 2, "clear_output", `{}`)) // a thread of the second cell
	o.message(ofCell(1, 2, "stream", `{"text":"late"}`))
	o.message(ofCell(0, 2, "update_display_data", show("same", "new")))
	check("late output after a clear", "[7] display_data new", "[8] stdout late", "[9] display_data new")
	o.message(ofCell(1, 2, "display_data", show("same", "again")))
	o.message(ofCell(0, 2, "clear_output", `{"wait":true}`))
	o.message(ofCell(2, 2, "stream", `{"text":"not of the first cell"}`))
	check("a pending clear", "[7] display_data again", "[8] stdout late | display_data again", "[9] display_data again | stdout not of the first cell")
}

func TestOutputs_UpdateNoMoreThanAThousandOfOneDisplay(t *testing.T) {
	o, cell := newOutputs(1<<20, 1<<20), &notebook.Cell{Type: "code"}
	o.begin(0, cell)
	for i := range mostPlaced + 2 {
		o.message(own("display_data", fmt.Sprintf(`{"data":{"text/plain":"%d"},"transient":{"display_id":"i"}}`, i)))
	}
	o.message(printed("on"))
	got := strings.Split(shown(cell), " | ")
	newest := fmt.Sprintf("display_data %d", mostPlaced+1)
	if len(got) != mostPlaced+2 || got[0] != "[ ] "+newest || got[mostPlaced-1] != newest {
		t.Errorf("%d outputs, the first %q, the last that can be %q", len(got), got[0], got[mostPlaced-1])
	}
	want := []string{"stderr [nbpress: output is missing: 1000 outputs show its display_id already]\n", "stdout on"}
	if diff := cmp.Diff(want, got[mostPlaced:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// ofCell makes a message that answers cell's request while current's is under way.
func ofCell(cell, current int, kind, content string) jupyter.Message {
	return jupyter.Message{Type: kind, ParentID: fmt.Sprint("cell ", cell), Own: cell == current, Content: json.RawMessage(content)}
}

// FuzzOutputContents applies any sequence of messages: each input line is a type, a
// blank and a content.
func FuzzOutputContents(f *testing.F) {
	f.Add("stream {\"name\":\"stdout\",\"text\":\"a\"}\nclear_output {\"wait\":true}\ndisplay_data {\"transient\":{\"display_id\":\"i\"}}")
	f.Add("display_data {\"data\":{\"a\":1},\"transient\":{\"display_id\":\"i\"}}\nclear_output {}\nupdate_display_data {\"transient\":{\"display_id\":\"i\"}}")
	f.Fuzz(func(t *testing.T, script string) {
		const limit = 2000
		o, cell := newOutputs(limit, limit), &notebook.Cell{Type: "code"}
		out := o.begin(0, cell)
		for line := range strings.SplitSeq(script, "\n") {
			kind, content, _ := strings.Cut(line, " ")
			o.message(own(kind, content))
		}
		out.finish(jupyter.Reply{})
		if o.used < 0 || o.used > limit {
			t.Fatalf("%d bytes counted", o.used)
		}
		nb := &notebook.Notebook{Cells: []*notebook.Cell{cell}}
		file, err := nb.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := notebook.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(cell.Outputs, read.Cells[0].Outputs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("written and read (-before +after):\n%s", diff)
		}
		o.message(own("clear_output", "{}"))
		if out.used != 0 || len(o.displays) != 0 {
			t.Fatalf("%d bytes are counted of a cell without outputs, %d display_ids kept", out.used, len(o.displays))
		}
	})
}

// FuzzOutputs compares random sequences of events in three cells, two bytes each, with
// a model that does the same without any index.
func FuzzOutputs(f *testing.F) {
	f.Add([]byte("\x00\x00\x10\x01\x20\x02"))
	random := rand.NewChaCha8([32]byte{})
	for range 20 {
		events := make([]byte, 400)
		_, _ = random.Read(events)
		f.Add(events)
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		for _, limit := range []int64{1 << 30, 3000} {
			o, m := newOutputs(limit/2, limit), &reference{}
			cells := make([]*notebook.Cell, 3)
			began := 0
			for i := range len(events) / 2 {
				op, arg := events[2*i], events[2*i+1]
				if began == 0 || op>>4 == 15 && began < len(cells) {
					cells[began] = &notebook.Cell{Type: "code"}
					o.begin(began, cells[began])
					o.message(ofCell(began, began, "status", `{"execution_state":"busy"}`))
					began++
				}
				cell := int(op>>4) % began
				kind, content := m.apply(cell, int(op&15), int(arg), fmt.Sprint("v", i))
				o.message(ofCell(cell, began-1, kind, content))
			}
			if o.used < 0 || o.used > limit {
				t.Fatalf("%d bytes counted", o.used)
			}
			for i := range began {
				if want, got := m.shown(i), shown(cells[i]); limit == 1<<30 && got != want {
					t.Fatalf("cell %d:\n got %s\nwant %s", i, got, want)
				}
				o.message(ofCell(i, began-1, "clear_output", "{}"))
			}
			if o.used != 0 || len(o.displays) != 0 {
				t.Fatalf("%d bytes counted of nothing, %d display_ids kept", o.used, len(o.displays))
			}
		}
	})
}

// reference is what three cells show, by the rules and nothing but the rules.
type reference struct {
	cells [3][]referenceOutput
	wait  [3]bool
}

type referenceOutput struct{ kind, id, value string }

// apply does one event and returns the message that tells of it.
func (m *reference) apply(cell, op, arg int, value string) (kind, content string) {
	id := [...]string{"", "x", "y", "z"}[arg%4]
	quoted := fmt.Sprintf(`{"data":{"text/plain":%q},"transient":{"display_id":%q}}`, value, id)
	switch op {
	case 0, 1, 2, 3:
		name := [...]string{"stdout", "stderr"}[op%2]
		m.before(cell)
		if n := len(m.cells[cell]); n > 0 && m.cells[cell][n-1].kind == name {
			m.cells[cell][n-1].value += value
		} else {
			m.cells[cell] = append(m.cells[cell], referenceOutput{kind: name, value: value})
		}
		return "stream", fmt.Sprintf(`{"name":%q,"text":%q}`, name, value)
	case 4, 5, 6, 7, 8:
		kind = [...]string{"display_data", "execute_result"}[op/8]
		m.update(id, value)
		m.before(cell)
		m.cells[cell] = append(m.cells[cell], referenceOutput{kind, id, value})
		return kind, quoted
	case 9, 10, 11:
		m.update(id, value)
		return "update_display_data", quoted
	case 12:
		m.before(cell)
		m.cells[cell] = append(m.cells[cell], referenceOutput{kind: "error", value: value})
		return "error", fmt.Sprintf(`{"ename":%q,"evalue":"","traceback":[]}`, value)
	case 13:
		m.cells[cell], m.wait[cell] = nil, false
		return "clear_output", `{"wait":false}`
	}
	m.wait[cell] = true
	return "clear_output", `{"wait":true}`
}

// before empties a cell that waited for its next output.
func (m *reference) before(cell int) {
	if m.wait[cell] {
		m.cells[cell], m.wait[cell] = nil, false
	}
}

func (m *reference) update(id, value string) {
	for _, cell := range m.cells {
		for i := range cell {
			if id != "" && cell[i].id == id {
				cell[i].value = value
			}
		}
	}
}

// shown is shown of a cell.
func (m *reference) shown(cell int) string {
	var outputs []string
	for _, o := range m.cells[cell] {
		outputs = append(outputs, o.kind+" "+o.value)
	}
	return strings.TrimSuffix("[ ] "+strings.Join(outputs, " | "), " ")
}
