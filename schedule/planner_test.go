package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorder takes slots and writes a line for each one.
type recorder struct {
	mu     sync.Mutex
	lines  []string
	refuse func(Slot) error // may be nil
}

func (r *recorder) fire(_ context.Context, s Slot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(s); err != nil {
			return err
		}
	}
	r.lines = append(r.lines, fmt.Sprintf("%s %s %s", s.Report, s.At.Format("Jan2 15:04"), s.Trigger))
	return nil
}

func (r *recorder) missed(_ context.Context, m Missed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%s missed %d %s..%s %s", m.Report, m.Count, m.First.Format("Jan2 15:04"), m.Last.Format("Jan2 15:04"), m.Why))
	return nil
}

// options let a planner tell what is missed.
func (r *recorder) options() Options { return Options{Missed: r.missed} }

// want compares what was taken since the last call.
func (r *recorder) want(t *testing.T, lines ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(lines, r.lines); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	r.lines = nil
}

// start runs a planner until the test, or the returned function, ends it.
func start(t *testing.T, p *Planner) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// elapse lets the time of a synctest bubble pass.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestPlanner_FiresEverySlotOfAYearOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		entries := []Entry{
			{Report: "daily", Schedule: mustParse(t, "30 2 * * *", "Europe/Madrid")},
			{Report: "hourly", Schedule: mustParse(t, "@hourly", "America/St_Johns")},
			{Report: "weekly", Schedule: mustParse(t, "0 6 * * 1", "Asia/Tokyo")},
		}
		got := make(map[string][]time.Time)
		p := NewPlanner(func(_ context.Context, s Slot) error {
			if late := time.Since(s.At); late != 0 || s.Trigger != TriggerSchedule {
				t.Errorf("%+v came %v late", s, late)
			}
			got[s.Report] = append(got[s.Report], s.At)
			return nil
		}, Options{})
		p.Update(entries)
		stop := start(t, p)
		elapse(365 * 24 * time.Hour)
		stop()
		for _, e := range entries {
			want := Upcoming(e.Schedule, begin, len(got[e.Report]))
			if diff := cmp.Diff(instants(want), instants(got[e.Report])); diff != "" {
				t.Errorf("%s (-want +got):\n%s", e.Report, diff)
			}
			if next := e.Schedule.Next(got[e.Report][len(want)-1]); !next.After(time.Now()) {
				t.Errorf("%s ended early: %v is missing", e.Report, next)
			}
		}
	})
}

func TestPlanner_CatchesUpByPolicy(t *testing.T) {
	// The bubble begins on 1 January 2000, a Saturday; the agent was away since
	// 22:30 on 29 December and comes back at 00:00:10.
	tests := []struct {
		name   string
		entry  Entry
		outage time.Duration
		want   []string // until 02:30
	}{
		{"last fires the last slot that passed", Entry{Schedule: mustParse(t, "0 6 * * *", "")}, 49*time.Hour + 30*time.Minute,
			[]string{"r missed 1 Dec30 06:00..Dec30 06:00 catch_up last", "r Dec31 06:00 catch_up"}},
		{"last fires nothing too late", Entry{Schedule: mustParse(t, "0 6 * * *", ""), MaxLateness: 6 * time.Hour}, 49*time.Hour + 30*time.Minute,
			[]string{"r missed 2 Dec30 06:00..Dec31 06:00 max_lateness"}},
		{"what was too late is told at once, not with the next slot", Entry{Schedule: mustParse(t, "30 6,2 * * *", ""), MaxLateness: time.Hour}, 49*time.Hour + 30*time.Minute,
			[]string{"r missed 4 Dec30 02:30..Dec31 06:30 max_lateness", "r Jan1 02:30 schedule"}},
		{"all fires those within the lateness", Entry{Schedule: mustParse(t, "0 */6 * * *", ""), CatchUp: CatchUpAll}, 49*time.Hour + 30*time.Minute,
			[]string{"r missed 5 Dec30 00:00..Dec31 00:00 max_lateness", "r Dec31 06:00 catch_up", "r Dec31 12:00 catch_up", "r Dec31 18:00 catch_up", "r Jan1 00:00 schedule"}},
		{"none fires what is on time", Entry{Schedule: mustParse(t, "0 0,12 * * *", ""), CatchUp: CatchUpNone}, 49*time.Hour + 30*time.Minute,
			[]string{"r missed 4 Dec30 00:00..Dec31 12:00 catch_up none", "r Jan1 00:00 schedule"}},
		{"none passes over the rest", Entry{Schedule: mustParse(t, "30 1,12,23 * * *", ""), CatchUp: CatchUpNone}, 24 * time.Hour,
			[]string{"r missed 3 Dec31 01:30..Dec31 23:30 catch_up none", "r Jan1 01:30 schedule"}},
		{"nothing before Since", Entry{Schedule: mustParse(t, "0 22 * * *", "")}, 90 * time.Minute, nil},
		{"nothing at Since", Entry{Schedule: mustParse(t, "30 22 * * *", "")}, 90 * time.Minute, nil},
		{"an hourly report after two hours", Entry{Schedule: mustParse(t, "30 * * * *", "")}, 2 * time.Hour,
			[]string{"r missed 1 Dec31 22:30..Dec31 22:30 catch_up last", "r Dec31 23:30 catch_up", "r Jan1 00:30 schedule", "r Jan1 01:30 schedule", "r Jan1 02:30 schedule"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				tt.entry.Report = "r"
				tt.entry.Since = time.Now().Add(-tt.outage)
				elapse(10 * time.Second)
				p := NewPlanner(r.fire, r.options())
				p.Update([]Entry{tt.entry})
				start(t, p)
				elapse(150 * time.Minute)
				r.want(t, tt.want...)
			})
		})
	}
}

func TestPlanner_LooksBackAYearAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got Missed
		p := NewPlanner(func(context.Context, Slot) error { return nil }, Options{Missed: func(_ context.Context, m Missed) error { got = m; return nil }})
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "@hourly", ""), Since: time.Unix(1, 0)}})
		if err := p.FireDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got.Count != 366*24-1 || !got.Last.Equal(time.Now().Add(-time.Hour)) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPlanner_TellsTheSlotsZoneAndDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window, err := ParseWindow("last_week", "", "")
		if err != nil {
			t.Fatal(err)
		}
		var got []Slot
		p := NewPlanner(func(_ context.Context, s Slot) error { got = append(got, s); return nil }, Options{})
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "0 0 * * 1", "Asia/Tokyo"), Window: window}})
		stop := start(t, p)
		elapse(2 * 24 * time.Hour)
		stop()
		if len(got) != 1 || got[0].At.Format(time.RFC3339) != "2000-01-03T00:00:00+09:00" || got[0].Days != (Days{"1999-12-27", "2000-01-02"}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPlanner_TriesARefusedSlotAgainWhileOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var tries []time.Duration
		r := recorder{refuse: func(s Slot) error {
			if s.Report != "bad" {
				return nil
			}
			tries = append(tries, time.Since(begin))
			if time.Since(begin) < 5*time.Hour {
				return errors.New("the store is away")
			}
			return nil
		}}
		var log bytes.Buffer
		p := NewPlanner(r.fire, Options{Missed: r.missed, Log: slog.New(slog.NewTextHandler(&log, nil))})
		p.Update([]Entry{
			{Report: "bad", Schedule: mustParse(t, "@hourly", "")},
			{Report: "good", Schedule: mustParse(t, "@hourly", "")},
		})
		stop := start(t, p)
		elapse(4 * time.Hour)
		r.want(t, "good Jan1 01:00 schedule", "good Jan1 02:00 schedule", "good Jan1 03:00 schedule", "good Jan1 04:00 schedule")
		if next, ok := p.Next("bad"); !ok || !next.Equal(begin.Add(time.Hour)) {
			t.Errorf("the refused slot is due since %v, Next says %v, %v", begin.Add(time.Hour), next, ok)
		}
		elapse(time.Hour + 30*time.Minute)
		r.want(t, "good Jan1 05:00 schedule", "bad Jan1 01:00 schedule", "bad missed 3 Jan1 02:00..Jan1 04:00 catch_up last", "bad Jan1 05:00 schedule")
		stop()
		wantPauses := []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}
		for i, want := range wantPauses {
			if got := tries[i+1] - tries[i]; got != want {
				t.Errorf("pause %d was %v, want %v", i, got, want)
			}
		}
		if want := `error="fire bad at 2000-01-01T01:00:00Z: the store is away"`; !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	})
}

func TestPlanner_GivesARefusedSlotUpAfterItsLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := recorder{refuse: func(Slot) error {
			if time.Since(begin) < 3*time.Hour {
				return errors.New("no")
			}
			return nil
		}}
		p := NewPlanner(r.fire, r.options())
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "0 1,12 * * *", ""), MaxLateness: time.Hour, CatchUp: CatchUpNone}})
		start(t, p)
		elapse(13 * time.Hour)
		r.want(t, "r missed 1 Jan1 01:00..Jan1 01:00 max_lateness", "r Jan1 12:00 schedule")
	})
}

func TestPlanner_StopsFiringWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ctx, cancel := context.WithCancel(t.Context())
		p := NewPlanner(func(ctx context.Context, s Slot) error { cancel(); return r.fire(ctx, s) }, Options{})
		p.Update([]Entry{
			{Report: "a", Schedule: mustParse(t, "@hourly", "")},
			{Report: "b", Schedule: mustParse(t, "@hourly", "")},
		})
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		r.want(t, "a Jan1 01:00 schedule")
		if err := p.FireDue(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("FireDue returned %v", err)
		}
		r.want(t)
	})
}

func TestPlanner_BoundsTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlanner(func(ctx context.Context, _ Slot) error { <-ctx.Done(); return ctx.Err() }, Options{})
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "@hourly", ""), Since: time.Now().Add(-time.Hour)}})
		began := time.Now()
		if err := p.FireDue(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("FireDue returned %v", err)
		}
		if took := time.Since(began); took != fireTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

func TestPlanner_FireDueHandsOutWhatIsDueAndNamesWhatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("the disk is full")
		r := recorder{refuse: func(s Slot) error {
			if s.Report == "b" {
				return refused
			}
			return nil
		}}
		p := NewPlanner(r.fire, r.options())
		yesterday := time.Now().Add(-24*time.Hour - time.Second)
		p.Update([]Entry{
			{Report: "a", Schedule: mustParse(t, "0 */12 * * *", ""), Since: yesterday, CatchUp: CatchUpAll},
			{Report: "b", Schedule: mustParse(t, "@daily", ""), Since: yesterday},
			{Report: "c", Schedule: mustParse(t, "@daily", ""), Since: yesterday},
			{Report: "later", Schedule: mustParse(t, "0 1 * * *", ""), Since: time.Now()},
		})
		err := p.FireDue(t.Context())
		if want := "fire b at 2000-01-01T00:00:00Z: the disk is full"; !errors.Is(err, refused) || err.Error() != want {
			t.Errorf("FireDue returned %v, want %s", err, want)
		}
		r.want(t, "a Dec31 00:00 catch_up", "b missed 1 Dec31 00:00..Dec31 00:00 catch_up last", "c missed 1 Dec31 00:00..Dec31 00:00 catch_up last",
			"a Dec31 12:00 catch_up", "a Jan1 00:00 schedule", "c Jan1 00:00 schedule")
		if err := p.FireDue(t.Context()); err != nil {
			t.Errorf("a moment later FireDue returned %v", err)
		}
		r.want(t)
	})
}

func TestPlanner_UpdateWakesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		p := NewPlanner(r.fire, r.options())
		start(t, p)
		elapse(59*time.Minute + 59*time.Second)
		p.Update([]Entry{{Report: "new", Schedule: mustParse(t, "@hourly", "")}})
		elapse(time.Second)
		r.want(t, "new Jan1 01:00 schedule")
	})
}

func TestPlanner_UpdateChangesOnlyWhatChanged(t *testing.T) {
	daily := func(t *testing.T, hour string) Schedule { return mustParse(t, "0 "+hour+" * * *", "") }
	noon := 12 * time.Hour
	tests := []struct {
		name   string
		before Entry
		after  func(t *testing.T, begin time.Time) []Entry // at noon of the first day
		want   []string                                    // from noon of the first day to noon of the second
	}{
		{"the same entry goes on", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, _ time.Time) []Entry { return []Entry{{Report: "r", Schedule: daily(t, "6")}} },
			[]string{"r Jan2 06:00 schedule"}},
		{"another schedule does not reach into the past", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, _ time.Time) []Entry { return []Entry{{Report: "r", Schedule: daily(t, "8,18")}} },
			[]string{"r Jan1 18:00 schedule", "r Jan2 08:00 schedule"}},
		{"another schedule counts from when it was merged", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, begin time.Time) []Entry {
				return []Entry{{Report: "r", Schedule: daily(t, "11"), Since: begin.Add(10 * time.Hour)}}
			},
			[]string{"r Jan1 11:00 catch_up", "r Jan2 11:00 schedule"}},
		{"an older Since brings nothing back", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, begin time.Time) []Entry {
				return []Entry{{Report: "r", Schedule: daily(t, "6"), Since: begin.Add(-time.Hour)}}
			},
			[]string{"r Jan2 06:00 schedule"}},
		{"what another agent fired is not fired again", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, begin time.Time) []Entry {
				return []Entry{{Report: "r", Schedule: daily(t, "6"), Since: begin.Add(30 * time.Hour)}}
			},
			nil},
		{"a report that goes does not fire", Entry{Schedule: daily(t, "6")},
			func(*testing.T, time.Time) []Entry { return nil },
			nil},
		{"another zone is another schedule", Entry{Schedule: daily(t, "6")},
			func(t *testing.T, _ time.Time) []Entry {
				return []Entry{{Report: "r", Schedule: mustParse(t, "0 6 * * *", "Asia/Tokyo")}}
			},
			[]string{"r Jan2 06:00 schedule"}}, // 21:00 UTC
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var r recorder
				p := NewPlanner(r.fire, r.options())
				tt.before.Report = "r"
				p.Update([]Entry{tt.before})
				start(t, p)
				elapse(noon)
				r.want(t, "r Jan1 06:00 schedule")
				p.Update(tt.after(t, begin))
				elapse(24 * time.Hour)
				r.want(t, tt.want...)
			})
		})
	}
}

// The mark is a time that no schedule gives: it stays where nothing is planned anew.
func TestPlanner_PlansOnlyWhatWasEditedAnew(t *testing.T) {
	entries := manyEntries(t, 1000, time.Now())
	p := NewPlanner(func(context.Context, Slot) error { return nil }, Options{})
	p.Update(entries)
	mark := moment{time.Now().Add(time.Nanosecond), time.Now().AddDate(1, 0, 0)}
	for _, pl := range p.plans {
		pl.next = mark
	}
	entries[500].Schedule = mustParse(t, "0 7 * * *", "")
	entries = append(entries[:999:999], Entry{Report: "new", Schedule: mustParse(t, "@daily", "")})
	p.Update(entries)
	var anew []string
	for name, pl := range p.plans {
		if pl.next != mark {
			anew = append(anew, name)
		}
	}
	slices.Sort(anew)
	if diff := cmp.Diff([]string{"new", entries[500].Report}, anew); diff != "" {
		t.Errorf("planned anew (-want +got):\n%s", diff)
	}
}

func TestPlanner_RemembersWhatAReportFiredWhileItWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entry := Entry{Report: "r", Schedule: mustParse(t, "@hourly", ""), Since: time.Now().Add(-30 * time.Minute)}
		var r recorder
		p := NewPlanner(r.fire, r.options())
		start(t, p)
		p.Update([]Entry{entry})
		elapse(time.Second)
		r.want(t, "r Jan1 00:00 schedule")
		p.Update(nil)
		if next, ok := p.Next("r"); ok {
			t.Errorf("Next of a report that went = %v", next)
		}
		p.Update([]Entry{entry})
		elapse(time.Minute)
		r.want(t)
		elapse(time.Hour)
		r.want(t, "r Jan1 01:00 schedule")
	})
}

func TestPlanner_MayBeUsedFromItsCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var p *Planner
		p = NewPlanner(func(ctx context.Context, s Slot) error {
			p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "@hourly", ""), Since: s.At}})
			if next, ok := p.Next("r"); !ok || !next.Equal(s.At) {
				t.Errorf("while %v is fired, Next = %v, %v", s.At, next, ok)
			}
			return r.fire(ctx, s)
		}, Options{})
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "@hourly", "")}})
		start(t, p)
		elapse(2 * time.Hour)
		r.want(t, "r Jan1 01:00 schedule", "r Jan1 02:00 schedule")
	})
}

func TestPlanner_DropsARefusedSlotOfAReportThatWentMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entry := Entry{Report: "r", Schedule: mustParse(t, "@hourly", "")}
		var calls atomic.Int32
		var p *Planner
		p = NewPlanner(func(context.Context, Slot) error {
			if calls.Add(1) == 1 {
				p.Update(nil)
				return errors.New("gone")
			}
			return nil
		}, Options{})
		p.Update([]Entry{entry})
		start(t, p)
		elapse(90 * time.Minute)
		p.Update([]Entry{entry})
		elapse(20 * time.Minute)
		if got := calls.Load(); got != 1 {
			t.Errorf("the callback was called %d times, want 1", got)
		}
		elapse(20 * time.Minute)
		if got := calls.Load(); got != 2 {
			t.Errorf("after the next slot the callback was called %d times, want 2", got)
		}
	})
}

func TestPlanner_FollowsAWallClockThatJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var mu sync.Mutex
		var shift time.Duration
		jump := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			shift += d
		}
		p := NewPlanner(r.fire, r.options())
		p.now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(shift)
		}
		p.Update([]Entry{{Report: "r", Schedule: mustParse(t, "@hourly", "")}})
		start(t, p)
		elapse(90 * time.Minute)
		r.want(t, "r Jan1 01:00 schedule")
		jump(25 * time.Hour) // to 02:30 on the second day
		elapse(longestWait)
		r.want(t, "r missed 24 Jan1 02:00..Jan2 01:00 catch_up last", "r Jan2 02:00 catch_up")
		jump(-2 * time.Hour) // to 00:30 on the second day
		elapse(2 * time.Hour)
		r.want(t) // 01:00 and 02:00 are done with
		elapse(time.Hour)
		r.want(t, "r Jan2 03:00 schedule")
	})
}

// TestPlanner_FiresNothingAgainWhateverTheClockDoes lets the wall clock jump, by 25 hours
// ahead and 2 back among others, and agents come and go: nothing fires or is missed that
// was before.
func TestPlanner_FiresNothingAgainWhateverTheClockDoes(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var shift atomic.Int64
			clock := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
			entry := Entry{
				Report: "r", Schedule: mustParse(t, "*/20 * * * *", "Europe/Madrid"), Since: clock(),
				CatchUp: []CatchUp{CatchUpLast, CatchUpNone, CatchUpAll}[seed%3], Jitter: time.Duration(seed%2) * 10 * time.Minute,
			}
			told := 0
			settle := func(first, last time.Time) error {
				if !first.After(entry.Since) || last.Before(first) {
					t.Errorf("seed %d: %v to %v, and all was settled up to %v", seed, first, last, entry.Since)
				}
				if last.After(clock()) {
					t.Errorf("seed %d: at %v it is too early for %v", seed, clock(), last)
				}
				entry.Since = last // the cursor
				told++
				return nil
			}
			for range 12 {
				p := NewPlanner(func(_ context.Context, s Slot) error { return settle(s.At, s.At) },
					Options{Missed: func(_ context.Context, m Missed) error { return settle(m.First, m.Last) }})
				p.now = clock
				p.Update([]Entry{entry})
				stop := start(t, p)
				for range 4 {
					elapse(time.Duration(random.Int64N(int64(90 * time.Minute))))
					jumps := []time.Duration{25 * time.Hour, -2 * time.Hour, -2 * time.Hour, -time.Minute, time.Hour, 0}
					shift.Add(int64(jumps[random.IntN(len(jumps))]))
				}
				stop()
			}
			if told < 30 {
				t.Errorf("seed %d: only %d times was anything told", seed, told)
			}
		})
	}
}

// TestPlanner_LosesAndDoublesNothingOverRestarts lets agents come and go and
// their callbacks fail, before or after they recorded the slot.
func TestPlanner_LosesAndDoublesNothingOverRestarts(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			begin := time.Now()
			s := mustParse(t, "*/20 * * * *", "Europe/Madrid")
			cursor := begin // durable
			var recorded []time.Time
			for time.Since(begin) < 10*24*time.Hour {
				up := time.Duration(random.Int64N(int64(5 * time.Hour)))
				down := time.Duration(random.Int64N(int64(3 * time.Hour)))
				p := NewPlanner(func(_ context.Context, slot Slot) error {
					fate := random.IntN(10)
					if fate == 0 {
						return errors.New("before")
					}
					if slot.At.After(cursor) { // else it was recorded before the error
						recorded = append(recorded, slot.At)
						cursor = slot.At
					}
					if fate == 1 {
						return errors.New("after")
					}
					return nil
				}, Options{})
				p.Update([]Entry{{Report: "r", Schedule: s, CatchUp: CatchUpAll, Since: cursor}})
				stop := start(t, p)
				elapse(up)
				stop()
				elapse(down)
			}
			if diff := cmp.Diff(instants(Upcoming(s, begin, len(recorded))), instants(recorded)); diff != "" {
				t.Errorf("seed %d (-want +got):\n%s", seed, diff)
			}
			if len(recorded) < 9*24*3 {
				t.Errorf("seed %d: only %d slots", seed, len(recorded))
			}
		})
	}
}
