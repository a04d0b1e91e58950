package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nbpress/runner"
)

// tally counts what a commit to the ledger tells, by report and day, in the order of
// appearance.
type tally struct {
	groups []*tallyGroup
}

type tallyGroup struct {
	report, day string
	counts
}

// counts are of runs, of slots that were skipped or missed, of bundles that are broken,
// and of requests.
type counts struct {
	completed, failed, canceled, due, skipped, missed, broken, accepted, refused int
}

// ending counts a run.
func (c *counts) ending(status runner.Status) {
	switch status {
	case runner.StatusCompleted:
		c.completed++
	case runner.StatusCanceled:
		c.canceled++
	default:
		c.failed++
	}
}

// group returns the counts of a report's day.
func (t *tally) group(report string, at time.Time) *tallyGroup {
	day := at.Format(time.DateOnly)
	i := slices.IndexFunc(t.groups, func(g *tallyGroup) bool { return g.report == report && g.day == day })
	if i < 0 {
		i = len(t.groups)
		t.groups = append(t.groups, &tallyGroup{report: report, day: day})
	}
	return t.groups[i]
}

func (c counts) ended() int { return c.completed + c.failed + c.canceled }

// told returns the counts without the runs that were due: how they ended says that.
func (c counts) told() counts {
	if c.ended() > 0 {
		c.due = 0
	}
	return c
}

func (c *counts) add(more counts) {
	c.completed += more.completed
	c.failed += more.failed
	c.canceled += more.canceled
	c.due += more.due
	c.skipped += more.skipped
	c.missed += more.missed
	c.broken += more.broken
	c.accepted += more.accepted
	c.refused += more.refused
}

// String lists what there is: "2 completed, 1 error".
func (c counts) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.completed, "completed"}, {c.failed, "error"}, {c.canceled, "canceled"}, {c.due, "due"}, {c.skipped, "skipped"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if c.missed > 0 {
		parts = append(parts, counted(c.missed, "slot")+" missed")
	}
	if c.broken > 0 {
		parts = append(parts, counted(c.broken, "broken bundle"))
	}
	if c.accepted > 0 {
		parts = append(parts, counted(c.accepted, "request")+" accepted")
	}
	if c.refused > 0 {
		parts = append(parts, counted(c.refused, "request")+" refused")
	}
	return strings.Join(parts, ", ")
}

// sentences has one for each report and day.
func (t *tally) sentences() []string {
	var all []string
	for _, g := range t.groups {
		what := g.told().String()
		switch g.counts {
		case counts{skipped: 1}, counts{broken: 1}, counts{accepted: 1}, counts{refused: 1}: // "1 skipped" would be odd
			what = strings.TrimPrefix(what, "1 ")
		}
		all = append(all, fmt.Sprintf("%s %s: %s", g.report, g.day, what))
	}
	return all
}

// subject is the one sentence, or for several their sum.
func (t *tally) subject() string {
	if len(t.groups) == 1 {
		return t.sentences()[0]
	}
	var sum counts
	all, due := map[string]bool{}, map[string]bool{}
	for _, g := range t.groups {
		c := g.told()
		all[g.report] = true
		if c.due > 0 {
			due[g.report] = true
		}
		sum.add(c)
	}
	switch {
	case len(all) == 1:
		return t.groups[0].report + ": " + sum.String()
	case sum.ended() > 0 || len(due) == 0:
		return fmt.Sprintf("%d reports: %s", len(all), sum)
	}
	sum.due = 0
	reports := fmt.Sprintf("%d reports due", len(due))
	if len(due) == 1 {
		reports = "1 report due"
	}
	if rest := sum.String(); rest != "" {
		return reports + ", " + rest
	}
	return reports
}
