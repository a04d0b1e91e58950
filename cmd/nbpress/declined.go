package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"nbpress/gitsync"
)

// Some remotes look into what is pushed, and decline a push for one document in it: a
// scanner for secrets does that. Who it was is found by halves. It stays in the outbox,
// is told once and tried again now and then; the others land. Where everything is
// declined it is the branch that is closed, and no document's fault.
const (
	mostProbes  = 40 // pushes of one search: enough for one of landBatch, or a few
	closedAfter = 3  // documents declined by themselves, and none taken
)

// declined are the documents that the ledger's remote does not take, by their keys in
// the outbox. The zero value is none.
type declined struct {
	mu   sync.Mutex // guards what follows
	held map[string]heldDocument
}

type heldDocument struct {
	report, place string // place is branch:path
	reason        string
	again         time.Time // when it is tried next
}

// split returns what of the outbox is new, and what was declined and is due again; it
// forgets what is not in the outbox any more.
func (d *declined) split(keys []string, now time.Time) (fresh, due []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := map[string]heldDocument{}
	for _, key := range keys {
		document, ok := d.held[key]
		if ok {
			held[key] = document
		}
		switch {
		case !ok:
			fresh = append(fresh, key)
		case !now.Before(document.again):
			due = append(due, key)
		}
	}
	d.held = held
	return fresh, due
}

// hold notes that a document is declined, and reports whether that is news.
func (d *declined) hold(e entry, no *gitsync.DeclinedError, again time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.held[e.key]
	if d.held == nil {
		d.held = map[string]heldDocument{}
	}
	d.held[e.key] = heldDocument{e.report(), e.branch + ":" + e.path, no.Reason, again}
	return !ok || known.reason != no.Reason
}

// postpone has documents that are held tried again later.
func (d *declined) postpone(keys []string, again time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		if document, ok := d.held[key]; ok {
			document.again = again
			d.held[key] = document
		}
	}
}

// forget notes that a document is declined no more.
func (d *declined) forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, key)
}

// next returns how long it is until one is due again, 0 where none is held.
func (d *declined) next(now time.Time) (least time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, document := range d.held {
		if wait := max(time.Second, document.again.Sub(now)); least == 0 || wait < least {
			least = wait
		}
	}
	return least
}

// count returns how many documents are held, of all reports or of one, and why one is.
func (d *declined) count(report string) (n int, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, document := range d.held {
		if report == "" || document.report == report {
			n, why = n+1, max(why, document.reason)
		}
	}
	return n, why
}

// err names what is held.
func (d *declined) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var places []string
	for _, document := range d.held {
		places = append(places, document.place+": "+document.reason)
	}
	if len(places) == 0 {
		return nil
	}
	slices.Sort(places)
	return fmt.Errorf("the ledger declines %d documents, which wait in the outbox, the first of them %s", len(places), places[0])
}

// landSome commits the entries of one branch, as one commit or, where the remote
// declines that, all that it takes. The error is of a branch that takes nothing.
func (a *agent) landSome(ctx context.Context, branch string, entries []entry) error {
	err := a.landBatch(ctx, branch, entries)
	var no *gitsync.DeclinedError
	if len(entries) == 1 || !errors.As(err, &no) {
		return err
	}
	s := search{agent: a, branch: branch}
	searched := s.halves(ctx, mix(entries), no)
	if s.landed == 0 {
		return cmp.Or(searched, err)
	}
	for _, f := range s.found {
		if a.declined.hold(f.entry, f.no, time.Now().Add(retryRefused)) {
			a.log.Error("ledger declines a document until a person allows it; it waits in the outbox, the others land",
				"document", f.entry.key, "place", branch+":"+f.entry.path, "error", f.no, "retry", retryRefused)
		}
	}
	a.changed.ring()
	if searched == nil {
		a.landed.note(ctx, nil) // it takes commits: the last push that it declined was one of these
	}
	return searched
}

// mix returns entries in an order of which the beginning tells much: by chance, and of
// each report one before there are two. Else a few that are declined at the beginning, of
// one report with a secret in its tracebacks, would pass for all.
func mix(entries []entry) []entry {
	mixed := slices.Clone(entries)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	turn, of := map[string]int{}, map[string]int{}
	for _, e := range mixed {
		turn[e.key] = of[e.report()]
		of[e.report()]++
	}
	slices.SortStableFunc(mixed, func(a, b entry) int { return cmp.Compare(turn[a.key], turn[b.key]) })
	return mixed
}

// landDue tries again what was declined. It stays so until it lands.
func (a *agent) landDue(ctx context.Context, keys []string) error {
	branches, err := a.readOutbox(ctx, keys)
	errs := []error{err}
	for branch, entries := range branches {
		err := a.landSome(ctx, branch, entries)
		var no *gitsync.DeclinedError
		if !errors.As(err, &no) {
			errs = append(errs, err)
		}
	}
	a.declined.postpone(keys, time.Now().Add(retryRefused))
	return errors.Join(errs...)
}

// search looks among documents that were declined together for those that are declined
// by themselves, and lands the others.
type search struct {
	agent  *agent
	branch string

	probes int
	landed int
	found  []culprit
}

type culprit struct {
	entry entry
	no    *gitsync.DeclinedError
}

// halves searches entries that were declined together. The error ends the search: the
// remote is away, takes nothing at all, or was asked often enough for now.
func (s *search) halves(ctx context.Context, entries []entry, no *gitsync.DeclinedError) error {
	if len(entries) == 1 {
		s.found = append(s.found, culprit{entries[0], no})
		if s.landed == 0 && len(s.found) >= closedAfter {
			return no
		}
		return nil
	}
	for half := range slices.Chunk(entries, (len(entries)+1)/2) {
		if s.probes++; s.probes > mostProbes {
			return no
		}
		err := s.agent.landBatch(ctx, s.branch, half)
		var no *gitsync.DeclinedError
		switch {
		case err == nil:
			s.landed += len(half)
		case !errors.As(err, &no):
			return err
		default:
			if err := s.halves(ctx, half, no); err != nil {
				return err
			}
		}
	}
	return nil
}
