package runnertest_test

import (
	"testing"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

func TestMemory(t *testing.T) {
	runnertest.Store(t, func(*testing.T) runner.Store { return &runnertest.Memory{} })
}
