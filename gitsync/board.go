package gitsync

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
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

	Declined Trouble = "not recorded" // the remote's rules decline documents of it
)

// BoardRow is a report as the board shows it.
type BoardRow struct {
	Report  string    // its name
	Title   string    // for people, may be empty
	Trouble Trouble   // "" where all is well
	Detail  string    // what the trouble is, in a sentence
	Slot    time.Time // the latest, in the report's zone; zero where there was none
	Counts  []Count   // of the slot's runs, in the order to show
	Where   Link      // the slot's folder; its text is "branch:path"
	Failed  []Link    // manifests of the slot's runs that failed, the first few
	More    int       // how many more failed
	Next    time.Time // when it fires next, in the report's zone; zero means never
	Off     bool      // it is disabled: it does not fire, and that is meant
	Pages   []Link    // the latest pages
	PagesAt string    // what their addresses look like, where they are too many to list
}

// Link is a text and, where that is known, an address to go to. An address that is not
// of http or https, or that would not stay in its link, is taken for not known.
type Link struct{ Text, URL string }

// linkable are the addresses that end where their link ends, in a table too.
var linkable = regexp.MustCompile("^https?://[!#-&*-;=?-Z_a-z~]+$")

func (l Link) markdown() string {
	if !linkable.MatchString(l.URL) {
		return escape(l.Text)
	}
	return "[" + escape(l.Text) + "](" + l.URL + ")"
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
	b.WriteString("\n## All reports\n\n")
	columns := []string{"report", "latest slot", "runs", "next"}
	if slices.ContainsFunc(rows, func(r BoardRow) bool { return r.pages() != "–" }) {
		columns = append(columns, "latest pages")
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, r := range byName {
		cells := []string{r.name(), r.latest(), r.counts(), r.next(), r.pages()}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells[:len(columns)], " | "))
	}
	return b.Bytes()
}

func (t Trouble) rank() int { return slices.Index([]Trouble{Broken, Overdue, Failed, Declined}, t) }

func (r BoardRow) alarm() string {
	line := fmt.Sprintf("**%s**: %s", Link{r.Report, r.Where.URL}.markdown(), r.Trouble)
	if r.Detail != "" {
		line += ", " + escape(r.Detail)
	}
	if names := links(r.Failed); names != "" {
		line += ": " + names
		if r.More > 0 {
			line += fmt.Sprintf(" and %d more", r.More)
		}
	}
	if r.Where.Text != "" && !linkable.MatchString(r.Where.URL) {
		line += " (" + escape(r.Where.Text) + ")"
	}
	return line
}

func links(all []Link) string {
	var parts []string
	for _, l := range all {
		parts = append(parts, l.markdown())
	}
	return strings.Join(parts, ", ")
}

func (r BoardRow) name() string {
	if r.Title == "" {
		return escape(r.Report)
	}
	return escape(r.Report) + "<br>" + escape(r.Title)
}

func (r BoardRow) latest() string {
	switch {
	case r.Slot.IsZero() || r.Where.Text == "":
		return instant(r.Slot)
	case linkable.MatchString(r.Where.URL):
		return Link{instant(r.Slot), r.Where.URL}.markdown()
	}
	return instant(r.Slot) + "<br>" + escape(r.Where.Text)
}

func (r BoardRow) next() string {
	if r.Off {
		return "disabled"
	}
	return instant(r.Next)
}

func (r BoardRow) pages() string {
	if linkable.MatchString(r.PagesAt) {
		return "`" + r.PagesAt + "`"
	}
	return cmp.Or(links(r.Pages), "–")
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
