package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/store"
	"nbpress/schedule"
)

// TestCursor_AQuarterlyReportOutlivesTheMonths lets a year and a half pass with a new
// agent every month, which knows of the ones before only what is in the store. Whether
// it starts before a quarter's slot, at it, or was away then: each quarter comes once.
func TestCursor_AQuarterlyReportOutlivesTheMonths(t *testing.T) {
	notebook, err := notebookOf([]byte(plainNotebook))
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{
		"quarter/config.json": {Data: []byte(`{"schedule": {"cron": "0 6 1 */3 *", "timezone": "Europe/Madrid", "max_lateness": "2400h"},
			"window": "last_quarter", "assets": ["a", "b"]}`)},
		"quarter/report.ipynb":  {Data: notebook},
		"quarter/template.html": {Data: []byte(plainTemplate)},
	}
	for name, rest := range map[string]time.Duration{ // between two agents, as months begin
		"the next comes at once":         0,
		"the next comes at the slot":     5 * time.Hour, // 06:00 in Madrid in winter, past it in summer
		"the next comes after the slot":  9 * time.Hour,
		"the next comes some days later": 5 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := store.OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			fires := map[string]int{}
			synctest.Test(t, func(t *testing.T) {
				merged := time.Now() // the first of January 2000, as bubbles begin
				for month := range 18 {
					a := &agent{store: dir, log: slog.New(slog.DiscardHandler), changed: newBell()}
					a.runner = runner.New(nil, dir, runner.Options{Holder: "test", Log: a.log})
					a.planner = schedule.NewPlanner(func(ctx context.Context, slot schedule.Slot) error {
						fires[runner.SlotName(slot.At)]++
						return a.fire(ctx, slot)
					}, schedule.Options{Log: a.log})
					options, _ := reading(tree, &a.zones)
					bundle, problems := report.Load(tree, "quarter", options)
					if bundle == nil {
						t.Fatal(problems)
					}
					items := map[string]*newsItem{"quarter": {bundle: bundle, commit: gitsync.Commit{Hash: "c0ffee"}, merged: merged}}
					if !a.adopt(t.Context(), items) {
						t.Fatal("the cursors are not in order")
					}
					a.planner.Update(a.entries(items))
					end := time.Date(2000, time.Month(month+2), 1, 0, 0, 0, 0, time.UTC)
					for time.Now().Before(end) {
						if err := a.planner.FireDue(t.Context()); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Hour)
					}
					time.Sleep(rest)
				}
			})
			if diff := cmp.Diff(quarters, firedSlots(t, dir)); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
			for slot, n := range fires {
				if n != 1 {
					t.Errorf("%s fired %d times", slot, n)
				}
			}
		})
	}
}

// quarters are what a year and a half has: slot, and the days that it covers.
var quarters = []string{
	"2000-01-01T0600+0100 1999-10-01 1999-12-31",
	"2000-04-01T0600+0200 2000-01-01 2000-03-31",
	"2000-07-01T0600+0200 2000-04-01 2000-06-30",
	"2000-10-01T0600+0200 2000-07-01 2000-09-30",
	"2001-01-01T0600+0100 2000-10-01 2000-12-31",
	"2001-04-01T0600+0200 2001-01-01 2001-03-31",
}

// firedSlots are the slots on their way to the ledger.
func firedSlots(t *testing.T, dir *store.Dir) []string {
	t.Helper()
	keys, err := dir.List(t.Context(), runner.OutboxPrefix)
	if err != nil {
		t.Fatal(err)
	}
	var slots []string
	for _, key := range keys {
		data, err := dir.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := runner.Decode[runner.SlotRecord](data, runner.KindSlot)
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, runner.SlotName(s.ScheduledAt)+" "+string(s.Window.FromDay)+" "+string(s.Window.ToDay))
		if len(s.Assets) != 2 {
			t.Errorf("%s is due for %v", slots[len(slots)-1], s.Assets)
		}
	}
	slices.Sort(slots)
	return slots
}
