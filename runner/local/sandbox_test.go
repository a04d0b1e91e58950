package local_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
)

// newExecutor returns an executor with the best isolation of this machine.
func newExecutor(t *testing.T) (*local.Executor, string) {
	t.Helper()
	dir := t.TempDir()
	var warnings strings.Builder
	e, err := local.New(t.Context(), local.Options{
		Python: testenv.Python(t), Dir: dir, Init: []string{"/proc/self/exe", "sandbox-init"},
		Log: slog.New(slog.NewTextHandler(&warnings, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if warnings.Len() > 0 {
		t.Logf("log: %s", warnings.String())
	}
	return e, dir
}

func TestProbe(t *testing.T) {
	e, dir := newExecutor(t)
	box, err := e.Start(t.Context(), runner.Spec{Run: "run", Generation: 1, Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Put(t.Context(), os.DirFS("../../reports-example/data-quality")); err != nil {
		t.Fatal(err)
	}
	conn, died, err := box.Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(conn.IP)
	data := []byte(`{"cells":[{"cell_type":"code","id":"a","metadata":{},"outputs":[],"execution_count":null,"source":"import os, sys, subprocess\nprint(os.getcwd(), os.getuid(), os.listdir('/'), os.listdir('/proc')[-10:], os.listdir('/etc'), dict(os.environ))\nprint(subprocess.run('ps aux; cat /proc/self/status | grep -i cap; ls -la /nbpress /tmp; mount', shell=True, capture_output=True, text=True))"}],"metadata":{},"nbformat":4,"nbformat_minor":5}`)
	out, f, w, err := runner.ExecuteNotebook(context.Background(), data, conn, died, runner.CellsOptions{})
	t.Log(string(out), f, w, err)
	log, _ := box.Log(t.Context(), 10000)
	t.Log(string(log))
	if err := box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	t.Log(left)
}
