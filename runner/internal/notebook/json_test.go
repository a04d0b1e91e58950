package notebook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// odd are JSON values that are not written as they are read.
var odd = []string{
	`{"b":1,"a":{"d":[],"c":{}},"B":null,"":true}`, // keys out of order
	`{"a":1,"b":2,"\u0061":3,"b":{"a":1,"a":2}}`,   // the same key twice
	`{"a!":1,"a":2,"a\"":3,"a\n":4,"a\\":5,"a]":6,"é":7,"😀":8,"\uffee":9,"a\u0000":10,"\u001f":11,"\b\f\r\t":12}`,
	`[0, -0, 0.0, -0.0, 1.0, 1.50, 1e5, 1E5, 1e-7, 1E+16, 1e15, 1e400, -1E400, 1e-400, 123456789012345678901234567890, 9007199254740993, 0.1, 5e-324, 1.7976931348623157e308]`,
	`["\/", "\u002f\u00e9\u2028\u0085", "\ud83d\ude00", "\"\\\b\f\n\r\t\u0000\u001F\u007f", "<&>"]`,
	" { \"a\" :\t[ 1 ,\r\n{ } , [ ] , \"x , }\" ] } ",
	strings.Repeat(`[{"b":`, maxDepth/2-1) + "1" + strings.Repeat(`,"a":2}]`, maxDepth/2-1),
	`""`, `null`, `[[[[]]],{"a":{}}]`,
}

func TestEncode_WritesOddJSONAsNbformatDoes(t *testing.T) {
	o := newOracle(t)
	const file = `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code","id":"a","metadata":{},"source":"","execution_count":null,"outputs":[
		{"output_type":"display_data","data":{"text/plain":%s,"text/html":%s,"application/json":%s,"image/png":["a\n",%[1]s,"b"]},"metadata":{"m":%[3]s}}]}]}`
	texts := []string{`"a\n\nb\r\nc\rd\u000be\u000cf\u001cg\u001dh\u001ei\u0085j\u2028k\u2029l\\n\"m"`, `"\u00c2\u00e2\u2027\u0084\ud83d\ude00\n"`, `""`, `"\n"`, `"\r"`}
	for _, v := range odd {
		for i, s := range texts {
			text := fmt.Sprintf(file, s, `["`+strings.Repeat("x", i)+`",`+s+`]`, v)
			want := o.ask(t, "rewrite", text)
			if want.Error != "" {
				t.Fatal(want.Error)
			}
			// A float that is too large is infinite to Python, which JSON cannot say.
			infinite := strings.NewReplacer("1e400", "Infinity", "1E400", "Infinity")
			if diff := cmp.Diff(want.Text, infinite.Replace(encode(t, parse(t, text)))); diff != "" {
				t.Errorf("%s (-nbformat +ours)\n%s", v, diff)
			}
		}
	}
}

func TestParseJSON_WritesOneForm(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`"\ud800"`, `"` + "\uFFFD" + `"`},
		{`"\udc00\ud800x\ud83d\ude00\ud83d\u0041"`, `"` + "\uFFFD\uFFFDx😀\uFFFDA" + `"`},
		{"\"a\xff\xfeb\"", `"a` + "\uFFFD\uFFFD" + `b"`},
		{`{"\ud800":1,"\ud801":2}`, `{"` + "\uFFFD" + `":2}`}, // one key now
		{"-0", "0"}, {"1E2", "100.0"}, {"1e400", "1e400"}, {"-0e1", "-0.0"},
		{strings.Repeat("9", 4300), strings.Repeat("9", 4300)}, // Python reads no longer ones
		{"-1" + strings.Repeat("2", 4300), "-1.2222222222222222e+4300"},
	} {
		j, err := ParseJSON([]byte(c.in), math.MaxInt32)
		if err != nil || j.String() != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.in, j, err, c.want)
		}
	}
}

func TestParseJSON_Refuses(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for in, want := range map[string]string{
		"":                       "it is not JSON",
		"NaN":                    "it is not JSON",
		`{"a":1}}`:               "it is not JSON",
		nested(101):              "it nests deeper than 100 levels",
		nested(10001):            "it is not JSON", // so encoding/json has it
		`"` + nested(20) + `xy"`: ErrTooLarge.Error(),
	} {
		if j, err := ParseJSON([]byte(in), 43); err == nil || err.Error() != want || !j.Equal(JSON{}) {
			t.Errorf("%.50s: got %s, %v, want %s", in, j, err, want)
		}
	}
	if _, err := ParseJSON([]byte(nested(20)), 43); err != nil {
		t.Error(err)
	}
}

func TestParseJSON_SortsLargeObjects(t *testing.T) {
	const n = 200_000
	random := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	want := make(map[string]any, n)
	for i := range n {
		key := fmt.Sprintf("k%d", random.IntN(n))
		fmt.Fprintf(&text, `%c"%s":%d`, "{,"[min(i, 1)], key, i)
		want[key] = json.Number(fmt.Sprint(i))
	}
	text.WriteByte('}')
	j, err := ParseJSON(text.Bytes(), text.Len())
	if err != nil {
		t.Fatal(err)
	}
	tree, written := &writer{}, &writer{}
	tree.value(want, 0)
	written.value(j, 0)
	if !bytes.Equal(tree.buf, written.buf) {
		t.Error("not as the same object as a map is written")
	}
}

// FuzzParseJSON compares with what encoding/json takes apart and writer writes of it.
func FuzzParseJSON(f *testing.F) {
	for _, text := range odd {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := ParseJSON(data, math.MaxInt32)
		if err != nil {
			if json.Valid(data) && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) <= maxDepth {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		tree, written := &writer{}, &writer{}
		tree.value(decode(data, span{0, len(data)}), 3)
		written.value(j, 3)
		if tree.err != nil || !bytes.Equal(tree.buf, written.buf) {
			t.Fatalf("%v\n%s", tree.err, cmp.Diff(string(tree.buf), string(written.buf)))
		}
		if again, err := ParseJSON([]byte(j.String()), math.MaxInt32); err != nil || !again.Equal(j) {
			t.Fatalf("parsed again: %s, %v", again, err)
		}
		if !json.Valid([]byte(j.String())) {
			t.Fatalf("not JSON: %s", j)
		}
		measured := &writer{measure: true}
		if measured.value(j, 3); measured.size != int64(len(written.buf)) {
			t.Fatalf("measured %d bytes, wrote %d", measured.size, len(written.buf))
		}
	})
}

func TestOutputFromMessage_KeepsTheGoodPart(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	count := 3
	bundle := func(v string) Output {
		j, err := ParseJSON([]byte(v), math.MaxInt32)
		if err != nil {
			t.Fatal(err)
		}
		return Output{Type: "display_data", Data: j}
	}
	for _, c := range []struct {
		kind, content string
		want          Output
		id, err       string
	}{
		{kind: "stream", content: `{"name":"stderr","text":"a\u00e9"}`, want: Output{Type: "stream", Name: "stderr", Text: "aé"}},
		{kind: "stream", content: `{"name":"stdlog","text":7}`, want: Output{Type: "stream", Name: "stdout"}},
		{kind: "stream", content: `{"text":"a","text":"b","name":null}`, want: Output{Type: "stream", Name: "stdout", Text: "b"}},
		{kind: "error", content: `{"ename":1,"evalue":"v","traceback":["a",null,2,["x"],"b"]}`, want: Output{Type: "error", EValue: "v", Traceback: []string{"a", "b"}}},
		{kind: "error", content: `{"ename":"E","traceback":"t"}`, want: Output{Type: "error", EName: "E", Traceback: []string{}}},
		{kind: "display_data", content: ` {} `, want: Output{Type: "display_data"}},
		{kind: "display_data", content: `{"data":null,"metadata":7,"transient":null,"execution_count":1}`, want: Output{Type: "display_data"}},
		{kind: "display_data", content: `{"data":[1],"metadata":{},"transient":{"display_id":1}}`, want: Output{Type: "display_data"}},
		{kind: "update_display_data", content: `{"data":{"a":"b"},"transient":{"display_id":"i"}}`, want: bundle(`{"a":"b"}`), id: "i"},
		{
			kind:    "display_data",
			content: `{"data":{"text/plain":7.0,"text/html":{"b":1,"a":"\"é\""},"text/x":null,"image/png":["a","b"],"image/x":["a",1],"application/json":null,"application/x+json":["a"],"application/a\nb+json":1,"application/c\nd+json":["l"],"x":true}}`,
			want:    bundle(`{"text/plain":"7.0","text/html":"{\"a\":\"\\\"é\\\"\",\"b\":1}","image/png":"ab","image/x":"[\"a\",1]","application/json":null,"application/x+json":["a"],"application/a\nb+json":"1","application/c\nd+json":["l"],"x":"true"}`),
		},
		{kind: "execute_result", content: `{"execution_count":3,"data":{}}`, want: Output{Type: "execute_result", ExecutionCount: &count}},
		{kind: "execute_result", content: `{"execution_count":-3,"data":{}}`, want: Output{Type: "execute_result"}},
		{kind: "execute_result", content: `{"execution_count":3.0,"data":{}}`, want: Output{Type: "execute_result"}},
		{kind: "execute_result", content: `{"execution_count":99999999999999999999}`, want: Output{Type: "execute_result"}},
		{
			kind: "display_data", content: `{"data":{"a":"b","application/json":{"c":1,"d":` + deep + `},"text/x":[` + deep + `],"y":"z"},"transient":{"display_id":"i"}}`,
			want: bundle(`{"a":"b","y":"z"}`), id: "i", err: `"text/x": it nests deeper than 100 levels`,
		},
		{kind: "display_data", content: `{"data":{"a":"b"},"metadata":{"x":` + deep + `}}`, want: bundle(`{"a":"b"}`), err: "it nests deeper than 100 levels"},
		{kind: "display_data", content: `{"data":{"a":"` + strings.Repeat("x", 1000) + `"},"transient":{"display_id":"i"}}`, err: ErrTooLarge.Error()},
		{kind: "display_data", content: `{"data":{"a":["` + strings.Repeat("x", 1000) + `"]}}`, err: ErrTooLarge.Error()},
		{kind: "display_data", content: `[]`, err: "its message is not a JSON object"},
		{kind: "stream", content: ``, err: "its message is not JSON"},
	} {
		got, id, err := OutputFromMessage(c.kind, []byte(c.content), 1000)
		if diff := cmp.Diff(c.want, got); diff != "" || id != c.id || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s %.80s: display_id %q, %v (-want +got)\n%s", c.kind, c.content, id, err, diff)
		}
		if c.err == ErrTooLarge.Error() && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v is no ErrTooLarge", err)
		}
	}
}

func TestOutputFromMessage_ReadsTheEndsOfALongTraceback(t *testing.T) {
	lines := func(n int) string { return strings.Repeat(`"",`, n) + `"last"` }
	out, _, err := OutputFromMessage("error", []byte(`{"traceback":["first",`+lines(5_000_000)+`]}`), 1000)
	if err != nil || len(out.Traceback) > 400_000 || out.Traceback[0] != "first" || out.Traceback[len(out.Traceback)-1] != "last" {
		t.Errorf("%d lines, %v", len(out.Traceback), err)
	}
}

func TestFitText_CountsWhatTheFileTakes(t *testing.T) {
	for _, text := range []string{
		"plain", "é😀", "a\nb\r\nc\r", strings.Repeat("\n", 1000), strings.Repeat("\x00\"\\", 300), strings.Repeat("\u2028\u0085", 300), "\xff\xfe",
	} {
		empty, full := Output{Type: "stream"}, Output{Type: "stream", Text: text}
		kept, size := FitText(text, math.MaxInt64)
		if kept != text || empty.Size()+size < full.Size() {
			t.Errorf("%.20q: counts %d, which makes %d of %d", text, size, empty.Size()+size, full.Size())
		}
		for room := range size {
			if kept, took := FitText(text, room); took > room || !strings.HasPrefix(text, kept) || strings.ToValidUTF8(kept, "") != strings.ToValidUTF8(text[:len(kept)], "") {
				t.Fatalf("%.20q into %d: kept %q for %d", text, room, kept, took)
			}
		}
	}
}

func TestOutputSize_CountsWhatTheFileTakes(t *testing.T) {
	wide := raw(t, map[string]any{"application/json": make([]map[string]int, 1000)})
	o := Output{Type: "display_data", Data: wide}
	nb := &Notebook{Cells: []*Cell{{ID: "a", Type: "code"}}}
	without := len(encode(t, nb))
	nb.Cells[0].Outputs = []Output{o}
	with := len(encode(t, nb))
	if got, want := o.Size(), int64(with-without)/2; got < want-20 || got > want+20 {
		t.Errorf("counts %d, takes 2 * %d of the file", got, want)
	}
}
