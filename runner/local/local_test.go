package local_test

import (
	"os"
	"testing"

	"nbpress/runner/local"
)

// TestMain lets the test binary be its own sandboxes' PID 1.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(local.Init())
	}
	os.Exit(m.Run())
}
