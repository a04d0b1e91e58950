package main

import (
	"context"
	"log/slog"

	"nbpress/runner"
	"nbpress/runner/kube"
	"nbpress/runner/lease"
)

// seat decides which of several agents works, and which stand by. It avoids waste: that
// nothing is lost or doubled is the doing of claims and manifests.
type seat[R reign] interface {
	// Await stands by until the seat is this agent's, or ctx ends.
	Await(ctx context.Context) (R, error)
	// Seize returns an error that names the holder where another agent is at work, as soon
	// as that is sure.
	Seize(ctx context.Context) (R, error)
}

// reign is the time for which an agent has its seat.
type reign interface {
	// Keep keeps the seat until ctx ends, or it is lost.
	Keep(ctx context.Context) (lost bool)
	// Fresh reports whether the seat must still be ours.
	Fresh() bool
	// End gives the seat back if it is ours, so that who stands by need not wait.
	End(ctx context.Context)
}

// openSeat decides who works by a Lease of the cluster where runs are pods, else by a
// lease in the store.
func openSeat(ctx context.Context, c config, store runner.Store, holder string, log *slog.Logger) (seat[reign], error) {
	k := c.Executor.Kubernetes
	if k == nil {
		return anySeat[*lease.Reign]{lease.Elect(store, holder, log)}, nil
	}
	election, err := kube.Elect(ctx, kube.ElectOptions{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespace: k.Namespace, Instance: k.Instance,
		Holder: holder, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return anySeat[*kube.Reign]{election}, nil
}

// anySeat is a seat of which nobody needs to know what its reigns are.
type anySeat[R reign] struct{ seat seat[R] }

// Await implements seat.
func (s anySeat[R]) Await(ctx context.Context) (reign, error) { return anyReign(s.seat.Await(ctx)) }

// Seize implements seat.
func (s anySeat[R]) Seize(ctx context.Context) (reign, error) { return anyReign(s.seat.Seize(ctx)) }

func anyReign[R reign](r R, err error) (reign, error) {
	if err != nil {
		return nil, err // not an R that is nil
	}
	return r, nil
}
