package gitsync

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBoard_MatchesGolden(t *testing.T) {
	madrid := time.FixedZone("CET", 3600)
	slot := time.Date(2026, 11, 23, 6, 0, 0, 0, madrid)
	next := slot.AddDate(0, 0, 7)
	well := BoardRow{
		Report: "weekly-energy", Title: "Weekly energy report", Slot: slot, Next: next, Counts: []Count{{"completed", 40}, {"error", 0}},
		Where: "runs/2026-11:weekly-energy/2026-11-23T0600+0100",
	}
	at := slot.Add(12 * time.Minute)
	for name, rows := range map[string][]BoardRow{
		"none": nil,
		"well": {well},
		"troubles": {
			well,
			{Report: "daily/load", Trouble: Failed, Detail: "plant-3: ZeroDivisionError: division by zero", Slot: slot, Next: slot.AddDate(0, 0, 1),
				Counts: []Count{{"completed", 2}, {"error", 1}}, Where: "runs/2026-11:daily/load/2026-11-23T0600+0100"},
			{Report: "asset-report", Trouble: Overdue, Detail: "due at 05:00, 1h12m ago", Slot: slot.AddDate(0, 0, -7), Counts: []Count{{"completed", 1}}, Next: next},
			{Report: "new", Trouble: Broken, Detail: "config.json:3:5: unknown key \"shedule\""},
		},
		"hostile": {
			{Report: "a|b`c*d_e[f](g)\\h", Title: "<script>alert(1)</script> & ~~more~~\n# heading", Trouble: Broken, Detail: "line 1\nline | 2",
				Where: "runs/2026-11:x](javascript:alert(1))"},
			{Report: "b", Slot: slot, Where: "runs/2026-11:b"},
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
