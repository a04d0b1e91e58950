package runner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
	"nbpress/runner/store"
)

// cell is a notebook's only code cell in these tests; a fake kernel shows its source
// as the page.
const cell = `{"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null,
	"source": "#Environment\nat = \"$SCHEDULED_AT\""}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}`

// bundleOf returns a report of the given assets, in two languages, with two retries.
func bundleOf(assets ...string) *report.Bundle {
	b := &report.Bundle{
		Name: "energy", Template: report.TemplateFile,
		Files: map[string][]byte{report.NotebookFile: []byte(cell), report.TemplateFile: nil},
		Config: report.Config{
			Languages: []string{"en", "ca"}, Retries: 2, Enabled: true,
			Timeout: report.Timeout{Cell: 2 * time.Minute, Run: 15 * time.Minute},
		},
	}
	for _, id := range assets {
		b.Config.Assets = append(b.Config.Assets, report.Asset{ID: id, Enabled: true})
	}
	return b
}

// slotOf returns the slot of a bundle that is due at an hour, with all of its assets.
func slotOf(b *report.Bundle, hour int) runner.Slot {
	record := runner.SlotRecord{
		Report: b.Name, ScheduledAt: time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC), Timezone: "UTC",
		Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"}, Trigger: runner.TriggerSchedule,
		BundleCommit: "5f1c",
	}
	for _, a := range b.Config.Assets {
		record.Assets = append(record.Assets, a.ID)
	}
	return runner.Slot{Record: record, Bundle: b}
}

func idOf(slot runner.Slot, asset string) runner.RunID {
	return runner.NewRunID(slot.Record.Report, asset, slot.Record.ScheduledAt)
}

// life is one life of an agent's runner.
type life struct {
	*runner.Runner
	stop func() error // ends the life and returns what Run returned
}

// begin starts a life. It ends with the test at the latest.
func begin(t *testing.T, exec runner.Executor, store runner.Store, o runner.Options) life {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, ended := runner.New(exec, store, o), make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return life{Runner: r, stop: stop}
}

func (l life) submit(t *testing.T, slots ...runner.Slot) {
	t.Helper()
	for _, slot := range slots {
		if err := l.Submit(t.Context(), slot); err != nil {
			t.Fatal(err)
		}
	}
}

// finish waits until every run has finished. A minute is for a machine that is busy;
// in a bubble the hours of retries are none.
func (l life) finish(t *testing.T, limit time.Duration) {
	t.Helper()
	select {
	case <-l.Idle():
	case <-time.After(limit):
		t.Fatalf("runs have not finished after %v", limit)
	}
}

// manifests checks what must hold whenever all runs have finished, and returns the
// manifests by their assets.
func manifests(t *testing.T, store *runnertest.Memory) map[string]runner.Manifest {
	t.Helper()
	all, found := store.Objects(), map[string]runner.Manifest{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch {
		case strings.HasPrefix(key, "slots/"):
			t.Errorf("%s: the slot is still open", key)
		case strings.HasPrefix(key, "runs/") && strings.HasSuffix(key, "/manifest.yaml"):
			m, err := runner.Decode[runner.Manifest]([]byte(all[key]), runner.KindRun)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if diff := cmp.Diff(all[key], all[runner.OutboxPrefix+string(m.ID)+"-g1.yaml"]); diff != "" {
				t.Errorf("%s differs from the outbox's (-original +outbox):\n%s", key, diff)
			}
			if _, twice := found[m.Asset]; twice {
				t.Errorf("%s: a second manifest for asset %s", key, m.Asset)
			}
			checkArtifacts(t, all, m)
			found[m.Asset] = m
		}
	}
	return found
}

// checkArtifacts checks that a manifest's objects are there, and its latest pages if
// and only if it completed.
func checkArtifacts(t *testing.T, all map[string]string, m runner.Manifest) {
	t.Helper()
	for _, a := range m.Artifacts {
		sum := sha256.Sum256([]byte(all[a.Key]))
		if got := hex.EncodeToString(sum[:]); got != a.SHA256 || len(all[a.Key]) != a.Bytes {
			t.Errorf("%s: %d bytes with sum %s, the manifest says %d with %s", a.Key, len(all[a.Key]), got, a.Bytes, a.SHA256)
		}
	}
	for _, language := range m.Languages {
		_, shown := all[runner.LatestKey(m.Report, m.Asset, language, "index.html")]
		if want := m.Status == runner.StatusCompleted; shown != want {
			t.Errorf("asset %s is %s, but has a latest page in %s: %v", m.Asset, m.Status, language, shown)
		}
	}
}

// ends lists how a run's attempts ended.
func ends(m runner.Manifest) string {
	var ended []string
	for _, a := range m.Attempts {
		ended = append(ended, a.Ended)
	}
	return strings.Join(ended, ",")
}

func newDir(t *testing.T) *store.Dir {
	t.Helper()
	dir, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// raise is an executor's OnStart that ends every attempt as the notebook would.
func raise(context.Context, runner.Spec) error {
	return &runner.Failure{Code: runner.CellError, Message: "ValueError: no data"}
}

func TestRunner_PublishesWhatCompletes(t *testing.T) {
	var store runnertest.Memory
	var finished []runner.Manifest
	var recorded atomic.Int32
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, s runner.Spec, source string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte(`"` + s.Asset + `"`)}, nil
	}}
	l := begin(t, exec, &store, runner.Options{
		Slots: 1, Recorded: func() { recorded.Add(1) },
		Finished: func(m runner.Manifest) { finished = append(finished, m) },
	})
	l.submit(t, slotOf(bundleOf("plant-1", "plant-2"), 6))
	l.finish(t, time.Minute)
	if err := l.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v, want the context's error", err)
	}
	got := manifests(t, &store)
	for asset, m := range got {
		if m.Status != runner.StatusCompleted || ends(m) != "completed" || m.Error != nil {
			t.Errorf("%s: %s, attempts %s, error %v", asset, m.Status, ends(m), m.Error)
		}
	}
	if len(got) != 2 || len(finished) != 2 || recorded.Load() != 3 {
		t.Errorf("%d manifests, Finished %d times, Recorded %d times; want 2, 2 and 3 with the slot's", len(got), len(finished), recorded.Load())
	}
	all := store.Objects()
	if page := all["pages/energy/plant-2/latest/ca/index.html"]; page != string(runner.Secured([]byte(`ca "plant-2"`), bundleOf("plant-2"))) {
		t.Errorf("the latest page is %q", page)
	}
	if _, err := runner.Decode[runner.SlotRecord]([]byte(all["outbox/slot-energy~2026-11-23T0600+0000.yaml"]), runner.KindSlot); err != nil {
		t.Errorf("the slot's record in the outbox: %v", err)
	}
}

func TestRunner_RetriesInfrastructureAndNothingElse(t *testing.T) {
	tests := []struct {
		name  string
		codes []runner.Code // of the attempts; the last one stays
		want  string
	}{
		{"a notebook's error", []runner.Code{runner.CellError}, "cell_error"},
		{"a node lost once", []runner.Code{runner.NodeLost, runner.CellError}, "node_lost,cell_error"},
		{"never a node", []runner.Code{runner.Unschedulable}, "unschedulable,unschedulable,unschedulable"},
		{"the last one counts", []runner.Code{runner.ImagePull, runner.Evicted, runner.StartTimeout}, "image_pull,evicted,start_timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store runnertest.Memory
				exec := &runnertest.FakeExecutor{OnStart: func(_ context.Context, s runner.Spec) error {
					return &runner.Failure{Code: test.codes[min(s.Attempt, len(test.codes))-1], Message: "so"}
				}}
				l := begin(t, exec, &store, runner.Options{})
				l.submit(t, slotOf(bundleOf("plant-1"), 6))
				l.finish(t, time.Hour)
				m := manifests(t, &store)["plant-1"]
				if last := test.codes[len(test.codes)-1]; m.Error == nil || m.Error.Code != last || ends(m) != test.want {
					t.Errorf("got %+v after %s, want %s after %s", m.Error, ends(m), last, test.want)
				}
			})
		})
	}
}

func TestRunner_RunsNoMoreThanItsSlotsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
			time.Sleep(time.Minute)
			return raise(ctx, s)
		}}
		l := begin(t, exec, &store, runner.Options{Slots: 3})
		began := time.Now()
		l.submit(t, slotOf(bundleOf("a", "b", "c", "d", "e", "f", "g"), 6))
		l.finish(t, time.Hour)
		if _, most := exec.Open(); most != 3 || time.Since(began) != 3*time.Minute {
			t.Errorf("at most %d at a time, done after %v; want 3, and 3m", most, time.Since(began))
		}
	})
}

func TestRunner_SubmitIsIdempotent(t *testing.T) {
	var store runnertest.Memory
	started, release := make(chan struct{}, 9), make(chan struct{})
	exec := &runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error {
		started <- struct{}{}
		<-release
		return nil
	}}
	l := begin(t, exec, &store, runner.Options{Slots: 4})
	slot := slotOf(bundleOf("plant-1"), 6)
	l.submit(t, slot)
	<-started
	l.submit(t, slot, slot) // while it is under way
	close(release)
	l.finish(t, time.Minute)
	before := manifests(t, &store)
	l.submit(t, slot) // after it has finished
	l.finish(t, time.Minute)
	if diff := cmp.Diff(before, manifests(t, &store)); diff != "" {
		t.Errorf("submitting again changed the manifest:\n%s", diff)
	}
	if n := len(exec.Started()); n != 1 {
		t.Errorf("%d sandboxes, want 1", n)
	}
}

func TestRunner_KnowsWhichReportsAreBusy(t *testing.T) {
	var store runnertest.Memory
	release := make(chan struct{})
	exec := &runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error { <-release; return nil }}
	l := begin(t, exec, &store, runner.Options{})
	slot := slotOf(bundleOf("plant-1"), 6)
	at := slot.Record.ScheduledAt
	l.submit(t, slot)
	if l.Busy("energy", at) || !l.Busy("energy", at.Add(time.Hour)) || l.Busy("water", at) {
		t.Errorf("busy but for that slot %v, but for a later one %v, another report %v; want the second alone",
			l.Busy("energy", at), l.Busy("energy", at.Add(time.Hour)), l.Busy("water", at))
	}
	close(release)
	l.finish(t, time.Minute)
	if l.Busy("energy", at.Add(time.Hour)) {
		t.Error("still busy when all runs have finished")
	}
}

func TestRunner_RecordsASkippedSlot(t *testing.T) {
	var store runnertest.Memory
	recorded := 0
	l := runner.New(&runnertest.FakeExecutor{}, &store, runner.Options{Recorded: func() { recorded++ }})
	if err := l.Skip(t.Context(), slotOf(bundleOf("plant-1"), 6).Record); err != nil {
		t.Fatal(err)
	}
	all := store.Objects()
	got, err := runner.Decode[runner.SlotRecord]([]byte(all["outbox/slot-energy~2026-11-23T0600+0000.yaml"]), runner.KindSlot)
	if err != nil || got.Status != runner.StatusSkipped || len(got.Assets) != 0 {
		t.Errorf("got %+v, %v; want a skipped slot", got, err)
	}
	if len(all) != 1 || recorded != 1 {
		t.Errorf("the store holds %d objects, Recorded was called %d times; want one of each", len(all), recorded)
	}
}

// A report's zone may change while a slot of it is under way: its name changes, the
// runs do not.
func TestRunner_SubmitKnowsASlotInAnotherZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
			time.Sleep(time.Minute)
			return raise(ctx, s)
		}}
		l := begin(t, exec, &store, runner.Options{Slots: 4})
		slot := slotOf(bundleOf("plant-1"), 6)
		l.submit(t, slot)
		slot.Record.ScheduledAt = slot.Record.ScheduledAt.In(time.FixedZone("Madrid", 3600))
		l.submit(t, slot)
		l.finish(t, time.Hour)
		if m := manifests(t, &store)["plant-1"]; ends(m) != "cell_error" || len(exec.Started()) != 1 {
			t.Errorf("%d attempts were started, the manifest has %s", len(exec.Started()), ends(m))
		}
	})
}

func TestRunner_SubmitRefusesWhatTheStoreDoesNotTake(t *testing.T) {
	var store runnertest.Memory
	l := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	store.Before = func(context.Context, string, string) error { return errors.New("away") }
	if err := l.Submit(t.Context(), slotOf(bundleOf("plant-1"), 6)); err == nil {
		t.Error("a slot was accepted that the store did not take")
	}
	store.Before = nil
	l.finish(t, time.Minute)
	if len(store.Objects()) != 0 {
		t.Errorf("the store holds %v", store.Objects())
	}
	l.submit(t, slotOf(bundleOf("plant-1"), 6)) // and now it is
	l.finish(t, time.Minute)
	manifests(t, &store)
}

// A slot that is resumed with a newer bundle does what is left of it, and ends the rest.
func TestRunner_EndsTheRunsOfAssetsThatAreGone(t *testing.T) {
	var store runnertest.Memory
	l := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	slot := slotOf(bundleOf("plant-1", "plant-2", "plant-3"), 6)
	slot.Bundle = bundleOf("plant-1", "plant-3")
	l.submit(t, slot)
	l.finish(t, time.Minute)
	got := manifests(t, &store)
	for asset, want := range map[string]runner.Status{"plant-1": runner.StatusCompleted, "plant-2": runner.StatusError, "plant-3": runner.StatusCompleted} {
		if got[asset].Status != want {
			t.Errorf("%s: %+v, want %s", asset, got[asset], want)
		}
	}
	if f := got["plant-2"].Error; f == nil || f.Code != runner.InvalidReport {
		t.Errorf("plant-2 ended with %+v", f)
	}
	slot.Record.Assets, slot.Record.ScheduledAt = []string{"plant-2"}, slot.Record.ScheduledAt.Add(time.Hour)
	l.submit(t, slot) // none is left
	l.finish(t, time.Minute)
	if past, err := l.History(t.Context(), idOf(slot, "plant-2")); err != nil || past.Status() != runner.StatusError {
		t.Errorf("plant-2 of the next slot: %+v, %v", past, err)
	}
	if keys := slotKeys(&store); len(keys) > 0 {
		t.Errorf("left open: %v", keys)
	}
}

// The manifest of a newer agent goes to the ledger as it is, with keys that are new.
func TestRunner_AdoptsAManifestThatIsThere(t *testing.T) {
	var store runnertest.Memory
	slot := slotOf(bundleOf("plant-1"), 6)
	m := exampleRun()
	m.ID, m.Report, m.Artifacts = idOf(slot, "plant-1"), "energy", nil
	data, err := runner.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, "mood: {good: 1}\n"...)
	if err := store.Create(t.Context(), runner.ManifestKey(m.ID, 1), data); err != nil {
		t.Fatal(err)
	}
	exec := &runnertest.FakeExecutor{}
	l := begin(t, exec, &store, runner.Options{})
	l.submit(t, slot)
	l.finish(t, time.Minute)
	if manifests(t, &store)["plant-1"].Error == nil || len(exec.Started()) != 0 {
		t.Errorf("not adopted: %d attempts were started", len(exec.Started()))
	}
}

// TestRunner_LoserAdoptsTheManifestThatIsThere: an agent that was frozen beyond its
// deadline wakes up with a result of its own.
func TestRunner_LoserAdoptsTheManifestThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		var mu sync.Mutex
		told := map[string]runner.Manifest{}
		agent := func(name string, takes time.Duration) life {
			exec := &runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error {
				time.Sleep(takes)
				return &runner.Failure{Code: runner.CellError, Message: name}
			}}
			return begin(t, exec, &store, runner.Options{Holder: name, Finished: func(m runner.Manifest) {
				mu.Lock()
				defer mu.Unlock()
				told[name] = m
			}})
		}
		slow, quick := agent("slow", 3*time.Hour), agent("quick", time.Second)
		slow.submit(t, slotOf(bundleOf("plant-1"), 6))
		synctest.Wait()
		quick.submit(t, slotOf(bundleOf("plant-1"), 6))
		quick.finish(t, time.Hour)
		slow.finish(t, 4*time.Hour)
		m := manifests(t, &store)["plant-1"]
		if m.Error.Message != "quick" || ends(m) != "abandoned,cell_error" {
			t.Errorf("the manifest is by %q, after %s", m.Error.Message, ends(m))
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(told["quick"], told["slow"], cmpopts.EquateEmpty()); diff != "" || len(told) != 2 {
			t.Errorf("the two agents were told different things:\n%s", diff)
		}
	})
}

// mortal makes memory a store that works for a number of writes and then no more: to
// the agent that uses it, this is the end. With after, its last write still happens.
func mortal(memory *runnertest.Memory, left int, after bool, died func()) runner.Store {
	var mu sync.Mutex
	var dead bool
	errDead := errors.New("the agent is dead")
	memory.Before = func(_ context.Context, operation, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if dead {
			return errDead
		}
		if operation == "get" || operation == "list" {
			return nil
		}
		if left--; left >= 0 {
			return nil
		}
		if !after {
			dead = true
			died()
			return errDead
		}
		return nil
	}
	memory.After = func(context.Context, string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if left < 0 && !dead {
			dead = true
			died()
		}
		if dead {
			return errDead
		}
		return nil
	}
	return memory
}

// TestRunner_SurvivesDeathAtEveryWrite kills the agent before and after each of its
// writes; a second life with the same name does what is left.
func TestRunner_SurvivesDeathAtEveryWrite(t *testing.T) {
	for _, status := range []runner.Status{runner.StatusCompleted, runner.StatusError} {
		exec := &runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
			if status == runner.StatusError {
				return nil, errors.New("no data")
			}
			return nil, nil
		}}
		for _, after := range []bool{false, true} {
			deaths := 0
			for n := 0; ; n++ {
				if !dieAndRise(t, exec, n, after, status) {
					break
				}
				deaths++
			}
			t.Logf("%s, after the write: %v: %d deaths", status, after, deaths)
			if deaths < 6 {
				t.Errorf("only %d writes", deaths)
			}
		}
		if now, _ := exec.Open(); now != 0 {
			t.Errorf("%d sandboxes are left", now)
		}
	}
}

// dieAndRise reports whether there was an n-th write to die at.
func dieAndRise(t *testing.T, exec *runnertest.FakeExecutor, n int, after bool, status runner.Status) (died bool) {
	t.Helper()
	var memory runnertest.Memory
	slot := slotOf(bundleOf("plant-1"), 6)
	dead := make(chan struct{})
	o := runner.Options{Holder: "agent", Grace: time.Nanosecond}
	first := begin(t, exec, mortal(&memory, n, after, func() { close(dead) }), o)
	submitted := first.Submit(t.Context(), slot)
	select {
	case <-first.Idle():
	case <-dead:
	case <-time.After(time.Minute):
		t.Fatalf("write %d: neither finished nor dead", n)
	}
	_ = first.stop()
	select {
	case <-dead:
		died = true
	default:
	}

	memory.Before, memory.After = nil, nil
	second := begin(t, exec, &memory, o)
	open, err := second.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range open {
		second.submit(t, runner.Slot{Record: record, Bundle: slot.Bundle})
	}
	if submitted != nil {
		second.submit(t, slot) // the planner was told that it had not fired
	}
	second.finish(t, time.Minute)
	_ = second.stop()
	m := manifests(t, &memory)["plant-1"]
	if m.Status != status || len(m.Attempts) > 2 {
		t.Errorf("write %d: %q after attempts %q, want %s after at most 2", n, m.Status, ends(m), status)
	}
	return died
}

func TestRunner_ReleasesWhatRunsWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		takes := 5 * time.Minute
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
			select {
			case <-time.After(takes):
				return raise(ctx, s)
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		slot := slotOf(bundleOf("plant-1", "plant-2"), 6)
		first := begin(t, exec, &store, runner.Options{Slots: 1, Holder: "agent", Grace: 30 * time.Second})
		first.submit(t, slot)
		synctest.Wait()
		began := time.Now()
		if err := first.stop(); !errors.Is(err, context.Canceled) || time.Since(began) != 30*time.Second {
			t.Errorf("Run returned %v after %v, want its context's error after 30s", err, time.Since(began))
		}
		if n := len(exec.Started()); n != 1 {
			t.Errorf("%d attempts were started, want 1: nothing new after the end", n)
		}
		claim := store.Objects()["runs/"+string(idOf(slot, "plant-1"))+"/g1/claim-1"]
		if !strings.Contains(claim, "ended: released") {
			t.Errorf("the claim is not released:\n%s", claim)
		}
		resume(t, exec, &store, slot)
		got := manifests(t, &store)
		if ends(got["plant-1"]) != "released,cell_error" || ends(got["plant-2"]) != "cell_error" {
			t.Errorf("attempts %q and %q", ends(got["plant-1"]), ends(got["plant-2"]))
		}
	})
}

// resume is a second life of the agent: it finishes what is open.
func resume(t *testing.T, exec runner.Executor, store *runnertest.Memory, slot runner.Slot) {
	t.Helper()
	l := begin(t, exec, store, runner.Options{Holder: "agent"})
	open, err := l.Open(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open slots: %v, %v; want 1", open, err)
	}
	l.submit(t, runner.Slot{Record: open[0], Bundle: slot.Bundle})
	l.finish(t, time.Hour)
}

func TestRunner_ClosesTheSandboxOfAReleasedAttempt(t *testing.T) {
	var store runnertest.Memory
	started := make(chan struct{}, 1)
	exec := &runnertest.FakeExecutor{OnCell: func(ctx context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		if s.Attempt == 1 {
			started <- struct{}{}
			<-ctx.Done() // until the kernel is stopped
			return nil, ctx.Err()
		}
		return nil, nil
	}}
	slot := slotOf(bundleOf("plant-1"), 6)
	first := begin(t, exec, &store, runner.Options{Holder: "agent", Grace: time.Millisecond})
	first.submit(t, slot)
	<-started
	_ = first.stop()
	if now, _ := exec.Open(); now != 0 {
		t.Errorf("%d sandboxes are left", now)
	}
	resume(t, exec, &store, slot)
	if m := manifests(t, &store)["plant-1"]; ends(m) != "released,completed" || m.ID != idOf(slot, "plant-1") {
		t.Errorf("run %s ended after %s", m.ID, ends(m))
	}
}

// A release that comes while the result is on its way to the store is none of the
// store's failures.
func TestRunner_ReleasesAnAttemptThatIsPublishing(t *testing.T) {
	var store runnertest.Memory
	publishing := make(chan struct{}, 99)
	store.Before = func(ctx context.Context, operation, key string) error {
		if operation == "put" && strings.HasPrefix(key, "pages/") {
			publishing <- struct{}{}
			<-ctx.Done() // a slow store
			return ctx.Err()
		}
		return nil
	}
	bundle := bundleOf("plant-1")
	bundle.Config.Retries = 0
	slot := slotOf(bundle, 6)
	first := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{Holder: "agent", Grace: time.Millisecond})
	first.submit(t, slot)
	<-publishing
	_ = first.stop()
	store.Before = nil
	resume(t, &runnertest.FakeExecutor{}, &store, slot)
	if m := manifests(t, &store)["plant-1"]; ends(m) != "released,completed" {
		t.Errorf("%s after %s, want completed after a release", m.Status, ends(m))
	}
}

func TestRunner_OutlivesAStoreThatIsAway(t *testing.T) {
	for _, away := range []time.Duration{2 * time.Second, time.Hour} {
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store runnertest.Memory
				gone := time.Now().Add(90 * time.Second)
				store.Before = func(context.Context, string, string) error {
					if now := time.Now(); now.After(gone) && now.Before(gone.Add(away)) {
						return errors.New("503 slow down")
					}
					return nil
				}
				exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
					time.Sleep(time.Minute)
					return raise(ctx, s)
				}}
				l := begin(t, exec, &store, runner.Options{Slots: 2})
				l.submit(t, slotOf(bundleOf("a", "b", "c", "d", "e", "f"), 6))
				l.finish(t, 2*time.Hour)
				for asset, m := range manifests(t, &store) {
					if m.Error == nil || m.Error.Code != runner.CellError || away < time.Minute && len(m.Attempts) != 1 {
						t.Errorf("%s: %+v after %s", asset, m.Error, ends(m))
					}
				}
			})
		})
	}
}

// While the store is away, thousands of waiting runs do not hammer at it in turn.
func TestRunner_GoesEasyOnAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		var assets []string
		for i := range 200 {
			assets = append(assets, fmt.Sprintf("customer-%03d", i))
		}
		l := begin(t, &runnertest.FakeExecutor{OnStart: raise}, &store, runner.Options{Slots: 4})
		var calls atomic.Int32
		back := time.Now().Add(time.Hour)
		store.Before = func(_ context.Context, _, key string) error {
			if !strings.HasPrefix(key, "runs/") || time.Now().After(back) {
				return nil
			}
			calls.Add(1)
			return errors.New("503 slow down")
		}
		l.submit(t, slotOf(bundleOf(assets...), 6))
		l.finish(t, 2*time.Hour)
		if n := calls.Load(); n > 4*3600/5+4 {
			t.Errorf("%d calls in an hour", n)
		}
		if n := len(manifests(t, &store)); n != len(assets) {
			t.Errorf("%d manifests, want %d", n, len(assets))
		}
	})
}

func TestRunner_LatestOnlyMovesForward(t *testing.T) {
	var store runnertest.Memory
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, _ runner.Spec, source string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte(source)}, nil
	}}
	l := begin(t, exec, &store, runner.Options{})
	for _, step := range []struct{ hour, want int }{{8, 8}, {6, 8}, {9, 9}, {8, 9}} {
		l.submit(t, slotOf(bundleOf("plant-1"), step.hour))
		l.finish(t, time.Minute)
		page := store.Objects()["pages/energy/plant-1/latest/en/index.html"]
		if want := fmt.Sprintf("T%02d:00", step.want); !strings.Contains(page, want) {
			t.Errorf("after the slot of %d o'clock the latest page is %q, want that of %s", step.hour, page, want)
		}
	}
}

// Reports may stand inside each other, and an asset be called like the report within.
func TestRunner_KeepsReportsInsideReportsApart(t *testing.T) {
	dir := newDir(t)
	l := begin(t, &runnertest.FakeExecutor{}, dir, runner.Options{})
	outer, inner := bundleOf("plant"), bundleOf("line-1")
	outer.Name, inner.Name = "energy", "energy/plant"
	l.submit(t, slotOf(outer, 6))
	l.finish(t, time.Minute)
	l.submit(t, slotOf(inner, 6))
	l.finish(t, time.Minute)
	for _, key := range []string{"pages/energy/plant/latest/en/index.html", "pages/energy/plant/line-1/latest/en/index.html"} {
		if _, err := dir.Get(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

func TestRunner_OpenSkipsWhatItCannotRead(t *testing.T) {
	var store runnertest.Memory
	slot := slotOf(bundleOf("plant-1"), 6)
	l := runner.New(&runnertest.FakeExecutor{}, &store, runner.Options{Log: slog.New(slog.DiscardHandler)})
	if err := l.Submit(t.Context(), slot); err != nil {
		t.Fatal(err)
	}
	for key, data := range map[string]string{"slots/broken.yaml": "\x00", "slots/gone.yaml": ""} {
		if err := store.Put(t.Context(), key, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	store.After = func(ctx context.Context, operation, _ string) error {
		if operation == "list" { // its last run finishes at this instant
			return store.Delete(ctx, "slots/gone.yaml")
		}
		return nil
	}
	open, err := l.Open(t.Context())
	if err != nil || len(open) != 1 || open[0].Report != "energy" {
		t.Errorf("got %v, %v; want the one good slot", open, err)
	}
}

func TestRunner_TakesHundredsOfAssetsInItsStride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		var assets []string
		for i := range 500 {
			assets = append(assets, fmt.Sprintf("customer-%05d", i))
		}
		l := begin(t, &runnertest.FakeExecutor{OnStart: raise}, &store, runner.Options{Slots: 16})
		l.submit(t, slotOf(bundleOf(assets...), 6))
		l.finish(t, time.Hour)
		if n := len(manifests(t, &store)); n != len(assets) {
			t.Errorf("%d manifests, want %d", n, len(assets))
		}
	})
}
