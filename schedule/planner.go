package schedule

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// longestWait is how long Run sleeps at most before it looks at the wall
	// clock again, which may jump and does not stand still in a suspended machine.
	longestWait = 30 * time.Second
	// fireTimeout bounds one call of the callback, which is to record the slot and
	// to return.
	fireTimeout = time.Minute
	firstRetry  = time.Second
	lastRetry   = time.Minute
)

// Planner hands out the slots of a set of reports as they fall due. Its methods
// may be called by several goroutines, and from the callback.
type Planner struct {
	fire    func(context.Context, Slot) error
	missed  func(context.Context, Missed) error
	log     *slog.Logger
	now     func() time.Time
	changed chan struct{} // wakes Run after an Update; holds one

	mu    sync.Mutex       // guards all below and what the plans hold
	plans map[string]*plan // by report; one that went is kept, so that its slots stay fired
	queue queue            // the plans that wait, by when to look at them
	round int              // counts the Updates
}

// Options are a Planner's settings; the zero value is ready for use.
type Options struct {
	// Missed is told of slots that passed and will not fire, once for each report and
	// outage, before the slot that fires after it, if one does. It is to record that and
	// to return; an error is treated as that of a slot, and what passes meanwhile then
	// belongs to the same outage. It must be able to take an outage again, which may have
	// become longer. Nil: nobody is told.
	Missed func(context.Context, Missed) error
	Log    *slog.Logger     // where refused slots are reported; nil means nowhere
	Now    func() time.Time // the wall clock; nil means time.Now
}

// NewPlanner returns a planner that calls fire once for each slot that is due.
// Fire is to record the slot durably and to return: the others wait for it, and
// its context ends after a minute. When it returns nil the slot is done with.
// When it returns an error the slot stays due and is tried again, after a second
// at first and a minute at most, until the entry's MaxLateness is over; its
// report's later slots wait behind it. Since a callback may have done its work and
// return an error all the same, it must be able to take a slot again.
func NewPlanner(fire func(context.Context, Slot) error, o Options) *Planner {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if o.Missed == nil {
		o.Missed = func(context.Context, Missed) error { return nil }
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &Planner{
		fire:    fire,
		missed:  o.Missed,
		log:     log,
		now:     now,
		changed: make(chan struct{}, 1),
		plans:   make(map[string]*plan),
	}
}

// Update replaces the set of entries, one for each report; the later one counts
// where a report has two. A report whose entry is as before keeps its plan. One that is
// gone is forgotten but for what it fired. One that comes back, or whose
// schedule is another now, begins anew: at its Since where that is later than what
// the planner did for the report, else now.
func (p *Planner) Update(entries []Entry) {
	now := p.now()
	p.mu.Lock()
	p.round++
	for _, e := range entries {
		pl, known := p.plans[e.Report]
		if !known {
			pl = newPlan(e, now)
			p.plans[e.Report] = pl
		} else {
			pl.edit(e, now)
		}
		pl.round = p.round
		p.enqueue(pl)
	}
	for _, pl := range p.plans {
		if pl.round != p.round && pl.live {
			pl.retire()
			p.dequeue(pl)
		}
	}
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Next returns when the slot that a report waits for is handed out, which lies in the
// past while it is due and not yet taken. It is false for a report that has none.
func (p *Planner) Next(report string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl, ok := p.plans[report]
	if !ok || !pl.live {
		return time.Time{}, false
	}
	next := pl.next
	if pl.pending != nil {
		next = pl.pending.moment
	}
	return next.start, !next.start.IsZero()
}

// Run hands out slots as they fall due until ctx ends, and returns its error.
func (p *Planner) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-p.changed:
		}
		for {
			fired, err := p.fireNext(ctx, p.now())
			if err != nil && ctx.Err() == nil {
				p.log.Warn("slot refused, to be tried again", "error", err)
			}
			if !fired {
				break
			}
		}
		timer.Reset(p.wait())
	}
}

// FireDue hands out what is due now, each slot once, and returns the errors of
// those that were not taken, joined.
func (p *Planner) FireDue(ctx context.Context) error {
	now := p.now()
	var errs []error
	for {
		fired, err := p.fireNext(ctx, now)
		if err != nil {
			errs = append(errs, err)
		}
		if !fired {
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
}

// fireNext hands out what is due for the longest time, a slot or what was missed, and
// reports whether there was any.
func (p *Planner) fireNext(ctx context.Context, now time.Time) (bool, error) {
	if ctx.Err() != nil {
		return false, nil // the caller sees that it ended
	}
	pl, slot, missed := p.take(now)
	if pl == nil {
		return false, nil
	}
	limited, cancel := context.WithTimeout(ctx, fireTimeout)
	var err error
	if missed != nil {
		err = p.missed(limited, *missed)
	} else {
		err = p.fire(limited, slot)
	}
	cancel()

	p.mu.Lock()
	defer p.mu.Unlock()
	pl.firing = false
	switch {
	case err != nil && missed != nil:
		err = fmt.Errorf("record what %s missed since %s: %w", missed.Report, missed.First.Format(time.RFC3339), err)
		pl.refused(p.now())
	case err != nil:
		err = fmt.Errorf("fire %s at %s: %w", slot.Report, slot.At.Format(time.RFC3339), err)
		pl.refused(p.now())
	case missed != nil:
		pl.told()
	default:
		pl.fired(slot.At)
	}
	p.enqueue(pl)
	return true, err
}

// take returns the next plan that has something to hand out, and that: a slot, unless
// something was missed. The plan leaves the queue until fireNext returns it. It is nil
// where there is none.
func (p *Planner) take(now time.Time) (*plan, Slot, *Missed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && !p.queue[0].wake.After(now) {
		pl := p.queue[0]
		if !pl.due(now) {
			p.enqueue(pl) // it waits for what comes next
			continue
		}
		p.dequeue(pl)
		pl.firing = true
		if pl.missed != nil {
			missed := *pl.missed // the plan's own may become longer, or go
			return pl, Slot{}, &missed
		}
		return pl, pl.slot(), nil
	}
	return nil, Slot{}, nil
}

// wait returns how long to sleep.
func (p *Planner) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return longestWait
	}
	return min(max(p.queue[0].wake.Sub(p.now()), 0), longestWait)
}

// enqueue puts a plan where it belongs in the queue. The caller holds mu.
func (p *Planner) enqueue(pl *plan) {
	switch {
	case !pl.live || pl.firing || pl.wake.IsZero():
		p.dequeue(pl)
	case pl.index >= 0:
		heap.Fix(&p.queue, pl.index)
	default:
		heap.Push(&p.queue, pl)
	}
}

// dequeue takes a plan out of the queue, if it is there. The caller holds mu.
func (p *Planner) dequeue(pl *plan) {
	if pl.index >= 0 {
		heap.Remove(&p.queue, pl.index)
	}
}

// queue is a heap of plans by their wake time, then by report, so that the order
// of what falls due at once is always the same.
type queue []*plan

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if order := q[i].wake.Compare(q[j].wake); order != 0 {
		return order < 0
	}
	return q[i].entry.Report < q[j].entry.Report
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	pl := x.(*plan)
	pl.index = len(*q)
	*q = append(*q, pl)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	pl := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	pl.index = -1
	return pl
}
