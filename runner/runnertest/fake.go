package runnertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// FakeExecutor makes sandboxes of goroutines: a kernel that takes a few milliseconds
// and no Python. The zero value completes every attempt. Its fields are set before
// its first use.
type FakeExecutor struct {
	// OnStart is called for each sandbox before it is made; its error is Start's.
	OnStart func(ctx context.Context, spec runner.Spec) error
	// OnCell is called for each cell that is executed. It returns the files that the
	// cell writes, or the error that it raises; nil, nil writes "{}" as output.json.
	// Its context ends with the kernel.
	OnCell func(ctx context.Context, spec runner.Spec, source string) (map[string][]byte, error)

	mu      sync.Mutex // guards what follows
	started []runner.Spec
	open    int
	most    int
}

// Started returns what was asked for, in order.
func (e *FakeExecutor) Started() []runner.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]runner.Spec(nil), e.started...)
}

// Open returns how many sandboxes there are, and how many there were at most.
func (e *FakeExecutor) Open() (now, most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open, e.most
}

// Start implements runner.Executor.
func (e *FakeExecutor) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	e.count(1, spec)
	if e.OnStart != nil {
		if err := e.OnStart(ctx, spec); err != nil {
			e.count(-1)
			return nil, err
		}
	}
	return &fakeSandbox{of: e, spec: spec}, nil
}

func (e *FakeExecutor) count(n int, specs ...runner.Spec) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open += n
	e.most = max(e.most, e.open)
	e.started = append(e.started, specs...)
}

// fakeSandbox implements runner.Sandbox in memory.
type fakeSandbox struct {
	of     *FakeExecutor
	spec   runner.Spec
	kernel *fakeKernel
	work   folder
	once   sync.Once
}

func (s *fakeSandbox) String() string { return "fake-" + string(s.spec.Run) }

func (s *fakeSandbox) Put(_ context.Context, fsys fs.FS) error { return s.work.replace(fsys) }

func (s *fakeSandbox) Kernel(context.Context) (jupyter.Connection, <-chan runner.Death, error) {
	s.kernel = &fakeKernel{execute: s.cell}
	conn, err := s.kernel.listen()
	return conn, nil, err
}

func (s *fakeSandbox) cell(ctx context.Context, source string) error {
	var files map[string][]byte
	var raised error
	if s.of.OnCell != nil {
		files, raised = s.of.OnCell(ctx, s.spec, source)
	}
	if files == nil && raised == nil {
		files = map[string][]byte{"output.json": []byte("{}")}
	}
	return errors.Join(raised, s.work.write(files))
}

func (s *fakeSandbox) StopKernel(context.Context) error {
	if s.kernel != nil {
		s.kernel.close()
	}
	return nil
}

func (s *fakeSandbox) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	return s.work.read(name, limit)
}

func (s *fakeSandbox) List(context.Context) ([]string, error) { return s.work.names(), nil }

func (s *fakeSandbox) Log(context.Context, int64) ([]byte, error) { return []byte("fake log\n"), nil }

// Render answers as render.py does: every page is its language and output.json.
func (s *fakeSandbox) Render(_ context.Context, stdin io.Reader, stdout, _ io.Writer) error {
	var request struct {
		Executions []struct {
			Languages []string
			Output    int
		}
	}
	in := json.NewDecoder(stdin)
	if err := in.Decode(&request); err != nil {
		return err
	}
	rest := bufio.NewReader(io.MultiReader(in.Buffered(), stdin))
	if _, err := rest.Discard(len("\n")); err != nil {
		return err
	}
	for _, execution := range request.Executions {
		output := make([]byte, execution.Output)
		if _, err := io.ReadFull(rest, output); err != nil {
			return err
		}
		for _, language := range execution.Languages {
			page := language + " " + string(output)
			fmt.Fprintf(stdout, "{\"language\": %q, \"bytes\": %d}\n%s", language, len(page), page)
		}
	}
	_, err := fmt.Fprintln(stdout, `{"done": true}`)
	return err
}

func (s *fakeSandbox) Close(ctx context.Context) error {
	s.once.Do(func() { s.of.count(-1) })
	return s.StopKernel(ctx)
}
