package kube

import (
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// An agent that was stopped for long may only come to give its lease back when another has it.
func TestLeaseLock_GivesBackNoOtherHoldersLease(t *testing.T) {
	successor := "two"
	lock := &leaseLock{holder: "one", last: &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &successor}}}
	err := lock.Update(t.Context(), resourcelock.LeaderElectionRecord{})
	if err == nil || !strings.Contains(err.Error(), "two has it") {
		t.Errorf("it gives the lease of %q back: %v", successor, err)
	}
}
