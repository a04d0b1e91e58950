package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/store"
)

var (
	monday  = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	tuesday = monday.AddDate(0, 0, 1)
)

// watchedStore counts, and may list keys that are gone.
type watchedStore struct {
	*store.Dir
	gone []string

	mu      sync.Mutex // guards what follows
	waiting int        // documents read since one was removed
	most    int
}

func (s *watchedStore) List(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.Dir.List(ctx, prefix)
	return append(keys, s.gone...), err
}

func (s *watchedStore) Get(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	s.waiting++
	s.most = max(s.most, s.waiting)
	s.mu.Unlock()
	return s.Dir.Get(ctx, key)
}

func (s *watchedStore) Delete(ctx context.Context, key string) error {
	s.mu.Lock()
	s.waiting = 0
	s.mu.Unlock()
	return s.Dir.Delete(ctx, key)
}

// newLandingAgent is an agent that can land, with its log.
func newLandingAgent(t *testing.T) (*agent, *watchedStore, *bytes.Buffer) {
	t.Helper()
	top := t.TempDir()
	bare := filepath.Join(top, "ledger.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", bare).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	dir, err := store.OpenDir(filepath.Join(top, "store"))
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := gitsync.OpenLedger(gitsync.LedgerOptions{URL: bare, Dir: filepath.Join(top, "mirror")})
	if err != nil {
		t.Fatal(err)
	}
	watched, log := &watchedStore{Dir: dir}, &bytes.Buffer{}
	return &agent{store: watched, ledger: ledger, metrics: newMetrics(func() *agent { return nil }), log: slog.New(slog.NewTextHandler(log, nil))}, watched, log
}

func (s *watchedStore) put(t *testing.T, name string, document any) {
	t.Helper()
	data, ok := document.(string)
	if !ok {
		encoded, err := runner.Encode(document)
		if err != nil {
			t.Fatal(err)
		}
		data = string(encoded)
	}
	if err := s.Put(t.Context(), runner.OutboxPrefix+name, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func slotRecord(report string, at time.Time) runner.SlotRecord {
	return runner.SlotRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindSlot, Report: report, ScheduledAt: at, Assets: []string{"a"},
		Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"},
	}
}

func landed(t *testing.T, a *agent, branch string) []string {
	t.Helper()
	paths, err := a.ledger.List(t.Context(), branch, "")
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestLandOutbox_SkipsWhatAnotherAgentHasJustLanded(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	s.gone = []string{runner.OutboxPrefix + "slot-z.yaml"}
	s.put(t, "slot-a.yaml", slotRecord("good", monday))
	if err := a.landOutbox(t.Context()); err != nil {
		t.Errorf("landOutbox() = %v", err)
	}
	if diff := cmp.Diff([]string{"good/2026-11-23T0600+0000/slot.yaml"}, landed(t, a, "runs/2026-11")); diff != "" {
		t.Errorf("landed (-want +got):\n%s", diff)
	}
}

func TestLandOutbox_SetsAsideWhatIsNoDocument(t *testing.T) {
	a, s, log := newLandingAgent(t)
	s.put(t, "bad-kind.yaml", "apiVersion: nbpress/v1\nkind: Letter\n")
	s.put(t, "bad-path.yaml", slotRecord("../up", monday))
	s.put(t, "bad-time.yaml", slotRecord("good", time.Time{}))
	s.put(t, "bad-type.yaml", "apiVersion: nbpress/v1\nkind: Run\nlanguages: 7\n")
	s.put(t, "bad-yaml.yaml", "\x00\xff{")
	s.put(t, "slot-a.yaml", slotRecord("good", monday))
	for range 2 {
		if err := a.landOutbox(t.Context()); err != nil {
			t.Errorf("landOutbox() = %v", err)
		}
	}
	if diff := cmp.Diff([]string{"good/2026-11-23T0600+0000/slot.yaml"}, landed(t, a, "runs/2026-11")); diff != "" {
		t.Errorf("landed (-want +got):\n%s", diff)
	}
	want := []string{"rejected/bad-kind.yaml", "rejected/bad-path.yaml", "rejected/bad-time.yaml", "rejected/bad-type.yaml", "rejected/bad-yaml.yaml"}
	got, err := s.List(t.Context(), rejectedPrefix)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("set aside (-want +got), %v:\n%s", err, diff)
	}
	if left, err := s.List(t.Context(), runner.OutboxPrefix); len(left) > 0 || err != nil {
		t.Errorf("left in the outbox: %v, %v", left, err)
	}
	if n := strings.Count(log.String(), "set aside"); n != len(want) {
		t.Errorf("told %d times, want once of each:\n%s", n, log)
	}
}

func TestLandOutbox_HoldsOneBatchAtATime(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	for i := range 2*landBatch + 1 {
		s.put(t, fmt.Sprintf("slot-%03d.yaml", i), slotRecord("good", monday.Add(time.Duration(i)*time.Minute)))
	}
	if err := a.landOutbox(t.Context()); err != nil {
		t.Errorf("landOutbox() = %v", err)
	}
	if s.most != landBatch {
		t.Errorf("read %d documents before a commit, want %d", s.most, landBatch)
	}
	if n := len(landed(t, a, "runs/2026-11")); n != 2*landBatch+1 {
		t.Errorf("%d landed, want all", n)
	}
}

func TestDescribe_CountsByWord(t *testing.T) {
	run := func(report string, at time.Time, status runner.Status) entry {
		return entry{run: &runner.Manifest{Report: report, ScheduledAt: at, Status: status}}
	}
	due := func(report string, at time.Time) entry {
		slot := slotRecord(report, at)
		return entry{slot: &slot}
	}
	skipped := func(report string, at time.Time) entry {
		e := due(report, at)
		e.slot.Status = runner.StatusSkipped
		return e
	}
	broken := func(report string) entry {
		return entry{broken: &runner.ReportRecord{Report: report, SeenAt: monday}}
	}
	for want, entries := range map[string][]entry{
		"a 2026-11-23: 1 due":                              {due("a", monday)},
		"a 2026-11-23: 2 due":                              {due("a", monday), due("a", monday.Add(time.Hour))},
		"a 2026-11-23: 2 completed, 1 error":               {due("a", monday), run("a", monday, "error"), run("a", monday, "completed"), run("a", monday, "completed")},
		"a 2026-11-23: skipped":                            {skipped("a", monday)},
		"a 2026-11-23: 2 skipped":                          {skipped("a", monday), skipped("a", monday)},
		"a 2026-11-23: broken bundle":                      {broken("a")},
		"a: 2 completed":                                   {run("a", monday, "completed"), run("a", tuesday, "completed")},
		"3 reports due":                                    {due("a", monday), due("b", monday), due("c", monday)},
		"2 reports due, 1 broken bundle":                   {due("a", monday), broken("b"), due("c", monday)},
		"1 report due, 1 skipped, 2 broken bundles":        {due("a", monday), broken("b"), broken("c"), skipped("d", monday)},
		"2 reports: 2 broken bundles":                      {broken("b"), broken("c")},
		"3 reports: 1 completed, 1 error, 1 broken bundle": {run("a", monday, "completed"), run("b", monday, "error"), broken("c")},
		"2 reports: 1 completed, 1 due":                    {due("a", monday), run("a", monday, "completed"), due("b", monday)},
	} {
		if got, _, _ := describe(entries); got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

func TestDescribe_BoundsWhatNotebooksSay(t *testing.T) {
	huge := strings.Repeat("x", 5<<20)
	m := runner.Manifest{Report: "r", Asset: "a", ScheduledAt: monday, Status: runner.StatusError}
	m.Error = &runner.RunError{Code: runner.CellError, Message: "\x1b[31m" + huge + "\nRun: forged completed"}
	r := runner.ReportRecord{Report: "b", SeenAt: monday, Error: &runner.RunError{}}
	for range 1000 {
		r.Error.Problems = append(r.Error.Problems, huge)
	}
	_, body, _ := describe([]entry{{run: &m}, {broken: &r}})
	lines := strings.Split(body, "\n")
	if want := 2 + 1 + 1 + problemLines + 1; len(lines) != want { // sentences, blank, run, mistakes, how many more
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 400 || strings.ContainsRune(line, '\x1b') {
			t.Errorf("a line of %d characters: %.50q", n, line)
		}
	}
	if last := lines[len(lines)-1]; last != "... and 980 more" {
		t.Errorf("last line %q", last)
	}
}
