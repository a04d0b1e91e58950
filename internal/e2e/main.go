// Command e2e runs the scenarios that need a real Kubernetes, the tests named TestE2E_...,
// on the cluster of $KUBECONFIG, and sums up what happened there: scenarios by name, pods
// made, how many at a time, what is left behind. `make e2e` runs it.
//
// Its life is one pass: it watches the pods of runs with kubectl while go test works, and
// counts at the end what is there still. Status 1: a scenario failed, or something is left.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// timeout bounds the whole pass.
const timeout = 40 * time.Minute

func main() {
	var how manner
	flag.IntVar(&how.atOnce, "parallel", 3, "scenarios at a time")
	flag.BoolVar(&how.race, "race", true, "with the race detector, which needs a C compiler")
	flag.StringVar(&how.only, "only", "", "only the scenarios whose name matches")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := run(ctx, os.Stdout, how); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// manner is how the scenarios are run.
type manner struct {
	only   string // those whose name matches
	atOnce int
	race   bool
}

// run runs the scenarios from the module's root.
func run(ctx context.Context, out io.Writer, how manner) error {
	began := time.Now()
	if os.Getenv("KUBECONFIG") == "" || os.Getenv("NBPRESS_E2E_IMAGE") == "" {
		return fmt.Errorf("KUBECONFIG and NBPRESS_E2E_IMAGE name no cluster and no image: `make e2e` finds them")
	}
	before, err := objects(ctx) // of somebody else on this cluster
	if err != nil {
		return err
	}
	pods, err := watchPods(ctx)
	if err != nil {
		return err
	}
	results, err := test(ctx, out, how)
	if err != nil {
		return err
	}
	left, err := leftBehind(ctx, before)
	if err != nil {
		return err
	}
	made, peak := pods.stop()
	failed := results.failed()
	fmt.Fprintf(out, "\ne2e: %d scenarios, %d failed, %d skipped; %d pods made, %d at a time at most, %d left behind; %.0f s\n",
		len(results), failed, results.skipped(), made, peak, len(left), time.Since(began).Seconds())
	for _, name := range left {
		fmt.Fprintln(out, "left behind:", name)
	}
	if failed > 0 || len(left) > 0 || len(results) == 0 {
		return fmt.Errorf("%d of %d scenarios failed, %d objects left behind", failed, len(results), len(left))
	}
	return nil
}
