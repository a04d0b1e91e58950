package runner

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"nbpress/runner/internal/jupyter"
)

// Failure says why an attempt did not complete. It is a result, to be recorded,
// not a Go error.
type Failure struct {
	Code      Code
	Message   string   // one line or few: "ZeroDivisionError: division by zero"
	Cell      *CellRef // where it happened; nil where no cell was concerned
	Traceback string   // without colours, at most 64 KiB; "" where there is none
}

// CellRef is a place in a notebook, in the numbers that people see.
type CellRef struct {
	// Index is the cell's position among all cells, from 0.
	Index int `yaml:"index" json:"index"`
	// ExecutionCount is n of In [n]; 0: it was not executed.
	ExecutionCount int `yaml:"execution_count,omitempty" json:"execution_count,omitempty"`
	// Line counts the cell's source from 1; 0: not known.
	Line int `yaml:"line,omitempty" json:"line,omitempty"`
}

const (
	messageLimit   = 4 << 10
	tracebackLimit = 64 << 10
)

// cellError makes a failure of a reply that says that the code did not succeed.
func cellError(index int, reply jupyter.Reply) *Failure {
	f := &Failure{Code: CellError, Cell: &CellRef{Index: index, ExecutionCount: reply.Count}}
	if reply.Status == "aborted" {
		f.Message = "the kernel refused to run the cell (status aborted)"
		return f
	}
	f.Message = reply.EName
	if reply.EValue != "" {
		f.Message += ": " + reply.EValue
	}
	f.Message = cutMiddle(stripANSI(f.Message), messageLimit)
	f.Traceback, f.Cell.Line = readTraceback(reply)
	if f.Traceback == "" {
		f.Traceback = f.Message // %undefined-magic has none
	}
	return f
}

// readTraceback returns a reply's traceback as plain text, and the line of the
// executed cell that it names last, which is the innermost one; 0 for none.
func readTraceback(reply jupyter.Reply) (text string, line int) {
	text = stripANSI(strings.Join(reply.Traceback, "\n"))
	for _, m := range cellLine.FindAllStringSubmatch(text, -1) {
		if count, err := strconv.Atoi(m[1]); err != nil || count != reply.Count {
			continue
		}
		if n, err := strconv.Atoi(m[2]); err == nil {
			line = n
		}
	}
	return cutMiddle(text, tracebackLimit), line
}

// cellLine matches how IPython names a cell's line in a traceback: "Cell In[4],
// line 3" since 8.7, "Input In [4], in <cell line: 3>" before.
var cellLine = regexp.MustCompile(`(?:Cell In ?|Input In ?)\[(\d+)\], (?:line |in <cell line: )(\d+)`)

// escapes matches what terminals take as commands: CSI and OSC sequences of ECMA-48
// and the short ones.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// stripANSI removes colours and other terminal commands.
func stripANSI(s string) string {
	if !strings.ContainsRune(s, '\x1b') {
		return s
	}
	return escapes.ReplaceAllString(s, "")
}

// cutMiddle shortens s to about limit bytes. What matters stands at the ends: the
// cell's own line at the top, the exception at the bottom.
func cutMiddle(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	head, tail := limit/4, limit-limit/4-64 // room for the mark
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	from := len(s) - tail
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return fmt.Sprintf("%s\n[... %d bytes cut ...]\n%s", s[:head], from-head, s[from:])
}
