package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"nbpress/gitsync"
	"nbpress/runner"
)

const (
	landAtOnce  = 2 * time.Second  // how long documents gather after a commit
	landBatch   = 50               // how many one commit holds at most
	landTimeout = 10 * time.Second // at start and end
)

// land commits what the outbox holds to the ledger until ctx ends: at once where
// nothing was committed just before, else a little later, together with more. What did
// not land is tried again as patience says.
func (a *agent) land(ctx context.Context) error {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.recorded:
		case <-again:
		}
		err := a.landOutbox(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		least, most := a.landing.after(err, a.log, waiting)
		if due := a.declined.next(time.Now()); most == 0 {
			most = due
		}
		if again = nil; most > 0 {
			again = time.After(most)
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(landAtOnce, least)):
		}
	}
}

// waiting is what becomes of manifests that do not land.
const waiting = "manifests wait in the outbox"

// landNow lands the outbox if the ledger can be reached within a short time.
func (a *agent) landNow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, landTimeout)
	defer cancel()
	if err := a.landOutbox(ctx); err != nil {
		a.landing.after(err, a.log, waiting)
		a.recorded.ring()
	}
}

// landOutbox commits the documents of the outbox, some at a time, and removes from it
// what the ledger has. A branch that takes nothing does not hold up the others, nor does
// a document that is declined.
func (a *agent) landOutbox(ctx context.Context) (err error) {
	keys, err := a.store.List(ctx, runner.OutboxPrefix)
	if err != nil {
		return storeError{err}
	}
	a.metrics.waits(len(keys) > 0)
	defer func() { a.metrics.waits(err != nil || a.declined.err() != nil) }()
	var errs []error
	closed := map[string]bool{}
	fresh, due := a.declined.split(keys, time.Now())
	if a.landing.refused != "" { // else the first some, which were declined, would hold up the rest each time
		rand.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
	}
	for some := range slices.Chunk(fresh, landBatch) {
		branches, err := a.readOutbox(ctx, some)
		if err != nil {
			errs = append(errs, err)
		}
		for _, branch := range slices.Sorted(maps.Keys(branches)) {
			if closed[branch] {
				continue
			}
			if err := a.landSome(ctx, branch, branches[branch]); err != nil {
				errs, closed[branch] = append(errs, err), true
			}
		}
		if len(errs) > 0 && !a.ledgerAnswers(ctx) {
			return errors.Join(errs...) // do not read all of a long outbox for nothing
		}
	}
	for some := range slices.Chunk(due, landBatch) {
		errs = append(errs, a.landDue(ctx, some))
	}
	if err = errors.Join(errs...); err == nil && len(due) > 0 {
		a.landed.note(ctx, nil) // what is declined still is no news of the ledger
	}
	return err
}

// storeError is an error of the store, where one of the ledger might be expected.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// ledgerAnswers reports whether the ledger's remote is there.
func (a *agent) ledgerAnswers(ctx context.Context) bool {
	_, err := a.ledger.Branches(ctx, "runs/")
	return err == nil
}

// record puts a document into the outbox, below a name of the document's own.
func (a *agent) record(ctx context.Context, name string, document any) error {
	data, err := runner.Encode(document)
	if err != nil {
		return err
	}
	if err := a.store.Put(ctx, runner.OutboxPrefix+name, data); err != nil {
		return err
	}
	a.recorded.ring()
	return nil
}

// readOutbox reads documents of the outbox, by branch. What cannot be read as one is
// set aside. The error is the store's.
func (a *agent) readOutbox(ctx context.Context, keys []string) (map[string][]entry, error) {
	branches := map[string][]entry{}
	texts, failures := make([][]byte, len(keys)), make([]error, len(keys))
	sideBySide(len(keys), func(i int) { texts[i], failures[i] = a.store.Get(ctx, keys[i]) })
	var errs []error
	for i, key := range keys {
		data, err := texts[i], failures[i]
		if errors.Is(err, fs.ErrNotExist) {
			continue // another agent has just landed it
		}
		if err != nil {
			errs = append(errs, storeError{fmt.Errorf("outbox: %w", err)})
			continue
		}
		e, err := a.entryOf(key, data)
		if err != nil {
			errs = append(errs, a.reject(ctx, key, data, err))
			continue
		}
		branches[e.branch] = append(branches[e.branch], e)
	}
	return branches, errors.Join(errs...)
}

// rejectedPrefix holds what was in the outbox and is no document for the ledger.
const rejectedPrefix = "rejected/"

// reject moves a document out of the outbox, for a person to look at.
func (a *agent) reject(ctx context.Context, key string, data []byte, why error) error {
	to := rejectedPrefix + strings.TrimPrefix(key, runner.OutboxPrefix)
	if err := a.store.Put(ctx, to, data); err != nil {
		return storeError{err}
	}
	if err := a.store.Delete(ctx, key); err != nil {
		return storeError{err}
	}
	a.log.Error("document cannot go to the ledger; it is set aside in the store", "document", to, "error", why)
	return nil
}

// entry is a document on its way from the outbox to the ledger.
type entry struct {
	key    string
	branch string
	path   string
	data   []byte
	run    *runner.Manifest // one of these
	slot   *runner.SlotRecord
	broken *runner.ReportRecord
	missed *runner.MissedRecord
	answer *runner.Answer
}

// report returns the name of the report that a document is of, "" where it is of none.
func (e entry) report() string {
	switch {
	case e.run != nil:
		return e.run.Report
	case e.slot != nil:
		return e.slot.Report
	case e.broken != nil:
		return e.broken.Report
	case e.missed != nil:
		return e.missed.Report
	case e.answer != nil:
		return e.answer.Report
	}
	return ""
}

// entryOf decodes a document of the outbox and finds its place in the ledger.
func (a *agent) entryOf(key string, data []byte) (entry, error) {
	e := entry{key: key, data: data}
	kind, err := runner.KindOf(data)
	if err != nil {
		return e, err
	}
	var at time.Time
	switch kind {
	case runner.KindRun:
		m, err := runner.Decode[runner.Manifest](data, kind)
		if err != nil {
			return e, err
		}
		e.run, at, e.path = &m, m.ScheduledAt, runPath(m)
		if a.c.Ledger.Traceback == "summary" && m.Error != nil && m.Error.Traceback != "" {
			m.Error.Traceback = ""
			if e.data, err = runner.Encode(m); err != nil {
				return e, err
			}
		}
	case runner.KindSlot:
		s, err := runner.Decode[runner.SlotRecord](data, kind)
		if err != nil {
			return e, err
		}
		e.slot, at, e.path = &s, s.ScheduledAt, path.Join(s.Report, s.Slot(), "slot.yaml")
	case runner.KindReport:
		r, err := runner.Decode[runner.ReportRecord](data, kind)
		if err != nil {
			return e, err
		}
		e.broken, at, e.path = &r, r.SeenAt, path.Join(r.Report, "broken-"+short(r.BundleCommit)+".yaml")
	case runner.KindAnswer:
		r, err := runner.Decode[runner.Answer](data, kind)
		if err != nil {
			return e, err
		}
		e.answer, at, e.path = &r, r.AnsweredAt, answerPath(r)
	case runner.KindMissed:
		m, err := runner.Decode[runner.MissedRecord](data, kind)
		if err != nil {
			return e, err
		}
		e.missed, at, e.path = &m, m.First, path.Join(m.Report, "missed-"+runner.SlotName(m.First)+".yaml")
	}
	if at.IsZero() || !fs.ValidPath(e.path) {
		return e, fmt.Errorf("a document of kind %q, time %s and path %q has no place in the ledger", kind, at.Format(time.RFC3339), e.path)
	}
	e.branch = monthBranch(at)
	return e, nil
}

// The ledger's layout: a branch per month, a folder per report and slot, a file per
// run, by the slot's own clock.

func monthBranch(at time.Time) string { return "runs/" + at.Format("2006-01") }

func slotPath(report string, at time.Time) string { return path.Join(report, runner.SlotName(at)) }

func runPath(m runner.Manifest) string {
	return path.Join(m.Report, m.Slot(), runFile(m.Asset, m.Generation))
}

// runFile is the file's name of a generation; assetOf reads it.
func runFile(asset string, generation int) string {
	if generation > 1 {
		asset += fmt.Sprintf(".g%d", generation)
	}
	return asset + ".yaml"
}

func answerPath(r runner.Answer) string {
	return path.Join(r.Report, "request-"+runner.RequestID(r.Request)+".yaml")
}

// landBatch makes one commit of the entries of one branch.
func (a *agent) landBatch(ctx context.Context, branch string, entries []entry) error {
	change := gitsync.Change{Branch: branch, Files: map[string][]byte{}, Keep: keepTerminal}
	for _, e := range entries {
		change.Files[e.path] = e.data
	}
	change.Subject, change.Body, change.Trailers = describe(entries)
	commit, err := a.ledger.Commit(ctx, change)
	a.landed.note(ctx, err)
	if err != nil {
		return err
	}
	a.log.Info("ledger written", "branch", branch, "commit", short(commit.Hash), "subject", change.Subject)
	errs := make([]error, len(entries))
	sideBySide(len(entries), func(i int) {
		if err := a.store.Delete(ctx, entries[i].key); err != nil {
			errs[i] = storeError{err}
		}
	})
	for _, e := range entries {
		a.declined.forget(e.key)
	}
	return errors.Join(errs...)
}

// atOnce is how many requests are made to the store side by side: a bucket takes its
// time for each, and does not mind many.
const atOnce = 8

// sideBySide calls do with 0 to n-1, some at a time, and returns when all have returned.
func sideBySide(n int, do func(i int)) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = g.Wait() // it has no error
}

// keepTerminal keeps a terminal manifest that the ledger has of the same run and
// generation: the first to get there is the one that counts. What says that it is of
// another run is somebody's by hand, and gives way.
func keepTerminal(_ string, old, ours []byte) bool {
	m, err := decodeRun(old)
	if err != nil || m.Status == "" {
		return false
	}
	n, err := runner.Decode[runner.Manifest](ours, runner.KindRun)
	return err == nil && m.ID == n.ID && m.Generation == n.Generation
}

// problemLines is how many mistakes of one bundle a commit's message lists.
const problemLines = 20

// describe words a commit: the subject is a sentence, the errors are in the body, and
// the trailers are for programs.
func describe(entries []entry) (subject, body string, trailers [][2]string) {
	var t tally
	var lines []string
	for _, e := range entries {
		switch {
		case e.run != nil:
			g := t.group(e.run.Report, e.run.ScheduledAt)
			g.ending(e.run.Status)
			trailers = append(trailers, [2]string{"Run", fmt.Sprintf("%s %s", e.run.ID, e.run.Status)})
			if f := e.run.Error; f != nil {
				lines = append(lines, fmt.Sprintf("%s/%s: %s: %s%s", e.run.Report, e.run.Asset, f.Code, oneLine(f.Message), place(f.Cell)))
			}
		case e.slot != nil && e.slot.Status == runner.StatusSkipped:
			t.group(e.slot.Report, e.slot.ScheduledAt).skipped++
		case e.slot != nil:
			t.group(e.slot.Report, e.slot.ScheduledAt).due += len(e.slot.Assets)
		case e.broken != nil:
			t.group(e.broken.Report, e.broken.SeenAt).broken++
			lines = append(lines, problemsOf(e.broken.Error)...)
		case e.answer != nil:
			g := t.group(cmp.Or(e.answer.Report, requestsBranch), e.answer.AnsweredAt)
			if e.answer.Status == runner.AnswerRefused {
				g.refused++
			} else {
				g.accepted++
			}
			lines = append(lines, tellAnswer(*e.answer)...)
		case e.missed != nil:
			t.group(e.missed.Report, e.missed.First).missed += e.missed.Count
			lines = append(lines, fmt.Sprintf("%s, by %s", outage(*e.missed), e.missed.Why))
		}
	}
	if len(entries) == 1 && entries[0].missed != nil {
		return outage(*entries[0].missed), "Passed over by " + entries[0].missed.Why + ".", nil
	}
	if len(t.groups) > 1 {
		lines = append(append(t.sentences(), ""), lines...)
	}
	return t.subject(), strings.TrimSpace(strings.Join(lines, "\n")), trailers
}

// tellAnswer words an answer.
func tellAnswer(r runner.Answer) []string {
	line := fmt.Sprintf("%s by %s: %s", oneLine(r.Request), oneLine(r.RequestedBy), oneLine(r.Reason))
	if r.Status == runner.AnswerAccepted {
		return []string{line, fmt.Sprintf("%d to run, %d to cancel, %d left out", len(r.Runs), len(r.Canceled), len(r.LeftOut))}
	}
	return append([]string{line}, problemsOf(r.Error)...)
}

// problemsOf lists what is wrong with a bundle or a request, but no endless lists.
func problemsOf(e *runner.RunError) []string {
	if e == nil {
		return nil
	}
	var lines []string
	for _, problem := range e.Problems[:min(len(e.Problems), problemLines)] {
		lines = append(lines, oneLine(problem))
	}
	if more := len(e.Problems) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more", more))
	}
	return lines
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
