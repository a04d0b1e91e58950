package runner

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// strange makes contents of messages as no kernel should send them.
type strange struct{ *rand.Rand }

func (s strange) of(list ...string) string { return list[s.IntN(len(list))] }

// value returns any JSON value.
func (s strange) value() string {
	deep := strings.Repeat("[{\"a\":", 60+s.IntN(60))
	return s.of(
		`null`, `true`, `7`, `-1`, `-0`, `1.50`, `1e5`, `1E400`, strings.Repeat("9", 5000), `""`, `"text\n\r\u2028"`, `"\ud800\u0000\u001f"`, "\"\xff\xfe\"",
		`[]`, `["a\n","b"]`, `["a",1,null]`, `{}`, `{"b":1,"a":{"a":1,"a":2}}`, s.bundle(), deep+`1`+strings.Repeat("}]", strings.Count(deep, "{")),
	)
}

// bundle returns an object that may be a MIME bundle.
func (s strange) bundle() string {
	var members []string
	for range s.IntN(5) {
		mime := s.of("text/plain", "text/html", "image/png", "image/svg+xml", "application/json", "application/x+json", "application/json\\n", "application/a\\nb+json",
			"application/\\u2028+json", "APPLICATION/JSON", "json", "", "text/\\ud800", "application/+json", "application/vnd.jupyter.widget-view+json")
		value := `"text"`
		if s.IntN(3) == 0 {
			value = s.of(`7`, `null`, `{"x":[1]}`, `["a\n","b"]`, `["a",1]`, `[]`, `1e999`)
		}
		members = append(members, fmt.Sprintf(`"%s":%s`, mime, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// message returns a message of a cell: most of it is as it should be.
func (s strange) message(cell int) jupyter.Message {
	m := jupyter.Message{ParentID: fmt.Sprint("cell ", cell), Date: s.of("2026-11-23T10:00:00.123456Z", "9999-12-31T23:59:59.999999-23:59", "0000-01-01T00:00:00Z", "today", "")}
	good := map[string][]string{
		"stream":              {"name", `"stdout"`, "text", `"line\nnext"`},
		"display_data":        {"data", s.bundle(), "metadata", `{}`, "transient", `{"display_id":"i"}`},
		"update_display_data": {"data", s.bundle(), "metadata", `{"a":1}`, "transient", `{"display_id":"i"}`},
		"execute_result":      {"data", s.bundle(), "metadata", `{}`, "execution_count", `3`, "transient", `{"display_id":"j"}`},
		"error":               {"ename", `"E"`, "evalue", `"v"`, "traceback", `["a","b"]`},
		"clear_output":        {"wait", s.of("true", "false")},
		"status":              {"execution_state", s.of(`"busy"`, `"idle"`)},
		"execute_input":       {"execution_count", `3`, "code", `""`},
		"comm_open":           {"comm_id", s.of(`"c"`, `"d"`), "target_name", `"jupyter.widget"`, "data", `{"state":{"_model_name":"M","_model_module":"m","_model_module_version":"1","x":` + s.value() + `}}`},
		"comm_msg":            {"comm_id", s.of(`"c"`, `"d"`), "data", `{"method":"update","state":{"y":` + s.value() + `}}`},
		"hologram":            {"text", `"?"`},
	}
	m.Type = s.of("stream", "stream", "display_data", "display_data", "update_display_data", "execute_result", "error", "clear_output", "status", "execute_input", "comm_open", "comm_msg", "hologram")
	var members []string
	fields := good[m.Type]
	for i := 0; i < len(fields); i += 2 {
		for range 1 + s.IntN(12)/11 - s.IntN(12)/11 { // sometimes twice, sometimes not at all
			value := fields[i+1]
			if s.IntN(4) == 0 {
				value = s.value()
			}
			members = append(members, fmt.Sprintf(`"%s": %s`, fields[i], value))
		}
	}
	content := "{" + strings.Join(members, ", ") + "}"
	switch s.IntN(40) {
	case 0:
		content = s.value()
	case 1:
		content = content[:s.IntN(len(content))]
	case 2:
		m.Dropped, content = 9, ""
	}
	m.Content = json.RawMessage(content)
	return m
}

// TestOutputs_AlwaysMakeANotebookThatJupyterReads has nbformat judge notebooks of cells
// whose kernel sent strange messages: valid as they are, and written by it the same.
func TestOutputs_AlwaysMakeANotebookThatJupyterReads(t *testing.T) {
	const notebooks, cells, messages = 60, 50, 25
	s := strange{rand.New(rand.NewPCG(3, 4))}
	dir := t.TempDir()
	for n := range notebooks {
		o, nb := newOutputs(4000+int64(s.IntN(200_000)), 1<<20), notebookOf(make([]string, cells)...)
		for i, cell := range nb.Cells {
			out := o.begin(i, cell)
			for range s.IntN(messages) {
				m := s.message(max(i-s.IntN(6)/5, 0)) // some of them late
				m.Own = m.ParentID == fmt.Sprint("cell ", i)
				o.message(m)
			}
			out.finish(jupyter.Reply{Count: s.IntN(3)})
		}
		if info := languageInfo([]byte(s.of(s.value(), `{"name":"x","version":`+s.value()+`,"mimetype":`+s.value()+`,"codemirror_mode":`+s.value()+`}`))); info != nil {
			nb.Metadata["language_info"] = info
		}
		if state := o.widgets.metadata(); state != nil {
			nb.Metadata["widgets"] = state
		}
		file, err := nb.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := notebook.Parse(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.ipynb", n)), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	judge := exec.Command(testenv.Python(t), "-c", `
import nbformat, pathlib, sys, warnings
warnings.simplefilter("error")
same = outputs = 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.ipynb")):
    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    for number, (want, got) in enumerate(zip(nbformat.writes(notebook).splitlines(), text.splitlines()), 1):
        if "Infinity" not in want: # of a number that is too large for a float
            assert want == got, (path, number, want, got)
    outputs += sum(len(cell.outputs) for cell in notebook.cells)
assert outputs > 5000, outputs`, dir)
	if out, err := judge.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out[max(0, len(out)-3000):])
	}
}
