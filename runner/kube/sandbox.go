package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// sandbox implements runner.Sandbox in a pod.
type sandbox struct {
	e        *Executor
	spec     runner.Spec
	name     string
	log      *slog.Logger
	key      string
	node     string
	mayExist bool                     // a pod was asked for
	placed   time.Time                // when we heard of its node
	parts    map[string]time.Duration // of the start
	follower *follower
	dial     dialer
	forward  *forward // nil: the pod is reached at its address
	desk     desk
	busy     chan struct{} // holds an element while a method runs
	closing  chan struct{} // holds an element while Close runs
	ended    chan struct{} // closed when Close is called
	watching sync.WaitGroup
	secret   types.UID // of the Secret; "": not known
	gone     bool      // nothing is left of it; used while closing

	mu     sync.Mutex // guards what follows
	uid    types.UID  // "": not known
	leash  *leash
	cancel context.CancelFunc // of the method that runs
	closed bool
}

// errClosed is what methods return once Close was called.
var errClosed = fmt.Errorf("the sandbox is closed: %w", fs.ErrClosed)

// newSandbox returns a sandbox whose pod is still to be made.
func (e *Executor) newSandbox(name string) *sandbox {
	return &sandbox{
		e: e, name: name, log: e.o.Log.With("pod", name), follower: e.pods.follow(name),
		busy: make(chan struct{}, 1), closing: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// String names the pod, for manifests.
func (s *sandbox) String() string {
	return fmt.Sprintf("pod %s/%s on node %s", s.e.o.Namespace, s.name, s.node)
}

// StartParts returns how long the parts of Start took: until pod and Secret were created, then
// until a node was found (scheduled), until both containers ran, with pulling images, and
// until the kernel's obeyed us (reached).
func (s *sandbox) StartParts() map[string]time.Duration { return s.parts }

func (s *sandbox) setPod(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uid = uid
}

// enter begins a method. Close ends its context and waits for it.
func (s *sandbox) enter(ctx context.Context) (context.Context, func(), error) {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ctx.Err()
	if s.closed {
		err = errClosed
	}
	if err != nil {
		<-s.busy
		return nil, nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	cancel := s.cancel
	return ctx, func() { cancel(); <-s.busy }, nil
}

// Put implements runner.Sandbox.
func (s *sandbox) Put(ctx context.Context, fsys fs.FS) error {
	return s.do(ctx, func(ctx context.Context) error { return s.desk.put(ctx, fsys) })
}

// Get implements runner.Sandbox.
func (s *sandbox) Get(ctx context.Context, name string, limit int64) (data []byte, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		data, err = s.desk.get(ctx, name, limit)
		return err
	})
	return data, err
}

// List implements runner.Sandbox.
func (s *sandbox) List(ctx context.Context) (names []string, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		names, err = s.desk.list(ctx)
		return err
	})
	return names, err
}

// Log implements runner.Sandbox.
func (s *sandbox) Log(ctx context.Context, limit int64) (text []byte, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		text, err = s.desk.log(ctx, limit)
		return err
	})
	return text, err
}

// Render implements runner.Sandbox.
func (s *sandbox) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return s.do(ctx, func(ctx context.Context) error { return s.desk.render(ctx, stdin, stdout, stderr) })
}

// StopKernel implements runner.Sandbox. Where the connection to the kernel's container has
// ended its processes end with it; it returns when the cluster says that they have.
func (s *sandbox) StopKernel(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context) error {
		err := s.leash.stop(ctx)
		if err == nil || !errors.Is(err, errLeashLost) {
			return err
		}
		f, waitErr := s.await(ctx, kernelGone)
		if waitErr != nil {
			return errors.Join(err, waitErr)
		}
		if f.state == failed {
			return f.failure()
		}
		return nil
	})
}

// Kernel implements runner.Sandbox.
func (s *sandbox) Kernel(ctx context.Context) (conn jupyter.Connection, dead <-chan runner.Death, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		endings, err := s.leash.kernel(ctx)
		if err != nil {
			return err
		}
		told := make(chan runner.Death, 1)
		s.watching.Go(func() { told <- s.death(endings) })
		conn, dead = connection(s.key, s.dial), told
		return nil
	})
	return conn, dead, err
}

// do runs one method, until the pod is of no use any more, and puts its error down to what
// became of the pod.
func (s *sandbox) do(ctx context.Context, method func(context.Context) error) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	useful, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.watching.Go(func() {
		if f, err := s.await(useful, failed); err == nil {
			end(f.failure())
		}
	})
	err = method(useful)
	var failure *runner.Failure
	if err != nil && ctx.Err() == nil && errors.As(context.Cause(useful), &failure) {
		return failure
	}
	return s.because(ctx, err)
}

// How long the cluster gets to say what happened to a pod, or the warden to a kernel, when
// the other has noticed something.
const (
	fateTimeout   = 20 * time.Second
	settleTimeout = 8 * time.Second // after a container's end
	endingTimeout = time.Second
)

// because returns a failure that says what became of the pod, where the error comes from
// that; else the error.
func (s *sandbox) because(ctx context.Context, err error) error {
	switch {
	case err == nil, ctx.Err() != nil, errors.As(err, new(*runner.Failure)):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, runner.ErrTooLarge):
		return err
	case apierrors.IsForbidden(err):
		return refusal(err)
	}
	level := failed
	if errors.Is(err, errLeashLost) {
		level = kernelGone
	}
	bounded, cancel := context.WithTimeout(ctx, fateTimeout)
	defer cancel()
	if f, waitErr := s.await(bounded, level); waitErr == nil {
		s.log.Debug("a method failed with its pod", "error", err)
		return f.failure()
	}
	return err
}

// await returns the pod's fate when it is at least as bad as that, and the cluster has had
// the time to say why.
func (s *sandbox) await(ctx context.Context, level state) (fate, error) {
	var settled <-chan time.Time
	for {
		var f fate
		seen, changed := s.follower.see(s.pod())
		if seen.pod != nil {
			f = fateOf(seen.pod, seen.gone)
		}
		switch {
		case f.state < level:
		case !f.unsure:
			return f, nil
		case settled == nil:
			timer := time.NewTimer(settleTimeout)
			defer timer.Stop()
			settled = timer.C
		}
		select {
		case <-changed:
		case <-settled:
			return f, nil
		case <-ctx.Done():
			return fate{}, context.Cause(ctx)
		}
	}
}

// ReasonTimeout is how long after the connection's end death may take.
func (s *sandbox) ReasonTimeout() time.Duration { return fateTimeout + settleTimeout }

// death tells how a kernel ended: as its warden saw it, or the cluster if that is gone too.
func (s *sandbox) death(endings <-chan ending) runner.Death {
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	fates := make(chan fate, 1)
	s.watching.Go(func() {
		if f, err := s.await(watching, kernelGone); err == nil {
			fates <- f
		}
	})
	select {
	case e := <-endings: // at the latest when the leash is closed
		if !e.lost {
			return e.death()
		}
		select {
		case f := <-fates:
			return s.deathBy(f)
		case <-s.ended: // by Close: nobody asks
		case <-time.After(fateTimeout):
		}
		return runner.Death{Code: runner.Internal, Message: e.message}
	case f := <-fates: // the warden, if it lives, knows better
		select {
		case e := <-endings:
			if !e.lost {
				return e.death()
			}
		case <-time.After(endingTimeout):
		}
		return s.deathBy(f)
	}
}

func (s *sandbox) deathBy(f fate) runner.Death { return runner.Death{Code: f.code, Message: f.message} }

func (s *sandbox) pod() types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uid
}

// Close implements runner.Sandbox. A pod that does not end in time is removed later.
func (s *sandbox) Close(ctx context.Context) error {
	leash := s.begin()
	select {
	case s.closing <- struct{}{}:
		defer func() { <-s.closing }()
	case <-ctx.Done():
		return fmt.Errorf("close pod %s: %w", s.name, ctx.Err())
	}
	if s.gone {
		return nil
	}
	if leash != nil {
		leash.Close()
	}
	err := s.remove(ctx)
	if s.forward != nil {
		s.forward.Close()
	}
	select {
	case s.busy <- struct{}{}: // the method has ended
		<-s.busy
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("close pod %s: %w", s.name, err)
	}
	s.watching.Wait()
	s.follower.end()
	s.gone = true
	s.e.quota.ring()
	return nil
}

// begin marks the sandbox as closed, ends the method that runs, and returns the leash.
func (s *sandbox) begin() *leash {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ended)
	}
	if s.cancel != nil {
		s.cancel()
	}
	return s.leash
}

// remove removes pod and Secret, and returns when the pod is gone.
func (s *sandbox) remove(ctx context.Context) error {
	uid := s.pod()
	if uid == "" {
		if !s.mayExist {
			return nil
		}
		there, err := s.e.client.pods.Get(ctx, s.name, metav1.GetOptions{}) // its creation may have been lost on the way
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			s.e.tidy.take(s.name, "")
			return err
		}
		if !ours(there.Labels, s.e.o.Instance) {
			return nil
		}
		uid = there.UID
	}
	err := deletePod(ctx, s.e.client, s.name, uid, endGrace)
	if err == nil {
		err = s.removeSecret(ctx)
	}
	if err == nil {
		err = s.awaitGone(ctx, uid)
	}
	if err != nil {
		s.e.tidy.take(s.name, uid)
	}
	return err
}

// removeSecret does what the cluster would do a little later, when the pod is gone.
func (s *sandbox) removeSecret(ctx context.Context) error {
	if s.secret == "" {
		return nil
	}
	err := s.e.client.secrets.Delete(ctx, s.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.secret}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete Secret %s: %w", s.name, err)
	}
	return nil
}

// awaitGone returns when the pod is gone, whether the stream of pods tells or not.
func (s *sandbox) awaitGone(ctx context.Context, uid types.UID) error {
	there, err := s.e.client.pods.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && there.UID != uid {
		return nil
	}
	if err != nil {
		return err
	}
	return s.follower.awaitGone(ctx, uid)
}
