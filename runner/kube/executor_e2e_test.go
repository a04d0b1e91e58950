package kube

import (
	"context"
	"sync"
	"testing"
	"testing/fstest"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// TestE2E_Executor is the suite that every executor passes, with real kernels in real pods.
func TestE2E_Executor(t *testing.T) {
	for name, forward := range map[string]bool{"AtThePodsAddress": false, "ThroughPortForwards": true} {
		t.Run(name, func(t *testing.T) {
			c := onCluster(t)
			o := c.options()
			o.Forward = forward
			few := &fewAtOnce{Executor: c.open(o), places: make(chan struct{}, 4)}
			runnertest.Executor(t, func(*testing.T) runner.Executor { return few }, runnertest.ExecutorOptions{
				Remains: func(_ *testing.T, run runner.RunID) []string { return c.remains(run) },
			})
		})
	}
}

// fewAtOnce bounds how many pods the suite has at once.
type fewAtOnce struct {
	runner.Executor
	places chan struct{}
}

// Start implements runner.Executor.
func (f *fewAtOnce) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	f.places <- struct{}{}
	box, err := f.Executor.Start(ctx, spec)
	if err != nil {
		<-f.places
		return box, err
	}
	return &placed{Sandbox: box, leave: sync.OnceFunc(func() { <-f.places })}, nil
}

type placed struct {
	runner.Sandbox
	leave func()
}

// Close implements runner.Sandbox.
func (p *placed) Close(ctx context.Context) error {
	err := p.Sandbox.Close(ctx)
	p.leave()
	return err
}

func TestE2E_AnAttemptIsThereOnce(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	spec := c.spec()
	first := c.start(c.open(c.options()), spec)
	n := c.run(first, endless)
	second := c.start(c.open(c.options()), spec) // the next life of the agent
	if first.pod() == second.pod() {
		t.Error("the pod of an earlier life was taken over")
	}
	failure := c.ends(n)
	c.says(failure.Code, failure.Message, runner.PodDeleted, "somebody deleted")
	c.close(first) // which must not harm the second
	c.must(second.Put(t.Context(), fstest.MapFS{"a": {Data: []byte("b")}}))
	c.close(second)
	if left := c.remains(""); len(left) > 0 {
		t.Errorf("they left %q", left)
	}
}

func TestE2E_BeginRemovesWhatIsOursAndNothingElse(t *testing.T) {
	t.Parallel()
	c := onCluster(t)
	ours, theirs := c.options(), c.options()
	theirs.Instance = "press-2"
	killed := c.start(c.open(ours), c.spec()) // nobody closes it
	neighbour := c.start(c.open(theirs), c.spec())
	next := c.open(ours)
	c.must(next.Begin(t.Context()))
	if left := c.remains(killed.spec.Run); len(left) > 1 || len(left) == 1 && left[0][:3] == "pod" {
		t.Errorf("of an earlier life there is %q", left)
	}
	c.eventually("the cluster removes the Secret with its pod", func() bool { return len(c.remains(killed.spec.Run)) == 0 })
	c.must(neighbour.Put(t.Context(), fstest.MapFS{"a": {Data: []byte("b")}}))
	c.must(next.Ready(t.Context()))
	c.must(next.Begin(t.Context())) // with nothing to do
}
