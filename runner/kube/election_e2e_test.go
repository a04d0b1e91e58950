package kube

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// candidate is an agent that competes for the namespace's Lease.
func (c *cluster) candidate(holder string) *Election {
	c.Helper()
	e, err := Elect(c.Context(), ElectOptions{Kubeconfig: c.kubeconfig, Namespace: c.namespace, Instance: "press", Holder: holder, Log: c.options().Log})
	c.must(err)
	return e
}

func TestE2E_ElectOneOfTwo(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first, err := c.candidate("one").Await(ctx)
	c.must(err)
	if !first.Fresh() {
		t.Error("a lease that was just taken counts as old")
	}
	var held *HeldError
	if _, err := c.candidate("two").Seize(ctx); !errors.As(err, &held) || held.Holder != "one" {
		t.Errorf("while another holds it: %v", err)
	}
	type won struct {
		reign *Reign
		err   error
	}
	second := make(chan won, 1)
	go func() {
		r, err := c.candidate("two").Await(ctx)
		second <- won{r, err}
	}()
	asking := time.NewTicker(50 * time.Millisecond)
	defer asking.Stop()
	for began := time.Now(); time.Since(began) < leaseDuration+renewDeadline; { // the first renews it
		select {
		case <-second:
			t.Fatal("two have it")
		case <-asking.C:
		}
		if !first.Fresh() {
			t.Fatal("a lease that is renewed counts as old")
		}
	}
	first.End(ctx)
	if first.Fresh() || !first.Keep(ctx) {
		t.Error("a lease that was given back counts as ours")
	}
	given := time.Now()
	next := <-second
	c.must(next.err)
	t.Logf("taken over %v after it was given back", time.Since(given))
	next.reign.End(ctx)
}

func TestE2E_ElectAfterAHolderThatFellSilent(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	silent := c.candidate("one")
	cut := make(chan struct{})
	silent.lock = &cutLock{leaseLock: silent.lock.(*leaseLock), cut: cut}
	first, err := silent.Await(ctx)
	c.must(err)
	waiting := c.candidate("two")
	close(cut)
	began := time.Now()
	second, err := waiting.Await(ctx)
	c.must(err)
	t.Logf("taken over after %v", time.Since(began))
	if first.Fresh() {
		t.Error("who could not renew its lease takes it for its own when another has it")
	}
	if !first.Keep(ctx) {
		t.Error("who could not renew its lease keeps it")
	}
	second.End(ctx)
	again, err := c.candidate("two").Seize(ctx) // a lease that was given back is there for all
	c.must(err)
	again.End(ctx)
}

// cutLock does not reach the cluster any more once it is cut.
type cutLock struct {
	*leaseLock
	cut <-chan struct{}
}

func (l *cutLock) away() error {
	select {
	case <-l.cut:
		return errors.New("the cluster is away")
	default:
		return nil
	}
}

// Get implements resourcelock.Interface.
func (l *cutLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	if err := l.away(); err != nil {
		return nil, nil, err
	}
	return l.leaseLock.Get(ctx)
}

// Update implements resourcelock.Interface.
func (l *cutLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if err := l.away(); err != nil {
		return err
	}
	return l.leaseLock.Update(ctx, record)
}
