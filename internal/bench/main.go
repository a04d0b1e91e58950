// Command bench measures every speed that nbpress promises beside its peer, in the
// same run and environment, and prints tables with the ratios; `make bench` runs it.
//
// Its life is one pass: whole programs taking turns, then the module's own Go
// benchmarks, those of the kernel's client in turns with peer.py, and, where $KUBECONFIG
// and $NBPRESS_E2E_IMAGE name a cluster, the start of pods. It measures and does not
// judge: a ratio over its target is shown as missed, and only an error ends it with
// status 1, since a busy machine is not a broken program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// timeout bounds the whole pass.
const timeout = 20 * time.Minute

func main() {
	rounds := flag.Int("rounds", 7, "how often each program of a duel runs")
	only := flag.Bool("pods", false, "only the start of pods, on the cluster of $KUBECONFIG")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	measure := func() error { return run(ctx, os.Stdout, *rounds) }
	if *only {
		measure = func() error { return pods(ctx, os.Stdout) }
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures all and prints it to out, from the module's root.
func run(ctx context.Context, out io.Writer, rounds int) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nbpress-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	peers := filepath.Join(root, "build", "peers")
	programs, err := executions(root, dir, peers, 50)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "beside its peer, wall time\tnbpress\tpeer\tratio\ttarget\t")
	took, err := contest(ctx, programs, rounds)
	if err != nil {
		return err
	}
	for _, p := range executed {
		name := fmt.Sprintf("%s, 50 cells of pass, peer: %s, median of %d", p.ours, p.peer, rounds)
		printRow(table, name, took[p.ours], took[p.peer], p.target)
	}
	measured, err := goBenchmarks(ctx, filepath.Join(peers, "bin", "python"))
	if err != nil {
		return err
	}
	for _, p := range pairs {
		ours, peer := measured.median(p.ours), measured.median(p.peer)
		if ours == 0 || peer == 0 {
			return fmt.Errorf("%s: no benchmark %s or %s", p.name, p.ours, p.peer)
		}
		printRow(table, p.name, ours, peer, p.target)
	}
	for _, l := range limits {
		took := measured.median(l.ours)
		if took == 0 {
			return fmt.Errorf("%s: no benchmark %s", l.name, l.ours)
		}
		fmt.Fprintf(table, "%s\t%v\t-\t-\t<= %v %s\t\n", l.name, readable(took), l.limit, verdict(took <= l.limit))
	}
	if err := printSizes(table, measured, sizes[:]); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := measured.print(out); err != nil || !hasCluster() {
		return err
	}
	fmt.Fprintln(out)
	return pods(ctx, out)
}

// pods measures how long a pod takes to its first cell, by parts.
func pods(ctx context.Context, out io.Writer) error {
	if !hasCluster() {
		return errors.New("KUBECONFIG and NBPRESS_E2E_IMAGE name no cluster and no image: `make bench-pods` finds them")
	}
	measured, err := podBenchmark(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "on a cluster, image present, median of 10\tnbpress\t\t\ttarget\t")
	if err := printSizes(table, measured, podStart[:]); err != nil {
		return err
	}
	return table.Flush()
}

func hasCluster() bool {
	return os.Getenv("KUBECONFIG") != "" && os.Getenv("NBPRESS_E2E_IMAGE") != ""
}

// executed are the ratios taken between whole programs.
var executed = [...]pair{
	{ours: ours, peer: nbclient, target: 0.55},
	{ours: ours, peer: papermill, target: 0.55},
	{ours: oursStock, peer: nbclient, target: 0.62},
}

func printRow(w io.Writer, name string, ours, peer time.Duration, target float64) {
	ratio, promise := float64(ours)/float64(peer), "-"
	if target > 0 {
		promise = fmt.Sprintf("<= %.2f %s", target, verdict(ratio <= target))
	}
	fmt.Fprintf(w, "%s\t%v\t%v\t%.2f\t%s\t\n", name, readable(ours), readable(peer), ratio, promise)
}

func printSizes(w io.Writer, measured measurements, sizes []size) error {
	for _, z := range sizes {
		size := measured.metric(z.ours, z.unit)
		if size == 0 {
			return fmt.Errorf("%s: no benchmark %s with %s", z.name, z.ours, z.unit)
		}
		promise := "-"
		if z.limit > 0 {
			promise = fmt.Sprintf("<= %.0f %s %s", z.limit, z.unit, verdict(size <= z.limit))
		}
		fmt.Fprintf(w, "%s\t%.1f %s\t-\t-\t%s\t\n", z.name, size, z.unit, promise)
	}
	return nil
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}
