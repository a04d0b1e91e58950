package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"nbpress/runner"
	"nbpress/runner/kube"
	"nbpress/runner/local"
)

// engine is where runs happen, as configured: an executor, and what the agent does with
// it beside starting sandboxes.
type engine struct {
	runner.Executor
	begin func(ctx context.Context) error // at the start of a reign: removes what an earlier agent left
	ready func(ctx context.Context) error // says what is wrong with it; nil: it is the agent's own machine
	close func()
	// secrets reads Secrets of its cluster; nil: it has none.
	secrets secretReader
}

// openEngine opens the configured engine.
func openEngine(ctx context.Context, c config, log *slog.Logger) (engine, error) {
	if k := c.Executor.Kubernetes; k != nil {
		return openKubernetes(ctx, k.options(c.Executor.Slots, log))
	}
	return openLocal(ctx, c, log)
}

// openLocal is the embedded engine: child processes of this one. What an earlier agent
// left in its folder is removed now; several agents can share it.
func openLocal(ctx context.Context, c config, log *slog.Logger) (engine, error) {
	sandboxes, err := local.New(ctx, local.Options{
		Python: c.Executor.Local.Python, Dir: c.Executor.Local.Dir, Init: selfInit(), Log: log, Hidden: c.private(),
	})
	if errors.Is(err, local.ErrExposed) {
		return engine{}, wrongUse(err)
	}
	return engine{
		Executor: sandboxes,
		begin:    func(context.Context) error { return nil },
		close:    func() {},
	}, err
}

// openKubernetes is the distributed engine: pods.
func openKubernetes(ctx context.Context, o kube.Options) (engine, error) {
	pods, err := kube.New(ctx, o)
	if err != nil {
		return engine{}, err
	}
	return engine{Executor: pods, begin: pods.Begin, ready: pods.Ready, close: pods.Close, secrets: pods}, nil
}

// options are what the engine of pods is told.
func (k *kubernetesConfig) options(slots int, log *slog.Logger) kube.Options {
	o := kube.Options{
		Kubeconfig: k.Kubeconfig, Context: k.Context, Namespace: k.Namespace, Instance: k.Instance,
		Image: k.Image, Slots: slots, Forward: k.Forward,
		RuntimeClass: k.RuntimeClass, PriorityClass: k.PriorityClass, NodeSelector: k.NodeSelector, PullSecrets: k.PullSecrets, User: k.User,
		MilliCPU: int64(k.Resources.CPU), Memory: int64(k.Resources.Memory), Storage: int64(k.Resources.Storage),
		StartTimeout: time.Duration(k.StartTimeout), Patience: time.Duration(k.Patience), Log: log,
	}
	for _, t := range k.Tolerations {
		o.Tolerations = append(o.Tolerations, kube.Toleration(t))
	}
	return o
}
