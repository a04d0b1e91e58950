package runner

import (
	"fmt"
	"strings"
	"testing"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/redact"
)

// longValue is a secret that is looked for in parts.
const longValue = "postgres://reader:ab6b1fd2b1f3b6d4a4a1c9f0e7d85b326f0c7e9d4b58a2e31c6f7d09b4e2a8c5d1f3907e6b4a2c8d" +
	"5e0f1a7b3c9d2e8f4a6b0c5d7e1f3a9b2c4d6e8f0a1b3c5d7e9f2a4b6c8d0e1f@db.example.com:5432/plants"

func hiding(t *testing.T, value string) *redact.Redactor {
	t.Helper()
	hidden, err := redact.New(redact.Secret{Name: "DB_URL", Value: value})
	if err != nil {
		t.Fatal(err)
	}
	return hidden
}

// remains returns what of a value, of eight bytes or more, stands in a text once whole
// values are taken out of it.
func remains(hidden *redact.Redactor, text, value string) string {
	text = hidden.String(text)
	for i := range len(value) - redact.Shortest + 1 {
		if strings.Contains(text, value[i:i+redact.Shortest]) {
			return text
		}
	}
	return ""
}

// Whatever the place is at which a limit cuts a value in two, its beginning does not stay.
func TestOutputs_HideAValueThatIsCutOff(t *testing.T) {
	value := longValue[:100] + "@db/plants"
	hidden := hiding(t, value)
	for _, name := range []string{"stdout", "stderr"} {
		for cut := range len(value) {
			o := newOutputs(1<<20, empty+6+int64(cut))
			o.hidden = hidden
			cell := &notebook.Cell{Type: "code"}
			o.begin(0, cell)
			for _, text := range []string{"say", " so", value + " and more"} {
				o.message(own("stream", fmt.Sprintf(`{"name":%q,"text":%q}`, name, text)))
			}
			var all strings.Builder
			for _, output := range cell.Outputs {
				all.WriteString(output.Text)
			}
			if text := all.String(); !strings.HasPrefix(text, "say so") || !strings.Contains(text, "[nbpress: output cut: ") {
				t.Fatalf("%s, cut at %d: %q", name, cut, text)
			}
			if left := remains(hidden, all.String(), value); left != "" {
				t.Errorf("%s, cut at %d: %q", name, cut, left)
			}
		}
	}
}

// A log begins where its limit says, and ends where the process was killed.
func TestHideEnds_OfALog(t *testing.T) {
	hidden := hiding(t, longValue)
	for cut := range len(longValue) {
		for name, log := range map[string]string{
			"begins within":              longValue[cut:] + "\nmore\n",
			"begins within, and says so": "[nbpress: only the end of 7000000 bytes]\n" + longValue[cut:] + "\nmore\n",
			"ends within":                "more\n" + longValue[:cut],
		} {
			safe := string(hideEnds([]byte(log), hidden))
			if left := remains(hidden, safe, longValue); left != "" {
				t.Errorf("it %s (%d): %q", name, cut, left)
			}
			if !strings.Contains(safe, "more\n") {
				t.Errorf("it %s (%d): %q is lost", name, cut, safe)
			}
		}
	}
	if log := "nothing secret\n"; string(hideEnds([]byte(log), hidden)) != log || string(hideEnds([]byte(log), nil)) != log {
		t.Error("a log without a secret was changed")
	}
}

// What is printed is one text, also where the other stream comes between, in a cell and in
// an output widget.
func TestCellsRun_HidesWhatStreamsShowTogether(t *testing.T) {
	hidden := hiding(t, longValue)
	var pieces []jupyter.Message
	for _, text := range []string{longValue[:30], longValue[30:90], longValue[90:] + "\n"} {
		pieces = append(pieces, printed(text), own("stream", `{"name":"stderr","text":"."}`))
	}
	o := newOutputs(1<<20, 1<<20)
	o.hidden = hidden
	cell := &notebook.Cell{Type: "code"}
	o.begin(0, cell)
	for _, m := range pieces {
		o.message(m)
	}
	o.message(outputWidget("o", `[]`))
	o.message(captures("o", "now"))
	for _, m := range pieces {
		o.message(m)
	}
	r := &cellsRun{nb: &notebook.Notebook{Cells: []*notebook.Cell{cell}}, out: o, o: CellsOptions{hidden: hidden}}
	r.hideStreams()
	r.describeWidgets()
	data, err := r.nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if left := remains(hidden, string(data), longValue); left != "" {
		t.Errorf("%s", left)
	}
	if n := strings.Count(string(data), "[secret DB_URL]"); n != 2 {
		t.Errorf("%d marks, want one of the cell and one of the widget:\n%s", n, data)
	}
}
