//go:build linux

package local_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/local"
	"nbpress/runner/runnertest"
)

// ipykernel would wait for the children until it has seen each of them ended.
func TestKernel_EndsAtOnceThoughItsNotebookLeavesChildren(t *testing.T) {
	leave := runnertest.Notebook("import subprocess; left = [subprocess.Popen(['sleep', '600']) for _ in range(3)]")
	end := func(t *testing.T, conn jupyter.Connection, dead <-chan runner.Death) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var ran time.Time
		_, failure, _, err := runner.ExecuteNotebook(ctx, leave, conn, dead, runner.CellsOptions{
			Progress: func(runner.Progress) { ran = time.Now() },
		})
		if err != nil || failure != nil {
			t.Fatalf("got %v, %v", failure, err)
		}
		if took := time.Since(ran); took > 10*time.Second { // ipykernel would give up after 14
			t.Errorf("the end took %v", took)
		}
	}
	t.Run("in a sandbox", func(t *testing.T) {
		t.Parallel()
		box := startBox(t, isolated(t))
		if err := box.Put(t.Context(), fstest.MapFS{}); err != nil {
			t.Fatal(err)
		}
		conn, dead, err := box.Kernel(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		end(t, conn, dead)
	})
	t.Run("without one", func(t *testing.T) {
		t.Parallel()
		kernel, err := local.StartKernel(t.Context(), testenv.Python(t), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer kernel.Close()
		end(t, kernel.Connection, kernel.Died)
	})
}
