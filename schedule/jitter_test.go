package schedule

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// started is a slot, and how long after its own instant it came.
type started struct {
	slot  Slot
	after time.Duration
}

// startsOf runs a planner for a while.
func startsOf(t *testing.T, entries []Entry, during time.Duration) []started {
	t.Helper()
	var list []started
	p := NewPlanner(func(_ context.Context, s Slot) error {
		list = append(list, started{s, time.Since(s.At)})
		return nil
	}, Options{Missed: func(_ context.Context, m Missed) error { t.Errorf("missed %+v", m); return nil }})
	p.Update(entries)
	stop := start(t, p)
	elapse(during)
	stop()
	return list
}

func TestPlanner_SpreadsWhatFallsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var entries []Entry
		for i := range 200 {
			// With CatchUpNone a slot may be a minute late: that counts from its own start.
			entries = append(entries, Entry{Report: fmt.Sprintf("r%d", i), Schedule: mustParse(t, "0 * * * *", ""), Jitter: 10 * time.Minute, CatchUp: CatchUpNone})
		}
		list := startsOf(t, entries, 2*time.Hour+30*time.Minute)
		if len(list) != 400 {
			t.Fatalf("%d slots came, want 400", len(list))
		}
		seconds := map[time.Duration]int{}
		same := 0
		first := map[string]time.Duration{}
		for _, s := range list {
			if s.slot.At.Minute() != 0 || s.slot.Trigger != TriggerSchedule {
				t.Fatalf("the slot itself moved: %+v", s.slot)
			}
			if s.after < 0 || s.after >= 10*time.Minute {
				t.Errorf("%s came after %v", s.slot.Report, s.after)
			}
			seconds[s.after]++
			if before, ok := first[s.slot.Report]; ok && before == s.after {
				same++
			}
			first[s.slot.Report] = s.after
		}
		if len(seconds) < 250 || same > 5 {
			t.Errorf("400 starts share %d seconds, %d reports start twice at the same", len(seconds), same)
		}
		// Chosen anew, by another agent or after a restart, they are the same.
		for _, s := range list {
			e := Entry{Report: s.slot.Report, Schedule: mustParse(t, "0 * * * *", ""), Jitter: 10 * time.Minute}
			if again := e.next(s.slot.At.Add(-time.Second)); again.start.Sub(again.at) != s.after {
				t.Errorf("%s comes after %v now, and came after %v", s.slot.Report, again.start.Sub(again.at), s.after)
			}
		}
	})
}

func TestPlanner_StartsNoSlotAtTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		for _, text := range []string{"* * * * *", "*/5 * * * *", "0,1,30 * * * *"} {
			s := mustParse(t, text, "Europe/Madrid")
			since := time.Now()
			list := startsOf(t, []Entry{{Report: "r", Schedule: s, Jitter: 24 * time.Hour, CatchUp: CatchUpAll}}, 12*time.Hour)
			var got []time.Time
			for _, came := range list {
				if at := came.slot.At.Add(came.after); !at.Before(s.Next(came.slot.At)) {
					t.Errorf("%s: %v came at %v, not before the next one", text, came.slot.At, at)
				}
				got = append(got, came.slot.At)
			}
			if diff := cmp.Diff(instants(Upcoming(s, since, len(got))), instants(got)); diff != "" || len(got) < 30 {
				t.Errorf("%s since %v: %d slots (-want +got):\n%s", text, since.Sub(begin), len(got), diff)
			}
		}
	})
}

func TestPlanner_ShowsWhenASlotWithJitterStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entry := Entry{Report: "r", Schedule: mustParse(t, "0 * * * *", ""), Jitter: time.Hour, Since: time.Now()}
		shown := map[time.Time]bool{}
		refuse := errors.New("no")
		var p *Planner
		p = NewPlanner(func(context.Context, Slot) error {
			if next, ok := p.Next("r"); !ok || !next.Equal(time.Now()) {
				t.Errorf("while it starts at %v, Next = %v, %v", time.Now(), next, ok)
			}
			return refuse
		}, Options{})
		for jitter := time.Hour; jitter > time.Second; jitter /= 2 {
			entry.Jitter = jitter // an edit of the jitter alone moves the start
			p.Update([]Entry{entry})
			next, ok := p.Next("r")
			if late := next.Sub(time.Now().Add(time.Hour)); !ok || late < 0 || late >= jitter {
				t.Errorf("with a jitter of %v the slot starts %v late", jitter, late)
			}
			shown[next] = true
		}
		if len(shown) < 4 {
			t.Errorf("all jitters show the same few starts: %v", shown)
		}
		next, _ := p.Next("r")
		<-time.After(time.Until(next))
		if err := p.FireDue(t.Context()); !errors.Is(err, refuse) {
			t.Errorf("at its start, FireDue = %v", err)
		}
	})
}
