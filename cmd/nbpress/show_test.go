package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nbpress/gitsync"
	"nbpress/runner"
)

// Who may write to the ledger must not choose where a person's files go.
func TestFetch_WritesNowhereElseForAForgedID(t *testing.T) {
	bare := filepath.Join(t.TempDir(), "ledger.git")
	newBareRepo(t, bare)
	change := gitsync.Change{Branch: "runs/2026-11", Subject: "x", Files: map[string][]byte{}}
	assets := map[string]runner.RunID{"up": "../up", "root": "/tmp/nbpress-root", "two": "a/b", "dot": ".", "flag": "-rf", "none": ""}
	for asset, id := range assets {
		data, err := runner.Encode(runner.Manifest{
			APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: id, Generation: 1, Report: "r", Asset: asset, ScheduledAt: monday, Status: runner.StatusError,
			Artifacts: []runner.Artifact{{Name: "../../out", Key: "pages/x"}, {Language: "..", Name: "out", Key: "pages/x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		change.Files["r/"+runner.SlotName(monday)+"/"+asset+".yaml"] = data
	}
	if _, err := ledgerAt(t, bare).Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), "here")
	if err := os.Mkdir(here, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for asset := range assets {
		var errs strings.Builder
		cmd := fetchCommand(streams{out: &errs, err: &errs})
		cmd.SetArgs([]string{"--repo", bare, "r/" + asset + "/latest"})
		cmd.SetOut(&errs)
		cmd.SetErr(&errs)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "name one with --out") {
			t.Errorf("%s: %v", asset, err)
		}
	}
	cmd := fetchCommand(streams{out: &strings.Builder{}, err: &strings.Builder{}})
	cmd.SetArgs([]string{"--repo", bare, "--out", "mine", "r/up/latest"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "no usable name") {
		t.Errorf("with --out: %v", err)
	}
	var found []string
	if err := filepath.WalkDir(filepath.Dir(here), func(path string, _ os.DirEntry, err error) error {
		found = append(found, strings.TrimPrefix(path, filepath.Dir(here)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(found, " "), " /here /here/mine /here/mine/manifest.yaml"; got != want {
		t.Errorf("written:%s, want%s", got, want)
	}
}
