//go:build linux

package local_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/runnertest"
)

// TestMain lets the test binary be its own sandboxes' PID 1, an agent that is killed or
// has lost capabilities, and a test run of another user.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "sandbox-init":
			syscall.Exit(local.Init()) // os.Exit of a binary with the race detector takes a second
		case "agent":
			os.Exit(holdSandbox(os.Args[2], os.Args[3], os.Args[4] == "isolated"))
		case "unprivileged":
			os.Exit(runUnprivileged(os.Args[2]))
		case "powerless":
			os.Exit(losePower(append([]string{"/proc/self/exe", "name-sandbox"}, os.Args[2:]...)))
		case "name-sandbox":
			os.Exit(nameSandbox(os.Args[2], os.Args[3]))
		}
	}
	testenv.HeedSignals()
	os.Exit(m.Run())
}

// selfInit is Options.Init of the test binary.
var selfInit = []string{"/proc/self/exe", "sandbox-init"}

// newExecutor returns an executor with a folder of its own, and the folder.
func newExecutor(t *testing.T, init []string) (*local.Executor, string) {
	t.Helper()
	dir := t.TempDir()
	return openExecutor(t, local.Options{Python: testenv.Python(t), Dir: dir, Init: init, Log: logTo(t)}), dir
}

func openExecutor(t *testing.T, o local.Options) *local.Executor {
	t.Helper()
	e, err := local.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// logTo returns a logger that writes into the test's output.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// isolated returns an executor that isolates; where the machine allows none, there is
// nothing to test.
func isolated(t *testing.T) *local.Executor {
	t.Helper()
	e, _ := newExecutor(t, selfInit)
	if !isolates(t, e) {
		t.Skip("this machine allows no namespaces")
	}
	return e
}

func isolates(t *testing.T, e *local.Executor) bool {
	t.Helper()
	name := startBox(t, e).String()
	t.Log(name)
	return name != "local, process group"
}

// box is a sandbox with a name.
type box interface {
	runner.Sandbox
	String() string
}

// startBox returns a sandbox with an empty work folder, which ends with the test.
func startBox(t *testing.T, e *local.Executor) box {
	t.Helper()
	sandbox, err := e.Start(t.Context(), runner.Spec{Run: "run", Generation: 1, Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sandbox.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sandbox.(box)
}

// runCode runs code as a notebook in a new kernel.
func runCode(ctx context.Context, sandbox runner.Sandbox, code string) (*runner.Failure, error) {
	conn, dead, err := sandbox.Kernel(ctx)
	if err != nil {
		return nil, err
	}
	_, failure, _, err := runner.ExecuteNotebook(ctx, runnertest.Notebook(code), conn, dead, runner.CellsOptions{})
	return failure, err
}

// passes runs code that must not raise.
func passes(t *testing.T, sandbox runner.Sandbox, code string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failure, err := runCode(ctx, sandbox, code)
	if err != nil {
		t.Fatal(err)
	}
	if failure != nil {
		t.Fatalf("%s\n%s", failure.Message, failure.Traceback)
	}
}

// remains returns what a run left in a folder of sandboxes, and its processes.
func remains(t *testing.T, dir string, run runner.RunID) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, string(run)+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(left, marked(t, string(run))...)
}

// marked returns the command lines of the processes of a run.
func marked(t *testing.T, run string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(env), runnertest.MarkVariable+"="+run) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")) // it may end meanwhile
		found = append(found, path+" "+strings.ReplaceAll(string(command), "\x00", " "))
	}
	return found
}

// eventually waits until there is nothing left.
func eventually(t *testing.T, left func() []string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); ; <-tick.C {
		remaining := left()
		if len(remaining) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still there: %q", remaining)
		}
	}
}
