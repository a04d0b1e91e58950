package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// pair is two programs or benchmarks that do the same work.
type pair struct {
	name       string
	ours, peer string
	target     float64 // 0: none is promised
}

// pairs are the ratios taken between benchmarks; BenchmarkPeer is peer.py.
var pairs = [...]pair{
	{"kernel ready, peer: ipykernel's own launcher", "BenchmarkConnect/launcher", "BenchmarkConnect/ipykernel_launcher", 0},
	{"cell of pass, median round trip, peer: jupyter_client", "BenchmarkExecute/pass", "BenchmarkPeer/pass", 0.75},
	{"5 MB of prints, median, peer: jupyter_client", "BenchmarkExecute/print_5MB", "BenchmarkPeer/print_5MB", 1},
	{"page of 1,000 rows in one language, peer: plain Jinja2", "BenchmarkRender/one_language", "BenchmarkRender/plain_jinja2", 1.3},
	{"the same in ten languages, each of them", "BenchmarkRender/ten_languages", "BenchmarkRender/plain_jinja2", 0.3},
	{"a manifest onto 20,000 commits, median, peer: git add, commit, push", "BenchmarkCommit/nbpress_median", "BenchmarkCommit/git_median", 1.3},
	{"a commit taken and read beside hostile reports, peer: without them", "BenchmarkSync/hostile", "BenchmarkSync/good", 2},
	{"list of a month of 30,000 manifests, no mirror, peer: git clone --depth 1", "BenchmarkLook/list_first", "BenchmarkLook/git_clone", 0},
	{"one edit among 100,000 schedules, peer: loading them", "BenchmarkPlanner/edit/100000", "BenchmarkPlanner/load/100000", 0.1},
}

// limits are times that are promised without a peer.
var limits = [...]struct {
	name, ours string
	limit      time.Duration
}{
	{"kernel's death noticed", "BenchmarkDeath", 50 * time.Millisecond},
	{"preview, from a saved template to its page", "BenchmarkPreview", 300 * time.Millisecond},
	{"100,000 schedules parsed and planned", "BenchmarkPlanner/load/100000", 5 * time.Second},
	{"a manifest onto a month of 30,000, 95th percentile", "BenchmarkCommit/nbpress_p95", 300 * time.Millisecond},
	{"list of that month, by URL", "BenchmarkLook/list", time.Second},
	{"list of that month, from a clone", "BenchmarkLook/list_clone", time.Second},
	{"list of all errors of that month", "BenchmarkLook/list_errors", time.Second},
	{"32 MB of prints searched for 20 secrets", "BenchmarkRedact_Prints/plain", 2 * time.Second},
	{"the same, full of escapes", "BenchmarkRedact_Prints/escapes", 5 * time.Second},
	{"show of a run of that month, by its id", "BenchmarkLook/show_id", time.Second},
	{"show of a run of that month, the latest", "BenchmarkLook/show_latest", time.Second},
}

// size is an amount that is promised, or only told, in the unit that the benchmark reports.
type size struct {
	name, ours, unit string
	limit            float64 // 0: none is promised
}

var sizes = [...]size{
	{"agent's memory with a ledger of 20,000 commits, peak", "BenchmarkAgentMemory", "MiB", 60},
	{"of it anonymous, not pages of the program's own file", "BenchmarkAgentMemory", "MiB-anonymous", 0},
	{"100,000 schedules, heap over an idle planner's", "BenchmarkPlanner/load/100000", "MiB", 57}, // 60 MB
	{"a slot of 100,000 schedules fires", "BenchmarkPlanner/fire/100000", "us/slot", 50},
	{"ledger after git gc, at 1,000 runs a day", "BenchmarkGrowth", "B/run", 0},
}

// podStart is how long a pod takes to its first cell, by parts that follow each other.
var podStart = [...]size{
	{"pod asked for, until its two containers run and obey", "BenchmarkE2E_Start", "pod-ms", 0},
	{"a bundle's files put into it", "BenchmarkE2E_Start", "files-ms", 0},
	{"its kernel ready", "BenchmarkE2E_Start", "kernel-ms", 0},
	{"the first cell done", "BenchmarkE2E_Start", "cell-ms", 0},
	{"all of that", "BenchmarkE2E_Start", "all-ms", 3000},
}

// measurement is one Go benchmark's lines; its values stand in their lines' order.
type measurement struct {
	pkg, name string
	perOp     []time.Duration
	others    string // what the last line says beside the time, as Go printed it
}

type measurements []*measurement

// kernelPackage holds the benchmarks that have their peer in peer.py.
const kernelPackage = "./runner/internal/jupyter"

// goBenchmarks runs every Go benchmark of the module a few times, those of the kernel's
// client in turns with their peer.
func goBenchmarks(ctx context.Context, peerPython string) (measurements, error) {
	var output bytes.Buffer
	bench := []string{"go", "test", "-run=^$", "-bench=.", "-skip=E2E", "-benchtime=200ms", "-p=1", "-timeout=10m"}
	for range 3 {
		for _, argv := range [][]string{append(bench, kernelPackage), {peerPython, "internal/bench/peer.py"}} {
			if err := runInto(ctx, &output, argv...); err != nil {
				return nil, err
			}
		}
	}
	packages, err := otherPackages(ctx)
	if err == nil {
		err = runInto(ctx, &output, append(append(bench, "-count=3"), packages...)...)
	}
	return parseBenchmarks(output.String()), err
}

// podBenchmark starts pods on a cluster, one after the other.
func podBenchmark(ctx context.Context) (measurements, error) {
	var output bytes.Buffer
	err := runInto(ctx, &output, "go", "test", "-run=^$", "-bench=E2E_Start", "-benchtime=10x", "-timeout=10m", "./runner/kube")
	return parseBenchmarks(output.String()), err
}

// otherPackages lists the module's packages but the one that has a peer.
func otherPackages(ctx context.Context) ([]string, error) {
	var output bytes.Buffer
	if err := runInto(ctx, &output, "go", "list", "./..."); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Fields(output.String()), func(pkg string) bool {
		return strings.HasSuffix(pkg, strings.TrimPrefix(kernelPackage, "."))
	}), nil
}

// runInto runs a program and appends what it prints to output.
func runInto(ctx context.Context, output *bytes.Buffer, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	before := output.Len()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, output.Bytes()[before:])
	}
	return nil
}

// parseBenchmarks reads what `go test -bench` prints.
func parseBenchmarks(output string) measurements {
	var all measurements
	pkg := ""
	for line := range strings.Lines(output) {
		if name, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = strings.TrimSpace(name)
			continue
		}
		fields := strings.Fields(line)
		at := slices.Index(fields, "ns/op")
		if at < 3 || !strings.HasPrefix(line, "Benchmark") {
			continue
		}
		ns, err := strconv.ParseFloat(fields[at-1], 64)
		if err != nil {
			continue
		}
		name := trimProcs(fields[0])
		m := all.find(pkg, name)
		if m == nil {
			m = &measurement{pkg: pkg, name: name}
			all = append(all, m)
		}
		m.perOp = append(m.perOp, time.Duration(ns))
		m.others = strings.Join(fields[at+1:], " ")
	}
	return all
}

// find returns a benchmark's earlier lines, nil where there are none.
func (all measurements) find(pkg, name string) *measurement {
	for _, m := range all {
		if m.name == name && m.pkg == pkg {
			return m
		}
	}
	return nil
}

// trimProcs drops GOMAXPROCS, as Go appends it to a benchmark's name.
func trimProcs(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || strings.Trim(name[i+1:], "0123456789") != "" {
		return name
	}
	return name[:i]
}

// median returns a benchmark's time per operation, 0 where it did not run.
func (all measurements) median(name string) time.Duration {
	for _, m := range all {
		if m.name == name {
			return median(m.perOp)
		}
	}
	return 0
}

// metric returns what a benchmark reports beside its time, 0 where it does not.
func (all measurements) metric(name, unit string) float64 {
	for _, m := range all {
		fields := strings.Fields(m.others)
		if at := slices.Index(fields, unit); m.name == name && at > 0 {
			value, err := strconv.ParseFloat(fields[at-1], 64)
			if err == nil {
				return value
			}
		}
	}
	return 0
}

func (all measurements) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "Go benchmarks\tpackage\tper operation\t")
	for _, m := range all {
		fmt.Fprintf(table, "%s\t%s\t%v\t%s\n", strings.TrimPrefix(m.name, "Benchmark"), m.pkg, readable(median(m.perOp)), m.others)
	}
	return table.Flush()
}

// readable keeps about four digits of a time.
func readable(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d/unit >= 10_000 {
		unit *= 10
	}
	return d.Round(unit)
}
