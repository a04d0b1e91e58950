package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseBenchmarks_TakesMediansPerPackage(t *testing.T) {
	const output = `goos: linux
pkg: example/a
BenchmarkNext/*/5-2         	     100	      1000 ns/op
BenchmarkNext/*/5-2         	     100	      3000 ns/op	 3.9 MiB
BenchmarkNext/*/5-2         	     100	      2000 ns/op	 4.1 MiB
BenchmarkNext/per-day       	     100	        10.6 ns/op
PASS
ok  	example/a	1.2s
pkg: example/b
BenchmarkNext/per-day       	     100	        20 ns/op
--- BENCH: BenchmarkLogs-2
`
	if got := parseBenchmarks(output).metric("BenchmarkNext/*/5", "MiB"); got != 4.1 {
		t.Errorf("metric() = %v, want 4.1", got)
	}
	var got []string
	for _, m := range parseBenchmarks(output) {
		got = append(got, strings.Join([]string{m.pkg, m.name, median(m.perOp).String(), m.others}, "|"))
	}
	want := []string{
		"example/a|BenchmarkNext/*/5|2µs|4.1 MiB",
		"example/a|BenchmarkNext/per-day|10ns|",
		"example/b|BenchmarkNext/per-day|20ns|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measurements (-want +got):\n%s", diff)
	}
}

func TestContest_RefusesWorkNotDone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "executed.ipynb")
	lazy := program{
		argv:  []string{os.Args[0], "-test.run=^$"},
		check: func() error { return checkExecuted(file, 2) },
	}
	if err := os.WriteFile(file, passNotebook(2), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := contest(t.Context(), map[string]program{"lazy": lazy}, 1); err == nil || !strings.Contains(err.Error(), "not all of 2 cells") {
		t.Errorf("a contest over a notebook that nobody executed: error %v, want one about the cells", err)
	}
}

func TestReadable_KeepsFourDigits(t *testing.T) {
	for in, want := range map[time.Duration]string{
		7: "7ns", 1083: "1.083µs", 257_840_068: "257.8ms", 861_292_058: "861.3ms", 0: "0s",
	} {
		if got := readable(in).String(); got != want {
			t.Errorf("readable(%d) = %s, want %s", in, got, want)
		}
	}
}
