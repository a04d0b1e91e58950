package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/internal/testenv/month"
	"nbpress/runner"
	"nbpress/runner/store"
)

// builtProgram compiles the program as users have it.
func builtProgram(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "nbpress")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// BenchmarkLook runs the commands that read a ledger on a month of 30,000 manifests:
// by its URL with and without the user's cache, and from a clone.
func BenchmarkLook(b *testing.B) {
	bare, program, cache := month.Clone(b, testenv.Root(b)), builtProgram(b), filepath.Join(b.TempDir(), "cache")
	b.Setenv("XDG_CACHE_HOME", cache)
	b.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	url, clone := "file://"+bare, filepath.Join(b.TempDir(), "clone")
	git := func(b *testing.B) {
		runGit(b, ".", "clone", "-q", "--depth", "1", "--no-checkout", "-b", month.Branch, url, clone)
	}
	git(b)
	look := func(want string, args ...string) func(b *testing.B) {
		return func(b *testing.B) {
			out, err := exec.Command(program, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				b.Fatalf("nbpress %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	forget := func(dir string) func() { return func() { os.RemoveAll(dir) } }
	keep := func() {}
	first, last := month.ID(0, 0, 7), month.ID(29, 24, 0)
	for _, c := range []struct {
		name   string
		before func()
		run    func(*testing.B)
	}{
		{"list_first", forget(cache), look(last, "list", "--repo", url)},
		{"git_clone", forget(clone), git},
		{"list", keep, look(last, "list", "--repo", url)},
		{"list_clone", keep, look(last, "list", "-C", clone)},
		{"list_errors", keep, look(first, "list", "--repo", url, "--status", "error", "--limit", "0")},
		{"show_latest", keep, look("status: error", "show", "--repo", url, month.ReportName(0)+"/"+month.AssetName(7)+"/latest")},
		{"show_id", keep, look("status: error", "show", "--repo", url, first)},
		{"show_absent", keep, func(b *testing.B) {
			if out, _ := exec.Command(program, "show", "--repo", url, "zzzzzzzzz").CombinedOutput(); !strings.Contains(string(out), "no such run") {
				b.Fatalf("%s", out)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c.before()
				b.StartTimer()
				c.run(b)
			}
		})
	}
}

// BenchmarkAgentMemory is the most memory that an agent ever holds which lands a manifest
// on a month of 30,000 in 20,000 commits, over http: the resident set of the process and
// its children, whichever is the largest, from start to end.
func BenchmarkAgentMemory(b *testing.B) {
	bare, program := month.Clone(b, testenv.Root(b)), builtProgram(b)
	server := newGitServer(b, filepath.Dir(bare))
	manifest := strings.Replace(month.Manifest(29, 3, 1), "asset: plant-01", "asset: plant-new", 1)
	var peak, anonymous int64
	for b.Loop() {
		top := b.TempDir()
		reports := filepath.Join(top, "reports.git")
		runGit(b, ".", "init", "-q", "--bare", "-b", "main", reports)
		nothing := runGit(b, reports, "hash-object", "-w", "-t", "tree", os.DevNull)
		commit := runGit(b, reports, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", "-m", "None", nothing)
		runGit(b, reports, "update-ref", "refs/heads/main", commit)
		dir, err := store.OpenDir(filepath.Join(top, "store"))
		if err == nil {
			err = dir.Put(b.Context(), runner.OutboxPrefix+"x-g1.yaml", []byte(manifest))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(top, "nbpress.yaml"), fmt.Appendf(nil,
				"repository: {url: %q}\nledger: {url: %q}\nstore: {dir: store}\nexecutor: {local: {python: %q}}\n",
				reports, server.url("month.git"), testenv.Python(b)), 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(program, "agent", "--once", "--config", filepath.Join(top, "nbpress.yaml"))
		out, held, own, err := peakOf(cmd)
		if err != nil || !strings.Contains(out, "energy/report-03 2026-11-30: 1 completed") {
			b.Fatalf("nbpress agent: %v\n%s", err, out)
		}
		peak, anonymous = max(peak, held), max(anonymous, own)
		runGit(b, bare, "update-ref", "refs/heads/"+month.Branch, month.Branch+"~1")
	}
	b.ReportMetric(float64(peak)/1024, "MiB")
	b.ReportMetric(float64(anonymous)/1024, "MiB-anonymous")
}

// peakOf runs a program and returns what it prints and the most memory that it had, in
// KiB: all of it, and without the pages of its file, which the system shares among
// processes and drops when it likes. Those grow with each library that is linked, used or
// not; the rest is what the agent takes for its work. It is not its rusage's, which begins
// with the memory of who started it: ours.
func peakOf(cmd *exec.Cmd) (out string, peak, anonymous int64, err error) {
	var printed strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Start(); err != nil {
		return "", 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return printed.String(), peak, anonymous, err
		case <-tick.C:
			peak = max(peak, memoryOf(cmd.Process.Pid, "VmHWM"))
			anonymous = max(anonymous, memoryOf(cmd.Process.Pid, "RssAnon")) // now: nobody keeps its peak
		}
	}
}

// BenchmarkGrowth packs a month of 1,000 runs a day as git gc does.
func BenchmarkGrowth(b *testing.B) {
	bare := month.Clone(b, testenv.Root(b))
	for b.Loop() {
		runGit(b, bare, "gc", "-q")
	}
	var size float64
	counted := runGit(b, bare, "count-objects", "-v")
	_, counted, _ = strings.Cut(counted, "size-pack: ")
	if _, err := fmt.Sscan(counted, &size); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(size*1024/month.Runs, "B/run")
}
