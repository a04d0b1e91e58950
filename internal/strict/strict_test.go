package strict_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/strict"
)

const schemaText = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "https://nbpress.example/test.json",
  "type": "object",
  "required": ["url"],
  "additionalProperties": false,
  "properties": {
    "url": {"type": "string", "minLength": 1, "examples": ["https://example.com/x.git"]},
    "poll": {"$ref": "#/$defs/duration"},
    "slots": {"type": "integer", "minimum": 1},
    "ratio": {"type": "number", "maximum": 1},
    "cpu": {"type": ["string", "number"], "format": "x-cpu", "x-must-be": "cores"},
    "memory": {"type": "string", "format": "x-bytes", "x-must-be": "memory"},
    "log": {"enum": ["text", "json"]},
    "any": {},
    "store": {
      "type": "object", "additionalProperties": false, "required": ["dir"],
      "properties": {"dir": {"type": "string"}, "path_style": {"type": "boolean"}}
    },
    "list": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}
  },
  "$defs": {"duration": {"type": "string", "format": "x-duration", "x-must-be": "a duration"}}
}`

type target struct {
	URL    string          `json:"url"`
	Poll   strict.Duration `json:"poll"`
	Slots  int             `json:"slots"`
	Ratio  float64         `json:"ratio"`
	CPU    strict.MilliCPU `json:"cpu"`
	Memory strict.Bytes    `json:"memory"`
	Log    string          `json:"log"`
	Any    any             `json:"any"`
	Store  struct {
		Dir       string `json:"dir"`
		PathStyle bool   `json:"path_style"`
	} `json:"store"`
	List []string `json:"list"`
}

func compile(t testing.TB) *strict.Schema {
	t.Helper()
	schema, err := strict.Compile([]byte(schemaText))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func lines(problems []strict.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

func want() target {
	w := target{
		URL: "u", Poll: strict.Duration(36 * time.Hour), Slots: 3, Ratio: 0.5, CPU: 1500, Memory: 512 << 20, Log: "json",
		Any: map[string]any{"n": json.Number("12345678901234567890"), "x": nil}, List: []string{"a", "b"},
	}
	w.Store.Dir = "2026-11-23"
	return w
}

func TestJSON_FillsTheTarget(t *testing.T) {
	var got target
	problems := strict.JSON("f.json", []byte(`{"url": "u", "poll": "1d12h", "slots": 3, "ratio": 0.5, "cpu": 1.5, "memory": "512Mi", "log": "json",
		"any": {"n": 12345678901234567890, "x": null}, "store": {"dir": "2026-11-23"}, "list": ["a", "b"]}`), compile(t), &got)
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if diff := cmp.Diff(want(), got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
}

func TestYAML_FillsTheTarget(t *testing.T) {
	text := `
url: u   # a comment
poll: 1d12h
slots: 3
ratio: 0.5
cpu: "1500m"
memory: 512Mi
log: json
any: {n: 9007199254740993, x: , kept: [1.0, 1e3, -0.0, 123456789012345678901234567890, +1, .5, -.5, 1., 1.e3, "no", "on"]}
store:
  dir: 2026-11-23
list:
- a
- b
`
	w := want()
	w.Any = map[string]any{"n": json.Number("9007199254740993"), "x": nil, "kept": []any{
		json.Number("1.0"), json.Number("1e3"), json.Number("-0.0"), json.Number("123456789012345678901234567890"),
		json.Number("1"), json.Number("0.5"), json.Number("-0.5"), json.Number("1.0"), json.Number("1.0e3"), "no", "on",
	}}
	var got target
	if problems := strict.YAML("f.yaml", []byte(text), compile(t), &got); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
}

func TestYAML_NamesEveryMistake(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"keys", "URL: x\nsolts: 3\nstore:\n  path-style: true\n  dirr: x\nslots: 1\nslots: 2\n", `
f.yaml:1:1: unknown key "URL"; did you mean "url"?
f.yaml:2:1: unknown key "solts"; did you mean "slots"?
f.yaml:4:3: unknown key "path-style"; did you mean "path_style"?
f.yaml:5:3: unknown key "dirr"; did you mean "dir"?
f.yaml:7:1: duplicate key "slots"; it stands in line 6 already: remove one
`},
		{"missing", "slots: 1\nstore: {}\n", `
f.yaml:1:1: missing key "url"; add url: "https://example.com/x.git"
f.yaml:2:8: missing key "store.dir"
`},
		{"values", "url:\nslots: 0\nratio: 2\npoll: 5\nlog: xml\nlist: [a, 1, a]\ncpu: many\nmemory: 1.5\n", `
f.yaml:1:5: "url" must be a string; it is empty
f.yaml:2:8: "slots" must be an integer of at least 1; it is 0
f.yaml:3:8: "ratio" must be a number of at most 1; it is 2
f.yaml:4:7: "poll" must be a duration; it is 5
f.yaml:5:6: "log" must be one of "text", "json"; it is "xml"
f.yaml:6:11: "list[1]" must be a string; it is 1
f.yaml:6:14: "list" names "a" twice; remove one
f.yaml:7:6: "cpu" must be cores; it is "many"
f.yaml:8:9: "memory" must be memory; it is 1.5
`},
		{"yaml's own", "url: &a x\nany: *a\nstore:\n  <<: {dir: x}\n  dir: !!str 5\nslots: 010\nratio: .inf\nlist: [0x10, 1_000]\n", `
f.yaml:1:6: anchors ("&a") are not allowed; write the value out where it is needed
f.yaml:2:6: aliases ("*a") are not allowed; write the value out
f.yaml:4:3: merge keys (<<) are not allowed; write the values out
f.yaml:5:8: tags ("!!str") are not allowed; put strings in quotes
f.yaml:6:8: "010": a number with a leading zero; put it in quotes if it is a string
f.yaml:7:8: ".inf": not a number that JSON knows; put it in quotes if it is a string
f.yaml:8:8: "0x10": a number with a leading zero; put it in quotes if it is a string
f.yaml:8:14: "1_000": a number with _; put it in quotes if it is a string
`},
		{"two documents", "url: x\n---\nurl: y\n", "\nf.yaml:2:1: a second document; keep one document in the file\n"},
		{"only a comment", "# nothing\n", "\nf.yaml:1:1: the file is empty\n"},
		{"syntax", "url: x\n  slots: 1\n", "\nf.yaml:2:1: not YAML: mapping values are not allowed in this context; look at the indentation and at quotes here and in the line before\n"},
		{"depth", "any: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "\nurl: x\n", "\nf.yaml:1:70: more than 64 lists and objects inside each other\n"},
		{"a list", "- a\n", "\nf.yaml:1:1: the file must be an object; it is a list\n"},
		{"yes and no", "url: no\nany: {on: On}\nlist: [YES, 'off', nothing]\n", `
f.yaml:1:6: "no": some readers of YAML take it for true or false, others for a string; write true or false, or put it in quotes
f.yaml:2:11: "On": some readers of YAML take it for true or false, others for a string; write true or false, or put it in quotes
f.yaml:3:8: "YES": some readers of YAML take it for true or false, others for a string; write true or false, or put it in quotes
`},
		{"columns count characters", "any: {é: ü, x: 0x1}\nurl: x\n", "\nf.yaml:1:16: \"0x1\": a number with a leading zero; put it in quotes if it is a string\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got target
			problems := strict.YAML("f.yaml", []byte(test.text), compile(t), &got)
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), lines(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSON_NamesWhatIsNotJSON(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{"url": "x",}`, `f:1:12: a comma before '}'; remove the comma`},
		{`{"list": ["x",]}`, `f:1:14: a comma before ']'; remove the comma`},
		{`{url: "x"}`, `f:1:2: 'u' where a key was expected; keys stand in double quotes`},
		{`{"url": True}`, `f:1:9: 'T' where a value was expected; strings stand in double quotes; true, false and null in small letters`},
		{`{"url": "x"} x`, `f:1:14: something follows the end of the value; remove it`},
		{`{"url": "x"}{}`, `f:1:13: something follows the end of the value; remove it`},
		{`{"url": "x" "log": "text"}`, `f:1:13: '"' where a comma or the end was expected; is a comma missing before it?`},
		{"{\n  # x\n}", `f:2:3: JSON has no comments; remove it, or say it in "description"`},
		{"{\n", `f:1:2: the file ends too early; close what is open: " ] }`},
		{"\xff\xfe{\x00}\x00", `f:1:1: the file is UTF-16; save it as UTF-8`},
		{"\ufeff{}", `f:1:1: the file starts with a byte order mark; save it as UTF-8 without BOM`},
		{" \n", `f:1:1: the file is empty`},
		{`{"any": ` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `, "url": "x"}`, `f:1:73: more than 64 lists and objects inside each other`},
		{strings.Repeat("[", 20000), `f:1:10001: more than 64 lists and objects inside each other`},
		{`{"any": 1e400, "url": "x"}`, `f:1:9: the number is too large`},
		{strings.Repeat(" ", strict.MaxSize+1), `f:1:1: the file has 1048577 bytes; the limit is 1048576`},
	}
	for _, test := range tests {
		var got target
		problems := strict.JSON("f", []byte(test.text), compile(t), &got)
		if len(problems) != 1 || problems[0].String() != test.want {
			t.Errorf("%.40q:\n got %swant %s", test.text, lines(problems), test.want)
		}
	}
}

func TestDocument_KnowsWhereValuesStand(t *testing.T) {
	doc, problems := strict.ParseJSON("f", []byte("{\n  \"a/b\": [1, {\"c\": \"é\", \"d~\": 2}]\n}"))
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	tests := []struct {
		got  strict.Position
		want strict.Position
	}{
		{doc.At(strict.Pointer("a/b", 1, "d~")), strict.Position{File: "f", Line: 2, Column: 31}},
		{doc.AtKey(strict.Pointer("a/b", 1, "d~")), strict.Position{File: "f", Line: 2, Column: 25}},
		{doc.At("/a~1b/5/x"), strict.Position{File: "f", Line: 2, Column: 10}},
		{doc.AtKey("/a~1b/0"), strict.Position{File: "f", Line: 2, Column: 11}},
		{doc.AtKey(""), strict.Position{File: "f", Line: 1, Column: 1}},
		{(*strict.Document)(nil).At("/x"), strict.Position{Line: 1, Column: 1}},
	}
	for i, test := range tests {
		if test.got != test.want {
			t.Errorf("%d: got %v, want %v", i, test.got, test.want)
		}
	}
	if !doc.Has("/a~1b/1/c") || doc.Has("/x") || !doc.Lacks("/x") || doc.Lacks("/a~1b") {
		t.Error("Has or Lacks is wrong")
	}
}

func TestDocument_LaysDefaultsUnderValues(t *testing.T) {
	base, _ := strict.ParseJSON("base", []byte(`{"defaults": {"store": {"dir": "base", "path_style": true}, "list": ["x", "y"], "slots": 4}}`))
	doc, _ := strict.ParseJSON("own", []byte(`{"url": "u", "store": {"dir": "own"}, "list": ["z"], "log": "text"}`))
	doc.Default(base, "/defaults")
	var got target
	if problems := doc.Into(compile(t), &got); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	w := target{URL: "u", Slots: 4, Log: "text", List: []string{"z"}}
	w.Store.Dir, w.Store.PathStyle = "own", true
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
	for pointer, file := range map[string]string{"/store/dir": "own", "/store/path_style": "base", "/slots": "base", "/store": "own"} {
		if at := doc.At(pointer); at.File != file {
			t.Errorf("%s stands in %s, want %s", pointer, at.File, file)
		}
	}
}

func TestInto_LeavesOutWhatIsWrong(t *testing.T) {
	var got target
	doc, _ := strict.ParseJSON("f", []byte(`{"url": "u", "slots": "x", "list": ["a", 1, "b"], "nothing": 1}`))
	problems := doc.Into(compile(t), &got)
	if len(problems) != 3 {
		t.Error(lines(problems))
	}
	if diff := cmp.Diff(target{URL: "u", List: []string{"a", "", "b"}}, got); diff != "" {
		t.Errorf("target (-want +got):\n%s", diff)
	}
	if doc.Has("/slots") || doc.Has("/list/1") || !doc.Has("/list/2") {
		t.Error("Has is wrong about what was refused")
	}
}

func TestJSON_AnswersHostileFilesSoon(t *testing.T) {
	many := func(item string) string { return strings.Repeat(item+",", strict.MaxSize/4/(len(item)+1)) + item }
	var keys strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&keys, `, "slotz%d": 1`, i)
	}
	tests := map[string]string{
		"wrong items":  `{"url": "x", "list": [` + many("1") + `]}`,
		"same items":   `{"url": "x", "list": [` + many(`"a"`) + `]}`,
		"unknown keys": `{"url": "x"` + keys.String() + `}`,
		"same keys":    `{"url": "x", "any": {` + many(`"a":1`) + `}}`,
		"huge numbers": `{"url": "x", "list": [` + many("1e300") + `]}`,
		"one string":   `{"url": "x", "slots": "` + many(`é`) + `"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			var into target
			problems := strict.JSON("f", []byte(text), compile(t), &into)
			if len(problems) == 0 || len(problems) > 101 {
				t.Errorf("%d problems", len(problems))
			}
			for _, p := range problems {
				if len(p.String()) > 300 {
					t.Errorf("a long problem: %.400s", p)
				}
			}
			if took := time.Since(start); took > 2*time.Minute { // generous: seconds would be a mistake
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestClosest_Guesses(t *testing.T) {
	names := []string{"schedule", "window", "catch_up", "id", "enabled"}
	tests := map[string]string{
		"Schedule": "schedule", "shcedule": "schedule", "catchUp": "catch_up", "catch-up": "catch_up", "windows": "window",
		"ID": "id", "enable": "enabled", "colour": "", "x": "", "": "", strings.Repeat("a", 100): "",
	}
	for name, want := range tests {
		if got := strict.Closest(name, names); got != want {
			t.Errorf("Closest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestQuantities(t *testing.T) {
	tests := []struct {
		text  string
		parse func(string) (int64, error)
		want  int64 // 0: refused
	}{
		{"90s", duration, int64(90 * time.Second)}, {"7d", duration, int64(168 * time.Hour)}, {"1d12h", duration, int64(36 * time.Hour)},
		{"0s", duration, 0}, {"-1h", duration, 0}, {"d", duration, 0}, {"1.5d", duration, 0}, {"", duration, 0}, {"5", duration, 0},
		{"99999d", duration, 0}, {"65535d2000000h", duration, 0}, {"1d-2h", duration, 0}, {"7d7d", duration, 0}, {"7 d", duration, 0},
		{"1Gi", bytes, 1 << 30}, {"512Mi", bytes, 512 << 20}, {"1G", bytes, 1e9}, {"1.5Gi", bytes, 3 << 29}, {"100", bytes, 100},
		{"1GB", bytes, 0}, {"0", bytes, 0}, {"-1Gi", bytes, 0}, {"0.1", bytes, 0}, {"9999Ti", bytes, 0}, {"Gi", bytes, 0}, {"1e3", bytes, 0}, {".", bytes, 0},
		{"1", cpu, 1000}, {"500m", cpu, 500}, {"0.57", cpu, 570}, {"0.0001", cpu, 0}, {"0", cpu, 0}, {"m", cpu, 0}, {"1.5m", cpu, 0},
	}
	for _, test := range tests {
		got, err := test.parse(test.text)
		if got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%q: got %d, %v; want %d", test.text, got, err, test.want)
		}
	}
}

func duration(text string) (int64, error) { d, err := strict.ParseDuration(text); return int64(d), err }
func bytes(text string) (int64, error)    { b, err := strict.ParseBytes(text); return int64(b), err }
func cpu(text string) (int64, error)      { m, err := strict.ParseMilliCPU(text); return int64(m), err }

// checkProblems is what every input keeps to.
func checkProblems(t *testing.T, data []byte, problems []strict.Problem) {
	t.Helper()
	for _, p := range problems {
		if p.File != "f" || p.Line < 1 || p.Line > len(data)+1 /* YAML knows more line ends than \n */ || p.Column < 1 || p.What == "" || strings.ContainsAny(p.String(), "\n") {
			t.Errorf("%+v", p)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"url": "x"}`, `{"url": "x", "Slots": 1, "slots": "x", "slots": 2}`, `[1e5, {"a": [null]}]`, `{"a":1,}`, "{\n\"\\ud800\": \"\u00e9\"}"} {
		f.Add([]byte(seed))
	}
	schema := compile(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var into target
		problems := strict.JSON("f", data, schema, &into)
		checkProblems(t, data, problems)
		var reference any
		if err := json.Unmarshal(data, &reference); err != nil && len(problems) == 0 {
			t.Errorf("took what is not JSON: %v", err)
		}
	})
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"url: x\n", "a: &x [1]\nb: *x\n", "<<: {a: b}\n", "? [a]\n: b\n", "a: !!binary x\n", "--- |\n a\n...\n", "url: 0x1\nslots: .nan\n", "a: 'x\n", "!%0A"} {
		f.Add([]byte(seed))
	}
	schema := compile(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var into target
		checkProblems(t, data, strict.YAML("f", data, schema, &into))
	})
}
