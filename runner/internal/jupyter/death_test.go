package jupyter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soon is far more than it takes to notice something, on a machine that has much else
// to do. What it takes is measured by BenchmarkDeath.
const soon = 30 * time.Second

// untilSeen is code that prints something and goes on when whoSees has seen it: the
// kernel's own flush only hands it to another thread.
const untilSeen = "import os, time\nprint('before', flush=True)\nwhile not os.path.exists('seen'): time.sleep(0.01)\n"

// whoSees lets untilSeen go on and then calls seen.
func whoSees(t *testing.T, p *process, seen func()) func(Message) {
	return func(m Message) {
		if m.Type != "stream" || !m.Own {
			return
		}
		if err := os.WriteFile(filepath.Join(p.dir, "seen"), nil, 0o600); err != nil {
			t.Error(err)
		}
		seen()
	}
}

func TestClient_NoticesDeathAtOnceAndKeepsTheOutput(t *testing.T) {
	for name, code := range map[string]string{
		"os._exit":                       "os._exit(1)",
		"SIGKILL":                        "os.kill(os.getpid(), 9)",
		"SIGTERM":                        "os.kill(os.getpid(), 15); time.sleep(60)",
		"segfault":                       "import ctypes; ctypes.string_at(0)",
		"abort in C":                     "os.abort()",
		"a thread ends the process":      "import threading; threading.Timer(0, os._exit, [1]).start(); time.sleep(60)",
		"forked child holds the sockets": "if os.fork() == 0:\n    time.sleep(120)\nos._exit(1)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := connect(t, Options{})
			var event time.Time
			_, err := c.Execute(t.Context(), untilSeen+code, whoSees(t, p, func() { event = time.Now() }))
			var died *KernelDied
			if !errors.As(err, &died) {
				t.Errorf("got %v, want KernelDied", err)
			}
			if took := time.Since(event); took > soon {
				t.Errorf("it took %s", took)
			}
			if _, err := c.Execute(t.Context(), "1", nil); !errors.As(err, &died) {
				t.Errorf("the next request: got %v, want KernelDied", err)
			}
		})
	}
}

func TestClient_NoticesAStoppedKernelByItsHeartbeat(t *testing.T) {
	t.Parallel()
	limits := timing{heartbeat: 100 * time.Millisecond, frozen: 5 * time.Second}
	c, p := connect(t, Options{timing: limits})
	var event time.Time
	_, err := c.Execute(t.Context(), untilSeen+"os.kill(os.getpid(), 19)", whoSees(t, p, func() { event = time.Now() }))
	var died *KernelDied
	if !errors.As(err, &died) || !strings.Contains(err.Error(), "heartbeat for 5s") || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v, want KernelDied that says what may be wrong", err)
	}
	if took := time.Since(event); took < limits.frozen/2 || took > limits.frozen+soon {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown of a stopped kernel: got %v", err)
	}
}

// TestClient_WaitsForNoStubbornCell has cells that an interrupt does not end: every
// wait is as long as its caller wants, and the kernel can still be killed.
func TestClient_WaitsForNoStubbornCell(t *testing.T) {
	for _, test := range []struct {
		name, code string
		agrees     bool // the kernel still answers on its control channel
	}{
		{"swallows KeyboardInterrupt", "import time\nwhile True:\n    try: open('held', 'w').write('x'); time.sleep(60)\n    except KeyboardInterrupt: pass", true},
		{"holds the GIL in C", "import ctypes; ctypes.PyDLL(None).system(b'echo > held; exec sleep 60')", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// The heartbeat answers whatever the code does, so neither is taken for frozen.
			c, p := connect(t, Options{timing: timing{heartbeat: 100 * time.Millisecond, frozen: 6 * time.Second}})
			path := filepath.Join(p.dir, "held")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			held, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			within := func(what string, d time.Duration, do func(context.Context) error) error {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				started := time.Now()
				err := do(ctx)
				if took := time.Since(started); took > d+soon {
					t.Errorf("%s took %s", what, took)
				}
				return err
			}
			err = within("the cell", soon, func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				var sees sync.WaitGroup
				sees.Go(func() {
					defer cancel()
					_, _ = held.Read(make([]byte, 1))
				})
				_, err := c.Execute(ctx, test.code, nil)
				held.Close()
				sees.Wait()
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("the cell: got %v", err)
			}
			if err := within("the interrupt", soon, c.Interrupt); err != nil {
				t.Errorf("the interrupt: got %v", err)
			}
			if err := within("the wait", 8*time.Second, func(ctx context.Context) error {
				_, err := c.Wait(ctx, nil)
				return err
			}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the wait: got %v", err)
			}
			patience := time.Second
			if test.agrees {
				patience = 2 * soon
			}
			if err := within("the shutdown", patience, c.Shutdown); (err == nil) != test.agrees {
				t.Errorf("the shutdown: got %v", err)
			}
			if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var died *KernelDied
			if err := within("the death", soon, func(ctx context.Context) error {
				_, err := c.Wait(ctx, nil)
				return err
			}); !errors.As(err, &died) {
				t.Errorf("the death: got %v", err)
			}
		})
	}
}
