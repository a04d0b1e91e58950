package runner

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"nbpress/runner/internal/jupyter"
)

func TestCellError_FindsTheLine(t *testing.T) {
	tests := map[string]struct {
		traceback []string
		want      int
	}{
		"IPython 8.7 and later":     {[]string{"\x1b[0;31mZeroDivisionError\x1b[0m", "Cell \x1b[0;32mIn[4], line 3\x1b[0m\n"}, 3},
		"IPython 8.0":               {[]string{"Input \x1b[0;32mIn [4]\x1b[0m, in <cell line: 7>\x1b[0;34m()\x1b[0m"}, 7},
		"innermost of the cell":     {[]string{"Cell In[4], line 9", "Cell In[4], line 2, in f()", "Cell In[3], line 1, in g()"}, 2},
		"only other cells":          {[]string{"Cell In[3], line 9"}, 0},
		"nothing":                   {nil, 0},
		"a number out of all range": {[]string{"Cell In[4], line 99999999999999999999"}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := cellError(5, jupyter.Reply{Status: "error", Count: 4, EName: "E", Traceback: test.traceback})
			if *got.Cell != (CellRef{Index: 5, ExecutionCount: 4, Line: test.want}) {
				t.Errorf("got %+v, want line %d", *got.Cell, test.want)
			}
		})
	}
}

func TestFailure_FitsAManifest(t *testing.T) {
	huge := "\x1b[31m" + strings.Repeat("é", 1<<17) + "the end\x1b[0m"
	f := cellError(0, jupyter.Reply{Status: "error", EName: "E", EValue: huge, Traceback: []string{huge}}).fit()
	for name, got := range map[string]struct {
		text  string
		limit int
	}{"message": {f.Message, messageLimit}, "traceback": {f.Traceback, tracebackLimit}} {
		if len(got.text) > got.limit || !utf8.ValidString(got.text) || !strings.HasSuffix(got.text, "the end") || !strings.Contains(got.text, "bytes cut") {
			t.Errorf("%s: got %d bytes, %.20q ... %q", name, len(got.text), got.text, got.text[max(0, len(got.text)-20):])
		}
	}
}

func TestClean_LeavesNothingThatATerminalObeys(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ñ\ttab\nline":                             "plain, ñ\ttab\nline",
		"\x1b[1;31mred\x1b[0m \x1b[38;5;28mgreen\x1b[39m": "red green",
		"\x1b]8;;http://x\x07link\x1b]8;;\x1b\\":          "link",
		"\x1b(":                                           "(",
		"\x1b\x1b[m[2J":                                   "[2J", // what was taken out joined another command
		"\x1bc\u009b2J\x9b2J":                             "c2J\uFFFD2J",
		"10%\r20%\r\ndone\x00\x7f":                        "10%20%\ndone",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestFitWarnings_KeepsAHundredLinesAndCountsTheRest(t *testing.T) {
	var warnings []string
	for i := range 20_000 {
		warnings = append(warnings, fmt.Sprintf("template.html:%d: 'x%d' is\nundefined", i, i), "the same in every language")
	}
	warnings[0] += strings.Repeat("x", 1<<20)
	got := fitWarnings(warnings)
	if n := len(got); n != maxWarnings+1 || got[n-1] != "19901 more warnings" {
		t.Fatalf("%d warnings, the last is %q", n, got[n-1])
	}
	for _, w := range got {
		if len(w) > warningLimit || strings.Contains(w, "\n") {
			t.Errorf("%d bytes: %.80q", len(w), w)
		}
	}
	if got := fitWarnings(nil); got != nil {
		t.Errorf("of no warnings there are %q", got)
	}
}
