package schedule

import "time"

// Nothing here reads a clock, blocks or locks: a plan is the state of one report,
// and its methods say what becomes of it at a given time.

// CatchUp says what becomes of slots that passed while nobody could take them.
type CatchUp string

// The three policies. The empty one is CatchUpLast.
const (
	CatchUpNone CatchUp = "none" // a slot that is more than a minute late is passed over
	CatchUpLast CatchUp = "last" // only the last one that passed fires
	CatchUpAll  CatchUp = "all"  // all of them fire, in order
)

// What made a slot fire, as Slot.Trigger says it.
const (
	TriggerSchedule = "schedule" // its time came
	TriggerCatchUp  = "catch_up" // its time had passed a minute before or more
)

const (
	punctual           = time.Minute
	defaultMaxLateness = 24 * time.Hour
	longestOutage      = 366 * 24 * time.Hour // slots that passed before are not even counted
)

// Entry is one report's place in the plan.
type Entry struct {
	Report      string
	Schedule    Schedule
	Window      Window
	CatchUp     CatchUp
	MaxLateness time.Duration // how late a slot may fire; 0 means a day
	// Since is when the planning begins: no slot at or before it fires. It is the
	// later one of two instants: when this schedule was merged, and the last slot
	// of the report that is known to have fired. Zero means when the planner first
	// sees the entry.
	Since time.Time
}

// Slot is one due moment of a report.
type Slot struct {
	Report  string
	At      time.Time // when it was due, in the report's zone
	Days    Days      // what it covers
	Trigger string    // TriggerSchedule or TriggerCatchUp
	Missed  *Missed   // what was passed over since the report's slot before; nil where nothing was
}

// Missed counts slots that passed without firing.
type Missed struct {
	First, Last time.Time // of them, in the report's zone
	Count       int
}

// plan is what a Planner knows about one report.
type plan struct {
	entry   Entry
	done    time.Time // nothing at or before it fires any more
	next    time.Time // the first slot after done; zero where there is none
	pending *pending  // the slot that is being fired, or that was refused
	missed  *Missed   // passed over, and not yet handed out with a slot
	wake    time.Time // when to look at it again; zero: never

	live   bool // among the entries of the last Update
	firing bool // with the callback just now, and out of the queue
	index  int  // in the queue, -1 outside
	round  int  // the last Update that named it
}

// pending is a slot that was handed out and not yet taken.
type pending struct {
	at      time.Time
	trigger string
	retry   time.Duration // the pause after the last refusal
}

// newPlan returns the plan of a report that was not known before.
func newPlan(e Entry, now time.Time) *plan {
	pl := &plan{entry: e, done: e.Since, live: true, index: -1}
	if e.Since.IsZero() {
		pl.done = now
	}
	pl.advance(pl.done)
	return pl
}

// edit takes over an entry. Only another schedule, or a later Since, is cause
// to plan anew.
func (pl *plan) edit(e Entry, now time.Time) {
	anew := !pl.live || !e.Schedule.Equal(pl.entry.Schedule)
	pl.entry = e
	pl.live = true
	switch {
	case e.Since.After(pl.done):
		if pl.pending != nil && !pl.firing && !pl.pending.at.After(e.Since) {
			pl.pending = nil // somebody else fired it
		}
		pl.advance(e.Since)
	case anew:
		pl.advance(now)
	}
}

// retire takes a report out of the plan.
func (pl *plan) retire() {
	pl.live = false
	pl.missed = nil
	if !pl.firing {
		pl.pending = nil
	}
}

// advance settles everything up to an instant, and plans what comes after.
func (pl *plan) advance(to time.Time) {
	if to.After(pl.done) {
		pl.done = to
	}
	pl.next = pl.entry.Schedule.Next(pl.done)
	if pl.pending == nil {
		pl.wake = pl.next
	}
}

// due returns the slot to fire at an instant, if there is one, and makes it
// pending. What it passes over is counted in missed.
func (pl *plan) due(now time.Time) (Slot, bool) {
	if pl.pending != nil && now.Sub(pl.pending.at) > pl.maxLateness() {
		late := pl.pending.at
		pl.pending = nil
		pl.passOver(late)
		pl.advance(late)
	}
	if pl.pending == nil {
		at, ok := pl.choose(now)
		if !ok {
			return Slot{}, false
		}
		pl.pending = &pending{at: at, trigger: TriggerSchedule}
		if now.Sub(at) > punctual {
			pl.pending.trigger = TriggerCatchUp
		}
	}
	slot := Slot{
		Report:  pl.entry.Report,
		At:      pl.pending.at,
		Days:    pl.entry.Window.Days(pl.pending.at),
		Trigger: pl.pending.trigger,
	}
	if pl.missed != nil {
		missed := *pl.missed
		slot.Missed = &missed
	}
	return slot, true
}

// choose returns which of the slots that passed is to fire by the entry's policy.
// It settles those before it, or all of them where none is to fire.
func (pl *plan) choose(now time.Time) (time.Time, bool) {
	if pl.next.Before(now.Add(-longestOutage)) {
		pl.advance(now.Add(-longestOutage))
	}
	for !pl.next.IsZero() && !pl.next.After(now) {
		at := pl.next
		after := pl.entry.Schedule.Next(at)
		superseded := pl.entry.CatchUp != CatchUpAll && !after.IsZero() && !after.After(now)
		if !superseded && now.Sub(at) <= pl.maxLateness() {
			return at, true
		}
		pl.passOver(at)
		pl.done, pl.next, pl.wake = at, after, after
	}
	return time.Time{}, false
}

// maxLateness returns how late a slot may be first handed out, or, once it was
// refused, be tried again.
func (pl *plan) maxLateness() time.Duration {
	limit := pl.entry.MaxLateness
	if limit <= 0 {
		limit = defaultMaxLateness
	}
	if pl.entry.CatchUp == CatchUpNone && pl.pending == nil {
		return min(limit, punctual)
	}
	return limit
}

// passOver counts a slot that will not fire.
func (pl *plan) passOver(at time.Time) {
	if pl.missed == nil {
		pl.missed = &Missed{First: at}
	}
	pl.missed.Last = at
	pl.missed.Count++
}

// fired notes that the pending slot was taken, with what was missed before it.
func (pl *plan) fired(at time.Time) {
	pl.pending = nil
	pl.missed = nil
	pl.advance(at)
}

// refused plans another try of the pending slot, unless its report went meanwhile.
func (pl *plan) refused(now time.Time) {
	if !pl.live {
		pl.pending = nil
		return
	}
	pl.pending.retry = min(max(firstRetry, 2*pl.pending.retry), lastRetry)
	pl.wake = now.Add(pl.pending.retry)
}
