package runner

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// opened makes the comm_open of a widget.
func opened(id, data string, buffers ...string) jupyter.Message {
	return commMessage("comm_open", fmt.Sprintf(`{"comm_id":%q,"target_name":"jupyter.widget","data":%s}`, id, data), buffers)
}

// told makes a comm_msg.
func told(id, data string, buffers ...string) jupyter.Message {
	return commMessage("comm_msg", fmt.Sprintf(`{"comm_id":%q,"data":%s}`, id, data), buffers)
}

func commMessage(kind, content string, buffers []string) jupyter.Message {
	m := own(kind, content)
	for _, b := range buffers {
		m.Buffers = append(m.Buffers, []byte(b))
	}
	return m
}

// outputWidget makes the comm_open of an output widget that shows outputs.
func outputWidget(id, outputs string) jupyter.Message {
	return opened(id, `{"state":{"_model_name":"OutputModel","_model_module":"@jupyter-widgets/output","msg_id":"","outputs":`+outputs+`}}`)
}

// captures makes the message by which an output widget begins, or with "" ends, to show
// a request's output.
func captures(id, request string) jupyter.Message {
	return told(id, fmt.Sprintf(`{"method":"update","state":{"msg_id":%q},"buffer_paths":[]}`, request))
}

func printed(text string) jupyter.Message {
	return own("stream", fmt.Sprintf(`{"name":"stdout","text":%q}`, text))
}

// slider is a state of a widget.
const slider = `{"state":{"_model_name":"IntSliderModel","_model_module":"@jupyter-widgets/controls","_model_module_version":"2.0.0","value":1}}`

func TestWidgets_KeepTheirState(t *testing.T) {
	tests := map[string]struct {
		limit    int64
		messages []jupyter.Message
		want     string // of each model "id name state buffers"
		cell     string // as shown returns it, if it shows anything
		warnings []string
	}{
		"an output widget shows the output while it captures": {
			messages: []jupyter.Message{
				outputWidget("o", `[]`), captures("o", "now"), printed("a"), printed("b"), own("error", `{"ename":"E","evalue":"e"}`),
				own("execute_result", `{"data":{"text/plain":"1"},"execution_count":3}`), captures("o", ""), printed("c"),
			},
			want: `o OutputModel {"msg_id":"","outputs":[{"name":"stdout","output_type":"stream","text":"ab"},` +
				`{"ename":"E","evalue":"e","output_type":"error","traceback":[]},` +
				`{"data":{"text/plain":"1"},"execution_count":3,"metadata":{},"output_type":"execute_result"}]}`,
			cell: "[ ] stdout c",
		},
		"it captures of one request": {
			messages: []jupyter.Message{outputWidget("o", `[]`), captures("o", "earlier"), printed("a"), captures("o", "now"), captures("o", ""), printed("b")},
			want:     `o OutputModel {"msg_id":"","outputs":[]}`,
			cell:     "[ ] stdout ab",
		},
		"the innermost widget captures": {
			messages: []jupyter.Message{
				outputWidget("o", `[]`), outputWidget("p", `[]`), captures("o", "now"), captures("p", "now"), printed("p1"),
				captures("o", ""), printed("p2"), captures("o", "now"), printed("o"), captures("o", ""), captures("p", ""), printed("c"),
			},
			want: `o OutputModel {"msg_id":"","outputs":[{"name":"stdout","output_type":"stream","text":"o"}]} | ` +
				`p OutputModel {"msg_id":"","outputs":[{"name":"stdout","output_type":"stream","text":"p1p2"}]}`,
			cell: "[ ] stdout c",
		},
		"no other widget captures": {
			messages: []jupyter.Message{opened("a", slider), captures("a", "now"), printed("c")},
			want:     `a IntSliderModel {"msg_id":"now","value":1}`,
			cell:     "[ ] stdout c",
		},
		"a widget that is closed captures no longer": {
			messages: []jupyter.Message{outputWidget("o", `[]`), captures("o", "now"), commMessage("comm_close", `{"comm_id":"o"}`, nil), printed("c")},
			want:     `o OutputModel {"msg_id":"now","outputs":[]}`,
			cell:     "[ ] stdout c",
		},
		"what is cleared in a widget, at once or before the next output": {
			messages: []jupyter.Message{
				outputWidget("o", `[]`), printed("c"), captures("o", "now"), printed("a"), own("clear_output", `{}`), printed("b"),
				own("clear_output", `{"wait":true}`), captures("o", ""), captures("o", "now"), printed("d"), own("clear_output", `{"wait":true}`),
			},
			want: `o OutputModel {"msg_id":"now","outputs":[{"name":"stdout","output_type":"stream","text":"d"}]}`,
			cell: "[ ] stdout c",
		},
		"to what the kernel says that a widget shows, captured output is added": {
			messages: []jupyter.Message{
				outputWidget("o", `[{"name":"stdout","output_type":"stream","text":"a"},{"output_type":"display_data","data":{"application/json":[1.0]},"metadata":{}},7]`),
				captures("o", "now"), printed("b"),
			},
			want: `o OutputModel {"msg_id":"now","outputs":[{"name":"stdout","output_type":"stream","text":"a"},` +
				`{"data":{"application/json":[1.0]},"metadata":{},"output_type":"display_data"},{"name":"stdout","output_type":"stream","text":"b"}]}`,
		},
		"what the kernel says that a widget shows replaces captured output": {
			messages: []jupyter.Message{
				outputWidget("o", `[]`), captures("o", "now"), printed("a"), told("o", `{"state":{"outputs":[]}}`), printed("b"),
				told("o", `{"state":{"outputs":[{"name":"stdout","output_type":"stream","text":"c"}]}}`),
			},
			want: `o OutputModel {"msg_id":"now","outputs":[{"name":"stdout","output_type":"stream","text":"c"}]}`,
		},
		"a display is updated where it is shown": {
			messages: []jupyter.Message{
				outputWidget("o", `[]`), own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`), captures("o", "now"),
				own("display_data", `{"data":{"text/plain":"2"},"transient":{"display_id":"i"}}`),
				own("update_display_data", `{"data":{"text/plain":"3"},"transient":{"display_id":"i"}}`),
			},
			want: `o OutputModel {"msg_id":"now","outputs":[{"data":{"text/plain":"3"},"metadata":{},"output_type":"display_data"}]}`,
			cell: "[ ] display_data 3",
		},
		"captured output over the limit": {
			limit:    1000,
			messages: []jupyter.Message{outputWidget("o", `[]`), captures("o", "now"), printed(strings.Repeat("x", 10)), own("display_data", `{"data":{"text/plain":"`+strings.Repeat("x", 1000)+`"}}`)},
			want: `o OutputModel {"msg_id":"now","outputs":[{"name":"stdout","output_type":"stream","text":"xxxxxxxxxx"},` +
				`{"name":"stderr","output_type":"stream","text":"[nbpress: output cut: a notebook keeps 1000 bytes]\n"}]}`,
			warnings: []string{"what widgets show is not complete: a notebook keeps 1000 bytes"},
		},
		"updates are merged by key": {
			messages: []jupyter.Message{
				opened("a", slider), told("a", `{"method":"update","state":{"value":[1.0, {"x" : 1e2}],"min":null}}`), told("a", `{"state":{}}`),
			},
			want: `a IntSliderModel {"min":null,"value":[1.0,{"x":100.0}]}`,
		},
		"a state that is told again in a second comm_open is merged, too": {
			messages: []jupyter.Message{opened("a", slider), opened("a", `{"state":{"value":2,"max":3}}`)},
			want:     `a IntSliderModel {"max":3,"value":2}`,
		},
		"of a key that occurs twice the last one counts, escaped or not": {
			messages: []jupyter.Message{opened("a", `{"state":{"v":1,"_model_name":"M","v":2,"\u0076":3,"w\n":"\"}"}}`)},
			want:     `a M {"v":3,"w\n":"\"}"}`,
		},
		"messages of any parent, and of none": {
			messages: []jupyter.Message{opened("a", slider), {
				Type: "comm_msg", ParentID: "comm-1", Content: json.RawMessage(`{"comm_id":"a","data":{"state":{"value":2}}}`),
			}},
			want: `a IntSliderModel {"value":2}`,
		},
		"an echo is no news": {
			messages: []jupyter.Message{opened("a", slider), told("a", `{"method":"echo_update","state":{"value":7}}`)},
			want:     `a IntSliderModel {"value":1}`,
		},
		"a closed widget stays": {
			messages: []jupyter.Message{opened("a", slider), commMessage("comm_close", `{"comm_id":"a","data":{}}`, nil)},
			want:     `a IntSliderModel {"value":1}`,
		},
		"a model without a name is not written before it has one": {
			messages: []jupyter.Message{
				opened("a", `{"state":{"x":1}}`), opened("b", `{}`), opened("c", `{"state":{"x":1}}`), told("c", `{"state":{"_model_name":"C"}}`),
			},
			want: `c C {"x":1}`,
		},
		"what has no state, no comm, another target": {
			messages: []jupyter.Message{
				opened("a", slider), told("a", `{"method":"custom","content":{"event":"click"}}`), told("a", `null`), told("b", slider),
				commMessage("comm_open", `{"comm_id":"m","target_name":"matplotlib","data":`+slider+`}`, nil), told("m", slider),
				commMessage("comm_open", `{"comm_id":"n","target_name":"other","data":{}}`, nil),
				commMessage("comm_close", `{"comm_id":"n"}`, nil), commMessage("comm_who_knows", `{"comm_id":"a"}`, nil),
			},
			want:     `a IntSliderModel {"value":1}`,
			warnings: []string{`the notebook talks to a front end's "matplotlib", which there is none of: what that would show is missing`},
		},
		"malformed messages": {
			messages: []jupyter.Message{
				opened("a", slider), told("a", `[]`), told("a", `{"state":7}`), told("a", `{"state":[1]}`), told("a", `{"state":{`),
				told("a", `{"state":{},"buffer_paths":{}}`, "x"), told("a", `{"state":{},"buffer_paths":[7,[],[[]],[0,"x"]]}`, "x", "x", "x", "x"),
				commMessage("comm_msg", ``, nil), commMessage("comm_msg", `null`, nil), commMessage("comm_open", `{"comm_id":["a"]}`, nil),
			},
			want: `a IntSliderModel {"value":1}`,
		},
		"buffers are paired by path, the shorter list counts": {
			messages: []jupyter.Message{
				opened("a", `{"state":{"_model_name":"A"},"buffer_paths":[["v"],["w","x",0],["y"]]}`, "one", "two"),
				opened("b", `{"state":{"_model_name":"B"},"buffer_paths":[["v"]]}`, "one", "two"),
			},
			want: `a A {} [v]=b25l [w x 0]=dHdv | b B {} [v]=b25l`,
		},
		"a path has one buffer, in its place": {
			messages: []jupyter.Message{
				opened("a", `{"state":{"_model_name":"A"},"buffer_paths":[["v"],["w"],["v"]]}`, "1", "2", "3"),
				told("a", `{"state":{},"buffer_paths":[["x"], [ "v" ]]}`, "4", ""),
			},
			want: `a A {} [v]= [w]=Mg== [x]=NA==`,
		},
		"a field that is sent again without its buffers has none": {
			messages: []jupyter.Message{
				opened("a", `{"state":{"_model_name":"A","t":[null,null]},"buffer_paths":[["t",0],["t",1],["v"]]}`, "1", "2", "3"),
				told("a", `{"state":{"t":[null]},"buffer_paths":[["t",0]]}`, "4"), told("a", `{"state":{"v":null}}`),
			},
			want: `a A {"t":[null],"v":null} [t 0]=NA==`,
		},
		"over the limit a message counts wholly or not at all": {
			limit: 1000,
			messages: []jupyter.Message{
				opened("a", slider), opened("b", `{"state":{"_model_name":"B","x":"`+strings.Repeat("x", 1000)+`"}}`), told("b", slider),
				told("a", `{"state":{"value":2,"x":"`+strings.Repeat("x", 1000)+`"}}`),
				told("a", `{"state":{"value":3},"buffer_paths":[["x"]]}`, strings.Repeat("x", 1000)),
				told("a", `{"state":{"min":4}}`), opened(strings.Repeat("x", 1000), slider),
			},
			want:     `a IntSliderModel {"min":4,"value":1}`,
			warnings: []string{"what widgets show is not complete: a notebook keeps 1000 bytes of outputs and widgets"},
		},
		"what is nested too deep to be read again": {
			messages: []jupyter.Message{opened("a", slider), told("a", `{"state":{"value":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}}`)},
			want:     `a IntSliderModel {"value":1}`,
			warnings: []string{"what widgets show is not complete: a widget's state: it nests deeper than 100 levels"},
		},
		"a message that was dropped on the way": {
			messages: []jupyter.Message{opened("a", slider), {Type: "comm_msg", ParentID: "now", Own: true, Dropped: 7}},
			want:     `a IntSliderModel {"value":1}`,
			warnings: []string{"what widgets show is not complete: " + tooFast},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.limit == 0 {
				test.limit = 1 << 20
			}
			o, cell := newOutputs(test.limit, test.limit), &notebook.Cell{Type: "code"}
			o.begin(0, cell)
			for _, m := range test.messages {
				o.message(m)
			}
			if diff := gocmp.Diff(test.want, models(t, o.widgets)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(test.warnings, o.widgets.warnings()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if got := shown(cell); got != cmp.Or(test.cell, "[ ]") || o.used < 0 || o.used > test.limit {
				t.Errorf("the cell shows %q; %d bytes are counted of at most %d", got, o.used, test.limit)
			}
		})
	}
}

func TestWidgets_StayBounded(t *testing.T) {
	const limit = 4 << 20
	tests := map[string]func(o *outputs){
		"many widgets": func(o *outputs) {
			for i := range 50_000 {
				o.message(opened(fmt.Sprintf("%032x", i), slider))
			}
		},
		"updates without end": func(o *outputs) {
			o.message(opened("a", slider))
			for i := range 50_000 {
				o.message(told("a", fmt.Sprintf(`{"state":{"value":%d,"x%d":""},"buffer_paths":[["y",%d]]}`, i, i%1000, i%1000), "b"))
			}
		},
		"many names, values and paths": func(o *outputs) {
			var names, paths strings.Builder
			for i := range 50_000 {
				fmt.Fprintf(&names, `"%x":1,`, i)
				fmt.Fprintf(&paths, `["%x"],`, i)
			}
			state := `{"state":{` + names.String() + `"_model_name":[` + strings.Repeat("{},", 50_000) + `0]},"buffer_paths":[` + paths.String() + `[]]}`
			for i := range 4 {
				o.message(opened(fmt.Sprint(i), state, "b"))
			}
		},
		"widgets of 2 MB": func(o *outputs) {
			big := strings.Repeat("x", 2_000_000)
			for i := range 4 {
				o.message(opened(fmt.Sprint(i), `{"state":{"_model_name":"`+big+`"},"buffer_paths":[["v"]]}`, big))
				o.message(opened(fmt.Sprint(i), `{"state":{"_model_name":"`+big+`"}}`))
				o.message(told(fmt.Sprint(i), `{"state":{"x":"`+big+`"}}`))
			}
		},
	}
	for name, flood := range tests {
		t.Run(name, func(t *testing.T) {
			before := liveHeap()
			o := newOutputs(limit, limit)
			o.begin(0, &notebook.Cell{Type: "code"})
			flood(o)
			if grown := liveHeap() - before; grown > 3*limit/2 {
				t.Errorf("%d bytes are held for %d counted", grown, o.used)
			}
			if o.used > limit || (o.widgets.cut != "") == (name == "updates without end") {
				t.Errorf("%d bytes are counted, cut: %v", o.used, o.widgets.cut)
			}
		})
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// models renders the models that would be written as "id name state path=data", the
// state without what it says of its class.
func models(t *testing.T, w *widgets) string {
	t.Helper()
	nb := notebookOf()
	nb.Metadata["widgets"] = w.metadata()
	data, err := nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Metadata struct {
			Widgets map[string]struct {
				State map[string]struct {
					Name    string                     `json:"model_name"`
					State   map[string]json.RawMessage `json:"state"`
					Buffers []struct {
						Data, Encoding string
						Path           []any
					}
				}
			}
		}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	written := file.Metadata.Widgets["application/vnd.jupyter.widget-state+json"].State
	var rendered []string
	for _, id := range slices.Sorted(maps.Keys(written)) {
		m := written[id]
		maps.DeleteFunc(m.State, func(key string, _ json.RawMessage) bool { return strings.HasPrefix(key, "_model") })
		state, err := json.Marshal(m.State)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%s %s %s", id, m.Name, state)
		for _, b := range m.Buffers {
			text += fmt.Sprintf(" %v=%s", b.Path, b.Data)
			if b.Encoding != "base64" {
				t.Errorf("a buffer's encoding is %q", b.Encoding)
			}
		}
		rendered = append(rendered, text)
	}
	return strings.Join(rendered, " | ")
}

// FuzzWidgets applies any comm messages: each input line is a type, a blank and a
// content. A message's buffers are its content's words.
func FuzzWidgets(f *testing.F) {
	f.Add(`comm_open {"comm_id":"a","target_name":"jupyter.widget","data":` + slider + "}\n" +
		`comm_msg {"comm_id":"a","data":{"state":{"value":[1, {}],"\u0076":-1.5e3},"buffer_paths":[["v"],["w",0]]}}` + "\n" +
		`comm_close {"comm_id":"a"}`)
	f.Add(`comm_open {"comm_id":"o","target_name":"jupyter.widget","data":{"state":{"_model_name":"OutputModel","_model_module":"@jupyter-widgets/output",` +
		`"outputs":[{"output_type":"stream","text":"a"}],"msg_id":"now"}}}` + "\nstream {\"text\":\"b\"}\nclear_output {\"wait\":true}\n" +
		`display_data {"data":{"a":1},"transient":{"display_id":"i"}}` + "\n" + `comm_msg {"comm_id":"o","data":{"state":{"outputs":0,"msg_id":""}}}`)
	f.Add(`comm_open {"comm_id":"\xff","target_name":"jupyter.widget","data":{"state":{"_model_name":null,"a\\":"\ud800","\xff":[[]],"":true}}}`)
	f.Fuzz(func(t *testing.T, script string) {
		const limit = 2000
		o := newOutputs(limit, limit)
		o.begin(0, &notebook.Cell{Type: "code"})
		for line := range strings.SplitSeq(script, "\n") {
			kind, content, _ := strings.Cut(line, " ")
			o.message(commMessage(kind, content, strings.Fields(content)))
			o.widgets.synchronize(func(_ string, data any) error {
				if _, err := json.Marshal(data); err != nil {
					t.Fatal(err)
				}
				return nil
			})
		}
		var held int64
		for _, m := range o.widgets.models {
			held += m.size
		}
		if o.used < held || o.used > limit {
			t.Fatalf("%d bytes counted of at most %d, %d of them for widgets", o.used, limit, held)
		}
		nb := notebookOf()
		nb.Metadata["widgets"] = o.widgets.metadata()
		data, err := nb.Encode()
		if err != nil || !json.Valid(data) || !utf8.Valid(data) {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}

// nbclient goes on with what it captured itself, and so loses what the code has set.
func TestExecuteCells_AddsCapturedOutputToWhatTheCodeHasSet(t *testing.T) {
	const texts = "[o['text'] for o in out.outputs]"
	nb := notebookOf(
		"import ipywidgets as w\nout = w.Output(); out.append_stdout('a')", "with out: print('b')", texts+"\n",
		"out.outputs = ()", "with out: print('c')", texts,
	)
	conn, dead := startKernel(t)
	failure, warnings, err := executeCells(t.Context(), nb, conn, dead, CellsOptions{})
	if failure != nil || err != nil || len(warnings) > 0 {
		t.Fatal(failure, warnings, err)
	}
	var got []string
	for _, cell := range nb.Cells {
		got = append(got, shown(cell))
	}
	want := []string{"[1]", "[2]", "[3] execute_result ['ab\\n']", "[4]", "[5]", "[6] execute_result ['c\\n']"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
