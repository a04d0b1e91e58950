package gitsync

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nbpress/internal/testenv"
	busy "nbpress/internal/testenv/month"
)

// BenchmarkCommit is one more manifest on a month of 30,000 in 20,000 commits, by us and
// by the git command line with a clone of depth 1 that is kept: write the file, add,
// commit, push. Each has a repository of its own behind the same http-backend, as on a
// Git host, and they take turns, so that what else goes on on the machine meets them alike. ns/op is the median or the
// 95th percentile of 20.
func BenchmarkCommit(b *testing.B) {
	ours, gits := committer(b), gitCommitter(b)
	took := map[string][]time.Duration{}
	for n := range 21 {
		for name, commit := range map[string]func(string){"nbpress": ours, "git": gits} {
			started := time.Now()
			commit(fmt.Sprintf("%s/%s-%02d.yaml", busy.Slot(29, 3), name, n))
			if n > 0 { // the first is for what is made once
				took[name] = append(took[name], time.Since(started))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(took)) {
		slices.Sort(took[name])
		for percent, kind := range map[int]string{50: "median", 95: "p95"} {
			b.Run(name+"_"+kind, func(b *testing.B) {
				for b.Loop() { // it is done
				}
				b.ReportMetric(float64(took[name][len(took[name])*percent/100-percent/95]), "ns/op")
			})
		}
	}
}

// committer commits a file as the agent does, which keeps its ledger open.
func committer(b *testing.B) func(name string) {
	l, err := OpenLedger(LedgerOptions{URL: serveGit(b, busy.Clone(b, testenv.Root(b)), nil), Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	return func(name string) {
		c := Change{Branch: busy.Branch, Files: map[string][]byte{name: []byte(busy.Manifest(29, 3, 1))}, Subject: "One more"}
		if _, err := l.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

// gitCommitter commits a file with the git command line.
func gitCommitter(b *testing.B) func(name string) {
	clone := filepath.Join(b.TempDir(), "clone")
	execGit(b, ".", "clone", "-q", "--depth", "1", "-b", busy.Branch, serveGit(b, busy.Clone(b, testenv.Root(b)), nil), clone)
	return func(name string) {
		if err := os.WriteFile(filepath.Join(clone, name), []byte(busy.Manifest(29, 3, 1)), 0o644); err != nil {
			b.Fatal(err)
		}
		execGit(b, clone, "add", name)
		execGit(b, clone, "commit", "-q", "-m", "One more")
		execGit(b, clone, "push", "-q")
	}
}
