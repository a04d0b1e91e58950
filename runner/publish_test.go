package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// writes records the keys that are written, in order.
type writes struct {
	mu   sync.Mutex // guards keys
	keys []string
}

func (w *writes) record(_ context.Context, operation, key string) error {
	if operation == "create" || operation == "put" || operation == "delete" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.keys = append(w.keys, operation+" "+key)
	}
	return nil
}

// The order is what makes a death at any instant harmless: claim, pages, manifest,
// outbox, latest, and the slot's record last.
func TestPublish_WritesInTheOrderThatSurvivesDeath(t *testing.T) {
	var w writes
	store := runnertest.Memory{After: w.record}
	bundle := bundleOf("plant-1")
	bundle.Config.Publish = []string{"*.xlsx"}
	l := begin(t, &runnertest.FakeExecutor{OnCell: wroteAll}, &store, runner.Options{})
	slot := slotOf(bundle, 6)
	l.submit(t, slot)
	l.finish(t, time.Minute)
	const pages = "put pages/energy/plant-1/2026-11-23T0600+0000/g1a1/"
	const latest = "put pages/energy/plant-1/latest/"
	want := []string{
		"create slots/energy~2026-11-23T0600+0000.yaml", "put outbox/slot-energy~2026-11-23T0600+0000.yaml",
		"create RUN/g1/claim-1",
		"put RUN/g1/a1/executed.ipynb", "put RUN/g1/a1/kernel.log", "put RUN/g1/a1/output.json",
		pages + "ca/a.xlsx", pages + "ca/index.html", pages + "en/a.xlsx", pages + "en/index.html",
		"create RUN/g1/manifest.yaml", "put RUN/g1/claim-1",
		"put outbox/ID-g1.yaml",
		"put latest/energy/plant-1/2026-11-23T060000Z-g000001.yaml",
		latest + "ca/a.xlsx", latest + "ca/index.html", latest + "en/a.xlsx", latest + "en/index.html",
		"delete slots/energy~2026-11-23T0600+0000.yaml",
	}
	id := string(idOf(slot, "plant-1"))
	named := strings.NewReplacer("runs/"+id, "RUN", id, "ID")
	var got []string
	for _, key := range w.keys {
		got = append(got, named.Replace(key))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	manifests(t, &store)
}

func TestPublish_KeepsWhatAFailedAttemptLeft(t *testing.T) {
	var store runnertest.Memory
	exec := &runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte(`{"half": 1}`)}, errors.New("no data")
	}}
	l := begin(t, exec, &store, runner.Options{})
	l.submit(t, slotOf(bundleOf("plant-1"), 6))
	l.finish(t, time.Minute)
	m := manifests(t, &store)["plant-1"]
	var names []string
	for _, a := range m.Artifacts {
		names = append(names, a.Name)
	}
	if want := []string{"executed.ipynb", "kernel.log", "output.json"}; !slices.Equal(names, want) {
		t.Errorf("artifacts %q, want %q", names, want)
	}
	for key := range store.Objects() {
		if strings.HasPrefix(key, "pages/") {
			t.Errorf("%s is published", key)
		}
	}
}

// A store that takes everything but pages is the store's failure, not the report's.
func TestPublish_RetriesARunWhosePagesTheStoreRefuses(t *testing.T) {
	var store runnertest.Memory
	refusals := 0
	store.Before = func(_ context.Context, operation, key string) error {
		if operation == "put" && strings.HasPrefix(key, "pages/") && strings.Contains(key, "a1/") {
			refusals++
			return runner.ErrExists // refused for good: no use in trying the same again
		}
		return nil
	}
	l := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	l.submit(t, slotOf(bundleOf("plant-1"), 6))
	l.finish(t, time.Minute)
	if m := manifests(t, &store)["plant-1"]; ends(m) != "store_failed,completed" || refusals != 1 {
		t.Errorf("attempts %s after %d refusals, want store_failed,completed after 1", ends(m), refusals)
	}
}

// A store that can never take a key is not asked again for a minute.
func TestPublish_TakesAnInvalidKeyAsFinal(t *testing.T) {
	store := runnertest.Memory{Before: func(_ context.Context, operation, key string) error {
		if operation == "put" && strings.HasPrefix(key, "pages/") {
			return fmt.Errorf("key %q: %w", key, fs.ErrInvalid)
		}
		return nil
	}}
	bundle := bundleOf("plant-1")
	bundle.Config.Retries = 0
	l := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	l.submit(t, slotOf(bundle, 6))
	l.finish(t, 20*time.Second)
	if m := manifests(t, &store)["plant-1"]; ends(m) != "store_failed" {
		t.Errorf("attempts %s", ends(m))
	}
}

func TestPublish_LeavesNothingOfAnEarlierSlotAtTheLatestKeys(t *testing.T) {
	var store runnertest.Memory
	const folder = "pages/energy/plant-1/latest/en/"
	wrote := map[string]map[string][]byte{
		"T06:00": {"output.json": nil, "a.csv": []byte("6"), "only-6.csv": nil},
		"T07:00": {"output.json": nil, "a.csv": []byte("7"), "only-7.csv": nil},
	}
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, _ runner.Spec, source string) (map[string][]byte, error) {
		for slot, files := range wrote {
			if strings.Contains(source, slot) {
				return files, nil
			}
		}
		return nil, errors.New("no such slot")
	}}
	bundle := bundleOf("plant-1")
	bundle.Config.Publish = []string{"*.csv"}
	l := begin(t, exec, &store, runner.Options{})
	l.submit(t, slotOf(bundle, 6))
	l.finish(t, time.Minute)
	other := folder + "of/another/report.html" // reports stand inside each other
	if err := store.Put(t.Context(), other, nil); err != nil {
		t.Fatal(err)
	}
	l.submit(t, slotOf(bundle, 7))
	l.finish(t, time.Minute)
	got, err := store.List(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{folder + "a.csv", folder + "index.html", other, folder + "only-7.csv"}, got); diff != "" {
		t.Errorf("latest keys (-want +got):\n%s", diff)
	}
	if a := store.Objects()[folder+"a.csv"]; a != "7" {
		t.Errorf("a.csv is %q, want that of seven o'clock", a)
	}
}

// Slots come in any order: the later one's pages stay, whole.
func TestPublish_LatestIsOfOneSlot(t *testing.T) {
	var store runnertest.Memory
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, _ runner.Spec, source string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte(source)}, nil
	}}
	l := begin(t, exec, &store, runner.Options{Slots: 8})
	for hour := range 8 {
		l.submit(t, slotOf(bundleOf("plant-1"), hour))
	}
	l.finish(t, time.Minute)
	for _, language := range []string{"en", "ca"} {
		if page := store.Objects()[runner.LatestKey("energy", "plant-1", language, "index.html")]; !strings.Contains(page, "T07:00") {
			t.Errorf("the latest page in %s is %q, want that of seven o'clock", language, page)
		}
	}
}

// lateLists is a store whose lists show what was written only when they are asked for again,
// as those of some servers that speak S3 do.
type lateLists struct {
	runnertest.Memory
	mu    sync.Mutex // guards asked
	asked int
}

func (s *lateLists) List(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.Memory.List(ctx, prefix)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(keys) > 0 && strings.HasPrefix(prefix, "latest/") {
		if s.asked++; s.asked <= 2 {
			return nil, err
		}
	}
	return keys, err
}

func TestPublish_BearsWithListsThatAreLate(t *testing.T) {
	var store lateLists
	l := begin(t, &runnertest.FakeExecutor{}, &store, runner.Options{})
	l.submit(t, slotOf(bundleOf("plant-1"), 6))
	l.finish(t, time.Minute)
	if m := manifests(t, &store.Memory)["plant-1"]; ends(m) != "completed" || store.asked <= 2 {
		t.Errorf("attempts %s, and its latest pages were listed %d times", ends(m), store.asked)
	}
}

// A run that has its manifest is not run again because what follows fails.
func TestPublish_RepeatsWhatFollowsTheManifest(t *testing.T) {
	for _, prefix := range []string{"outbox/", "slots/", "runs/"} {
		t.Run(prefix, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store runnertest.Memory
				var until time.Time
				store.Before = func(_ context.Context, operation, key string) error {
					if operation != "get" && operation != "create" && strings.HasPrefix(key, prefix) && time.Now().Before(until) {
						return errors.New("503 slow down")
					}
					return nil
				}
				exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
					until = time.Now().Add(40 * time.Second)
					return raise(ctx, s)
				}}
				bundle := bundleOf("plant-1")
				l := begin(t, exec, &store, runner.Options{})
				l.submit(t, slotOf(bundle, 6))
				l.finish(t, time.Hour)
				manifests(t, &store)
				if n := len(exec.Started()); n != 1 {
					t.Errorf("%d attempts, want 1", n)
				}
			})
		})
	}
}
