package main

import "context"

// seat decides which of several agents works, and which stand by. It avoids waste: that
// nothing is lost or doubled is the doing of claims and manifests.
type seat interface {
	// await stands by until the seat is this agent's, or ctx ends.
	await(ctx context.Context) (reign, error)
	// seize returns a heldError where another agent is at work, as soon as that is sure.
	seize(ctx context.Context) (reign, error)
}

// reign is the time for which an agent has its seat.
type reign interface {
	// keep keeps the seat until ctx ends, or it is lost.
	keep(ctx context.Context) (lost bool)
	// fresh reports whether the seat must still be ours.
	fresh() bool
	// end gives the seat back if it is ours, so that who stands by need not wait.
	end(ctx context.Context)
}
