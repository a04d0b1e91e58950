package gitsync

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Trouble is why a report stands at the top of the board.
type Trouble string

// The troubles, the worst first. The zero value is none.
const (
	Broken  Trouble = "broken"  // its bundle is not valid, so nothing runs
	Overdue Trouble = "overdue" // a slot is due and did not start
	Failed  Trouble = "failed"  // runs of the latest slot ended in errors
)

// BoardRow is a report as the board shows it.
type BoardRow struct {
	Report  string    // its name
	Title   string    // for people, may be empty
	Trouble Trouble   // "" where all is well
	Detail  string    // what the trouble is, in a sentence
	Slot    time.Time // the latest, in the report's zone; zero where there was none
	Counts  []Count   // of the slot's runs, in the order to show
	Where   string    // the slot's folder, as "branch:path"
	Next    time.Time // when it fires next, in the report's zone; zero means never
}

// Count says how many runs have a status.
type Count struct {
	Status string
	Runs   int
}

// Board renders the status board as Markdown, for README.md of a branch: the
// troubles first, then every report by name. The same rows give the same bytes;
// at is when they were true.
func Board(rows []BoardRow, at time.Time) []byte {
	byName := slices.SortedFunc(slices.Values(rows), func(a, b BoardRow) int { return strings.Compare(a.Report, b.Report) })
	worst := slices.DeleteFunc(slices.Clone(byName), func(r BoardRow) bool { return r.Trouble == "" })
	slices.SortStableFunc(worst, func(a, b BoardRow) int { return cmp.Compare(a.Trouble.rank(), b.Trouble.rank()) })

	var b bytes.Buffer
	fmt.Fprintf(&b, "# Reports\n\nAs of %s: ", stamp(at.UTC()))
	switch {
	case len(rows) == 0:
		b.WriteString("there are no reports.\n")
		return b.Bytes()
	case len(worst) == 0:
		fmt.Fprintf(&b, "**all is well** with %s.\n", reports(len(rows)))
	default:
		fmt.Fprintf(&b, "**%d of %s need attention.**\n", len(worst), reports(len(rows)))
		b.WriteString("\n## Needs attention\n\n")
		for _, r := range worst {
			fmt.Fprintf(&b, "- %s\n", r.alarm())
		}
	}
	b.WriteString("\n## All reports\n\n| report | latest slot | runs | next |\n|---|---|---|---|\n")
	for _, r := range byName {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.name(), r.latest(), r.counts(), instant(r.Next))
	}
	return b.Bytes()
}

func (t Trouble) rank() int { return slices.Index([]Trouble{Broken, Overdue, Failed}, t) }

func (r BoardRow) alarm() string {
	line := fmt.Sprintf("**%s**: %s", escape(r.Report), r.Trouble)
	if r.Detail != "" {
		line += ", " + escape(r.Detail)
	}
	if r.Where != "" {
		line += " (" + escape(r.Where) + ")"
	}
	return line
}

func (r BoardRow) name() string {
	if r.Title == "" {
		return escape(r.Report)
	}
	return escape(r.Report) + "<br>" + escape(r.Title)
}

func (r BoardRow) latest() string {
	if r.Where == "" || r.Slot.IsZero() {
		return instant(r.Slot)
	}
	return instant(r.Slot) + "<br>" + escape(r.Where)
}

func (r BoardRow) counts() string {
	var parts []string
	for _, c := range r.Counts {
		if c.Runs > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.Runs, escape(c.Status)))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "–")
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return stamp(t)
}

func stamp(t time.Time) string { return t.Format("Mon 2006-01-02 15:04 MST") }

func reports(n int) string {
	if n == 1 {
		return "1 report"
	}
	return fmt.Sprintf("%d reports", n)
}

// escape makes text of anything: on one line, without markup.
func escape(text string) string {
	var b strings.Builder
	for _, r := range oneLine(text) {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '\\', '`', '*', '_', '[', ']', '|', '~':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
