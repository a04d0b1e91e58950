// Command bench measures every speed that nbpress promises beside its peer, in the
// same run and environment, and prints tables with the ratios; `make bench` runs it.
//
// Its life is one pass: the duels (whole programs, taking turns), then the modules'
// own Go benchmarks. It measures and does not judge: a ratio over its target is shown
// as missed, and only an error ends it with status 1, since a busy machine is not a
// broken program.
package main

import (
	"context"
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
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := run(ctx, os.Stdout, *rounds); err != nil {
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
	execute, err := executeDuel(root, dir, 50)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "beside its peer, wall time\tnbpress\tpeer\tratio\ttarget\t")
	result, err := execute.fight(ctx, rounds)
	if err != nil {
		return err
	}
	printRow(table, fmt.Sprintf("%s, median of %d", execute.name, rounds), result, execute.target)
	measured, err := goBenchmarks(ctx)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		ours, peer := measured.median(p.ours), measured.median(p.peer)
		if ours == 0 || peer == 0 {
			return fmt.Errorf("%s: no benchmark %s or %s", p.name, p.ours, p.peer)
		}
		printRow(table, p.name, outcome{ours, peer}, p.target)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return measured.print(out)
}

// outcome is the median time of either side.
type outcome struct{ ours, peer time.Duration }

func printRow(w io.Writer, name string, o outcome, target float64) {
	ratio := float64(o.ours) / float64(o.peer)
	verdict := "-"
	if target > 0 {
		verdict = fmt.Sprintf("<= %.2f met", target)
		if ratio > target {
			verdict = fmt.Sprintf("<= %.2f MISSED", target)
		}
	}
	fmt.Fprintf(w, "%s\t%v\t%v\t%.2f\t%s\t\n", name, o.ours.Round(time.Millisecond), o.peer.Round(time.Millisecond), ratio, verdict)
}

// executeDuel is `nbpress execute` against `jupyter execute` on a notebook of cells
// that do nothing, so that only the programs' own work and the kernel's start count.
func executeDuel(root, dir string, cells int) (duel, error) {
	notebook := filepath.Join(dir, "pass.ipynb")
	if err := os.WriteFile(notebook, passNotebook(cells), 0o644); err != nil {
		return duel{}, err
	}
	bin := filepath.Join(root, ".venv", "bin")
	ours, theirs := filepath.Join(dir, "ours.ipynb"), filepath.Join(dir, "theirs.ipynb")
	return duel{
		name: fmt.Sprintf("execute %d cells of pass, peer: jupyter execute", cells), target: 0.65,
		ours: program{
			argv:  []string{filepath.Join(root, "build", "nbpress"), "execute", "--python", filepath.Join(bin, "python"), notebook, ours},
			check: func() error { return checkExecuted(ours, cells) },
		},
		peer: program{
			argv:  []string{filepath.Join(bin, "jupyter"), "execute", notebook, "--output", "theirs.ipynb"},
			check: func() error { return checkExecuted(theirs, cells) },
		},
	}, nil
}
