package lease

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"nbpress/runner"
)

const (
	renewPeriod = 4 * time.Second
	lookPeriod  = 2 * time.Second
	deadAfter   = 6                // looks without a change: its holder is no more
	settleTime  = time.Second      // after taking it from the dead, whom another may also have found
	freshFor    = 10 * time.Second // how long a renewal counts; shorter than all the looks take
)

// HeldError says that another agent has the lease.
type HeldError struct {
	Holder string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("another agent, %s, is at work with this store; stop it, or leave the work to it", e.Holder)
}

// Election is an agent's part in competing for the lease, over all its reigns. One
// goroutine at a time uses it.
type Election struct {
	store  runner.Store
	holder string
	log    *slog.Logger

	vigil vigil
	life  string // of our latest reign; "" before the first
}

// Elect returns the election of the agents with a store. No other living agent has our
// holder's name; one that had it before is over, so its lease is ours at once. It does not
// compete yet.
func Elect(store runner.Store, holder string, log *slog.Logger) *Election {
	return &Election{store: store, holder: holder, log: log}
}

// Await stands by until the lease is ours, or ctx ends. With the store away it goes on.
func (e *Election) Await(ctx context.Context) (*Reign, error) {
	var known string
	away := false
	for {
		r, there, err := e.look(ctx)
		switch {
		case r != nil && ctx.Err() == nil:
			return r, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !away:
			e.log.Warn("lease out of reach; standing by", "error", err)
		case err == nil && there.Life != known:
			e.log.Info("standing by: another agent is at work", "holder", there.Holder)
			known = there.Life
		}
		away = err != nil
		if err := wait(ctx, lookPeriod); err != nil {
			return nil, err
		}
	}
}

// Seize takes the lease, or returns a HeldError once its holder gives a sign of life.
func (e *Election) Seize(ctx context.Context) (*Reign, error) {
	var first record
	for {
		r, there, err := e.look(ctx)
		switch {
		case r != nil:
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("lease: %w", err)
		case first == (record{}):
			first = there
		case there != first:
			return nil, &HeldError{there.Holder}
		}
		if err := wait(ctx, lookPeriod); err != nil {
			return nil, err
		}
	}
}

// look looks at the lease once. If it is ours now, that begins a reign; else it returns
// what is there.
func (e *Election) look(ctx context.Context) (*Reign, record, error) {
	began := time.Now()
	there, text, err := read(ctx, e.store)
	free := errors.Is(err, fs.ErrNotExist)
	if err != nil && !free {
		e.vigil.missed()
		return nil, there, err
	}
	mine := record{Holder: e.holder, Life: rand.Text(), Count: 1}
	switch dead := !free && e.vigil.saw(text); {
	case free: // one gets it
		err = mine.write(ctx, e.store.Create)
	case e.own(there):
		err = mine.write(ctx, e.store.Put)
	case dead: // another may have found out too, and it is whose who wrote last
		e.log.Warn("taking over from an agent that gives no sign of life", "holder", there.Holder)
		e.vigil = vigil{}
		if err = mine.write(ctx, e.store.Put); err == nil {
			err = wait(ctx, settleTime)
		}
		if began = time.Now(); err == nil {
			there, _, err = read(ctx, e.store)
		}
	}
	switch {
	case errors.Is(err, runner.ErrExists), err == nil && !free && !e.own(there) && there != mine:
		return nil, there, nil
	case err != nil:
		return nil, there, err
	}
	e.life = mine.Life
	return &Reign{store: e.store, log: e.log, record: mine, renewed: began}, mine, nil
}

// own reports whether a lease is of an earlier life of ours, which is over.
func (e *Election) own(r record) bool {
	return r.Holder == e.holder && (e.life == "" || r.Life == e.life)
}

// vigil is what somebody who waits for a lease remembers of it.
type vigil struct {
	last  []byte
	looks int // after the first that saw last, all of them without a change
}

// saw takes in what a look saw, and reports whether the holder is no more.
func (v *vigil) saw(text []byte) (dead bool) {
	if v.last == nil || !bytes.Equal(v.last, text) {
		*v = vigil{last: text}
		return false
	}
	v.looks++
	return v.looks >= deadAfter
}

// missed takes in a look that failed. While the store is away the holder cannot write
// either, so what stood still meanwhile tells nothing.
func (v *vigil) missed() { v.looks = 0 }

// wait waits, or returns ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
