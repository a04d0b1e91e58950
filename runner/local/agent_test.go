//go:build linux

package local_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/runnertest"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// agent is another process that holds a sandbox with a running kernel.
type agent struct {
	run     string
	process *os.Process
	wait    func()
}

// startAgent starts one and returns when its notebook runs.
func startAgent(t *testing.T, dir, python, mode string) agent {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "agent", dir, python, mode)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe() // it also ends when this is closed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := false
	wait := func() {
		if !waited {
			waited = true
			stdin.Close()
			_ = cmd.Wait() // it was killed
		}
	}
	t.Cleanup(wait)
	run, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the agent does not start: %v", err)
	}
	return agent{run: strings.TrimSpace(run), process: cmd.Process, wait: wait}
}

// holdSandbox is such an agent: it says its run's id once the notebook runs, with a
// process that left its session where it is isolated.
func holdSandbox(dir, python string, isolate bool) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o := local.Options{Python: python, Dir: dir, Log: textLog(os.Stderr)}
	code := "pass"
	if isolate {
		o.Init = selfInit
		code = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
	}
	if err := hold(ctx, o, code); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func hold(ctx context.Context, o local.Options, code string) error {
	e, err := local.New(ctx, o)
	if err != nil {
		return err
	}
	run := fmt.Sprintf("held%d", os.Getpid())
	sandbox, err := e.Start(ctx, runner.Spec{Run: runner.RunID(run), Env: map[string]string{runnertest.MarkVariable: run}})
	if err != nil {
		return err
	}
	defer sandbox.Close(context.Background())
	if err := sandbox.Put(ctx, fstest.MapFS{}); err != nil {
		return err
	}
	conn, dead, err := sandbox.Kernel(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the test ends, or closes it
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	_, failure, _, err := runner.ExecuteNotebook(ctx, runnertest.Notebook(code, "import time; time.sleep(600)"), conn, dead, runner.CellsOptions{
		Progress: func(p runner.Progress) {
			if p.Cell == 2 {
				fmt.Println(run)
			}
		},
	})
	return fmt.Errorf("the notebook ended: %+v, %w", failure, err)
}
