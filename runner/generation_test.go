package runner_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

var ada = runner.Asked{Request: "energy/1.yaml", RequestedBy: "Ada <ada@example.com>", Reason: "meter was mended"}

// again returns a slot's runs as a request wants them again, as this generation.
func again(slot runner.Slot, generation int, request string) runner.Slot {
	slot.Record.Trigger, slot.Record.Asked = runner.TriggerRequest, ada
	slot.Record.Request = request
	slot.Record.Generations = map[string]int{}
	for _, asset := range slot.Record.Assets {
		slot.Record.Generations[asset] = generation
	}
	return slot
}

func page(source string) map[string][]byte {
	return map[string][]byte{"output.json": []byte(fmt.Sprintf("%q", source))}
}

func TestRunner_ARerunIsANewGeneration(t *testing.T) {
	var store runnertest.Memory
	fail := false
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		if fail {
			return nil, errors.New("raised")
		}
		return page(fmt.Sprintf("generation %d", s.Generation)), nil
	}}
	slot := slotOf(bundleOf("plant-1"), 6)
	l := begin(t, exec, &store, runner.Options{})
	for generation, fails := range []bool{false, true, false} {
		fail = fails
		s := slot
		if generation > 0 {
			s = again(slot, generation+1, fmt.Sprintf("energy/%d.yaml", generation))
		}
		l.submit(t, s)
		l.finish(t, time.Minute)
		latest := store.Objects()["pages/energy/plant-1/latest/en/index.html"]
		if want := []string{"generation 1", "generation 1", "generation 3"}[generation]; !strings.Contains(latest, want) {
			t.Errorf("after generation %d the latest page is %q, want that of %s", generation+1, latest, want)
		}
	}
	past, err := l.History(t.Context(), idOf(slot, "plant-1"))
	if err != nil || past.Open || past.Report != "energy" || past.Status() != runner.StatusCompleted {
		t.Errorf("History() = %+v, %v", past, err)
	}
	var got []string
	for _, m := range past.Ended {
		got = append(got, fmt.Sprintf("g%d %s by %q", m.Generation, m.Status, m.RequestedBy))
	}
	want := []string{`g1 completed by ""`, `g2 error by "Ada <ada@example.com>"`, `g3 completed by "Ada <ada@example.com>"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
	if keys := slotKeys(&store); len(keys) > 0 {
		t.Errorf("left open: %v", keys)
	}
}

func slotKeys(store *runnertest.Memory) (keys []string) {
	for key := range store.Objects() {
		if strings.HasPrefix(key, "slots/") {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestRunner_RunsOnceWhatTheScheduleAndARequestWant(t *testing.T) {
	var store runnertest.Memory
	started, release := make(chan string, 9), make(chan struct{})
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		started <- s.Asset
		<-release
		return page("x"), nil
	}}
	bundle := bundleOf("a", "b")
	l := begin(t, exec, &store, runner.Options{Slots: 4})
	backfill := again(slotOf(bundle, 6), 1, "energy/backfill.yaml")
	backfill.Record.Assets = []string{"a"}
	l.submit(t, backfill)
	<-started
	l.submit(t, slotOf(bundle, 6)) // wants a, which is under way, and b
	<-started
	l.submit(t, again(slotOf(bundle, 6), 1, "energy/other.yaml")) // both are under way
	if keys := slotKeys(&store); len(keys) != 2 {
		t.Errorf("records of %q, want those of who has runs", keys)
	}
	close(release)
	l.finish(t, time.Minute)
	if specs := exec.Started(); len(specs) != 2 {
		t.Errorf("%d attempts, want one for each asset", len(specs))
	}
	if got := manifests(t, &store); len(got) != 2 || got["a"].Trigger != runner.TriggerRequest || got["b"].Trigger != runner.TriggerSchedule {
		t.Errorf("manifests: %+v", got)
	}
}

// The next life may give a run to another slot that wants it: no record is left behind.
func TestRunner_ForgetsASlotWhoseRunsAreSomebodyElses(t *testing.T) {
	var store runnertest.Memory
	bundle := bundleOf("a", "b")
	backfill := again(slotOf(bundle, 6), 1, "energy/backfill.yaml")
	first := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	_ = first.stop()
	first.submit(t, backfill)
	second := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	second.submit(t, slotOf(bundle, 6), backfill)
	second.finish(t, time.Minute)
	if keys := slotKeys(&store); len(keys) > 0 || len(manifests(t, &store)) != 2 {
		t.Errorf("left open: %v", keys)
	}
}

// A run is canceled before each of its writes: it has one end, and nothing is left open.
func TestRunner_EndsOnceWhatIsCanceledAsItCompletes(t *testing.T) {
	ended := map[runner.Status]int{}
	for n, reached := 1, true; reached; n++ {
		var store runnertest.Memory
		var told runner.Manifest
		exec, slot, writes := &runnertest.FakeExecutor{}, slotOf(bundleOf("a"), 6), 0
		reached = false
		l := begin(t, exec, &store, runner.Options{})
		var mu sync.Mutex // guards writes, reached and told
		store.Before = func(ctx context.Context, operation, _ string) error {
			mu.Lock()
			if operation != "get" && operation != "list" {
				writes++
			}
			now := writes == n && !reached
			reached = reached || now
			mu.Unlock()
			if !now {
				return nil
			}
			m, err := l.Cancel(context.WithoutCancel(ctx), idOf(slot, "a"), ada)
			if err != nil && !errors.Is(err, runner.ErrNotOpen) {
				t.Errorf("write %d: Cancel() = %v", n, err)
			}
			mu.Lock()
			defer mu.Unlock()
			told = m
			return nil
		}
		l.submit(t, slot)
		l.finish(t, time.Minute)
		_ = l.stop()
		m := manifests(t, &store)["a"]
		if ended[m.Status]++; told.Status != "" && told.Status != m.Status {
			t.Errorf("write %d: it ended as %q, and who canceled was told %q", n, m.Status, told.Status)
		}
		if now, _ := exec.Open(); now != 0 || len(slotKeys(&store)) > 0 {
			t.Errorf("write %d: %d sandboxes and %v are left", n, now, slotKeys(&store))
		}
	}
	if ended[runner.StatusCanceled] < 3 || ended[runner.StatusCompleted] < 3 || len(ended) != 2 {
		t.Errorf("ends: %v", ended)
	}
}

func TestRunner_KeepsWhatIsOnDemandApart(t *testing.T) {
	var store runnertest.Memory
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		return page(fmt.Sprint(s.Run)), nil
	}}
	slot := slotOf(bundleOf("plant-1"), 6)
	asked := slot
	asked.Record.Asked, asked.Record.Trigger = ada, runner.TriggerRequest
	asked.Record.OnDemand = runner.RequestID(ada.Request)
	asked.Record.Languages = []string{"ca"}
	l := begin(t, exec, &store, runner.Options{})
	l.submit(t, slot, asked)
	l.finish(t, time.Minute)
	id := runner.NewOnDemandID("energy", "plant-1", asked.Record.OnDemand)
	past, err := l.History(t.Context(), id)
	if err != nil || past.Status() != runner.StatusCompleted || id == idOf(slot, "plant-1") {
		t.Fatalf("History(%s) = %+v, %v", id, past, err)
	}
	var keys []string
	for _, a := range past.Ended[0].Artifacts {
		if strings.HasPrefix(a.Key, "pages/") {
			keys = append(keys, a.Key)
		}
	}
	want := []string{"pages/energy/plant-1/2026-11-23T0600+0000-" + asked.Record.OnDemand + "/g1a1/ca/index.html"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if latest := store.Objects()["pages/energy/plant-1/latest/ca/index.html"]; !strings.Contains(latest, string(idOf(slot, "plant-1"))) {
		t.Errorf("the latest page is %q, want the schedule's", latest)
	}
}

func TestRunner_CancelsWhatWaitsAndWhatRuns(t *testing.T) {
	var store runnertest.Memory
	started := make(chan string, 9)
	exec := &runnertest.FakeExecutor{OnCell: func(ctx context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		started <- s.Asset
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	slot := slotOf(bundleOf("a", "b"), 6)
	l := begin(t, exec, &store, runner.Options{Slots: 1})
	l.submit(t, slot)
	<-started
	for _, asset := range []string{"b", "a"} { // b waits
		m, err := l.Cancel(t.Context(), idOf(slot, asset), ada)
		if err != nil || m.Status != runner.StatusCanceled || m.CanceledBy == nil || *m.CanceledBy != ada {
			t.Fatalf("Cancel(%s) = %+v, %v", asset, m, err)
		}
	}
	l.finish(t, time.Minute)
	got := manifests(t, &store)
	if ends(got["a"]) != "canceled" || ends(got["b"]) != "" || got["a"].Error != nil || len(exec.Started()) != 1 {
		t.Errorf("a: %+v\nb: %+v", got["a"], got["b"])
	}
	if now, _ := exec.Open(); now != 0 {
		t.Errorf("%d sandboxes are open", now)
	}
	if _, err := l.Cancel(t.Context(), idOf(slot, "a"), ada); !errors.Is(err, runner.ErrNotOpen) {
		t.Errorf("a second Cancel() = %v", err)
	}
	if keys := slotKeys(&store); len(keys) > 0 {
		t.Errorf("left open: %v", keys)
	}
}

func TestRunner_ResumesWhatARequestWanted(t *testing.T) {
	var store runnertest.Memory
	started, hang := make(chan string, 9), true
	exec := &runnertest.FakeExecutor{OnCell: func(ctx context.Context, s runner.Spec, _ string) (map[string][]byte, error) {
		started <- s.Asset
		if hang {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return page("x"), nil
	}}
	bundle := bundleOf("a")
	wanted := again(slotOf(bundle, 6), 3, "energy/1.yaml")
	wanted.Record.Timezone = ""
	first := begin(t, exec, &store, runner.Options{Holder: "here", Grace: time.Millisecond})
	first.submit(t, wanted)
	<-started
	_ = first.stop()
	hang = false
	second := begin(t, exec, &store, runner.Options{Holder: "here"})
	records, err := second.Open(t.Context())
	if err != nil || len(records) != 1 {
		t.Fatalf("Open() = %v, %v", records, err)
	}
	second.submit(t, runner.Slot{Record: records[0], Bundle: bundle})
	second.finish(t, time.Minute)
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(store.Objects())), func(key string) bool { return !strings.HasSuffix(key, "manifest.yaml") })
	if want := []string{runner.ManifestKey(idOf(wanted, "a"), 3)}; !slices.Equal(keys, want) {
		t.Errorf("manifests %v, want %v", keys, want)
	}
}
