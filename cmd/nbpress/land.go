package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"nbpress/gitsync"
	"nbpress/runner"
)

const (
	landAtOnce  = 2 * time.Second  // how long documents gather after a commit
	landBatch   = 50               // how many one commit holds at most
	landTimeout = 10 * time.Second // at start and end
	landRetry   = 5 * time.Second  // after a failure, at first
	landRetryAt = 60 * time.Second // at most
)

// land commits what the outbox holds to the ledger until ctx ends: at once where
// nothing was committed just before, else a little later, together with more.
func (a *agent) land(ctx context.Context) error {
	retry := landRetry
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.recorded:
		}
		pause := landAtOnce
		if err := a.landOutbox(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("ledger not reached; manifests wait in the outbox", "error", err, "retry", retry)
			pause, retry = retry, min(2*retry, landRetryAt)
			a.recorded.ring()
		} else {
			retry = landRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// landNow lands the outbox if the ledger can be reached within a short time.
func (a *agent) landNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, landTimeout)
	defer cancel()
	if err := a.landOutbox(ctx); err != nil {
		a.log.Warn("ledger not reached; manifests wait in the outbox", "error", err)
		a.recorded.ring()
	}
}

// landOutbox commits the documents of the outbox, branch by branch, and removes from
// it what the ledger has.
func (a *agent) landOutbox(ctx context.Context) error {
	keys, err := a.store.List(ctx, runner.OutboxPrefix)
	if err != nil {
		return err
	}
	branches := map[string][]entry{}
	var errs []error
	for _, key := range keys {
		e, err := a.entryOf(ctx, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("outbox %s: %w", key, err))
			continue
		}
		branches[e.branch] = append(branches[e.branch], e)
	}
	for branch, entries := range branches {
		for batch := range slices.Chunk(entries, landBatch) {
			if err := a.landBatch(ctx, branch, batch); err != nil {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}

// entry is a document on its way from the outbox to the ledger.
type entry struct {
	key    string
	branch string
	path   string
	data   []byte
	run    *runner.Manifest // one of these three
	slot   *runner.SlotRecord
	broken *runner.ReportRecord
}

// entryOf reads a document of the outbox and finds its place in the ledger.
func (a *agent) entryOf(ctx context.Context, key string) (entry, error) {
	e := entry{key: key}
	data, err := a.store.Get(ctx, key)
	if err != nil {
		return e, err
	}
	e.data = data
	kind, err := runner.KindOf(data)
	if err != nil {
		return e, err
	}
	switch kind {
	case runner.KindRun:
		m, err := runner.Decode[runner.Manifest](data, kind)
		if err != nil {
			return e, err
		}
		e.run, e.branch, e.path = &m, monthBranch(m.ScheduledAt), runPath(m)
		if a.c.Ledger.Traceback == "summary" && m.Error != nil && m.Error.Traceback != "" {
			m.Error.Traceback = ""
			e.data, err = runner.Encode(m)
		}
		return e, err
	case runner.KindSlot:
		s, err := runner.Decode[runner.SlotRecord](data, kind)
		e.slot, e.branch = &s, monthBranch(s.ScheduledAt)
		e.path = path.Join(slotPath(s.Report, s.ScheduledAt), "slot.yaml")
		return e, err
	case runner.KindReport:
		r, err := runner.Decode[runner.ReportRecord](data, kind)
		e.broken, e.branch = &r, monthBranch(r.SeenAt)
		e.path = path.Join(r.Report, "broken-"+short(r.BundleCommit)+".yaml")
		return e, err
	}
	return e, fmt.Errorf("kind %q has no place in the ledger", kind)
}

// The ledger's layout: a branch per month, a folder per report and slot, a file per
// run, by the slot's own clock.

func monthBranch(at time.Time) string { return "runs/" + at.Format("2006-01") }

func slotPath(report string, at time.Time) string { return path.Join(report, runner.SlotName(at)) }

func runPath(m runner.Manifest) string {
	name := m.Asset
	if m.Generation > 1 {
		name += fmt.Sprintf(".g%d", m.Generation)
	}
	return path.Join(slotPath(m.Report, m.ScheduledAt), name+".yaml")
}

// landBatch makes one commit of the entries of one branch.
func (a *agent) landBatch(ctx context.Context, branch string, entries []entry) error {
	change := gitsync.Change{Branch: branch, Files: map[string][]byte{}, Keep: keepTerminal}
	for _, e := range entries {
		change.Files[e.path] = e.data
	}
	change.Subject, change.Body, change.Trailers = describe(entries)
	commit, err := a.ledger.Commit(ctx, change)
	if err != nil {
		return err
	}
	a.log.Info("ledger written", "branch", branch, "commit", short(commit.Hash), "subject", change.Subject)
	var errs []error
	for _, e := range entries {
		errs = append(errs, a.store.Delete(ctx, e.key))
	}
	return errors.Join(errs...)
}

// keepTerminal keeps a terminal manifest that the ledger has: the same path is the
// same run and generation, and the first to get there is the one that counts.
func keepTerminal(_ string, old, _ []byte) bool {
	m, err := runner.Decode[runner.Manifest](old, runner.KindRun)
	return err == nil && m.Status != ""
}

// describe words a commit: the subject is a sentence, the errors are in the body, and
// the trailers are for programs.
func describe(entries []entry) (subject, body string, trailers [][2]string) {
	var t tally
	var lines []string
	for _, e := range entries {
		switch {
		case e.run != nil:
			t.add(e.run.Report, e.run.ScheduledAt, string(e.run.Status))
			trailers = append(trailers, [2]string{"Run", fmt.Sprintf("%s %s", e.run.ID, e.run.Status)})
			if f := e.run.Error; f != nil {
				lines = append(lines, fmt.Sprintf("%s/%s: %s: %s%s", e.run.Report, e.run.Asset, f.Code, firstLine(f.Message), place(f.Cell)))
			}
		case e.slot != nil && e.slot.Status == runner.StatusSkipped:
			t.add(e.slot.Report, e.slot.ScheduledAt, string(e.slot.Status))
		case e.slot != nil:
			t.add(e.slot.Report, e.slot.ScheduledAt, fmt.Sprintf("%d due", len(e.slot.Assets)))
		case e.broken != nil:
			t.add(e.broken.Report, e.broken.SeenAt, "broken bundle")
			lines = append(lines, e.broken.Error.Problems...)
		}
	}
	if len(t.groups) > 1 {
		lines = append(append(t.sentences(), ""), lines...)
	}
	return t.subject(), strings.TrimSpace(strings.Join(lines, "\n")), trailers
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func place(c *runner.CellRef) string {
	switch {
	case c == nil || c.ExecutionCount == 0:
		return ""
	case c.Line == 0:
		return fmt.Sprintf(" (In [%d])", c.ExecutionCount)
	}
	return fmt.Sprintf(" (In [%d], line %d)", c.ExecutionCount, c.Line)
}

// tally counts what a commit tells, by report and day, in the order of appearance.
type tally struct {
	groups []*tallyGroup
}

type tallyGroup struct {
	name   string // "weekly-energy 2026-11-23"
	words  []string
	counts map[string]int
}

// add counts a word: a status, or a phrase that stands for itself.
func (t *tally) add(report string, at time.Time, word string) {
	name := report + " " + at.Format(time.DateOnly)
	i := slices.IndexFunc(t.groups, func(g *tallyGroup) bool { return g.name == name })
	if i < 0 {
		i = len(t.groups)
		t.groups = append(t.groups, &tallyGroup{name: name, counts: map[string]int{}})
	}
	g := t.groups[i]
	if g.counts[word]++; g.counts[word] == 1 {
		g.words = append(g.words, word)
	}
}

func (g *tallyGroup) sentence() string {
	var parts []string
	ended := g.counts[string(runner.StatusCompleted)]+g.counts[string(runner.StatusError)] > 0
	for _, word := range g.words {
		if ended && strings.HasSuffix(word, " due") {
			continue // said by how they ended
		}
		if word == string(runner.StatusCompleted) || word == string(runner.StatusError) {
			word = fmt.Sprintf("%d %s", g.counts[word], word)
		}
		parts = append(parts, word)
	}
	return g.name + ": " + strings.Join(parts, ", ")
}

func (t *tally) sentences() []string {
	var all []string
	for _, g := range t.groups {
		all = append(all, g.sentence())
	}
	return all
}

// subject is the one sentence, or for several reports their sum.
func (t *tally) subject() string {
	if len(t.groups) == 1 {
		return t.groups[0].sentence()
	}
	sum := &tallyGroup{name: fmt.Sprintf("%d reports", len(t.groups)), counts: map[string]int{}}
	for _, word := range []string{string(runner.StatusCompleted), string(runner.StatusError)} {
		for _, g := range t.groups {
			sum.counts[word] += g.counts[word]
		}
		if sum.counts[word] > 0 {
			sum.words = append(sum.words, word)
		}
	}
	if len(sum.words) == 0 {
		return sum.name + " due"
	}
	return sum.sentence()
}
