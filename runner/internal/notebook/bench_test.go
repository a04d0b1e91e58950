package notebook

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// benchmarks are what is read from messages and written to files, by name.
func benchmarks(b *testing.B) map[string]*Notebook {
	random := rand.New(rand.NewPCG(1, 2))
	floats := make([]float64, 500_000)
	for i := range floats {
		floats[i] = random.Float64()
	}
	figure, err := json.Marshal(floats)
	if err != nil {
		b.Fatal(err)
	}
	display := func(content string) Output {
		out, _, err := OutputFromMessage("display_data", []byte(content), math.MaxInt32)
		if err != nil {
			b.Fatal(err)
		}
		return out
	}
	repeat := func(n int, output Output) *Notebook {
		nb := &Notebook{Cells: []*Cell{{Type: "code"}}}
		for range n {
			nb.Cells[0].Outputs = append(nb.Cells[0].Outputs, output)
		}
		return nb
	}
	cells := &Notebook{}
	for i := range 500 {
		cells.Cells = append(cells.Cells, &Cell{
			ID: fmt.Sprint("cell-", i), Type: "code", Source: "for i in range(10):\n    print(i)\n", ExecutionCount: &i,
			Metadata: map[string]any{"execution": map[string]any{"iopub.status.busy": "2026-11-23T10:00:00.123456Z", "shell.execute_reply": "2026-11-23T10:00:00.123456Z"}},
			Outputs:  []Output{{Type: "stream", Name: "stdout", Text: "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"}},
		})
	}
	return map[string]*Notebook{
		"500 small cells":      cells,
		"32 MiB of prints":     repeat(2, Output{Type: "stream", Name: "stdout", Text: strings.Repeat(strings.Repeat("x", 70)+"\n", 16<<20/71)}),
		"32 MiB of images":     repeat(32, display(`{"data":{"image/png":"`+strings.Repeat("iVBORw0K", 1<<17)+`"},"metadata":{}}`)),
		"20 MB of floats":      repeat(2, display(`{"data":{"application/vnd.plotly.v1+json":{"x":`+string(figure)+`}},"metadata":{}}`)),
		"60,000 displays":      repeat(60_000, display(`{"data":{"text/plain":"12345"},"metadata":{},"transient":{}}`)),
		"15 MB of tiny arrays": repeat(1, display(`{"data":{"application/json":[`+strings.Repeat(`{"a":1},`, 15_000_000/8)+`0]}}`)),
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, nb := range benchmarks(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var size int
			for b.Loop() {
				data, err := nb.Encode()
				if err != nil {
					b.Fatal(err)
				}
				size = len(data)
			}
			b.SetBytes(int64(size))
		})
	}
}

func BenchmarkOutputFromMessage(b *testing.B) {
	for name, nb := range benchmarks(b) {
		o := nb.Cells[0].Outputs[0]
		kind, content := "display_data", []byte(`{"data": `+o.Data.String()+`, "metadata": {}}`)
		if o.Type == "stream" {
			text, err := json.Marshal(o.Text)
			if err != nil {
				b.Fatal(err)
			}
			kind, content = "stream", []byte(`{"name": "stdout", "text": `+string(text)+`}`)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				out, _, err := OutputFromMessage(kind, content, math.MaxInt32)
				if err != nil || out.Size() == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
