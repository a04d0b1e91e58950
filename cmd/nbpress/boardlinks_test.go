package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/report"
)

func TestBoard_LeadsToTheManifestThatCounts(t *testing.T) {
	slot := time.Date(2026, 11, 23, 6, 0, 0, 0, time.FixedZone("CET", 3600))
	ends := endings{}
	for _, m := range []runner.Manifest{
		{Asset: "a", Generation: 1, Status: runner.StatusError},
		{Asset: "a", Generation: 2, Status: runner.StatusError},
		{Asset: "b", Generation: 1, Status: runner.StatusError},
		{Asset: "b", Generation: 2, Status: runner.StatusCompleted},
		{Asset: "c", Generation: 1, Status: runner.StatusCompleted},
		{Asset: "c", Generation: 2, Status: runner.StatusError},
		{Asset: "d", Generation: 1, Status: runner.StatusCanceled},
		{Asset: "e", Generation: 1, Status: runner.StatusError},
	} {
		m.Report, m.ScheduledAt = "daily", slot
		ends.note(m)
	}
	due := []string{"a", "b", "c", "d", "e", "f"}
	a := &agent{}
	a.c.Ledger.Web = "https://git.example.com/{branch}/{path}"
	moved := &report.Bundle{Config: report.Config{Enabled: true}} // since the slot, to another zone
	moved.Config.Schedule.Timezone = "Asia/Tokyo"
	row := a.boardRow("daily", &newsItem{bundle: moved}, cursor{Slot: slot, Due: due}, ends["daily"].by, time.Time{})

	const folder = "https://git.example.com/runs/2026-11/daily/2026-11-23T0600%2B0100"
	wantLinks := []gitsync.Link{{Text: "a", URL: folder + "/a.g2.yaml"}, {Text: "e", URL: folder + "/e.yaml"}}
	if diff := cmp.Diff(wantLinks, row.Failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	wantCounts := []gitsync.Count{{Status: "completed", Runs: 2}, {Status: "error", Runs: 2}, {Status: "canceled", Runs: 1}, {Status: "under way", Runs: 1}}
	if diff := cmp.Diff(wantCounts, row.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if row.Where.URL != folder || row.Detail != "2 of 6 runs" {
		t.Errorf("where %+v, detail %q", row.Where, row.Detail)
	}
}

func TestBoard_NamesAFewFailures(t *testing.T) {
	var due []string
	ended := map[string]result{}
	for _, asset := range "abcdefgh" {
		due = append(due, string(asset))
		ended[string(asset)] = result{runner.StatusError, 1}
	}
	links, more := new(agent).failedLinks("daily", time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), due, ended)
	if len(links) != failedShown || more != len(due)-failedShown || links[0] != (gitsync.Link{Text: "a"}) {
		t.Errorf("%d more than %+v", more, links)
	}
}
