package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"nbpress/runner"
	"nbpress/runner/lease"
)

// ready is what a store or an engine can do that knows how to look after itself.
type ready interface {
	// Ready returns what is wrong with it, nil where nothing is.
	Ready(ctx context.Context) error
}

const (
	readyTimeout = 5 * time.Second // of one question
	readyFresh   = 5 * time.Second // how long its answer counts: anybody may ask us
	readyWords   = 300             // bytes of an error, in the answer
)

// dependency is something that the agent cannot work without. The zero value is fine.
type dependency struct {
	name    string
	ask     func(ctx context.Context) error // nil: what is known is what its users note
	unknown error                           // how it stands before anybody has noted anything

	mu   sync.Mutex // guards what follows, and is held while it is asked
	err  error
	at   time.Time // when that was found; zero: never
	well time.Time // when nothing was wrong with it last
}

// note takes in what somebody found who used it. A nil dependency is nobody's concern,
// and an error that came of our own ending tells nothing.
func (d *dependency) note(ctx context.Context, err error) {
	if d == nil || ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found(err)
}

func (d *dependency) found(err error) {
	d.err, d.at = err, time.Now()
	if err == nil {
		d.well = d.at
	}
}

// forget has it stand as before anybody had used it.
func (d *dependency) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.at = nil, time.Time{}
}

// wellAt returns when nothing was wrong with it last; zero: never.
func (d *dependency) wellAt() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.well
}

// state returns what is wrong with it, and when that was found.
func (d *dependency) state(ctx context.Context) (at time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ask != nil && time.Since(d.at) > readyFresh {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout) // the answer is for others too
		defer cancel()
		d.found(d.ask(ctx))
	}
	if d.at.IsZero() {
		return d.at, d.unknown
	}
	return d.at, d.err
}

// errNotAsked is how a repository stands at the start.
var errNotAsked = errors.New("not asked yet")

// storeDependency asks a store in its own way, else whether it can be read.
func storeDependency(store runner.Store) *dependency {
	d := &dependency{name: "store"}
	if own, ok := store.(ready); ok {
		d.ask = own.Ready
		return d
	}
	d.ask = func(ctx context.Context) error {
		_, err := store.Get(ctx, lease.Key)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return d
}

// readiness is all that an agent depends on.
type readiness []*dependency

// answer says how everything stands, a line each, and whether all of it is well. An agent
// that is not working has not asked the repository, and is well without.
func (r readiness) answer(ctx context.Context, working bool) (text string, well bool) {
	states := make([]error, len(r))
	since := make([]time.Time, len(r))
	var asking sync.WaitGroup
	for i, d := range r {
		asking.Go(func() { since[i], states[i] = d.state(ctx) })
	}
	asking.Wait()
	var lines strings.Builder
	well = true
	for i, d := range r {
		switch {
		case states[i] != nil && (working || !since[i].IsZero()): // who stands by has not asked
			well = false
			fmt.Fprintf(&lines, "%s: down: %s", d.name, briefly(states[i]))
		case since[i].IsZero():
			fmt.Fprintf(&lines, "%s: ok, not used yet", d.name)
		default:
			fmt.Fprintf(&lines, "%s: ok, %v ago", d.name, time.Since(since[i]).Truncate(time.Second))
		}
		lines.WriteByte('\n')
	}
	return lines.String(), well
}

// briefly is an error in one line, and not a long one.
func briefly(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > readyWords {
		text = strings.ToValidUTF8(text[:readyWords], "") + " ..."
	}
	return text
}

// serveReady answers /readyz: what is down, and whether this agent works or stands by,
// which is no lack of readiness.
func (s *station) serveReady(w http.ResponseWriter, r *http.Request) {
	working := s.working.Load() != nil
	text, well := s.readiness.answer(r.Context(), working)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	role := "stands by: another agent is at work, or none could begin"
	if working {
		role = "works"
	}
	fmt.Fprintf(plainText{w}, "%sagent: %s\n", text, role)
}
