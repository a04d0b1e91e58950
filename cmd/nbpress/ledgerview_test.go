package main

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/internal/testenv/month"
	"nbpress/runner"
)

func TestAssetOf_ReadsWhatRunPathWrites(t *testing.T) {
	for _, c := range []struct {
		path, asset string
		generation  int
	}{
		{"r/2026-11-23T0600+0100/plant.yaml", "plant", 1},
		{"r/2026-11-23T0600+0100/plant.g2.yaml", "plant", 2},
		{"r/2026-11-23T0600+0100/plant.green.yaml", "plant.green", 1},
		{"r/2026-11-23T0600+0100/plant.green.g12.yaml", "plant.green", 12},
		{"r/2026-11-23T0600+0100/plant.g.yaml", "plant.g", 1},
		{"r/2026-11-23T0600+0100/plant.g2x.yaml", "plant.g2x", 1},
		{"r/2026-11-23T0600+0100/plant.g-2.yaml", "plant.g-2", 1},
	} {
		if asset, generation := assetOf(c.path); asset != c.asset || generation != c.generation {
			t.Errorf("assetOf(%s) = %q, %d, want %q, %d", c.path, asset, generation, c.asset, c.generation)
		}
	}
}

func TestManifestsOf_AreInOrder(t *testing.T) {
	want := []string{
		"r/2026-10-25T0230+0100/b.yaml", // an hour after the next
		"r/2026-10-25T0230+0200/b.yaml",
		"q/2026-10-24T0600+0200/a.yaml",
		"r/2026-10-24T0600+0200/a.g10.yaml",
		"r/2026-10-24T0600+0200/a.g2.yaml",
		"r/2026-10-24T0600+0200/a.yaml",
		"r/2026-10-24T0600+0200/a.green.yaml",
	}
	tree := fstest.MapFS{"README.md": {}, "r/broken-0123456789ab.yaml": {}, "r/2026-10-24T0600+0200/slot.yaml": {}}
	for _, path := range want {
		tree[path] = &fstest.MapFile{}
	}
	got, err := manifestsOf(tree)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifestsOf() (-want +got):\n%s", diff)
	}
}

// generations commits a run's manifests, one of each status.
func generations(t *testing.T, a *agent, asset string, at time.Time, onDemand string, statuses ...runner.Status) {
	t.Helper()
	change := gitsync.Change{Branch: monthBranch(at), Subject: "x", Files: map[string][]byte{}}
	for i, status := range statuses {
		m := runner.Manifest{
			APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: runner.NewRunID("r", asset+onDemand, at), Generation: i + 1,
			Report: "r", Asset: asset, ScheduledAt: at, OnDemand: onDemand, Status: status,
		}
		data, err := runner.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		change.Files[runPath(m)] = data
	}
	if _, err := a.ledger.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

func TestList_TellsHowARunStandsNow(t *testing.T) {
	a, _, _ := newLandingAgent(t)
	generations(t, a, "mended", monday, "", runner.StatusError, runner.StatusError, runner.StatusCompleted)
	generations(t, a, "failed", monday, "", runner.StatusCanceled, runner.StatusError)
	generations(t, a, "good", monday, "", runner.StatusCompleted)
	byHand := map[string][]byte{"r/2026-11-23T0600+0000/failed.g9.yaml": []byte("nonsense"), "r/2026-11-23T0600+0000/good.g2.yaml": nil}
	if _, err := a.ledger.Commit(t.Context(), gitsync.Change{Branch: "runs/2026-11", Subject: "x", Files: byHand}); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[string][]string{
		"":          {"failed g2 error", "good g1 completed", "mended g3 completed"},
		"error":     {"failed g2 error"},
		"completed": {"good g1 completed", "mended g3 completed"},
		"canceled":  nil,
	} {
		var got []string
		flags := listFlags{status: status}
		err := (&ledgerView{ledger: a.ledger}).runs(t.Context(), flags.sieve(), func(d document) bool {
			if flags.match(d.run) {
				got = append(got, fmt.Sprintf("%s g%d %s", d.run.Asset, d.run.Generation, d.run.Status))
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("list --status %q (-want +got):\n%s", status, diff)
		}
	}
}

// What the quick reader declines is read all the same, and what is too long to be a
// manifest by neither reader.
func TestList_ReadsWhatOthersWrote(t *testing.T) {
	text := month.Manifest(0, 0, 7)
	long := strings.Repeat("- a text of a hand that never ends\n", longestManifest/32)
	tree := fstest.MapFS{}
	for name, data := range map[string]string{
		"plain":  text,
		"quoted": strings.Replace(text, "asset: plant-07", `"asset": "plant-07" # by hand`, 1),
		"fooled": strings.Replace(text, "asset: plant-07", "asset: |-\n  status: completed", 1),
		"twice":  text + "status: completed\n",
		"long":   text + "warnings:\n" + long,
		"forged": "apiVersion: nbpress/v1\nkind: Run\nstatus: error\n" + long,
	} {
		tree[month.Slot(0, 0)+"/"+name+".yaml"] = &fstest.MapFile{Data: []byte(data)}
	}
	paths, err := manifestsOf(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"text", "json"} {
		var got []string
		flags := listFlags{status: "error", output: output}
		if _, err := flags.sieve().through(tree, paths, func(d document) bool {
			got = append(got, fmt.Sprintf("%s: %s %s", path.Base(d.path), d.run.Asset, d.run.Error.Message))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		want := []string{"fooled.yaml: status: completed KeyError: 'meter-0'", "plain.yaml: plant-07 KeyError: 'meter-0'", "quoted.yaml: plant-07 KeyError: 'meter-0'"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("list --output %s (-want +got):\n%s", output, diff)
		}
	}
}

func TestFind_TakesTheSchedulesForTheLatest(t *testing.T) {
	a, _, _ := newLandingAgent(t)
	generations(t, a, "both", monday, "", runner.StatusError, runner.StatusCompleted)
	generations(t, a, "both", tuesday, "aaaaaaaa", runner.StatusCompleted)
	generations(t, a, "asked", monday, "aaaaaaaa", runner.StatusCompleted)
	generations(t, a, "asked", tuesday, "bbbbbbbb", runner.StatusCompleted)
	for ref, want := range map[string]string{
		"r/both/latest": "r/2026-11-23T0600+0000/both.g2.yaml", "r/asked/latest": "r/2026-11-24T0600+0000-bbbbbbbb/asked.yaml",
		"r/both/2026-11-24T0600+0000-aaaaaaaa": "r/2026-11-24T0600+0000-aaaaaaaa/both.yaml",
	} {
		d, err := (&ledgerView{ledger: a.ledger}).find(t.Context(), ref)
		if err != nil || d.path != want {
			t.Errorf("%s is %s, %v, want %s", ref, d.path, err, want)
		}
	}
}

func TestFind_ReturnsTheGenerationThatIsAskedFor(t *testing.T) {
	a, _, _ := newLandingAgent(t)
	generations(t, a, "a", monday, "", runner.StatusError, runner.StatusCompleted)
	v := &ledgerView{ledger: a.ledger}
	d, err := v.find(t.Context(), "r/a/latest")
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{1: "error", 2: "completed", 3: "", -1: ""} {
		other, err := v.generation(t.Context(), d, n)
		if string(other.run.Status) != want || (err == nil) != (want != "") {
			t.Errorf("generation %d: %q, %v, want %q", n, other.run.Status, err, want)
		}
	}
}

// What stands in the place of a run that is to come, and is of another, gives way.
func TestLandOutbox_ReplacesWhatSomebodyPutInARunsPlace(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	ours := func(generation int, status runner.Status) runner.Manifest {
		return runner.Manifest{
			APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: runner.NewRunID("r", "a", monday), Generation: generation,
			Report: "r", Asset: "a", ScheduledAt: monday, Status: status,
		}
	}
	copied, err := runner.Encode(ours(1, runner.StatusError))
	if err != nil {
		t.Fatal(err)
	}
	byHand := map[string][]byte{runPath(ours(1, "")): copied, runPath(ours(2, "")): copied}
	if _, err := a.ledger.Commit(t.Context(), gitsync.Change{Branch: "runs/2026-11", Subject: "x", Files: byHand}); err != nil {
		t.Fatal(err)
	}
	s.put(t, "1.yaml", ours(1, runner.StatusCompleted))
	s.put(t, "2.yaml", ours(2, runner.StatusCompleted))
	if err := a.landOutbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	tree, err := a.ledger.Tree(t.Context(), "runs/2026-11")
	if err != nil {
		t.Fatal(err)
	}
	for generation, want := range map[int]string{1: "status: error", 2: "status: completed"} {
		data, err := tree.Open(runPath(ours(generation, "")))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(data); err != nil || !bytes.Contains(text.Bytes(), []byte(want)) {
			t.Errorf("generation %d: %s, %v, want %q", generation, text.String(), err, want)
		}
	}
}
