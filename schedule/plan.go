package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

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
	// Jitter spreads reports that fall due at once: a slot is handed out up to so much
	// later, by a hash of report and slot, but before the next one. All else, its
	// lateness apart, counts from its own instant.
	Jitter time.Duration
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
}

// Missed is an outage of one report: slots in a row that passed and will not fire.
type Missed struct {
	Report      string
	First, Last time.Time // of the slots, in the report's zone
	Count       int
	Why         string // what the last one was passed over by: one of the constants
}

// What slots are passed over by, as Missed.Why says it.
const (
	WhyNone = "catch_up none" // nothing is caught up
	WhyLast = "catch_up last" // a later slot had passed as well
	WhyLate = "max_lateness"  // it was too late
)

// plan is what a Planner knows about one report.
type plan struct {
	entry   Entry
	done    time.Time     // nothing at or before it fires any more
	next    moment        // the first slot after done; zero where there is none
	pending *pending      // the slot that is being fired, or that was refused
	missed  *Missed       // passed over, and not yet taken
	retry   time.Duration // the pause after the last refusal
	wake    time.Time     // when to look at it again; zero: never

	live   bool // among the entries of the last Update
	firing bool // with the callback just now, and out of the queue
	index  int  // in the queue, -1 outside
	round  int  // the last Update that named it
}

// moment is a slot's own instant and when it is handed out.
type moment struct{ at, start time.Time }

// pending is a slot that was handed out and not yet taken.
type pending struct {
	moment
	trigger string
}

// next returns the first slot after an instant.
func (e *Entry) next(after time.Time) moment {
	at := e.Schedule.Next(after)
	if e.Jitter <= 0 || at.IsZero() {
		return moment{at, at}
	}
	room := min(e.Jitter, e.Schedule.Next(at).Sub(at)) / time.Second
	hash := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", e.Report, at.Unix()))
	shift := binary.BigEndian.Uint64(hash[:]) % uint64(max(room, 1))
	return moment{at, at.Add(time.Duration(shift) * time.Second)}
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

// edit takes over an entry. Only another schedule, another jitter or a later Since
// is cause to plan anew.
func (pl *plan) edit(e Entry, now time.Time) {
	anew := !pl.live || !e.Schedule.Equal(pl.entry.Schedule)
	moved := e.Jitter != pl.entry.Jitter
	pl.entry = e
	pl.live = true
	switch {
	case e.Since.After(pl.done):
		if pl.pending != nil && !pl.firing && !pl.pending.at.After(e.Since) {
			pl.pending = nil // somebody else fired it
		}
		pl.missed = nil // and told what was before it
		pl.advance(e.Since)
	case anew:
		pl.advance(now)
	case moved:
		pl.advance(pl.done)
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
	pl.next = pl.entry.next(pl.done)
	if pl.pending == nil {
		pl.wake = pl.next.start
	}
}

// due reports whether there is something to hand out at an instant: what was passed
// over, in missed, and once that is taken the slot to fire, in pending.
func (pl *plan) due(now time.Time) bool {
	if pl.pending != nil && now.Sub(pl.pending.start) > pl.maxLateness() {
		late := pl.pending.at
		pl.pending = nil
		pl.passOver(late, WhyLate)
		pl.advance(late)
	}
	if pl.pending == nil {
		fires := pl.choose(now)
		if fires && pl.missed == nil {
			pl.pending = &pending{moment: pl.next, trigger: TriggerSchedule}
			if now.Sub(pl.next.start) > punctual {
				pl.pending.trigger = TriggerCatchUp
			}
		}
	}
	return pl.pending != nil || pl.missed != nil
}

// slot returns the pending slot.
func (pl *plan) slot() Slot {
	return Slot{
		Report:  pl.entry.Report,
		At:      pl.pending.at,
		Days:    pl.entry.Window.Days(pl.pending.at),
		Trigger: pl.pending.trigger,
	}
}

// choose makes next the one of the slots that passed that is to fire by the entry's
// policy, and passes over those before it. Where none is to fire, it is false and next
// lies ahead.
func (pl *plan) choose(now time.Time) bool {
	if pl.next.at.Before(now.Add(-longestOutage)) {
		pl.advance(now.Add(-longestOutage))
	}
	for !pl.next.at.IsZero() && !pl.next.start.After(now) {
		after := pl.entry.next(pl.next.at)
		superseded := pl.entry.CatchUp != CatchUpAll && !after.at.IsZero() && !after.start.After(now)
		late := now.Sub(pl.next.start) > pl.maxLateness()
		switch {
		case !superseded && !late:
			return true
		case pl.entry.CatchUp == CatchUpNone:
			pl.passOver(pl.next.at, WhyNone)
		case superseded:
			pl.passOver(pl.next.at, WhyLast)
		default:
			pl.passOver(pl.next.at, WhyLate)
		}
		pl.done, pl.next = pl.next.at, after
	}
	pl.wake = pl.next.start
	return false
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
func (pl *plan) passOver(at time.Time, why string) {
	if pl.missed == nil {
		pl.missed = &Missed{Report: pl.entry.Report, First: at}
	}
	pl.missed.Last, pl.missed.Why = at, why
	pl.missed.Count++
}

// told notes that what was passed over was taken.
func (pl *plan) told() {
	pl.missed, pl.retry, pl.wake = nil, 0, pl.next.start
}

// fired notes that the pending slot was taken.
func (pl *plan) fired(at time.Time) {
	pl.pending, pl.retry = nil, 0
	pl.advance(at)
}

// refused plans another try, unless the report went meanwhile.
func (pl *plan) refused(now time.Time) {
	if !pl.live {
		pl.pending = nil
		return
	}
	pl.retry = min(max(firstRetry, 2*pl.retry), lastRetry)
	pl.wake = now.Add(pl.retry)
}
