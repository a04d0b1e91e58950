package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"nbpress/runner/report"
)

// Options tune a Runner. The zero value works.
type Options struct {
	Slots      int            // attempts at a time; 0 means one per processor
	PerReport  int            // attempts at a time of one report; 0 means Slots
	Holder     string         // this agent's name, the same after a restart: claims of its earlier lives are void; "" means a new name for each life
	Alone      bool           // no other agent is at work with this store: claims of others are of the dead, and void
	Grace      time.Duration  // what running attempts get when Run's context ends; 0 means 30 s
	Log        *slog.Logger   // nil means slog.Default()
	Recorded   func()         // called after each document that was put into the outbox; must not block
	PlainPages bool           // publish pages without a Content-Security-Policy
	Pongo2     Renderer       // renders bundles whose engine is pongo2; nil: their runs fail
	Vault      Vault          // has the secrets that reports are granted; nil: reports that name one fail
	Tokens     Tokens         // mints tokens for reports that ask for one; nil: their runs fail
	Finished   func(Manifest) // called after each run that has finished; must not block

	// Env returns the variables that the operator gives a report's notebook, beside and over
	// those of its bundle; nil: none.
	Env func(report string) map[string]string

	// PageURL is the address at which people see a key of the store's folder pages/;
	// nil: there is none.
	PageURL func(key string) string
}

// Runner executes runs. It is made by New and safe for concurrent use.
type Runner struct {
	exec  Executor
	store Store
	o     Options
	log   *slog.Logger
	queue *queue

	mu    sync.Mutex // guards what follows
	slots map[slotID]*slotState
	runs  map[runKey]*task // of those slots, the runs that are not finished

	latest [64]sync.Mutex // one advance of an asset's latest keys at a time; an asset's is chosen by hash
}

// Slot is one due moment of a report, with the bundle that its runs use.
type Slot struct {
	Record SlotRecord
	Bundle *report.Bundle
}

// slotID is what a slot is known by: its name changes with its report's zone, the
// ids of its runs do not.
type slotID struct {
	report, onDemand, request string
	part                      int
	at                        int64 // Unix seconds
}

func idOf(record SlotRecord) slotID {
	return slotID{record.Report, record.OnDemand, record.Request, record.Part, record.ScheduledAt.Unix()}
}

// runKey is one generation of a run.
type runKey struct {
	id         RunID
	generation int
}

// slotState is a slot under way.
type slotState struct {
	record SlotRecord
	open   int // runs not finished; guarded by Runner.mu
}

// New returns a runner that has nothing to do yet.
func New(exec Executor, store Store, o Options) *Runner {
	o.Slots = cmp.Or(o.Slots, runtime.NumCPU())
	o.PerReport = cmp.Or(o.PerReport, o.Slots)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Holder = cmp.Or(o.Holder, rand.Text())
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Recorded == nil {
		o.Recorded = func() {}
	}
	if o.Finished == nil {
		o.Finished = func(Manifest) {}
	}
	return &Runner{
		exec: exec, store: store, o: o, log: o.Log,
		queue: newQueue(o.Slots, o.PerReport), slots: map[slotID]*slotState{}, runs: map[runKey]*task{},
	}
}

// Submit takes a slot on: once it returns nil, the slot's runs happen, whatever
// becomes of this process. What is under way already is left alone: the slot, and runs
// of it that a request wants as well. Runs of assets that the bundle does not have any
// more end with a failure.
func (r *Runner) Submit(ctx context.Context, slot Slot) error {
	record := slot.Record
	record.APIVersion, record.Kind = APIVersion, KindSlot
	log := r.log.With("report", record.Report, "slot", record.Slot())
	state := &slotState{record: record}
	tasks := tasksOf(state, slot.Bundle)
	if gone := gone(record.Assets, tasks); len(gone) > 0 { // resumed with a newer bundle
		log.Warn("assets are gone from the report", "gone", len(gone), "left", len(tasks))
		err := r.end(ctx, record, gone, &Failure{
			Code: InvalidReport, Message: "the report has no such asset any more, and the commit with which the run was due is not to be had",
		})
		if err != nil {
			return err
		}
	}
	if len(tasks) == 0 {
		return r.forget(ctx, record)
	}
	tasks, fresh := r.enter(state, tasks)
	if !fresh {
		return nil
	}
	if err := r.open(ctx, record, len(tasks)); err != nil {
		r.leave(state, tasks)
		return fmt.Errorf("open slot %s %s: %w", record.Report, record.Slot(), err)
	}
	if len(tasks) == 0 { // all of them are under way for somebody else, who has a record of them
		r.leave(state, nil)
		if err := r.forget(ctx, record); err != nil {
			return err
		}
	}
	r.o.Recorded()
	r.queue.add(tasks...)
	return nil
}

// open writes down that runs of a slot are to happen, and tells the ledger of the slot,
// unless it is told elsewhere: a request's answer lists runs of a slot that was there.
func (r *Runner) open(ctx context.Context, record SlotRecord, runs int) error {
	if runs > 0 {
		err := r.create(ctx, slotKey(record), record)
		if err != nil && !errors.Is(err, ErrExists) { // it exists where an earlier life left it open
			return err
		}
	}
	if record.Request != "" && record.OnDemand != RequestID(record.Request) {
		return nil
	}
	return r.put(ctx, OutboxPrefix+"slot-"+slotFile(record), record)
}

// Busy reports whether runs of a report's other slots than the one named are under way.
// What people asked for does not count.
func (r *Runner) Busy(report string, but time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, state := range r.slots {
		if state.record.Report == report && state.record.Request == "" && !state.record.ScheduledAt.Equal(but) {
			return true
		}
	}
	return false
}

// Skip records a slot that passes without runs, because the one before is under way.
func (r *Runner) Skip(ctx context.Context, record SlotRecord) error {
	record.APIVersion, record.Kind, record.Status, record.Assets = APIVersion, KindSlot, StatusSkipped, nil
	if err := r.put(ctx, OutboxPrefix+"slot-"+slotFile(record), record); err != nil {
		return fmt.Errorf("skip slot %s %s: %w", record.Report, record.Slot(), err)
	}
	r.o.Recorded()
	return nil
}

// enter notes a slot as under way, unless it is, and those of its runs that are not under
// way. Of a run there must be one task at a time: it takes open claims of ours for those
// of an earlier life.
func (r *Runner) enter(state *slotState, tasks []*task) (entered []*task, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := idOf(state.record)
	if r.slots[id] != nil {
		return nil, false
	}
	for _, t := range tasks {
		if r.runs[t.key()] == nil {
			r.runs[t.key()] = t
			entered = append(entered, t)
		}
	}
	r.slots[id], state.open = state, len(entered)
	return entered, true
}

func (r *Runner) leave(state *slotState, tasks []*task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range tasks {
		delete(r.runs, t.key())
	}
	delete(r.slots, idOf(state.record))
}

// tasksOf returns the runs of a slot, one for each asset that its record names and
// the bundle has.
func tasksOf(state *slotState, bundle *report.Bundle) []*task {
	record := state.record
	var tasks []*task
	for _, id := range record.Assets {
		asset, ok := bundle.Asset(id)
		if !ok {
			continue
		}
		tasks = append(tasks, &task{
			id: record.runID(id), generation: record.generation(id),
			report: record.Report, asset: asset,
			commit: record.BundleCommit, bundle: bundle, slot: state,
		})
	}
	return tasks
}

// Open returns the slots that were submitted, here or by an earlier life, and have
// not finished. Submitting them again, with the bundle of their commit, resumes them.
// A record that cannot be read is logged and left where it is.
func (r *Runner) Open(ctx context.Context) ([]SlotRecord, error) {
	keys, err := r.store.List(ctx, slotsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list open slots: %w", err)
	}
	var records []SlotRecord
	for _, key := range keys {
		var record SlotRecord
		data, err := r.store.Get(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has finished since
		}
		if err != nil {
			return nil, fmt.Errorf("open slot: %w", err)
		}
		if record, err = Decode[SlotRecord](data, KindSlot); err != nil {
			r.log.Error("open slot cannot be read", "key", key, "error", err)
			continue
		}
		if zone, err := time.LoadLocation(record.Timezone); err == nil && record.Timezone != "" {
			record.ScheduledAt = record.ScheduledAt.In(zone) // a slot's name is in the report's zone
		}
		records = append(records, record)
	}
	return records, nil
}

// Slots returns how many attempts it makes at a time.
func (r *Runner) Slots() int { return r.o.Slots }

// Load returns how many slots are taken, and how many runs wait for one.
func (r *Runner) Load() (busy, waiting int) { return r.queue.load() }

// Idle returns a channel that is closed once every run submitted so far has finished.
func (r *Runner) Idle() <-chan struct{} { return r.queue.empty() }

// ErrDeposed is the cause with which Run's context ends when another agent has taken
// over, and does all of it.
var ErrDeposed = errors.New("another agent has taken over")

// Run executes what is submitted until ctx ends; then it starts nothing more, gives
// what runs its grace, or none after ErrDeposed, releases what is left and returns when
// all of it is gone.
func (r *Runner) Run(ctx context.Context) error {
	work, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var running sync.WaitGroup
	for {
		t := r.queue.next(ctx)
		if t == nil {
			break
		}
		running.Go(func() { r.lead(ctx, work, t) })
	}
	if errors.Is(context.Cause(ctx), ErrDeposed) {
		release()
	}
	grace := time.AfterFunc(r.o.Grace, release)
	defer grace.Stop()
	running.Wait()
	return ctx.Err()
}

// lead leads one run to its end, or back into the queue where that is not possible
// now. It takes nothing new on once taking has ended, and lets go when work ends.
func (r *Runner) lead(taking, work context.Context, t *task) {
	log := r.log.With("run", t.id, "report", t.report, "asset", t.asset.ID, "commit", t.commit[:min(len(t.commit), 12)])
	manifest, err := r.pursue(taking, work, t, log)
	if err == nil {
		err = r.finish(work, t, manifest)
	}
	var held *heldError
	switch {
	case err == nil:
		log.Info("run finished", "status", manifest.Status, "attempts", len(manifest.Attempts))
		r.o.Finished(manifest)
		r.close(work, t)
		r.queue.done(t)
	case taking.Err() != nil:
		log.Info("run released", "error", err)
		r.queue.again(t, 0) // for the next life; ours takes nothing more
	case errors.As(err, &held):
		log.Info("run is another agent's", "holder", held.holder, "until", held.until)
		r.queue.again(t, min(time.Until(held.until), 30*time.Second))
	default:
		log.Error("run cannot go on", "error", err)
		// It keeps its slot for a while: with the store away the next run would fare no
		// better, and thousands of them would try in turn.
		select {
		case <-time.After(5 * time.Second):
		case <-taking.Done():
		}
		r.queue.again(t, 10*time.Second)
	}
}

// pursue returns the run's terminal manifest. One that is canceled meanwhile has it in
// the store by then.
func (r *Runner) pursue(taking, work context.Context, t *task, log *slog.Logger) (Manifest, error) {
	own := r.begin(work, t)
	defer r.pause(t)
	manifest, err := r.terminal(taking, own, t, log)
	if own.Err() != nil && work.Err() == nil {
		return r.terminal(taking, work, t, log)
	}
	return manifest, err
}

// close forgets a slot when its last run has finished. Should deleting its record
// fail, a later life finds every run terminal and tries again.
func (r *Runner) close(ctx context.Context, t *task) {
	r.mu.Lock()
	delete(r.runs, t.key())
	t.slot.open--
	last := t.slot.open == 0
	r.mu.Unlock()
	if !last {
		return
	}
	if err := r.forget(ctx, t.slot.record); err != nil {
		r.log.Warn("slot not closed", "report", t.report, "error", err)
	}
	r.leave(t.slot, nil)
}

// forget deletes the record of a slot that has no run of its own any more.
func (r *Runner) forget(ctx context.Context, record SlotRecord) error {
	return r.persist(ctx, func() error { return r.store.Delete(ctx, slotKey(record)) })
}

// gone returns the assets that none of the tasks is of.
func gone(assets []string, tasks []*task) []string {
	has := map[string]bool{}
	for _, t := range tasks {
		has[t.asset.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(assets), func(id string) bool { return has[id] })
}
