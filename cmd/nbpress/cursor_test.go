package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
	"nbpress/schedule"
)

// A report, its schedule and its assets count from when each was merged, whatever comes
// and goes in between; what was fired stays fired.
func TestCursor_CountsFromWhatWasMergedWhen(t *testing.T) {
	daily := report.Schedule{Cron: "0 6 * * *", Timezone: "UTC"}
	hourly := report.Schedule{Cron: "0 * * * *", Timezone: "UTC"}
	item := func(day int, s report.Schedule, assets ...string) *newsItem {
		return newsOf("r", monday.AddDate(0, 0, day), s, assets...)["r"]
	}
	disabled := func(item *newsItem) *newsItem { item.bundle.Config.Enabled = false; return item }
	without := func(item *newsItem) *newsItem { item.bundle.Config.Assets[0].Enabled = false; return item }
	fired := monday.AddDate(0, 0, 2)
	tests := []struct {
		name  string
		news  []*newsItem // of each day
		since int         // day after which slots are due
		due   []string    // of the assets "a" and "b", those of a slot an hour later
	}{
		{"the same news again", []*newsItem{item(0, daily, "a"), item(3, daily, "a")}, 2, []string{"a"}},
		{"a new asset", []*newsItem{item(0, daily, "a"), item(3, daily, "a", "b")}, 2, []string{"a"}},
		{"a new asset, for some days", []*newsItem{item(0, daily, "a"), item(1, daily, "a", "b"), item(3, daily, "a", "b")}, 2, []string{"a", "b"}},
		{"another schedule", []*newsItem{item(0, daily, "a"), item(3, hourly, "a")}, 3, []string{"a"}},
		{"another schedule that was merged before the last slot", []*newsItem{item(0, daily, "a"), item(1, hourly, "a")}, 2, []string{"a"}},
		{"disabled, and enabled again", []*newsItem{item(0, daily, "a"), disabled(item(3, daily, "a")), item(4, daily, "a")}, 4, []string{"a"}},
		{"broken, and mended", []*newsItem{item(0, daily, "a"), {merged: monday.AddDate(0, 0, 3)}, item(4, daily, "a")}, 4, []string{"a"}},
		{"an asset disabled, and enabled again", []*newsItem{item(0, daily, "a", "b"), without(item(1, daily, "a", "b")), item(3, daily, "a", "b")}, 2, []string{"b"}},
		{"an asset removed, and there again", []*newsItem{item(0, daily, "a", "b"), item(1, daily, "a"), item(3, daily, "a", "b")}, 2, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cursor{Fired: fired}
			for _, news := range tt.news {
				c = c.follow(news)
			}
			if want := monday.AddDate(0, 0, tt.since); !c.since().Equal(want) {
				t.Errorf("slots are due after %v, want %v", c.since(), want)
			}
			last := tt.news[len(tt.news)-1]
			if diff := cmp.Diff(tt.due, c.due(last.bundle, fired.Add(time.Hour))); diff != "" {
				t.Errorf("due (-want +got):\n%s", diff)
			}
		})
	}
}

// A report that is deleted and merged again is a new one, and so is its past.
func TestCursor_OfADeletedReportIsForgotten(t *testing.T) {
	a := scheduling(&runnertest.Memory{})
	daily := report.Schedule{Cron: "0 6 * * *", Timezone: "UTC"}
	for day, items := range []map[string]*newsItem{newsOf("r", monday, daily, "a"), {}, newsOf("r", monday.AddDate(0, 0, 2), daily, "a")} {
		if !a.adopt(t.Context(), items) {
			t.Fatalf("day %d is not adopted", day)
		}
	}
	if got, want := a.cursors["r"].since(), monday.AddDate(0, 0, 2); !got.Equal(want) {
		t.Errorf("slots are due after %v, want %v", got, want)
	}
	if due := a.cursors["r"].due(a.reports["r"].bundle, monday.AddDate(0, 0, 1)); due != nil {
		t.Errorf("of a slot before it came back %q are due", due)
	}
}

// What falls due while the slot before is under way waits or is skipped, as the report
// says; what is caught up always waits.
func TestFire_LetsSlotsOverlapAsTheReportSays(t *testing.T) {
	tests := []struct {
		overlap, trigger string
		skipped          bool
	}{
		{"skip", schedule.TriggerSchedule, true},
		{"skip", schedule.TriggerCatchUp, false},
		{"queue", schedule.TriggerSchedule, false},
	}
	for _, tt := range tests {
		t.Run(tt.overlap+" "+tt.trigger, func(t *testing.T) {
			s := &runnertest.Memory{}
			a := scheduling(s)
			a.adopt(t.Context(), newsOf("r", monday.Add(-time.Hour), report.Schedule{Cron: "0 * * * *", Timezone: "UTC", Overlap: tt.overlap}, "a"))
			second := monday.Add(time.Hour)
			for _, slot := range []schedule.Slot{{Report: "r", At: monday, Trigger: schedule.TriggerSchedule}, {Report: "r", At: second, Trigger: tt.trigger}} {
				slot.Days = schedule.Days{From: "2026-11-22", To: "2026-11-22"}
				if err := a.fire(t.Context(), slot); err != nil {
					t.Fatal(err)
				}
			}
			objects := s.Objects()
			_, open := objects["slots/r~2026-11-23T0700+0000.yaml"]
			record, err := runner.Decode[runner.SlotRecord]([]byte(objects[runner.OutboxPrefix+"slot-r~2026-11-23T0700+0000.yaml"]), runner.KindSlot)
			if err != nil {
				t.Fatal(err)
			}
			if skipped := record.Status == runner.StatusSkipped; skipped != tt.skipped || open == tt.skipped {
				t.Errorf("skipped %v, open %v, want skipped %v", skipped, open, tt.skipped)
			}
			if c := a.cursors["r"]; !c.Fired.Equal(second) || c.Slot.Equal(second) == tt.skipped {
				t.Errorf("the cursor is %+v", c)
			}
		})
	}
}
