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

// pair is two Go benchmarks that do the same work.
type pair struct {
	name       string
	ours, peer string
	target     float64 // 0: none is promised
}

// pairs are the ratios taken between Go benchmarks.
var pairs = [...]pair{
	{"kernel ready, peer: ipykernel's own launcher", "BenchmarkConnect/launcher", "BenchmarkConnect/ipykernel_launcher", 0},
}

// measurement is one Go benchmark's lines; its values stand in their lines' order.
type measurement struct {
	pkg, name string
	perOp     []time.Duration
	others    string // what the last line says beside the time, as Go printed it
}

type measurements []*measurement

// goBenchmarks runs every Go benchmark of the module a few times.
func goBenchmarks(ctx context.Context) (measurements, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=.", "-benchtime=200ms", "-count=3", "-p=1", "-timeout=10m", "./...")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, output.Bytes())
	}
	return parseBenchmarks(output.String()), nil
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
		if n := len(all); n == 0 || all[n-1].name != name || all[n-1].pkg != pkg { // -count repeats a benchmark at once
			all = append(all, &measurement{pkg: pkg, name: name})
		}
		m := all[len(all)-1]
		m.perOp = append(m.perOp, time.Duration(ns))
		m.others = strings.Join(fields[at+1:], " ")
	}
	return all
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
