package kube

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"nbpress/runner"
)

// Start implements runner.Executor. It returns when both containers run and the kernel's
// obeys us. What is wrong with the pod meanwhile is a *runner.Failure, at once or when the
// executor's patience with it is over.
func (e *Executor) Start(ctx context.Context, spec runner.Spec) (_ runner.Sandbox, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name := podName(e.o.Instance, spec)
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return nil, fmt.Errorf("a pod cannot be named %q: %s", name, strings.Join(problems, "; "))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.StartTimeout, errSlowStart)
	defer cancel()
	s := e.newSandbox(name)
	s.spec = spec
	began := time.Now()
	defer func() {
		if err == nil {
			return
		}
		if isLate(ctx) && !errors.As(err, new(*runner.Failure)) {
			err = &runner.Failure{Code: runner.StartTimeout, Message: fmt.Sprintf("the pod did not start within %v: %v", time.Since(began).Round(time.Second), err)}
		}
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		if closeErr := s.Close(cleanup); closeErr != nil {
			s.log.Warn("a pod that did not start is not removed yet", "error", closeErr)
		}
	}()
	if err := s.create(ctx, spec); err != nil {
		return nil, err
	}
	created := time.Now()
	pod, err := s.awaitRunning(ctx)
	if err != nil {
		return nil, err
	}
	ran := time.Now()
	if err := s.connect(ctx, pod); err != nil {
		return nil, s.because(ctx, err)
	}
	s.parts = map[string]time.Duration{
		"created": created.Sub(began), "scheduled": s.placed.Sub(created), "running": ran.Sub(s.placed), "reached": time.Since(ran),
	}
	s.log.Debug("a pod is ready", "took", s.parts, "node", s.node)
	return s, nil
}

// errSlowStart is the cause of the end of a context that start used up.
var errSlowStart = errors.New("the start took too long")

// isLate reports whether the time for a start is up, ours or the run's own. The notebook has
// not begun by then, so it is not what took too long.
func isLate(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// create makes the pod and its Secret. Leftovers of an attempt of the same name, from an
// earlier life, are removed first; they are never used.
func (s *sandbox) create(ctx context.Context, spec runner.Spec) error {
	var owner metav1.OwnerReference
	err := s.patiently(ctx, func() (err error) {
		owner, err = s.e.owner(ctx)
		return err
	})
	if err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	s.key = hex.EncodeToString(key)
	pod, err := s.createPod(ctx, podFor(spec, s.e.o, owner, time.Now()))
	if err != nil {
		return err
	}
	s.setPod(pod.UID)
	secret := secretFor(pod, spec.Secrets, s.key)
	if err := s.patiently(ctx, func() error { return s.createSecret(ctx, secret) }); err != nil {
		return refusal(fmt.Errorf("create Secret %s: %w", secret.Name, err))
	}
	return nil
}

func (s *sandbox) createSecret(ctx context.Context, secret *corev1.Secret) error {
	made, err := s.e.client.secrets.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // of a pod that is gone, and whose Secret goes a little later; or ours, and we were not told
		if err = s.e.client.secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{}); err == nil || apierrors.IsNotFound(err) {
			made, err = s.e.client.secrets.Create(ctx, secret, metav1.CreateOptions{})
		}
	}
	if err == nil {
		s.secret = made.UID
	}
	return err
}

// patiently repeats requests while the cluster's API is away, or too busy, for as long as a
// pod may wait for a node: no attempt is worn out by that.
func (s *sandbox) patiently(ctx context.Context, ask func() error) error {
	until, told := time.Now().Add(s.e.o.Patience), false
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := ask()
		if !isAway(err) || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		if !told {
			s.log.Warn("a pod waits for the cluster's API", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// createPod creates the pod, and waits for quota where there is none left.
func (s *sandbox) createPod(ctx context.Context, wanted *corev1.Pod) (pod *corev1.Pod, err error) {
	told := false
	err = s.e.quota.pass(ctx, s.e.o.Patience, func() (err error) {
		pod, err = s.tryPod(ctx, wanted)
		if lacksQuota(err) && !told {
			s.log.Warn("a pod waits for quota", "error", err)
			told = true
		}
		return err
	})
	return pod, err
}

// tryPod creates the pod, if there is quota.
func (s *sandbox) tryPod(ctx context.Context, wanted *corev1.Pod) (*corev1.Pod, error) {
	for {
		s.mayExist = true // also if we are not told
		var pod *corev1.Pod
		err := s.patiently(ctx, func() (err error) {
			pod, err = s.e.client.pods.Create(ctx, wanted, metav1.CreateOptions{})
			return err
		})
		switch {
		case err == nil:
			return pod, nil
		case !apierrors.IsAlreadyExists(err):
			return nil, refusal(fmt.Errorf("create pod %s: %w", wanted.Name, err))
		}
		if err := s.replace(ctx); err != nil {
			return nil, err
		}
	}
}

// The pauses between two tries to create what the quota refuses, or while the API is away.
const (
	shortestPause = 500 * time.Millisecond
	longestPause  = 5 * time.Second
)

// replace removes the pod that has our name: an earlier life began this attempt. One that is
// another's stays.
func (s *sandbox) replace(ctx context.Context) error {
	there, err := s.e.client.pods.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the pod that has our name, %s: %w", s.name, err)
	}
	if !ours(there.Labels, s.e.o.Instance) {
		s.mayExist = false
		return fmt.Errorf("pod %s is there and is not ours: it lacks the labels %s", s.name, selector(s.e.o.Instance))
	}
	s.log.Info("removing what an earlier life left of this attempt")
	return s.e.remove(ctx, s.name, there.UID)
}

// refusal puts what the cluster refuses for good into the words of manifests.
func refusal(err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	if strings.Contains(err.Error(), "exceeded quota") || strings.Contains(err.Error(), "failed quota") {
		return &runner.Failure{Code: runner.QuotaExceeded, Message: err.Error()}
	}
	return &runner.Failure{Code: runner.Internal, Message: err.Error() + ": the cluster refuses it; look at the rights of the agent's account and at the namespace's policies"}
}

// awaitRunning returns the pod when both containers run.
func (s *sandbox) awaitRunning(ctx context.Context) (*corev1.Pod, error) {
	var since time.Time // of the present trouble
	var trouble fate
	for {
		seen, changed := s.follower.see(s.pod())
		f := fate{state: starting}
		if seen.pod != nil {
			f = fateOf(seen.pod, seen.gone)
		}
		if s.placed.IsZero() && seen.pod != nil && seen.pod.Spec.NodeName != "" {
			s.placed = time.Now()
		}
		switch f.state {
		case running:
			return seen.pod, nil
		case failed, kernelGone:
			return nil, f.failure()
		case starting:
			trouble = fate{}
		case waiting:
			if f.code != trouble.code {
				since = time.Now()
				s.log.Warn("a pod does not start yet", "code", f.code, "message", f.message, "patience", s.e.patience(f))
			}
			trouble = f
		}
		if err := s.awaitNews(ctx, changed, trouble, since); err != nil {
			return nil, err
		}
	}
}

// awaitNews returns when there is news of the pod, or a failure when the patience with its
// trouble, if it has one, is over.
func (s *sandbox) awaitNews(ctx context.Context, changed <-chan struct{}, trouble fate, since time.Time) error {
	var over <-chan time.Time
	if trouble.state == waiting {
		timer := time.NewTimer(time.Until(since.Add(s.e.patience(trouble))))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-over:
		return trouble.failure()
	case <-ctx.Done():
		if trouble.state == waiting && isLate(ctx) {
			return trouble.failure()
		}
		return context.Cause(ctx)
	}
}

// patience is how long a trouble may last.
func (e *Executor) patience(trouble fate) time.Duration {
	if trouble.code == runner.ImagePull {
		return min(e.o.Patience, pullPatience)
	}
	return e.o.Patience
}

// pullPatience is how long pulling an image may keep failing at most: a registry that was away
// is back by then, or a name is wrong.
const pullPatience = time.Minute

// connect reaches the two containers.
func (s *sandbox) connect(ctx context.Context, pod *corev1.Pod) (err error) {
	s.node = pod.Spec.NodeName
	dial := dialIP(pod.Status.PodIP)
	if s.e.o.Forward {
		s.forward = newForward(s.e.client.config, s.e.o.Namespace, s.name)
		dial = s.forward.dial
	}
	s.dial = dial
	s.desk = desk{run: execer{config: s.e.client.config, namespace: s.e.o.Namespace, pod: s.name}.run}
	bounded, cancel := context.WithTimeoutCause(ctx, leashTimeout, fmt.Errorf("the pod's port %d, at %s, was not reached in %v: is there a NetworkPolicy, or no route to pods (then use port-forwards)?",
		portLeash, pod.Status.PodIP, leashTimeout))
	defer cancel()
	leash, err := takeLeash(bounded, dial, []byte(s.key))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.leash = leash
	s.mu.Unlock()
	return nil
}

// leashTimeout is how long reaching a container that runs may take: Python starts there.
const leashTimeout = time.Minute
