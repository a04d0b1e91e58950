package runnertest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// trial is a row of the executor's suite under way.
type trial struct {
	*testing.T
	executor runner.Executor
	options  ExecutorOptions
}

// spec returns a run of its own, with the given environment and the mark.
func (tr *trial) spec(env map[string]string) runner.Spec {
	spec := runner.Spec{
		Run: runner.RunID("test" + strings.ToLower(rand.Text()[:16])), Generation: 1, Attempt: 1, Report: "report", Asset: "asset",
		Env: map[string]string{}, Deadline: time.Now().Add(15 * time.Minute),
	}
	for name, value := range env {
		spec.Env[name] = value
	}
	spec.Env[MarkVariable] = string(spec.Run)
	return spec
}

// start returns a new sandbox, which is closed at the row's end.
func (tr *trial) start(env map[string]string) *box {
	tr.Helper()
	return tr.startWith(tr.Context(), env)
}

func (tr *trial) startWith(ctx context.Context, env map[string]string) *box {
	tr.Helper()
	return tr.startSpec(ctx, tr.spec(env))
}

func (tr *trial) startSpec(ctx context.Context, spec runner.Spec) *box {
	tr.Helper()
	sandbox, err := tr.executor.Start(ctx, spec)
	must(tr.T, err)
	b := &box{Sandbox: sandbox, tr: tr}
	tr.Cleanup(func() {
		b.close()
		tr.nothingRemains(spec.Run)
	})
	return b
}

// nothingRemains checks after Close.
func (tr *trial) nothingRemains(run runner.RunID) {
	if tr.options.Remains == nil {
		return
	}
	if left := tr.options.Remains(tr.T, run); len(left) > 0 {
		tr.Errorf("the closed sandbox left %q", left)
	}
}

// await waits for something that another goroutine does.
func (tr *trial) await(done <-chan struct{}, what string) {
	tr.Helper()
	select {
	case <-done:
	case <-time.After(rowTimeout):
		tr.Fatalf("waited %v for %s", rowTimeout, what)
	}
}

// python returns a value as a Python literal.
func (tr *trial) python(value any) string {
	switch value {
	case true:
		return "True"
	case false:
		return "False"
	}
	data, err := json.Marshal(value)
	must(tr.T, err)
	return string(data)
}

// box is a sandbox whose methods must succeed.
type box struct {
	runner.Sandbox
	tr *trial
}

func (b *box) put(files map[string]string) {
	b.tr.Helper()
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	must(b.tr.T, b.Put(b.tr.Context(), fsys))
}

// ended is how a notebook and its kernel ended.
type ended struct {
	failure *runner.Failure
	death   runner.Death
}

// run runs a notebook of these cells in a new kernel, to the end of both.
func (b *box) run(cells ...string) ended {
	b.tr.Helper()
	ctx, cancel := context.WithTimeout(b.tr.Context(), rowTimeout)
	defer cancel()
	conn, dead, err := b.Kernel(ctx)
	must(b.tr.T, err)
	told, known := make(chan runner.Death, 1), make(chan runner.Death, 1)
	go func() { // ends with the kernel, at the latest when the sandbox is closed
		death := <-dead
		told <- death
		known <- death
	}()
	_, failure, _, err := runner.ExecuteNotebook(ctx, Notebook(cells...), conn, told, runner.CellsOptions{})
	if err != nil {
		b.tr.Fatalf("execute: %v; log:\n%s", err, b.log(4096))
	}
	must(b.tr.T, b.StopKernel(ctx))
	must(b.tr.T, b.StopKernel(ctx))
	select {
	case death := <-known:
		return ended{failure, death}
	case <-ctx.Done():
		b.tr.Fatal("nobody said how the kernel ended")
		return ended{}
	}
}

// passes runs a notebook that must not fail.
func (b *box) passes(cells ...string) {
	b.tr.Helper()
	if result := b.run(cells...); result.failure != nil {
		b.tr.Fatalf("%s: %s\n%s\nlog:\n%s", result.failure.Code, result.failure.Message, result.failure.Traceback, b.log(4096))
	}
}

// holds runs code, which must not fail, in a new kernel that then stays busy. The
// kernel's end by whatever means is for the caller, who then calls wait.
func (b *box) holds(code string) (conn jupyter.Connection, wait func()) {
	b.tr.Helper()
	conn, dead, err := b.Kernel(b.tr.Context())
	must(b.tr.T, err)
	ready, done := make(chan struct{}), make(chan struct{})
	var failure *runner.Failure
	go func() {
		defer close(done)
		_, failure, _, err = runner.ExecuteNotebook(b.tr.Context(), Notebook(code, "import time; time.sleep(600)"), conn, dead,
			runner.CellsOptions{Progress: func(p runner.Progress) {
				if p.Cell == 2 && p.Event == runner.CellStarted {
					close(ready)
				}
			}})
	}()
	select {
	case <-ready:
	case <-done:
		b.tr.Fatalf("the notebook ended: %+v, %v; log:\n%s", failure, err, b.log(4096))
	case <-time.After(rowTimeout):
		b.tr.Fatal("the notebook hangs")
	}
	return conn, func() {
		b.tr.Helper()
		b.tr.await(done, "the notebook's end")
		if failure == nil && err == nil {
			b.tr.Error("the notebook ended well though its kernel was stopped")
		}
	}
}

// leaves runs code, which must not fail, and stops its kernel with all that it started.
func (b *box) leaves(code string) {
	b.tr.Helper()
	_, wait := b.holds(code)
	must(b.tr.T, b.StopKernel(b.tr.Context()))
	wait()
}

func (b *box) get(name string, limit int64) []byte {
	b.tr.Helper()
	data, err := b.Get(b.tr.Context(), name, limit)
	must(b.tr.T, err)
	return data
}

func (b *box) list() []string {
	b.tr.Helper()
	names, err := b.List(b.tr.Context())
	must(b.tr.T, err)
	return names
}

func (b *box) log(limit int64) string {
	b.tr.Helper()
	data, err := b.Log(b.tr.Context(), limit)
	must(b.tr.T, err)
	return string(data)
}

func (b *box) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.tr.Context()), rowTimeout)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		b.tr.Errorf("close: %v", err)
	}
}
