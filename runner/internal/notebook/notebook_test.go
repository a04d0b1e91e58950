package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// raw returns a value as JSON.
func raw(t testing.TB, v any) JSON {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	j, err := ParseJSON(data, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

var ignorePlaces = cmpopts.IgnoreUnexported(Cell{})

// everything is a notebook with each kind of cell, output and oddity, written
// without any of Jupyter's conventions.
const everything = `{"nbformat_minor": 5, "nbformat": 4,
"metadata": {"custom": {"b": 1, "a": [1.50, 1e5, 1E-7, -0, -0.0, 12345678901234567890123, 1e16, 1e400]}, "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}, "signature": "x", "orig_nbformat": 2, "empty": {}, "none": []},
"cells": [
{"cell_type": "markdown", "id": "intro", "metadata": {"tags": ["a"]}, "source": "# Título\n\"quoted\" \\ \u0000\u001f\u007f\ttab 😀\u2028next\r\nend\u0085\u000b\f\u001c.",
 "attachments": {"a.png": {"image/png": "aGk=", "text/plain": ["a\n", "b"]}}},
{"cell_type": "raw", "id": "raw-1", "metadata": {"trusted": true, "format": "text/x"}, "source": []},
{"cell_type": "code", "id": "code_1", "metadata": {"execution": {"x": "t"}, "n": null}, "execution_count": 7, "source": ["x = 1\n", "\n", "print(x)\n"], "outputs": [
 {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
 {"output_type": "stream", "name": "stderr", "text": "warn\rover\n"},
 {"output_type": "display_data", "metadata": {"image/png": {"width": 3, "needs": 1.0}}, "data": {"text/plain": "<Figure>\n<x>", "text/html": ["<b>\n", "</b>"], "image/png": "aGk=\n", "image/svg+xml": "<svg>\n</svg>",
  "application/javascript": ["a;\n", "b;"], "application/json": ["a\n", "b"], "application/vnd.x+json": {"z": ["q\n"], "a": true}, "application/vnd.x+xml": ["p\n", "q"]}},
 {"output_type": "execute_result", "metadata": {}, "execution_count": null, "data": {}},
 {"output_type": "error", "ename": "ValueError", "evalue": "bad\nvalue", "traceback": ["\u001b[0;31mline\n", "two"]}]},
{"cell_type": "code", "id": "none", "metadata": {}, "execution_count": null, "source": "", "outputs": []}
]}`

func parse(t *testing.T, text string) *Notebook {
	t.Helper()
	nb, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return nb
}

func encode(t *testing.T, nb *Notebook) string {
	t.Helper()
	data, err := nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	if err := nb.Write(&written); err != nil || written.String() != string(data) {
		t.Errorf("Write wrote %s, %v, and Encode %s", written.String(), err, data)
	}
	return string(data)
}

func TestEncode_WritesWhatNbformatWrites(t *testing.T) {
	o := newOracle(t)
	finite := strings.Replace(everything, ", 1e400", "", 1) // Python would write Infinity
	for _, text := range []string{finite, `{"nbformat":4,"nbformat_minor":5,"cells":[],"metadata":{}}`} {
		want := o.ask(t, "rewrite", text)
		if want.Error != "" {
			t.Fatal(want.Error)
		}
		for _, from := range []string{text, want.Text} {
			if diff := cmp.Diff(want.Text, encode(t, parse(t, from))); diff != "" {
				t.Errorf("(-nbformat +ours)\n%s", diff)
			}
		}
	}
}

func TestEncode_WritesRandomNotebooksAsNbformatDoes(t *testing.T) {
	o := newOracle(t)
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		text := encode(t, randomNotebook(t, random))
		again := o.ask(t, "rewrite", text)
		if diff := cmp.Diff(text, again.Text); diff != "" || again.Error != "" {
			t.Fatalf("%s (-ours +nbformat)\n%s", again.Error, diff)
		}
		if diff := cmp.Diff(text, encode(t, parse(t, text))); diff != "" {
			t.Fatalf("(-written +read and written)\n%s", diff)
		}
	}
}

func randomNotebook(t *testing.T, random *rand.Rand) *Notebook {
	str := func() string {
		alphabet := []rune("ab \n\n\r\"\\\t\x00\x1b\v\f\x1c\u0085\u2028é😀/<>&")
		s := make([]rune, random.IntN(12))
		for i := range s {
			s[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(s)
	}
	var value func(depth int) any
	dict := func(depth int) map[string]any {
		m := map[string]any{}
		for range random.IntN(4) {
			m["k"+str()] = value(depth + 1)
		}
		return m
	}
	value = func(depth int) any {
		switch n := random.IntN(8); {
		case n == 0 && depth < 4:
			return dict(depth)
		case n == 1 && depth < 4:
			return []any{value(depth + 1), value(depth + 1)}
		case n == 2:
			return nil
		case n == 3:
			return random.IntN(2) == 0
		case n == 4:
			return math.Ldexp(random.Float64()-0.5, random.IntN(200)-100)
		case n == 5:
			return json.Number(fmt.Sprintf("%d.%de%d", random.IntN(100)-50, random.IntN(100), random.IntN(40)-20))
		case n == 6:
			return random.IntN(1000)
		}
		return str()
	}
	count := 3
	bundle := func() map[string]any {
		return map[string]any{"text/plain": str(), "image/png": str(), "image/svg+xml": str(), "application/json": value(0), "application/x+json": dict(0)}
	}
	nb := &Notebook{Metadata: dict(0)}
	for i := range random.IntN(5) {
		nb.Cells = append(nb.Cells,
			&Cell{ID: fmt.Sprintf("id-%d", i), Type: "markdown", Source: str(), Metadata: dict(0), Attachments: map[string]any{"a": map[string]any{"text/plain": str()}}},
			&Cell{Type: "raw", Source: str()},
			&Cell{Type: "code", Source: str(), ExecutionCount: &count, Outputs: []Output{
				{Type: "stream", Name: "stdout", Text: str()},
				{Type: "display_data", Data: raw(t, bundle()), Metadata: raw(t, dict(0))},
				{Type: "execute_result", Data: raw(t, bundle()), ExecutionCount: &count},
				{Type: "error", EName: str(), EValue: str(), Traceback: []string{str(), str()}},
				{Type: "error"},
			}})
	}
	return nb
}

func TestParse_JoinsWhatJupyterSplits(t *testing.T) {
	nb := parse(t, everything)
	code := nb.Cells[2]
	if want := "x = 1\n\nprint(x)\n"; code.Source != want {
		t.Errorf("source %q, want %q", code.Source, want)
	}
	count := 7
	want := &Cell{
		ID: "code_1", Type: "code", Source: "x = 1\n\nprint(x)\n", ExecutionCount: &count,
		Metadata: map[string]any{"execution": map[string]any{"x": "t"}, "n": nil},
		Outputs: []Output{
			{Type: "stream", Name: "stdout", Text: "a\nb"},
			{Type: "stream", Name: "stderr", Text: "warn\rover\n"},
			{Type: "display_data", Metadata: raw(t, map[string]any{"image/png": map[string]any{"width": json.Number("3"), "needs": json.Number("1.0")}}), Data: raw(t, map[string]any{
				"text/plain": "<Figure>\n<x>", "text/html": "<b>\n</b>", "image/png": "aGk=\n", "image/svg+xml": "<svg>\n</svg>", "application/javascript": "a;\nb;",
				"application/json": []any{"a\n", "b"}, "application/vnd.x+json": map[string]any{"z": []any{"q\n"}, "a": true}, "application/vnd.x+xml": "p\nq",
			})},
			{Type: "execute_result"},
			{Type: "error", EName: "ValueError", EValue: "bad\nvalue", Traceback: []string{"\x1b[0;31mline\n", "two"}},
		},
	}
	if diff := cmp.Diff(want, code, ignorePlaces); diff != "" {
		t.Error(diff)
	}
}

func TestParse_KeepsWhatItDoesNotKnow(t *testing.T) {
	const text = `{"nbformat":4,"nbformat_minor":7,"metadata":{},"top":1.0,"cells":[{"id":"a","cell_type":"code","metadata":{},"source":"","execution_count":null,"new":[{}],
"outputs":[{"output_type":"stream","name":"stdout","text":"","transient":{"x":1}},{"output_type":"hologram","text":["a"],"depth":3}]}]}`
	var want, got any
	if err := json.Unmarshal([]byte(strings.Replace(text, `"text":""`, `"text":[]`, 1)), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(strings.Replace(encode(t, parse(t, text)), `"source": []`, `"source": ""`, 1)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParse_LiftsOlderNotebooksTo45(t *testing.T) {
	o := newOracle(t)
	for minor := range 5 {
		text := fmt.Sprintf(`{"nbformat":4,"nbformat_minor":%d,"metadata":{},"cells":[
			{"cell_type":"code","metadata":{},"source":"x","execution_count":null,"outputs":[]},
			{"cell_type":"code","metadata":{},"source":"x","execution_count":null,"outputs":[]},
			{"cell_type":"markdown","metadata":{},"source":"y"}]}`, minor)
		nb := parse(t, text)
		if nb.NBFormatMinor != 5 || nb.Cells[0].ID == "" || nb.Cells[0].ID == nb.Cells[1].ID {
			t.Errorf("4.%d: minor %d, ids %q and %q", minor, nb.NBFormatMinor, nb.Cells[0].ID, nb.Cells[1].ID)
		}
		if diff := cmp.Diff(nb, parse(t, text), ignorePlaces); diff != "" {
			t.Errorf("4.%d is not read the same twice:\n%s", minor, diff)
		}
		if a := o.ask(t, "rewrite", encode(t, nb)); a.Error != "" {
			t.Errorf("4.%d: %s", minor, a.Error)
		}
	}
}

func TestParse_MakesUnusableIDsUsable(t *testing.T) {
	const cell = `{"cell_type":"raw","metadata":{},"source":"","id":%q}`
	ids := []string{"same", "same", "", "with blank", strings.Repeat("x", 65), "ok_-1"}
	cells := make([]string, len(ids))
	for i, id := range ids {
		cells[i] = fmt.Sprintf(cell, id)
	}
	nb := parse(t, `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[`+strings.Join(cells, ",")+`]}`)
	if nb.Cells[0].ID != "same" || nb.Cells[5].ID != "ok_-1" {
		t.Errorf("good ids became %q and %q", nb.Cells[0].ID, nb.Cells[5].ID)
	}
	if a := newOracle(t).ask(t, "rewrite", encode(t, nb)); a.Text != encode(t, nb) {
		t.Errorf("nbformat repairs it: %s\n%s", a.Error, cmp.Diff(encode(t, nb), a.Text))
	}
}

func TestParse_SaysWhereAndWhatIsWrong(t *testing.T) {
	head := `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[` + "\n"
	for _, c := range []struct{ text, want string }{
		{"", "1:1: not JSON: unexpected end of JSON input"},
		{"{\n  \"é\": nope}", "2:9: not JSON: invalid character 'o'"},
		{"{}\n x", "2:2: not JSON: invalid character 'x'"},
		{"{\n<<<<<<< HEAD\n", "2:1: a merge conflict is not resolved"},
		{"\xef\xbb\xbf{}", "1:1: the file begins with a byte order mark"},
		{"{\"é\": \"\xff\"}", "1:8: the file is not UTF-8"},
		{"{\"a\": NaN}", "1:7: not JSON"},
		{"[]", "1:1: a notebook is a JSON object"},
		{" 1", "1:2: a notebook is a JSON object"},
		{"{}", `1:1: not a notebook: it has no "nbformat"`},
		{`{"nbformat": 3, "worksheets": []}`, "1:14: nbformat 3 is not supported; open the notebook and save it in Jupyter 4 or newer"},
		{`{"nbformat": 5}`, "1:14: nbformat 5 is not supported"},
		{`{"nbformat": "4"}`, `1:14: "nbformat" is a whole number`},
		{`{"nbformat": 4.0}`, `1:14: "nbformat" is a whole number`},
		{`{"nbformat": 4, "nbformat_minor": []}`, `1:35: "nbformat_minor" is a whole number`},
		{`{"nbformat": 4}`, `1:1: a notebook needs "cells"`},
		{`{"nbformat": 4, "cells": {}}`, `1:26: a notebook needs "cells"`},
		{`{"nbformat": 4, "cells": [], "metadata": null}`, `1:42: "metadata" is an object`},
		{head + `{"cell_type":"code","source":""}, 1]}`, "2:35: a cell is a JSON object"},
		{head + `{"cell_type":"code","metadata":{}}]}`, `2:1: the cell has no "source"`},
		{head + `{"cell_type":"code","source":1}]}`, `2:30: "source" is a string or a list of strings`},
		{head + `{"cell_type":"code","source":["",null]}]}`, `2:34: "source" is a string or a list of strings`},
		{head + `{"cell_type":"heading","source":""}]}`, `2:1: "cell_type" is "heading"; it must be code, markdown or raw`},
		{head + `{"source":""}]}`, `2:1: "cell_type" is ""`},
		{head + `{"cell_type":1,"source":""}]}`, `2:14: "cell_type" is a string`},
		{head + `{"cell_type":"code","source":"","id":null}]}`, `2:38: "id" is a string`},
		{head + `{"cell_type":"code","source":"","execution_count":"1"}]}`, `2:51: "execution_count" is a whole number`},
		{head + `{"cell_type":"code","source":"","outputs":{}}]}`, `2:43: "outputs" is a list`},
		{head + `{"cell_type":"code","source":"","outputs":[[]]}]}`, `2:44: an output is a JSON object`},
		{head + `{"cell_type":"code","source":"","outputs":[{"output_type":"stream","text":[1]}]}]}`, `2:76: "text" is a list of strings`},
		{head + `{"cell_type":"code","source":"","outputs":[{"output_type":"error","traceback":"x"}]}]}`, `2:79: "traceback" is a list of strings`},
		{head + `{"cell_type":"code","source":"","outputs":[{"output_type":"display_data","data":[]}]}]}`, `2:81: "data" is an object`},
		{strings.Repeat("[", 20000), "1:10001: not JSON: invalid character '[' exceeded max depth"},
		{strings.Repeat(" ", maxBytes+1), "1:1: the notebook is larger than 64 MiB"},
		{`{"nbformat": 4, "metadata": {"a": [` + strings.Repeat("0,", maxValues) + `0]}, "cells": []}`, "1:35: the notebook holds more than 500000 JSON values"},
		{head + `{"cell_type":"code","source":[` + strings.Repeat(`"",`, maxValues) + `""]}]}`, "2:15000"},
		{head + `{"cell_type":"code","source":"","outputs":[{"output_type":"display_data","data":` + strings.Repeat(`{"a":`, 101) + `1` + strings.Repeat("}", 101) + `}]}]}`,
			"2:81: it nests deeper than 100 levels; clear the outputs and save the notebook again"},
	} {
		nb, err := Parse([]byte(c.text))
		var syntax *SyntaxError
		if nb != nil || !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.80q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestPosition_FindsSourceLinesInTheFile(t *testing.T) {
	nb := parse(t, `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[
 {"é":1,"source":["a\n", "",
   "b", "b\n",
  "c\nd\n",
  "e"],"cell_type":"code"},
 {"source": "x\ny","cell_type":"code"}, {"source":
  [],"cell_type":"code"}, {"source":["", ""],"cell_type":"code"}, {"source":["", "a"],"cell_type":"code"}
]}`)
	for _, c := range []struct{ cell, line, fileLine, fileColumn int }{
		{0, 1, 2, 19}, {0, 2, 3, 4}, {0, 3, 4, 3}, {0, 4, 4, 3}, {0, 5, 5, 3}, {0, 99, 5, 3}, {0, 0, 2, 19},
		{1, 1, 6, 13}, {1, 2, 6, 13}, {2, 1, 7, 3}, {3, 1, 7, 37}, {4, 1, 7, 82}, {5, 1, 0, 0}, {-1, 1, 0, 0},
	} {
		if line, column := nb.Position(c.cell, c.line); line != c.fileLine || column != c.fileColumn {
			t.Errorf("cell %d line %d is at %d:%d, want %d:%d", c.cell, c.line, line, column, c.fileLine, c.fileColumn)
		}
	}
	if line, column := (&Notebook{Cells: []*Cell{{}}}).Position(0, 1); line != 0 || column != 0 {
		t.Errorf("a cell of no file is at %d:%d", line, column)
	}
}

func TestEncode_RefusesWhatJSONCannotSay(t *testing.T) {
	for _, v := range []any{math.NaN(), math.Inf(1), json.Number("x"), json.Number(""), func() {}} {
		nb := &Notebook{Metadata: map[string]any{"a": []any{v}}}
		if data, err := nb.Encode(); err == nil {
			t.Errorf("%v became %s", v, data)
		}
	}
}

func TestEncode_StaysSmallWhereValuesNestDeep(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	nb := parse(t, `{"nbformat":4,"nbformat_minor":5,"cells":[],"metadata":{"deep":`+deep+`}}`)
	data, err := nb.Encode()
	if err != nil || !json.Valid(data) || len(data) > 40000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestEncode_LeavesTheNotebookAlone(t *testing.T) {
	nb := parse(t, everything)
	encode(t, nb)
	if diff := cmp.Diff(parse(t, everything), nb, ignorePlaces); diff != "" {
		t.Error(diff)
	}
}

// growing is a Tree that says what it is now.
type growing struct{ state map[string]any }

func (g *growing) Tree() any { return map[string]any{"grows": []any{g.state}} }

func TestSnapshot_StaysAsTheNotebookWas(t *testing.T) {
	nb, widget := parse(t, everything), &growing{map[string]any{"n": 1}}
	nb.Metadata["widgets"] = map[string]any{"a": widget}
	snapshot, before := nb.Snapshot(), encode(t, nb)
	widget.state["n"] = 2
	nb.Metadata["new"] = 1
	for _, cell := range nb.Cells {
		if cell.Metadata == nil {
			cell.Metadata = map[string]any{}
		}
		cell.Source, cell.Metadata["new"] = "new", 1
		for i := range cell.Outputs {
			cell.Outputs[i] = Output{Type: "stream", Name: "stdout", Text: "new"}
		}
		cell.Outputs = append(cell.Outputs, Output{Type: "stream"})
	}
	if diff := cmp.Diff(before, encode(t, snapshot)); diff != "" {
		t.Errorf("(-before +snapshot)\n%s", diff)
	}
	if encode(t, nb) == before {
		t.Error("the notebook does not change")
	}
}

func TestWrite_TellsThatAFileIsFull(t *testing.T) {
	nb := parse(t, everything)
	nb.Cells[0].Source = strings.Repeat("x", 1<<20)
	if err := nb.Write(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestParse_TakesBoundedMemory(t *testing.T) {
	const cell = `{"cell_type":"code","source":%s,"outputs":%s,"metadata":%s}`
	wide := func(item string, n int) string { return "[" + strings.Repeat(item+",", n-1) + item + "]" }
	for name, text := range map[string]string{
		"texts":    fmt.Sprintf(cell, wide(`""`, 100000), "[]", "{}"),
		"lines":    fmt.Sprintf(cell, `"`+strings.Repeat(`\n`, 1<<20)+`"`, "[]", "{}"),
		"outputs":  fmt.Sprintf(cell, `""`, wide(`{}`, 50000), "{}"),
		"metadata": fmt.Sprintf(cell, `""`, "[]", `{"a":`+wide(`{"a":0}`, 50000)+`}`),
	} {
		data := []byte(`{"nbformat":4,"nbformat_minor":5,"cells":[` + text + `]}`)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		nb, err := Parse(data)
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// With both limits reached that is 1.3 GB, 20 times the largest file.
		allowed := 8*len(data) + 400*countValues(data)
		if kept := int(after.HeapAlloc) - int(before.HeapAlloc); kept > allowed {
			t.Errorf("%s: %d bytes kept of %d, more than %d", name, kept, len(data), allowed)
		}
		runtime.KeepAlive(nb)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`{"nbformat":4,"cells":[{"cell_type":"code","source":["a\n","$A"],"outputs":[{}],"metadata":{"tags":[1]}}]}`))
	f.Add([]byte(`{"nbformat":3,"worksheets":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		nb, err := Parse(data)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 || syntax.Msg == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		for i, cell := range nb.Cells {
			if line, column := nb.Position(i, 1); line < 1 || column < 1 {
				t.Errorf("cell %d at %d:%d", i, line, column)
			}
			_, _, _ = cell.Skipped(), cell.Environment(), Names(cell.Source)
			NearMiss(cell.Source)
		}
		once, err := nb.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%v in\n%s", err, once)
		}
		if twice, err := again.Encode(); err != nil || string(twice) != string(once) {
			t.Errorf("%v\n%s", err, cmp.Diff(string(once), string(twice)))
		}
	})
}
