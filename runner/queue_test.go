package runner

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nbpress/runner/report"
)

// due returns the runs of one slot: n assets of a report, due at an hour of a day.
func due(name string, hour, n int) []*task {
	slot := &slotState{record: SlotRecord{Report: name, ScheduledAt: time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC)}}
	var tasks []*task
	for i := range n {
		tasks = append(tasks, &task{report: name, asset: report.Asset{ID: fmt.Sprintf("asset-%04d", i)}, slot: slot})
	}
	return tasks
}

func (t *task) String() string {
	return fmt.Sprintf("%s/%s@%d", t.report, t.asset.ID, t.slot.record.ScheduledAt.Hour())
}

// takeAll takes what may start now.
func takeAll(q *queue) []*task {
	var taken []*task
	for {
		t, _ := q.take(time.Now())
		if t == nil {
			return taken
		}
		taken = append(taken, t)
	}
}

func isIdle(q *queue) bool {
	select {
	case <-q.empty():
		return true
	default:
		return false
	}
}

func TestQueue_HandsOutNoMoreThanSlots(t *testing.T) {
	tests := []struct{ slots, perReport, reports, assets, want int }{
		{slots: 1, perReport: 1, reports: 3, assets: 3, want: 1},
		{slots: 4, perReport: 4, reports: 1, assets: 9, want: 4},
		{slots: 4, perReport: 2, reports: 1, assets: 9, want: 2},
		{slots: 4, perReport: 2, reports: 9, assets: 9, want: 4},
		{slots: 9, perReport: 2, reports: 3, assets: 1, want: 3},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			q := newQueue(test.slots, test.perReport)
			for i := range test.reports {
				q.add(due(fmt.Sprintf("report-%d", i), 6, test.assets)...)
			}
			taken := takeAll(q)
			if len(taken) != test.want {
				t.Fatalf("handed out %d, want %d: %v", len(taken), test.want, taken)
			}
			q.done(taken[0])
			if more := takeAll(q); len(more) > 1 {
				t.Errorf("one slot was given back, %d were handed out", len(more))
			}
		})
	}
}

func TestQueue_TakesReportsInTurns(t *testing.T) {
	for _, slots := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d slots", slots), func(t *testing.T) {
			q := newQueue(slots, slots)
			q.add(due("big", 5, 1000)...) // due first
			running := takeAll(q)
			q.add(due("small", 6, 1)...)
			for finished := 1; ; finished++ {
				q.done(running[0])
				running = append(running[1:], takeAll(q)...)
				if slices.ContainsFunc(running, func(r *task) bool { return r.report == "small" }) {
					break
				}
				if finished > slots {
					t.Fatalf("after %d finished runs of the big report the small one still waits", finished)
				}
			}
		})
	}
}

func TestQueue_SharesOneSlotBetweenBigReports(t *testing.T) {
	q := newQueue(1, 1)
	q.add(due("a", 5, 100)...)
	for range 50 { // a has been at it for a while when b comes
		q.done(takeAll(q)[0])
	}
	q.add(due("b", 6, 100)...)
	count := map[string]int{}
	for range 20 {
		r := takeAll(q)[0]
		count[r.report]++
		q.done(r)
	}
	if count["a"] != 10 || count["b"] != 10 {
		t.Errorf("of the next 20 runs %v, want 10 each", count)
	}
}

func TestQueue_StartsWhatWasDueFirst(t *testing.T) {
	q := newQueue(9, 9)
	q.add(due("c", 8, 1)...)
	q.add(due("b", 7, 1)...)
	q.add(due("a", 7, 1)...)
	q.add(due("d", 6, 2)...)
	q.add(due("d", 5, 1)...)
	got := fmt.Sprint(takeAll(q))
	want := "[d/asset-0000@5 a/asset-0000@7 b/asset-0000@7 c/asset-0000@8]" // d's next slot is not ready
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestQueue_TakesAReportsSlotsInOrder(t *testing.T) {
	q := newQueue(9, 9)
	q.add(due("a", 7, 2)...)
	q.add(due("a", 6, 2)...)
	q.add(due("b", 8, 1)...)
	first := takeAll(q)
	if got, want := fmt.Sprint(first), "[a/asset-0000@6 b/asset-0000@8 a/asset-0001@6]"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	q.done(first[0])
	q.again(first[2], time.Hour)
	if got := takeAll(q); len(got) != 0 {
		t.Errorf("%v started while a run of the slot before pauses", got)
	}
	last, _ := q.take(time.Now().Add(2 * time.Hour))
	if last != first[2] {
		t.Fatalf("got %v after the pause", last)
	}
	q.done(last)
	if got, want := fmt.Sprint(takeAll(q)), "[a/asset-0000@7 a/asset-0001@7]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestQueue_HoldsBackUntilThePauseIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2, 2)
		q.add(due("a", 5, 1)...)
		first := q.next(t.Context())
		began := time.Now()
		q.again(first, 15*time.Second)
		q.add(due("a", 5, 2)[1])
		if r := q.next(t.Context()); r == first {
			t.Fatal("a run that pauses was handed out")
		} else if waited := time.Since(began); waited != 0 {
			t.Errorf("a ready run waited %v for one that pauses", waited)
		}
		if r := q.next(t.Context()); r != first {
			t.Errorf("got %v, want %v", r, first)
		}
		if waited := time.Since(began); waited != 15*time.Second {
			t.Errorf("handed out after %v, want 15s", waited)
		}
	})
}

func TestQueue_WakesWhoWaits(t *testing.T) {
	tests := []struct {
		name  string
		event func(q *queue, running *task)
	}{
		{"when runs are added", func(q *queue, _ *task) { q.add(due("b", 6, 1)...) }},
		{"when a run is done", func(q *queue, running *task) { q.add(due("a", 6, 1)...); q.done(running) }},
		{"when a run goes back", func(q *queue, running *task) { q.again(running, 0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(2, 1)
				q.add(due("a", 5, 1)...)
				running := q.next(t.Context())
				began := time.Now()
				go func() {
					time.Sleep(time.Second) // the bubble's second
					test.event(q, running)
				}()
				if q.next(t.Context()) == nil || time.Since(began) != time.Second {
					t.Errorf("woke after %v, want 1s", time.Since(began))
				}
			})
		})
	}
}

func TestQueue_NextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := q.next(ctx); r != nil {
			t.Errorf("got %v of an empty queue", r)
		}
		q.add(due("a", 5, 1)...)
		if r := q.next(ctx); r != nil {
			t.Errorf("got %v after the end", r)
		}
	})
}

func TestQueue_IsIdleWhenEveryRunIsDone(t *testing.T) {
	q := newQueue(2, 2)
	if !isIdle(q) {
		t.Error("a new queue is not idle")
	}
	q.add()
	if !isIdle(q) {
		t.Error("adding nothing made it busy")
	}
	q.add(due("a", 5, 2)...)
	before := q.empty()
	first := mustTake(t, q)
	if isIdle(q) {
		t.Error("idle with runs under way")
	}
	q.again(first, 0)
	if isIdle(q) {
		t.Error("idle while a run waits to be tried again")
	}
	for range 2 {
		q.done(mustTake(t, q))
	}
	if !isIdle(q) {
		t.Error("not idle though every run is done")
	}
	select {
	case <-before:
	default:
		t.Error("who waited since before was not told")
	}
	q.add(due("a", 6, 1)...)
	if isIdle(q) {
		t.Error("idle though a run was added after")
	}
	q.done(mustTake(t, q))
	if !isIdle(q) {
		t.Error("not idle the second time")
	}
}

// TestQueue_LosesNothingInARace lets many add, finish and put back at once.
func TestQueue_LosesNothingInARace(t *testing.T) {
	const slots, perReport, adders, each = 8, 3, 10, 50
	q := newQueue(slots, perReport)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var adding sync.WaitGroup
	for a := range adders {
		adding.Go(func() {
			for i := range each {
				q.add(due(fmt.Sprintf("report-%d", (a+i)%4), i%24, 1)...)
			}
		})
	}
	var now, finished atomic.Int32
	byReport := map[string]*atomic.Int32{}
	for i := range 4 {
		byReport[fmt.Sprintf("report-%d", i)] = new(atomic.Int32)
	}
	var working sync.WaitGroup
	retried := map[*task]bool{}
	for finished.Load() < adders*each {
		r := q.next(ctx)
		if r == nil {
			break
		}
		if n := now.Add(1); n > slots {
			t.Fatalf("%d at a time, want at most %d", n, slots)
		}
		if n := byReport[r.report].Add(1); n > perReport {
			t.Fatalf("%d of %s at a time, want at most %d", n, r.report, perReport)
		}
		again := !retried[r] && len(retried)%3 == 0
		retried[r] = true
		working.Go(func() {
			runtime.Gosched()
			byReport[r.report].Add(-1)
			now.Add(-1)
			if again {
				q.again(r, time.Millisecond)
				return
			}
			if q.done(r); finished.Add(1) == adders*each {
				cancel() // next waits for nothing now
			}
		})
	}
	adding.Wait()
	working.Wait()
	if finished.Load() != adders*each || !isIdle(q) {
		t.Errorf("%d of %d finished, idle: %v", finished.Load(), adders*each, isIdle(q))
	}
}

func TestQueue_IsQuickWithTenThousandRuns(t *testing.T) {
	q := newQueue(16, 16)
	began := time.Now()
	tasks := due("big", 5, 10_000)
	slices.Reverse(tasks) // the worst order
	q.add(tasks...)
	for range tasks {
		q.done(mustTake(t, q))
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v", took)
	} else {
		t.Logf("took %v", took)
	}
	if len(q.waiting)+len(q.running)+len(q.turn) != 0 || !isIdle(q) {
		t.Errorf("something is left: %v %v %v", q.waiting, q.running, q.turn)
	}
}

func mustTake(t *testing.T, q *queue) *task {
	t.Helper()
	r, _ := q.take(time.Now())
	if r == nil {
		t.Fatal("nothing may start")
	}
	return r
}
