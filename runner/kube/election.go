package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ElectOptions say which Lease agents compete for, and as whom. Holder is required.
type ElectOptions struct {
	Kubeconfig string // as in Options
	Context    string
	Namespace  string // of the Lease
	Instance   string // the Lease is named "<instance>-agent"; "" means "nbpress"

	// Holder is us. No other living agent has this name; one that had it before is over, so
	// its lease is ours at once.
	Holder string
	Log    *slog.Logger // nil means slog.Default()
}

// Of agents that compete, one has the lease. It renews it every 2 seconds, and stops when it
// could not for 8. Another takes it 12 seconds after its last renewal, at its next try,
// which comes within 4.4 seconds.
const (
	leaseDuration = 12 * time.Second
	renewDeadline = 8 * time.Second
	retryPeriod   = 2 * time.Second
	freshFor      = 10 * time.Second // how long a renewal counts for who asks whether it is still ours
)

// HeldError says that another agent has the lease.
type HeldError struct {
	Holder string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("another agent, %s, is at work for this instance; stop it, or leave the work to it", e.Holder)
}

// Election is where agents compete for a Lease of a cluster.
type Election struct {
	lock resourcelock.Interface
	log  *slog.Logger
}

// Elect connects to the cluster and checks that we may use the Lease. It does not compete.
func Elect(ctx context.Context, o ElectOptions) (*Election, error) {
	o.Instance = cmp.Or(o.Instance, defaultInstance)
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Holder == "" {
		return nil, errors.New("elect: no holder is named")
	}
	config, err := restConfig(o.Kubeconfig, o.Context, 5) // of its own, so that renewals wait for nobody
	if err != nil {
		return nil, err
	}
	config.Timeout = renewDeadline / 2
	client, err := newClient(config, o.Namespace)
	if err != nil {
		return nil, err
	}
	rights := []right{{"coordination.k8s.io", "leases", "get"}, {"coordination.k8s.io", "leases", "create"}, {"coordination.k8s.io", "leases", "update"}}
	if err := client.check(ctx, rights); err != nil {
		return nil, err
	}
	return &Election{lock: &leaseLock{client: client, name: o.Instance + "-agent", holder: o.Holder}, log: o.Log}, nil
}

// Await stands by until the lease is ours, or ctx ends.
func (e *Election) Await(ctx context.Context) (*Reign, error) {
	return e.compete(ctx)
}

// Seize takes the lease, or returns a HeldError when its holder is alive. That takes as long
// as a dead holder's lease would last.
func (e *Election) Seize(ctx context.Context) (*Reign, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, leaseDuration+3*retryPeriod, errHeld)
	defer cancel()
	r, err := e.compete(bounded)
	if err != nil && context.Cause(bounded) == errHeld {
		record, _, err := e.lock.Get(ctx)
		if err != nil {
			return nil, fmt.Errorf("lease %s: %w", e.lock.Describe(), err)
		}
		return nil, &HeldError{record.HolderIdentity}
	}
	return r, err
}

// errHeld is the cause of the end of waiting for a lease.
var errHeld = errors.New("the lease is held")

func (e *Election) compete(ctx context.Context) (*Reign, error) {
	began := make(chan struct{})
	reigning, depose := context.WithCancel(context.WithoutCancel(ctx))
	r := &Reign{log: e.log, renewals: &renewals{Interface: e.lock}, depose: depose, over: make(chan struct{})}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: r.renewals, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(began) },
			OnStoppedLeading: func() {},
			OnNewLeader: func(holder string) { // told of each once; nobody's name is ""
				if holder != e.lock.Identity() && holder != "" {
					e.log.Info("standing by: another agent is at work", "holder", holder)
				}
			},
		},
	})
	if err != nil {
		depose()
		return nil, fmt.Errorf("lease %s: %w", e.lock.Describe(), err)
	}
	go func() {
		defer close(r.over)
		elector.Run(reigning)
	}()
	select {
	case <-began:
		return r, nil
	case <-ctx.Done():
		depose()
		<-r.over
		return nil, context.Cause(ctx)
	}
}

// Reign is the time for which we have the lease. It must be ended.
type Reign struct {
	log      *slog.Logger
	renewals *renewals
	depose   context.CancelFunc
	over     chan struct{} // closed when nobody renews it any more
}

// Keep returns when the lease is lost, or when ctx ends. It is renewed in the background,
// also while nobody calls Keep.
func (r *Reign) Keep(ctx context.Context) (lost bool) {
	select {
	case <-r.over:
		if ctx.Err() != nil {
			return false
		}
		r.log.Warn("the lease was taken over, or could not be renewed")
		return true
	case <-ctx.Done():
		return false
	}
}

// Fresh reports whether the lease must still be ours: it was renewed a short while ago. An
// agent that was stopped, and has not renewed it since, does not know.
func (r *Reign) Fresh() bool {
	select {
	case <-r.over:
		return false
	default:
		return time.Since(r.renewals.latest()) < freshFor
	}
}

// End gives the lease back if it is ours, so that who stands by need not wait. It returns
// after a few seconds at most, also when the cluster is away.
func (r *Reign) End(ctx context.Context) {
	r.depose()
	select {
	case <-r.over:
	case <-ctx.Done():
	}
}

// renewals is a lock that notes when it was last made ours. LeaderElector.Check would tell
// of that as well, but reads it while it is written (client-go 0.34).
type renewals struct {
	resourcelock.Interface

	mu   sync.Mutex // guards last
	last time.Time  // before the latest write that succeeded
}

func (l *renewals) latest() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Create implements resourcelock.Interface.
func (l *renewals) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (l *renewals) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *renewals) note(record resourcelock.LeaderElectionRecord, write func() error) error {
	began := time.Now()
	err := write()
	if err == nil && record.HolderIdentity == l.Identity() { // else it is given back
		l.mu.Lock()
		defer l.mu.Unlock()
		l.last = began
	}
	return err
}

// leaseLock is a Lease as leaderelection writes it. Its own kind of lock wants a client of
// all that Kubernetes has. It is used by one goroutine at a time.
type leaseLock struct {
	client *client
	name   string
	holder string
	last   *coordinationv1.Lease // as the cluster had it last: updates are compared with it
}

// Get implements resourcelock.Interface.
func (l *leaseLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	lease, err := l.client.leases.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	l.last = lease
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	raw, err := json.Marshal(record)
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *leaseLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	lease, err := l.client.leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: l.name, Labels: map[string]string{labelManagedBy: managedBy}},
		Spec:       resourcelock.LeaderElectionRecordToLeaseSpec(&record),
	}, metav1.CreateOptions{})
	if err == nil {
		l.last = lease
	}
	return err
}

// Update implements resourcelock.Interface.
func (l *leaseLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if l.last == nil {
		return errors.New("the lease was not read before")
	}
	// LeaderElector gives back what it saw last as its own, which may be long ago.
	if there := l.last.Spec.HolderIdentity; record.HolderIdentity == "" && there != nil && *there != l.holder {
		return fmt.Errorf("the lease is not ours to give back: %s has it", *there)
	}
	wanted := l.last.DeepCopy()
	wanted.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	lease, err := l.client.leases.Update(ctx, wanted, metav1.UpdateOptions{})
	if err == nil {
		l.last = lease
	}
	return err
}

// RecordEvent implements resourcelock.Interface. Our log tells of it.
func (l *leaseLock) RecordEvent(string) {}

// Identity implements resourcelock.Interface.
func (l *leaseLock) Identity() string { return l.holder }

// Describe implements resourcelock.Interface.
func (l *leaseLock) Describe() string { return l.client.namespace + "/" + l.name }
