// Package testenv finds what the tests need of the machine: the virtual
// environment that `make venv` builds from kernel-image/kernel-requirements.txt.
// Tests on real kernels fail, never skip, where it is missing.
package testenv

import (
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Root returns the folder of the module, whichever package is being tested.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("testenv: the binary holds no source paths (built with -trimpath?)")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Python returns the interpreter of the virtual environment that holds ipykernel
// and Jinja2: $NBPRESS_TEST_PYTHON, else .venv at the module's root.
func Python(t testing.TB) string {
	t.Helper()
	python := os.Getenv("NBPRESS_TEST_PYTHON")
	if python == "" {
		python = filepath.Join(Root(t), ".venv", "bin", "python")
	}
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("no Python for the tests: %v; run `make venv` first", err)
	}
	return python
}

// HeedSignals lets the programs that tests start heed Ctrl-C and a closed terminal,
// also where the tests themselves were told to ignore them: by nohup, or a script that
// runs them in the background. What is ignored, children inherit.
func HeedSignals() {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}
