package runner

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nbpress/runner/internal/jupyter"
)

// Failure says why an attempt did not complete. It is a result, to be recorded,
// not a Go error.
//
// What it says comes from notebooks, kernels and templates. In all that this
// package returns its texts are bounded, valid UTF-8 and without control characters
// but line ends and tabs: nothing that a terminal would obey.
type Failure struct {
	Code      Code
	Message   string   // one line or few, at most 4 KiB: "ZeroDivisionError: division by zero"
	Cell      *CellRef // where it happened; nil where no cell was concerned
	Traceback string   // at most 64 KiB; "" where there is none

	final bool // another attempt would end the same, although the code's others are tried again
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

// Advice returns the sentence that tells the reader what to do next: the code's, or for
// a kernel that ran no cell, broke the protocol or was stopped, another.
func (f *Failure) Advice() string {
	switch {
	case f.Code == KernelDied && f.Cell == nil:
		return "The kernel's process ended before it was ready: its log says why; mostly a package is missing there, or broken."
	case f.Code == KernelDied && strings.HasPrefix(f.Message, protocolBroken):
		return "Look for code in the notebook that sends messages of its own over the kernel's channels."
	case strings.HasSuffix(f.Message, heartless):
		return "The kernel's process is stopped, or its machine is suspended, cut off or overloaded: see to the machine, and run it again."
	}
	return f.Code.Advice()
}

// heartless ends the message of a cell that was out of time, though not by its own fault.
const heartless = ", and the kernel does not answer its heartbeat"

// protocolBroken begins the message of a kernel that was given up because nothing that
// it sends can be trusted any more.
const protocolBroken = "the kernel broke the messaging protocol and was given up: "

// Error lets a stage, or an executor, return a failure where Go wants an error; Press
// takes it out again.
func (f *Failure) Error() string { return string(f.Code) + ": " + f.Message }

const (
	messageLimit   = 4 << 10
	tracebackLimit = 64 << 10
	warningLimit   = 1 << 10
	maxWarnings    = 100
)

// fit returns the failure as it may be shown and recorded; nil for nil.
func (f *Failure) fit() *Failure {
	if f == nil {
		return nil
	}
	fitting := *f
	fitting.Message = cutMiddle(clean(f.Message), messageLimit)
	fitting.Traceback = cutMiddle(clean(f.Traceback), tracebackLimit)
	return &fitting
}

// fitWarnings returns warnings as they may be shown and recorded: one line each,
// none of them twice, and of more than a hundred how many they were.
func fitWarnings(warnings []string) []string {
	var fitting []string
	seen, more := map[string]bool{}, 0
	for _, w := range warnings {
		w = strings.ReplaceAll(cutMiddle(clean(w), warningLimit), "\n", " ")
		switch {
		case seen[w]:
			continue
		case len(fitting) == maxWarnings:
			more++
		default:
			fitting = append(fitting, w)
		}
		seen[w] = true
	}
	if more > 0 {
		fitting = append(fitting, fmt.Sprintf("%d more warnings", more))
	}
	return fitting
}

// fitError does for the text of an error what fit does for a failure's.
func fitError(err error) error {
	if err == nil {
		return nil
	}
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return failure.fit()
	}
	if text := cutMiddle(clean(err.Error()), messageLimit); text != err.Error() {
		return &fittedError{text, err}
	}
	return err
}

// fittedError is an error with another text.
type fittedError struct {
	text string
	err  error
}

func (e *fittedError) Error() string { return e.text }
func (e *fittedError) Unwrap() error { return e.err }

// cellError makes a failure of a reply that says that the code did not succeed.
func cellError(index int, reply jupyter.Reply) *Failure {
	f := &Failure{Code: CellError, Cell: &CellRef{Index: index, ExecutionCount: reply.Count}}
	if reply.Status == "aborted" {
		f.Message = "the kernel refused to run the cell (status aborted)"
		return f
	}
	f.Message = reply.EName
	if reply.EName == "" { // bash_kernel gives the exit status alone
		f.Message = "the cell failed"
	}
	if reply.EValue != "" {
		f.Message += ": " + reply.EValue
	}
	f.Traceback, f.Cell.Line = readTraceback(reply)
	if f.Traceback == "" {
		f.Traceback = f.Message // %undefined-magic has none
	}
	return f
}

// readTraceback returns a reply's traceback as plain text, and the line of the
// executed cell that it names last, which is the innermost one; 0 for none.
func readTraceback(reply jupyter.Reply) (text string, line int) {
	text = clean(strings.Join(reply.Traceback, "\n"))
	for _, m := range cellLine.FindAllStringSubmatch(text, -1) {
		if count, err := strconv.Atoi(m[1]); err != nil || count != reply.Count {
			continue
		}
		if n, err := strconv.Atoi(m[2]); err == nil {
			line = n
		}
	}
	return text, line
}

// cellLine matches how IPython names a cell's line in a traceback: "Cell In[4],
// line 3" since 8.7, "Input In [4], in <cell line: 3>" before.
var cellLine = regexp.MustCompile(`(?:Cell In ?|Input In ?)\[(\d+)\], (?:line |in <cell line: )(\d+)`)

// escapes matches what terminals take as commands: CSI and OSC sequences of ECMA-48
// and the short ones.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)

// clean removes colours and other terminal commands, and then every control
// character that is left (C0, DEL and C1) but line ends and tabs: what removing a
// command joins may be one again.
func clean(s string) string {
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
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
