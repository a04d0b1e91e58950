package runner

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// queue holds the runs that wait for a slot and those that have one.
//
// A line's slots are done in their order: no run of one starts while a run of an
// earlier one is open. A line is what the schedule wants of a report, or what one request
// wants of it.
//
// Who is next: of the lines whose report is below its limit, one with the fewest runs
// under way, then the one whose turn is the longest ago, so that a report of a thousand
// assets does not keep the others waiting, not even for a single slot; among equals
// the run that was due first.
type queue struct {
	slots     int
	perReport int
	wake      chan struct{} // holds one token when something may have changed

	mu      sync.Mutex // guards what follows
	waiting map[line][]*task
	running map[line][]*task
	reports map[string]int // running, by report
	turns   int            // runs handed out so far
	turn    map[line]int   // of a line with open runs: its latest turn, or when it came
	total   int            // running, all reports
	open    int            // waiting and running
	idle    chan struct{}
}

func newQueue(slots, perReport int) *queue {
	idle := make(chan struct{})
	close(idle)
	return &queue{
		slots: slots, perReport: perReport, wake: make(chan struct{}, 1),
		waiting: map[line][]*task{}, running: map[line][]*task{}, reports: map[string]int{}, turn: map[line]int{}, idle: idle,
	}
}

// add puts new runs in line.
func (q *queue) add(tasks ...*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range tasks {
		q.insert(t)
	}
	if q.open == 0 && len(tasks) > 0 {
		q.idle = make(chan struct{})
	}
	q.open += len(tasks)
	q.signal()
}

// again puts a run back in line, to start no sooner than after a pause.
func (q *queue) again(t *task, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.notBefore = time.Now().Add(pause)
	q.insert(t)
	q.release(t)
}

// done takes a run off the books.
func (q *queue) done(t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(t)
	q.strike()
}

// withdraw takes a run that waits out of line; false for one that does not. The caller
// strikes it off the books.
func (q *queue) withdraw(t *task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.waiting[t.line()], t) {
		return false
	}
	q.remove(t)
	q.settle(t.line())
	q.signal() // who stood behind it may be first now
	return true
}

// restore puts a run back in line that was taken out of it.
func (q *queue) restore(t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.insert(t)
	q.signal()
}

// withdrawn takes a run off the books that was taken out of line.
func (q *queue) withdrawn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.strike()
}

func (q *queue) strike() {
	if q.open--; q.open == 0 {
		close(q.idle)
	}
}

// next waits until a run may start, and counts it as running. It returns nil when
// ctx ended.
func (q *queue) next(ctx context.Context) *task {
	for ctx.Err() == nil {
		t, wait := q.take(time.Now())
		if t != nil {
			return t
		}
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// empty returns a channel that is closed once nothing waits and nothing runs.
func (q *queue) empty() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle
}

// load returns how many runs are under way, and how many wait.
func (q *queue) load() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, tasks := range q.waiting {
		waiting += len(tasks)
	}
	return q.total, waiting
}

// take returns the run that may start now, or how long none will become ready by
// the clock alone.
func (q *queue) take(now time.Time) (*task, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := time.Hour
	var best *task
	for l := range q.waiting {
		if q.total >= q.slots || q.reports[l.report] >= q.perReport {
			continue
		}
		t, pause := q.first(l, now)
		wait = min(wait, pause)
		if t != nil && (best == nil || q.before(t, best)) {
			best = t
		}
	}
	if best == nil {
		return nil, wait
	}
	q.remove(best)
	q.running[best.line()] = append(q.running[best.line()], best)
	q.reports[best.report]++
	q.total++
	q.turns++
	q.turn[best.line()] = q.turns
	return best, 0
}

// first returns the run of a line that may start first, or how long none will become
// ready by the clock alone.
func (q *queue) first(l line, now time.Time) (*task, time.Duration) {
	tasks, wait := q.waiting[l], time.Hour
	at := tasks[0].slot.record.ScheduledAt // the earliest: tasks are in order
	if slices.ContainsFunc(q.running[l], func(t *task) bool { return t.slot.record.ScheduledAt.Before(at) }) {
		return nil, wait
	}
	for _, t := range tasks {
		if t.slot.record.ScheduledAt.After(at) {
			break
		}
		if !t.notBefore.After(now) {
			return t, 0
		}
		wait = min(wait, t.notBefore.Sub(now))
	}
	return nil, wait
}

func (q *queue) before(a, b *task) bool {
	return cmp.Or(
		cmp.Compare(len(q.running[a.line()]), len(q.running[b.line()])),
		cmp.Compare(q.turn[a.line()], q.turn[b.line()]),
		a.order(b),
	) < 0
}

func (q *queue) insert(t *task) {
	l := t.line()
	if _, known := q.turn[l]; !known {
		q.turn[l] = q.turns
	}
	tasks := q.waiting[l]
	i, _ := slices.BinarySearchFunc(tasks, t, (*task).order)
	q.waiting[l] = slices.Insert(tasks, i, t)
}

func (q *queue) remove(t *task) {
	tasks := q.waiting[t.line()]
	i := slices.Index(tasks, t)
	tasks = slices.Delete(tasks, i, i+1)
	if q.waiting[t.line()] = tasks; len(tasks) == 0 {
		delete(q.waiting, t.line())
	}
}

// release gives a running task's slot back; callers hold mu.
func (q *queue) release(t *task) {
	l := t.line()
	q.total--
	if q.reports[t.report]--; q.reports[t.report] == 0 {
		delete(q.reports, t.report)
	}
	running := q.running[l]
	i := slices.Index(running, t)
	if running = slices.Delete(running, i, i+1); len(running) == 0 {
		delete(q.running, l)
	} else {
		q.running[l] = running
	}
	q.settle(l)
	q.signal()
}

// settle forgets a line that nobody stands in.
func (q *queue) settle(l line) {
	if len(q.running[l])+len(q.waiting[l]) == 0 {
		delete(q.turn, l)
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
