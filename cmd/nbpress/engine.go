package main

import (
	"context"
	"errors"
	"log/slog"

	"nbpress/runner"
	"nbpress/runner/local"
)

// engine is where runs happen, as configured: an executor, and what the agent does with
// it beside starting sandboxes.
type engine struct {
	runner.Executor
	begin func(ctx context.Context) error // at the start of a reign: removes what an earlier agent left
	ready func(ctx context.Context) error // nil, or what is wrong with it; nil: it is the agent's own machine
	close func()
	seat  func(store runner.Store, holder string, log *slog.Logger) seat
}

// openEngine opens the configured engine.
func openEngine(ctx context.Context, c config, log *slog.Logger) (engine, error) {
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
		seat: func(store runner.Store, holder string, log *slog.Logger) seat {
			return &contender{store: store, holder: holder, log: log}
		},
	}, err
}
