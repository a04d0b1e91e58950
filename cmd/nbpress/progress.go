package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"nbpress/runner"
	"nbpress/runner/report"
)

// progress shows one run to a person: on a terminal one line that changes, piped a
// line for each stage.
type progress struct {
	out     plainText
	name    string
	started time.Time
	live    bool // out is a terminal
	terse   bool // only how it ended is said
	width   int
}

func newProgress(out io.Writer, name string) *progress {
	p := &progress{out: plainText{out}, name: name, started: time.Now(), width: 80}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.live = true
		if w, _, err := term.GetSize(int(file.Fd())); err == nil && w > 20 {
			p.width = w
		}
	}
	return p
}

// step shows where the run is.
func (p *progress) step(s runner.Step) {
	text := s.Stage
	if s.Language != "" {
		text += " " + s.Language
	}
	if s.Cell != nil {
		text += fmt.Sprintf(": cell %d of %d", s.Cell.Cell, s.Cell.Cells)
		if s.Cell.Event == runner.CellFinished {
			text += fmt.Sprintf(" took %v", s.Cell.Elapsed.Round(time.Millisecond))
		} else if first, _, _ := strings.Cut(s.Cell.Source, "\n"); p.live {
			text += "  " + first
		}
	}
	switch {
	case p.terse:
	case p.live:
		p.rewrite(fmt.Sprintf("%s  %5.1fs  %s", p.name, time.Since(p.started).Seconds(), text))
	case s.Cell == nil || s.Cell.Event == runner.CellFinished:
		fmt.Fprintf(p.out, "%s: %s\n", p.name, text)
	}
}

// rewrite replaces the terminal's line.
func (p *progress) rewrite(line string) {
	runes := []rune(oneLine(line))
	if len(runes) > p.width-1 {
		runes = runes[:p.width-1]
	}
	fmt.Fprintf(p.out.out, "\r\x1b[K%s", string(runes))
}

// done ends the line with a word on how the run ended.
func (p *progress) done(word string) {
	line := fmt.Sprintf("%s: %s in %.1f s", p.name, word, time.Since(p.started).Seconds())
	if p.live {
		p.rewrite(line)
		line = ""
	}
	fmt.Fprintln(p.out, line)
}

// outcome shows how the run ended, where its pages are, and for a failure all that
// helps to mend it.
func (p *progress) outcome(o runner.Outcome, bundle *report.Bundle, dir string) {
	if o.Failure == nil {
		p.done("completed")
	} else {
		p.done("failed: " + string(o.Failure.Code))
	}
	for _, w := range o.Warnings {
		fmt.Fprintf(p.out, "  warning: %s\n", w)
	}
	if f := o.Failure; f != nil {
		fmt.Fprint(p.out, explain(f, sources(bundle), f.Advice()))
		fmt.Fprintf(p.out, "\nKept for you in %s: %s\n", dir, strings.Join(slices.Sorted(maps.Keys(o.Kept)), ", "))
		return
	}
	for _, language := range slices.Sorted(maps.Keys(o.Pages)) {
		fmt.Fprintf(p.out, "  %s\n", filepath.Join(dir, language, "index.html"))
	}
}

// explain tells a person what failed, where, and what to do next.
func explain(f *runner.Failure, sources []string, advice string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", f.Code, f.Message)
	if f.Cell != nil {
		fmt.Fprintf(&b, "\n%s\n", whereInNotebook(f.Cell))
		if f.Cell.Index < len(sources) {
			b.WriteString(quoteSource(sources[f.Cell.Index], f.Cell.Line))
		}
	}
	if f.Traceback != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(f.Traceback, "\n"))
	}
	fmt.Fprintf(&b, "\n%s\n", advice)
	return b.String()
}

// sources returns the cells of a bundle's notebook.
func sources(bundle *report.Bundle) []string {
	var all []string
	for _, cell := range bundle.Notebook.Cells {
		all = append(all, cell.Source)
	}
	return all
}

// whereInNotebook names a cell as Jupyter shows it.
func whereInNotebook(c *runner.CellRef) string {
	where := fmt.Sprintf("cell %d of the notebook", c.Index+1)
	if c.ExecutionCount > 0 {
		where += fmt.Sprintf(", In [%d]", c.ExecutionCount)
	}
	if c.Line > 0 {
		where += fmt.Sprintf(", line %d", c.Line)
	}
	return where
}

// quoteSource shows a cell with the failing line marked.
func quoteSource(source string, failing int) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimRight(source, "\n"), "\n") {
		mark := " "
		if i+1 == failing {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %3d  %s\n", mark, i+1, line)
	}
	return b.String()
}
