// Package testenv finds what the tests need of the machine: the virtual
// environment that `make venv` builds from kernel-image/kernel-requirements.txt.
// Tests on real kernels fail, never skip, where it is missing.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
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
