package main

import (
	"context"
	"fmt"

	"nbpress/runner"
	"nbpress/schedule"
)

// miss records slots that will not fire, then moves the report's cursor past them. An
// agent that dies between the two tells them again, and perhaps more, after its restart:
// the record has the same key then, and the same place in the ledger.
func (a *agent) miss(ctx context.Context, m schedule.Missed) error {
	record := runner.MissedRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindMissed, Report: m.Report, Timezone: m.First.Location().String(),
		First: m.First, Last: m.Last, Count: m.Count, Why: m.Why, Status: runner.StatusMissed,
	}
	if err := a.record(ctx, "missed-"+runner.FlatName(m.Report)+"~"+runner.SlotName(m.First)+".yaml", record); err != nil {
		return err
	}
	a.log.Warn("slots missed", "report", m.Report, "first", runner.SlotName(m.First), "last", runner.SlotName(m.Last), "count", m.Count, "why", m.Why)
	return a.fired(ctx, schedule.Slot{Report: m.Report, At: m.Last}, nil)
}

// outage words a missed record: "daily-load: 3 slots missed, 2026-11-23 06:00 to
// 2026-11-23 08:00".
func outage(m runner.MissedRecord) string {
	const layout = "2006-01-02 15:04"
	text := fmt.Sprintf("%s: %s missed, %s", m.Report, counted(m.Count, "slot"), m.First.Format(layout))
	if m.Count > 1 {
		text += " to " + m.Last.Format(layout)
	}
	return text
}
