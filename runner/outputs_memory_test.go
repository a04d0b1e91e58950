package runner

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// TestOutputs_CostWhatTheyCount floods a cell in ways that are cheap to send: what is
// kept of it takes no more than the limit says, nor does the file take more than twice
// that.
func TestOutputs_CostWhatTheyCount(t *testing.T) {
	repeat := func(n int, message func(i int) jupyter.Message) func(func(jupyter.Message)) {
		return func(send func(jupyter.Message)) {
			for i := range n {
				send(message(i))
			}
		}
	}
	list := func(item string, size int) string {
		return "[" + strings.Repeat(item+",", size/(len(item)+1)-1) + item + "]"
	}
	show := func(value string) jupyter.Message {
		return own("display_data", `{"data": {"application/json": `+value+`}, "metadata": {}}`)
	}
	var keys strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&keys, `"%x":1,`, (i*7919)%1_000_003)
	}
	for name, flood := range map[string]func(send func(jupyter.Message)){
		"empty displays": repeat(120_000, func(int) jupyter.Message { return own("display_data", `{}`) }),
		"empty results":  repeat(120_000, func(int) jupyter.Message { return own("execute_result", `{"execution_count":1,"data":{"a":""}}`) }),
		"display_ids": repeat(120_000, func(i int) jupyter.Message {
			return own("display_data", fmt.Sprintf(`{"data":{},"transient":{"display_id":"%d"}}`, i))
		}),
		"two streams in turn": repeat(120_000, func(i int) jupyter.Message {
			return own("stream", fmt.Sprintf(`{"name":"std%s","text":"x"}`, [...]string{"out", "err"}[i%2]))
		}),
		"newlines":      repeat(20, func(int) jupyter.Message { return own("stream", `{"text":"`+strings.Repeat(`\n`, 1<<20)+`"}`) }),
		"nulls":         repeat(20, func(int) jupyter.Message { return own("stream", `{"text":"`+strings.Repeat(`\u0000`, 1<<20)+`"}`) }),
		"errors":        repeat(120_000, func(int) jupyter.Message { return own("error", `{"ename":"E","evalue":"","traceback":[]}`) }),
		"long errors":   repeat(200, func(int) jupyter.Message { return own("error", `{"traceback":`+list(`""`, 1<<17)+`}`) }),
		"small objects": repeat(3, func(int) jupyter.Message { return show(list(`{"a":1}`, 3<<20)) }),
		"nested arrays": repeat(3, func(int) jupyter.Message { return show(list(strings.Repeat("[", 60)+strings.Repeat("]", 60), 3<<20)) }),
		"one object":    func(send func(jupyter.Message)) { send(show("{" + keys.String() + `"z":0}`)) },
		"text of an object": func(send func(jupyter.Message)) {
			send(own("display_data", `{"data":{"text/plain":{`+keys.String()+`"z":0}}}`))
		},
		"lines of text": repeat(3, func(int) jupyter.Message {
			return own("display_data", `{"data":{"text/html":`+list(`"\n"`, 2<<20)+`}}`)
		}),
		"updates": func(send func(jupyter.Message)) {
			for range 100 {
				send(own("display_data", `{"data":{},"transient":{"display_id":"i"}}`))
			}
			repeat(1000, func(i int) jupyter.Message {
				return own("update_display_data", `{"data":{"a":"`+strings.Repeat("x", i*1000)+`"},"transient":{"display_id":"i"}}`)
			})(send)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 16 << 20
			nb := &notebook.Notebook{Cells: []*notebook.Cell{{Type: "code"}}}
			before := liveHeap()
			o := newOutputs(limit, 2*limit)
			o.begin(0, nb.Cells[0])
			flood(o.message)
			kept := liveHeap() - before
			file, err := nb.Encode()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d outputs count %d, take %d bytes and %d of the file", len(nb.Cells[0].Outputs), o.used, kept, len(file))
			if o.used > limit || kept > limit*5/4 || len(file) > 2*limit+4<<20 {
				t.Error("that is too much")
			}
			runtime.KeepAlive(o)
		})
	}
}

func TestOutputs_Keep60000DisplaysOfACell(t *testing.T) {
	o, cell := newOutputs(16<<20, 32<<20), &notebook.Cell{Type: "code"}
	o.begin(0, cell)
	for i := range 60_000 {
		o.message(own("display_data", fmt.Sprintf(`{"data": {"text/plain": "%d"}, "metadata": {}, "transient": {}}`, i)))
	}
	if got := len(cell.Outputs); got != 60_000 || o.used > 15<<20 {
		t.Errorf("%d outputs are kept, which count %d", got, o.used)
	}
}

func BenchmarkOutputs(b *testing.B) {
	text, err := json.Marshal(strings.Repeat(strings.Repeat("x", 70)+"\n", 100))
	if err != nil {
		b.Fatal(err)
	}
	for name, message := range map[string]func(i int) jupyter.Message{
		"a display": func(i int) jupyter.Message {
			return own("display_data", fmt.Sprintf(`{"data": {"text/plain": "%d"}, "metadata": {}, "transient": {}}`, i))
		},
		"7 kB of a stream": func(int) jupyter.Message { return own("stream", `{"name": "stdout", "text": `+string(text)+`}`) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var o *outputs
			for i := 0; b.Loop(); i++ {
				if i%2000 == 0 {
					o = newOutputs(16<<20, 32<<20)
					o.begin(0, &notebook.Cell{Type: "code"})
				}
				o.message(message(i))
			}
		})
	}
}
