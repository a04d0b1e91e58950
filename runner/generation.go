package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"
)

// History is what became of a run so far.
type History struct {
	Report string     // "" for a run that is not known
	Open   bool       // a generation of it waits or is under way here
	Ended  []Manifest // the terminal manifests, the first generation first
}

// Completed reports whether a generation of the run completed.
func (h History) Completed() bool {
	for _, m := range h.Ended {
		if m.Status == StatusCompleted {
			return true
		}
	}
	return false
}

// Status is how the run stands: completed once a generation was, else as the last one
// ended; "" where none has.
func (h History) Status() Status {
	switch {
	case h.Completed():
		return StatusCompleted
	case len(h.Ended) == 0:
		return ""
	}
	return h.Ended[len(h.Ended)-1].Status
}

// History reads from the store how the generations of a run ended.
func (r *Runner) History(ctx context.Context, id RunID) (History, error) {
	h := History{}
	if t := r.task(id); t != nil {
		h.Report, h.Open = t.report, true
	}
	for {
		key := ManifestKey(id, len(h.Ended)+1)
		data, err := r.store.Get(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		m, err := Decode[Manifest](data, KindRun)
		if err != nil {
			return h, fmt.Errorf("%s: %w", key, err)
		}
		h.Report, h.Ended = m.Report, append(h.Ended, m)
	}
}

// historiesAtOnce is how many are read side by side: in a bucket each takes its time.
const historiesAtOnce = 16

// Histories calls visit with the history of each of the runs, in their order.
func (r *Runner) Histories(ctx context.Context, ids []RunID, visit func(i int, past History) error) error {
	first := 0
	for some := range slices.Chunk(ids, 4*historiesAtOnce) {
		pasts := make([]History, len(some))
		g, reading := errgroup.WithContext(ctx)
		g.SetLimit(historiesAtOnce)
		for i, id := range some {
			g.Go(func() (err error) {
				pasts[i], err = r.History(reading, id)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, past := range pasts {
			if err := visit(first+i, past); err != nil {
				return err
			}
		}
		first += len(some)
	}
	return nil
}

// task returns the open task of a run; nil where there is none.
func (r *Runner) task(id RunID) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, t := range r.runs {
		if key.id == id {
			return t
		}
	}
	return nil
}

// ErrNotOpen is what Cancel returns for a run that neither waits nor is under way.
var ErrNotOpen = errors.New("the run is not under way")

// Cancel ends a run that waits or is under way, as canceled, and returns its terminal
// manifest: another one where the run ended by itself just before.
func (r *Runner) Cancel(ctx context.Context, id RunID, by Asked) (Manifest, error) {
	t := r.task(id)
	if t == nil {
		return Manifest{}, fmt.Errorf("cancel %s: %w", id, ErrNotOpen)
	}
	past, err := r.history(ctx, t)
	var held *heldError // another agent's attempt finds the manifest taken
	if err != nil && !errors.As(err, &held) {
		return Manifest{}, fmt.Errorf("cancel %s: %w", id, err)
	}
	if n := len(past.attempts); n > 0 && r.running(t) && past.attempts[n-1].Ended == endedAbandoned { // it is under way
		past.attempts[n-1].Ended, past.attempts[n-1].FinishedAt = string(StatusCanceled), now()
	}
	m := t.manifest(past.attempts, Outcome{}, nil)
	m.Status, m.CanceledBy = StatusCanceled, &by
	if m, err = r.commit(ctx, m); err != nil {
		return m, fmt.Errorf("cancel %s: %w", id, err)
	}
	r.mu.Lock()
	if t.stop != nil {
		t.stop() // who leads it finds the manifest
	}
	r.mu.Unlock()
	if !r.queue.withdraw(t) {
		return m, nil
	}
	if err := r.finish(ctx, t, m); err != nil {
		r.queue.restore(t)
		return m, fmt.Errorf("cancel %s: %w", id, err)
	}
	r.o.Finished(m)
	r.close(ctx, t)
	r.queue.withdrawn()
	return m, nil
}

// Fail ends the runs of a slot that cannot be had any more, because their bundle is gone,
// with a failure. Runs that have ended stay as they are.
func (r *Runner) Fail(ctx context.Context, record SlotRecord, f *Failure) error {
	if err := r.end(ctx, record, record.Assets, f); err != nil {
		return err
	}
	return r.forget(ctx, record)
}

// end ends the runs of some assets of a slot with a failure.
func (r *Runner) end(ctx context.Context, record SlotRecord, assets []string, f *Failure) error {
	for _, asset := range assets {
		m := record.manifest(asset)
		m.Status, m.Error = StatusError, f.fit().record()
		m, err := r.commit(ctx, m)
		if err == nil {
			err = r.tell(ctx, m)
		}
		if err != nil {
			return fmt.Errorf("end run %s: %w", m.ID, err)
		}
		r.o.Finished(m)
	}
	return nil
}

// begin notes what stops a run that is taken up, and returns the context that it ends.
func (r *Runner) begin(work context.Context, t *task) context.Context {
	own, stop := context.WithCancel(work)
	r.mu.Lock()
	defer r.mu.Unlock()
	t.stop = stop
	return own
}

func (r *Runner) running(t *task) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.stop != nil
}

// pause forgets it.
func (r *Runner) pause(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.stop()
	t.stop = nil
}
