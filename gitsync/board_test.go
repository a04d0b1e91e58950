package gitsync

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func withPages(row BoardRow, assets ...string) BoardRow {
	for _, asset := range assets {
		row.Pages = append(row.Pages, Link{asset, "https://reports.example.com/" + row.Report + "/" + asset + "/latest/en/index.html"})
	}
	return row
}

func TestBoard_MatchesGolden(t *testing.T) {
	madrid := time.FixedZone("CET", 3600)
	slot := time.Date(2026, 11, 23, 6, 0, 0, 0, madrid)
	next := slot.AddDate(0, 0, 7)
	well := BoardRow{
		Report: "weekly-energy", Title: "Weekly energy report", Slot: slot, Next: next, Counts: []Count{{"completed", 40}, {"error", 0}},
		Where: Link{Text: "runs/2026-11:weekly-energy/2026-11-23T0600+0100"},
	}
	web := WebOf("git@gitlab.example.com:team/reports.git")
	linked := func(row BoardRow) BoardRow {
		_, path, _ := strings.Cut(row.Where.Text, ":")
		row.Where.URL = web.URL("runs/2026-11", path)
		row.Failed = slices.Clone(row.Failed)
		for i, failed := range row.Failed {
			row.Failed[i].URL = web.URL("runs/2026-11", path+"/"+failed.Text+".yaml")
		}
		return row
	}
	failed := BoardRow{
		Report: "daily/load", Trouble: Failed, Detail: "3 of 5 runs", Slot: slot, Next: slot.AddDate(0, 0, 1),
		Counts: []Count{{"completed", 2}, {"error", 3}}, Where: Link{Text: "runs/2026-11:daily/load/2026-11-23T0600+0100"},
		Failed: []Link{{Text: "plant-3"}, {Text: "plant_4"}}, More: 1,
	}
	at := slot.Add(12 * time.Minute)
	for name, rows := range map[string][]BoardRow{
		"none": nil,
		"well": {well},
		"troubles": {
			well,
			failed,
			{Report: "asset-report", Trouble: Overdue, Detail: "due at 05:00, 1h12m ago", Slot: slot.AddDate(0, 0, -7), Counts: []Count{{"completed", 1}}, Next: next},
			{Report: "new", Trouble: Broken, Detail: "config.json:3:5: unknown key \"shedule\""},
			{Report: "winter", Slot: slot.AddDate(0, -8, 0), Counts: []Count{{"completed", 3}}, Off: true},
		},
		"linked": {
			linked(withPages(well, "plant-1", "plant-2")),
			linked(failed),
			{Report: "many", Next: next, PagesAt: "https://reports.example.com/many/ASSET/latest/LANGUAGE/index.html"},
			{Report: "new", Trouble: Broken, Detail: "config.json:3:5: unknown key \"shedule\""},
		},
		"hostile": {
			{Report: "a|b`c*d_e[f](g)\\h", Title: "<script>alert(1)</script> & ~~more~~\n# heading", Trouble: Broken, Detail: "line 1\nline | 2",
				Where:  Link{"runs/2026-11:x](javascript:alert(1))", "javascript:alert(1)"},
				Failed: []Link{{"a](javascript:alert(1))", "https://git.example.com/a)](javascript:alert(1))"}, {"<b>", "https://git.example.com/\"><script>"}}},
			{Report: "b", Slot: slot, Where: Link{"runs/2026-11:b", "https://git.example.com/a|b"}, PagesAt: "https://reports.example.com/`<script>",
				Pages: []Link{{"x\n# y", "https://reports.example.com/a\n# b"}, {"![z]", WebOf("https://github.com/a/b").URL("c", "d)(|\\`<e>")}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", "board", name+".md")
			got := Board(rows, at)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("Board() (-want +got):\n%s", diff)
			}
		})
	}
}
