package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// What tests of faults tell a process of this test binary that is `nbpress`. The real
// program does not know of it.
const (
	killAtEnv = "NBPRESS_TEST_KILL_AT" // POINT=N: the process kills itself there the N-th time
	clockEnv  = "NBPRESS_TEST_CLOCK"   // how far the planner's clock is ahead, as a duration
)

// testedMain is main with the seams that the environment asks for.
func testedMain() {
	tested := seams{}
	if at := os.Getenv(killAtEnv); at != "" {
		kill := killAt(at)
		tested.ledger = kill
		tested.store = func(s runner.Store) runner.Store { return runnertest.StoreAt(s, kill) }
		tested.executor = func(e runner.Executor) runner.Executor { return runnertest.ExecutorAt(e, kill) }
	}
	if ahead := os.Getenv(clockEnv); ahead != "" {
		d, err := time.ParseDuration(ahead)
		if err != nil {
			panic(err)
		}
		tested.now = func() time.Time { return time.Now().Add(d) }
	}
	program(tested)
}

// killAt returns what kills this process when it passes a point for the n-th time, as
// hard as can be: nothing of it runs any more.
func killAt(text string) func(point string) {
	point, times, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil {
		panic(fmt.Errorf("%s: %w", killAtEnv, err))
	}
	var left atomic.Int64
	left.Store(n)
	return func(passed string) {
		if passed == point && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it has come
		}
	}
}
