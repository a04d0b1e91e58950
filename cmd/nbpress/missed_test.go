package main

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
	"nbpress/schedule"
)

// cursorless is a store that takes no cursors while it refuses.
type cursorless struct {
	runner.Store
	refuses bool
}

func (s *cursorless) Put(ctx context.Context, key string, data []byte) error {
	if s.refuses && key == cursorKey("daily/load") {
		return errors.New("the disk is full")
	}
	return s.Store.Put(ctx, key, data)
}

// An agent may die after it recorded an outage and before its cursor moved, and the
// next one finds the outage longer: the ledger tells it once.
func TestMiss_TellsAnOutageOnceAlsoIfItIsToldAgain(t *testing.T) {
	a, watched, _ := newLandingAgent(t)
	s := &cursorless{Store: watched, refuses: true}
	a.store, a.recorded, a.changed = s, newBell(), newBell()
	a.cursors = map[string]cursor{"daily/load": {Merged: monday.Add(-time.Hour)}}
	miss := func(count int) error {
		err := a.miss(t.Context(), schedule.Missed{
			Report: "daily/load", First: monday, Last: monday.Add(time.Duration(count-1) * time.Hour), Count: count, Why: schedule.WhyNone,
		})
		if landing := a.landOutbox(t.Context()); landing != nil {
			t.Fatal(landing)
		}
		return err
	}
	if err := miss(2); err == nil {
		t.Error("the cursor was not saved, and miss says that all is done")
	}
	s.refuses = false
	if err := miss(3); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"daily/load/missed-2026-11-23T0600+0000.yaml"}, landed(t, a, "runs/2026-11")); diff != "" {
		t.Fatalf("landed (-want +got):\n%s", diff)
	}
	tree, err := a.ledger.Tree(t.Context(), "runs/2026-11")
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(tree, "daily/load/missed-2026-11-23T0600+0000.yaml")
	if err != nil {
		t.Fatal(err)
	}
	record, err := runner.Decode[runner.MissedRecord](data, runner.KindMissed)
	if err != nil || record.Count != 3 || !record.Last.Equal(monday.Add(2*time.Hour)) {
		t.Errorf("recorded %+v, %v, want the longer outage", record, err)
	}
	saved, err := a.loadCursor(t.Context(), "daily/load")
	if want := monday.Add(2 * time.Hour); err != nil || !saved.since().Equal(want) || !a.cursors["daily/load"].since().Equal(want) {
		t.Errorf("slots are due after %v, %v, want %v", saved.since(), err, want)
	}
}

func TestDescribe_TellsOfOutages(t *testing.T) {
	missed := func(report string, count int) entry {
		return entry{missed: &runner.MissedRecord{
			Report: report, First: monday, Last: monday.Add(time.Duration(count-1) * time.Hour), Count: count, Why: schedule.WhyLast,
		}}
	}
	slot := slotRecord("daily", monday.Add(3*time.Hour))
	for _, tt := range []struct {
		entries       []entry
		subject, body string
	}{
		{[]entry{missed("daily", 3)}, "daily: 3 slots missed, 2026-11-23 06:00 to 2026-11-23 08:00", "Passed over by catch_up last."},
		{[]entry{missed("daily", 1)}, "daily: 1 slot missed, 2026-11-23 06:00", "Passed over by catch_up last."},
		{[]entry{missed("daily", 3), {slot: &slot}}, "daily 2026-11-23: 1 due, 3 slots missed",
			"daily: 3 slots missed, 2026-11-23 06:00 to 2026-11-23 08:00, by catch_up last"},
		{[]entry{missed("daily", 1), missed("weekly", 2), {slot: &slot}}, "1 report due, 3 slots missed",
			"daily 2026-11-23: 1 due, 1 slot missed\nweekly 2026-11-23: 2 slots missed\n\n" +
				"daily: 1 slot missed, 2026-11-23 06:00, by catch_up last\nweekly: 2 slots missed, 2026-11-23 06:00 to 2026-11-23 07:00, by catch_up last"},
	} {
		subject, body, _ := describe(tt.entries)
		if subject != tt.subject || body != tt.body {
			t.Errorf("got %q\n%s\nwant %q\n%s", subject, body, tt.subject, tt.body)
		}
	}
}
