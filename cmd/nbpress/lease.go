package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/runner"
)

// Of several agents with one store, one works: who has the lease, an object of the store
// that its holder writes again and again. The others look at it, and one of them takes
// it when it has stood still. Nobody compares clocks: what counts is how many looks in a
// row saw no change.
//
// The lease avoids waste, no more: for a moment two agents may each think that it is
// theirs. That nothing is lost or doubled is the doing of claims and manifests.
const (
	leaseKey    = "agents/lease.yaml"
	leaseRenew  = 4 * time.Second
	leaseLook   = 2 * time.Second
	leaseLooks  = 6                // without a change: its holder is no more
	leaseSettle = time.Second      // after taking it from the dead, whom another may also have found
	leaseFresh  = 10 * time.Second // how long a renewal counts; shorter than all the looks take
	leaseGrace  = 5 * time.Second  // for giving it back
)

// lease is what stands in the store.
type lease struct {
	Holder string `yaml:"holder"` // the agent, the same after a restart
	Life   string `yaml:"life"`   // new each time that the lease is taken
	Count  int    `yaml:"count"`  // grows while it is held
}

// readLease returns the lease and its text. One that cannot be read as such is nobody's,
// and stands still.
func readLease(ctx context.Context, store runner.StoreReader) (l lease, text []byte, err error) {
	text, err = store.Get(ctx, leaseKey)
	if err == nil && yaml.Unmarshal(text, &l) != nil {
		l = lease{}
	}
	return l, text, err
}

func writeLease(ctx context.Context, l lease, write func(context.Context, string, []byte) error) error {
	data, err := runner.Encode(l)
	if err != nil {
		return err
	}
	return write(ctx, leaseKey, data)
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
	return v.looks >= leaseLooks
}

// missed takes in a look that failed. While the store is away the holder cannot write
// either, so what stood still meanwhile tells nothing.
func (v *vigil) missed() { v.looks = 0 }

// contender is an agent that wants the lease, over all its reigns.
type contender struct {
	store  runner.Store
	holder string // no other living agent has this name
	log    *slog.Logger

	vigil vigil
	life  string // of our latest reign; "" before the first
}

// heldError says that another agent is at work.
type heldError struct{ holder string }

func (e *heldError) Error() string {
	return fmt.Sprintf("another agent, %s, is at work with this store; stop it, or leave the work to it", e.holder)
}

// await implements seat: it stands by until the lease is ours.
func (c *contender) await(ctx context.Context) (reign, error) {
	var known string
	away := false
	for {
		r, there, err := c.look(ctx)
		switch {
		case r != nil && ctx.Err() == nil:
			return r, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && !away:
			c.log.Warn("lease out of reach; standing by", "error", err)
		case err == nil && there.Life != known:
			c.log.Info("standing by: another agent is at work", "holder", there.Holder)
			known = there.Life
		}
		away = err != nil
		if err := wait(ctx, leaseLook); err != nil {
			return nil, err
		}
	}
}

// seize implements seat: it takes the lease, or returns a heldError once its holder gives
// a sign of life.
func (c *contender) seize(ctx context.Context) (reign, error) {
	var first lease
	for {
		r, there, err := c.look(ctx)
		switch {
		case r != nil:
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("lease: %w", err)
		case first == (lease{}):
			first = there
		case there != first:
			return nil, &heldError{there.Holder}
		}
		if err := wait(ctx, leaseLook); err != nil {
			return nil, err
		}
	}
}

// look looks at the lease once. If it is ours now, that begins a reign; else it returns
// what is there.
func (c *contender) look(ctx context.Context) (*leaseReign, lease, error) {
	began := time.Now()
	there, text, err := readLease(ctx, c.store)
	free := errors.Is(err, fs.ErrNotExist)
	if err != nil && !free {
		c.vigil.missed()
		return nil, there, err
	}
	mine := lease{Holder: c.holder, Life: rand.Text(), Count: 1}
	switch dead := !free && c.vigil.saw(text); {
	case free: // one gets it
		err = writeLease(ctx, mine, c.store.Create)
	case c.own(there):
		err = writeLease(ctx, mine, c.store.Put)
	case dead: // another may have found out too, and it is whose who wrote last
		c.log.Warn("taking over from an agent that gives no sign of life", "holder", there.Holder)
		c.vigil = vigil{}
		if err = writeLease(ctx, mine, c.store.Put); err == nil {
			err = wait(ctx, leaseSettle)
		}
		if began = time.Now(); err == nil {
			there, _, err = readLease(ctx, c.store)
		}
	}
	switch {
	case errors.Is(err, runner.ErrExists), err == nil && !free && !c.own(there) && there != mine:
		return nil, there, nil
	case err != nil:
		return nil, there, err
	}
	c.life = mine.Life
	return &leaseReign{store: c.store, log: c.log, lease: mine, renewed: began}, mine, nil
}

// own reports whether a lease is of an earlier life of ours, which is over.
func (c *contender) own(l lease) bool {
	return l.Holder == c.holder && (c.life == "" || l.Life == c.life)
}

// leaseReign is the time for which an agent has the lease.
type leaseReign struct {
	store runner.Store
	log   *slog.Logger
	lease lease // of the goroutine that keeps it, then of who ends it

	mu      sync.Mutex // guards renewed
	renewed time.Time  // before the look that came before the last write
}

// keep implements reign: it renews the lease.
func (r *leaseReign) keep(ctx context.Context) (lost bool) {
	away := false
	for wait(ctx, leaseRenew) == nil {
		lost, err := r.renew(ctx)
		if lost {
			return true
		}
		if err != nil && !away && ctx.Err() == nil {
			r.log.Warn("lease not renewed", "error", err)
		}
		if err == nil && away {
			r.log.Info("lease renewed again")
		}
		away = err != nil
	}
	return false
}

// renew writes the lease again, unless it is lost.
func (r *leaseReign) renew(ctx context.Context) (lost bool, err error) {
	began := time.Now()
	there, _, err := readLease(ctx, r.store)
	gone := errors.Is(err, fs.ErrNotExist) // somebody removed it; nobody works in our place
	if err != nil && !gone {
		return false, err
	}
	if !gone && there.Life != r.lease.Life {
		r.log.Warn("the lease was taken over", "holder", there.Holder)
		return true, nil
	}
	r.lease.Count++
	if err := writeLease(ctx, r.lease, r.store.Put); err != nil {
		return false, err
	}
	// Stopped between the look and the write, we may have written over a successor's
	// lease. It gives way to us as we would to it, but it has worked, and what we know is old.
	if time.Since(began) > leaseFresh {
		r.log.Warn("the lease was renewed too late")
		return true, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewed = began
	return false, nil
}

// fresh implements reign: an agent that was stopped, and has not looked since, does not
// know whether the lease is still its own.
func (r *leaseReign) fresh() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.renewed) < leaseFresh
}

// end implements reign: it gives the lease back if it is ours.
func (r *leaseReign) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseGrace)
	defer cancel()
	there, _, err := readLease(ctx, r.store)
	if err == nil && there.Life == r.lease.Life && r.fresh() {
		err = r.store.Delete(ctx, leaseKey)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("lease not given back", "error", err)
	}
}

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
