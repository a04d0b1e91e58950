package schedule

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// manyEntries returns n reports that fall due over a week, in a few zones.
func manyEntries(tb testing.TB, n int, since time.Time) []Entry {
	tb.Helper()
	zones := []string{"Europe/Madrid", "America/New_York", "Asia/Tokyo", "UTC"}
	var p Parser
	list := make([]Entry, n)
	for i := range list {
		text := fmt.Sprintf("%d %d * * %d", i%60, i/60%24, i%7)
		s, err := p.Parse(text, zones[i%len(zones)])
		if err != nil {
			tb.Fatal(err)
		}
		list[i] = Entry{Report: fmt.Sprintf("team-%d/report-%d", i%100, i), Schedule: s, Since: since}
	}
	return list
}

// BenchmarkPlanner measures, for n reports, parsing and planning them all, one
// edit among them, and handing out one slot of each.
func BenchmarkPlanner(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
		planner := func() *Planner {
			p := NewPlanner(func(context.Context, Slot) error { return nil }, Options{})
			p.now = func() time.Time { return now }
			return p
		}
		b.Run(fmt.Sprintf("load/%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				p := planner()
				p.Update(manyEntries(b, n, now))
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(p)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		})
		b.Run(fmt.Sprintf("edit/%d", n), func(b *testing.B) {
			p, entries := planner(), manyEntries(b, n, now)
			p.Update(entries)
			edited := mustParse(b, "0 7 * * *", "")
			for b.Loop() {
				entries[n/2].Schedule, edited = edited, entries[n/2].Schedule
				p.Update(entries)
			}
		})
		b.Run(fmt.Sprintf("fire/%d", n), func(b *testing.B) {
			entries := manyEntries(b, n, now.AddDate(0, 0, -7))
			for i := range entries {
				entries[i].MaxLateness = 8 * 24 * time.Hour
			}
			for b.Loop() {
				b.StopTimer()
				p := planner()
				p.Update(entries)
				b.StartTimer()
				if err := p.FireDue(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "us/slot")
		})
	}
}

// BenchmarkSchedule_Next measures cheap and dear texts.
func BenchmarkSchedule_Next(b *testing.B) {
	for _, text := range []string{"*/5 * * * *", "0 6 * * 1", "0 0 29 2 *", "@every 90m"} {
		s := mustParse(b, text, "Europe/Madrid")
		after := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				s.Next(after)
			}
		})
	}
}
