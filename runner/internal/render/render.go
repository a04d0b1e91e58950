// Package render turns a notebook's output.json and a bundle's template into pages.
//
// Real Jinja2 renders (render.py, which this package holds): authors test with it
// at home, so only it is right. Pages speaks to one such interpreter, which an
// executor starts out of the notebook's reach, and believes nothing that it says
// beyond the limits. A page is byte for byte what Jinja2 makes of the same data.
package render

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed render.py
var script []byte

// Script returns the program that a Renderer runs: `python3 -I` on this file, in an
// empty folder that it may write to.
func Script() []byte { return slices.Clone(script) }

// Renderer runs Script with the given standard streams and returns when it ended.
type Renderer interface {
	Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error
}

// Request says what to render.
type Request struct {
	Template   string            // the template's path among Files
	Files      map[string][]byte // the bundle's files, by slash-separated path
	Includes   []string          // folders among Files whose templates are also found without the folder's name
	Executions []Execution
	Strict     bool  // an undefined name is an error, not a warning
	PageLimit  int64 // bytes of all pages together; 0 means 64 MiB
	Memory     int64 // bytes of address space of the renderer; 0 means 2 GiB
}

// Execution is the data of one execution of the notebook, and the languages of its pages.
type Execution struct {
	Name      string // of the data, in errors; "" means output.json
	Output    []byte // output.json
	Languages []string
}

// Result holds the pages by language, and what the author should know.
type Result struct {
	Pages    map[string][]byte
	Warnings []string
}

// Error is a rendering that failed through the report's own fault.
type Error struct {
	Code      string `json:"code"` // template_error, output_invalid or render_timeout
	Message   string `json:"message"`
	File      string `json:"file"` // as in the bundle; "" where unknown
	Line      int    `json:"line"` // 0 where unknown
	Traceback string `json:"traceback"`
}

// Error returns the message after its place.
func (e *Error) Error() string { return place(e.File, e.Line) + e.Message }

func place(file string, line int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file + ": "
	}
	return fmt.Sprintf("%s:%d: ", file, line)
}

const (
	defaultPageLimit = 64 << 20
	defaultMemory    = 2 << 30
	stderrLimit      = 64 << 10
)

// Pages renders every language of the request, or none. The error is an *Error
// where the report is to blame, else it is about the renderer itself, also when
// ctx ended.
func Pages(ctx context.Context, renderer Renderer, request Request) (Result, error) {
	if request.PageLimit == 0 {
		request.PageLimit = defaultPageLimit
	}
	if request.Memory == 0 {
		request.Memory = defaultMemory
	}
	stdin, err := encode(request, timeLeft(ctx))
	if err != nil {
		return Result{}, err
	}
	stdout, stderr := &limited{limit: request.PageLimit + 1<<20}, &limited{limit: stderrLimit}
	runErr := renderer.Render(ctx, stdin, stdout, stderr)
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if stdout.over {
		return Result{}, &Error{Code: "template_error", File: request.Template,
			Message: fmt.Sprintf("the pages have more than %d MiB together", request.PageLimit>>20)}
	}
	result, err := decode(stdout.buf.Bytes(), request.languages())
	var refused *Error
	if err == nil || errors.As(err, &refused) {
		return result, err
	}
	// It did not live to say why, or a template had it say what we do not understand.
	words := strings.ToValidUTF8(stderr.buf.String(), "\uFFFD")
	return Result{}, &Error{Code: "template_error", File: request.Template, Message: lastWords(words, cmp.Or(runErr, err)), Traceback: words}
}

// lastWords says why a renderer died, as far as it is known.
func lastWords(words string, err error) string {
	switch {
	case strings.Contains(words, "stack overflow"), strings.Contains(words, "stack exceeds"):
		return "it calls or includes itself without end, or nests too deep"
	case strings.Contains(words, "out of memory"), strings.Contains(words, "cannot allocate memory"), strings.Contains(words, "MemoryError"):
		return "the page needs more memory than rendering may use"
	}
	return fmt.Sprintf("the renderer ended early: %v", err)
}

// languages are those of all executions.
func (r Request) languages() []string {
	var all []string
	for _, e := range r.Executions {
		all = append(all, e.Languages...)
	}
	return all
}

// timeLeft is how long the renderer may take until it says itself where it was: a bit
// less than until it is killed. 0 means for ever.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	return max(left-min(left/5, 3*time.Second), time.Millisecond) // of which it needs some to start
}

// limited keeps the first limit bytes and swallows the rest, so that the writer is
// neither blocked nor believed.
type limited struct {
	buf   bytes.Buffer // not embedded: io.Copy would read into it past the limit
	limit int64
	over  bool
}

func (l *limited) Write(p []byte) (int, error) {
	room := max(l.limit-int64(l.buf.Len()), 0)
	if int64(len(p)) > room {
		l.over = true
		l.buf.Write(p[:room])
		return len(p), nil
	}
	return l.buf.Write(p)
}
