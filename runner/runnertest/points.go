package runnertest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// StoreAt returns a store that calls at before and after each write of a run's life:
// "claim:before", "claim:after". A test that ends the process there sees what the next
// one makes of it. Other operations pass unnamed.
func StoreAt(store runner.Store, at func(point string)) runner.Store {
	return pointedStore{store, storePoints(), at}
}

type pointedStore struct {
	runner.Store
	points []storePoint
	at     func(string)
}

// storePoint is a write with a name.
type storePoint struct {
	name      string
	operation string
	key       *regexp.Regexp
}

// storePoints returns the writes with a name, in the order of a run's life.
func storePoints() []storePoint {
	point := func(name, operation, key string) storePoint {
		return storePoint{name, operation, regexp.MustCompile("^" + key)}
	}
	return []storePoint{
		point("slot", "create", "slots/"),
		point("fired", "put", "outbox/slot-"),
		point("cursor", "put", "cursors/"),
		point("claim", "create", "runs/[^/]+/g[0-9]+/claim-"),
		point("artifact", "put", "runs/[^/]+/g[0-9]+/a[0-9]+/"),
		point("page", "put", "pages/.+/g[0-9]+a[0-9]+/[^/]+/"),
		point("manifest", "create", "runs/[^/]+/g[0-9]+/manifest.yaml"),
		point("settle", "put", "runs/[^/]+/g[0-9]+/claim-"),
		point("outbox", "put", "outbox/[^-]+-g[0-9]+.yaml"),
		point("mark", "put", "latest/"),
		point("latest", "put", "pages/.+/latest/"),
		point("closed", "delete", "slots/"),
		point("landed", "delete", "outbox/"),
	}
}

func (s pointedStore) around(operation, key string, do func() error) error {
	for _, p := range s.points {
		if p.operation == operation && p.key.MatchString(key) {
			s.at(p.name + ":before")
			defer s.at(p.name + ":after")
			break
		}
	}
	return do()
}

// Create implements runner.StoreWriter.
func (s pointedStore) Create(ctx context.Context, key string, data []byte) error {
	return s.around("create", key, func() error { return s.Store.Create(ctx, key, data) })
}

// Put implements runner.StoreWriter.
func (s pointedStore) Put(ctx context.Context, key string, data []byte) error {
	return s.around("put", key, func() error { return s.Store.Put(ctx, key, data) })
}

// Delete implements runner.StoreWriter.
func (s pointedStore) Delete(ctx context.Context, key string) error {
	return s.around("delete", key, func() error { return s.Store.Delete(ctx, key) })
}

// ExecutorAt returns an executor that calls at before and after each step of an attempt.
func ExecutorAt(exec runner.Executor, at func(point string)) runner.Executor {
	return pointedExecutor{exec, at}
}

// Points returns the names of all points of StoreAt and ExecutorAt, in the order of a
// run's life. Each has a ":before" and an ":after".
func Points() []string {
	var names []string
	for _, p := range storePoints() {
		names = append(names, p.name)
		if p.name == "claim" {
			names = append(names, "sandbox", "files", "connect", "execute", "output", "render", "close")
		}
	}
	return names
}

type pointedExecutor struct {
	runner.Executor
	at func(string)
}

// Start implements runner.Executor.
func (e pointedExecutor) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	e.at("sandbox:before")
	defer e.at("sandbox:after")
	box, err := e.Executor.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return pointedSandbox{box, e.at}, nil
}

// pointedSandbox tells of execute from the start of a kernel to its end.
type pointedSandbox struct {
	runner.Sandbox
	at func(string)
}

// String names the sandbox for manifests.
func (s pointedSandbox) String() string { return fmt.Sprint(s.Sandbox) }

// Put implements runner.Sandbox.
func (s pointedSandbox) Put(ctx context.Context, fsys fs.FS) error {
	s.at("files:before")
	defer s.at("files:after")
	return s.Sandbox.Put(ctx, fsys)
}

// Kernel implements runner.Sandbox.
func (s pointedSandbox) Kernel(ctx context.Context) (jupyter.Connection, <-chan runner.Death, error) {
	s.at("connect:before")
	defer s.at("execute:before")
	defer s.at("connect:after")
	return s.Sandbox.Kernel(ctx)
}

// StopKernel implements runner.Sandbox.
func (s pointedSandbox) StopKernel(ctx context.Context) error {
	s.at("execute:after")
	return s.Sandbox.StopKernel(ctx)
}

// Get implements runner.Sandbox.
func (s pointedSandbox) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	s.at("output:before")
	defer s.at("output:after")
	return s.Sandbox.Get(ctx, name, limit)
}

// Render implements runner.Sandbox.
func (s pointedSandbox) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	s.at("render:before")
	defer s.at("render:after")
	return s.Sandbox.Render(ctx, stdin, stdout, stderr)
}

// Close implements runner.Sandbox.
func (s pointedSandbox) Close(ctx context.Context) error {
	s.at("close:before")
	defer s.at("close:after")
	return s.Sandbox.Close(ctx)
}
