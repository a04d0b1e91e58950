package runner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nbpress/runner/internal/notebook"
)

// awaitFile is the source of a cell that runs until a file is there.
func awaitFile(path string) string {
	return "import os, time\nwhile not os.path.exists('" + path + "'):\n    time.sleep(0.02)"
}

func encoded(t *testing.T, sources ...string) []byte {
	t.Helper()
	data, err := notebookOf(sources...).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// whole returns a CellsOptions.Save that hands on whole files.
func whole(save func(file []byte) error) func(func(io.Writer) error) error {
	return func(write func(io.Writer) error) error {
		var file bytes.Buffer
		return errors.Join(write(&file), save(file.Bytes()))
	}
}

func TestExecuteNotebook_SavesWhileACellRuns(t *testing.T) {
	tests := []struct {
		name     string
		before   []string // cells
		in       string   // the waiting cell's first line
		look     string   // for what the file must hold
		saveRest time.Duration
	}{
		{"what the cells before it left", []string{"print('fir' + 'st')"}, "", `"first\n"`, 0},
		{"what it printed", nil, "print('so ' + 'far')", `"so far\n"`, 100 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, dead := startKernel(t)
			seen := filepath.Join(t.TempDir(), "seen")
			o := CellsOptions{CellTimeout: time.Minute, saveRest: test.saveRest, Save: whole(func(file []byte) error {
				if _, err := notebook.Parse(file); err != nil {
					t.Errorf("a file that is no notebook was saved: %v", err)
				}
				if !bytes.Contains(file, []byte(test.look)) {
					return nil
				}
				return os.WriteFile(seen, nil, 0o600)
			})}
			cells := append(test.before, test.in+"\n"+awaitFile(seen))
			_, failure, _, err := ExecuteNotebook(t.Context(), encoded(t, cells...), conn, dead, o)
			if failure != nil || err != nil {
				t.Errorf("got %+v, %v: it was not saved in time", failure, err)
			}
		})
	}
}

func TestExecuteNotebook_SavesOnEveryWayOut(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	tests := []struct {
		name string
		cell string
		o    CellsOptions
	}{
		{"a failure", "1/0", CellsOptions{}},
		{"a timeout", "import time; time.sleep(600)", CellsOptions{CellTimeout: 3 * time.Second}},
		{"a death", "import os; os.kill(os.getpid(), 9)", CellsOptions{}},
		{"a cancellation", "import time; time.sleep(600)", CellsOptions{Progress: func(p Progress) {
			if p.Cell == 2 {
				cancel()
			}
		}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			if test.o.Progress != nil {
				ctx = canceled
			}
			conn, dead := startKernel(t)
			var last []byte
			test.o.Save = whole(func(file []byte) error { last = file; return nil })
			_, failure, _, err := ExecuteNotebook(ctx, encoded(t, "print('fir' + 'st')", test.cell), conn, dead, test.o)
			if failure == nil && !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, %v, want a failure", failure, err)
			}
			if !bytes.Contains(last, []byte(`"first\n"`)) {
				t.Errorf("saved last: %s", last)
			}
		})
	}
}

func TestExecuteNotebook_SpendsATenthOfItsTimeOnSaving(t *testing.T) {
	conn, dead := startKernel(t)
	cells := strings.Split(strings.Repeat("pass\n", 40), "\n")
	tenth := make(chan struct{})
	var saves, under atomic.Int32
	_, failure, _, err := ExecuteNotebook(t.Context(), encoded(t, cells...), conn, dead, CellsOptions{
		Progress: func(p Progress) {
			if p.Cell == 10 && p.Event == CellFinished {
				close(tenth)
			}
		},
		Save: func(func(io.Writer) error) error { // the first takes as long as ten cells
			if under.Add(1) > 1 {
				t.Error("two saves at once")
			}
			<-tenth
			under.Add(-1)
			saves.Add(1)
			return nil
		},
	})
	if failure != nil || err != nil {
		t.Fatalf("got %+v, %v", failure, err)
	}
	if n := saves.Load(); n < 2 || n > 3 { // it rests for ninety cells then, and there is the last
		t.Errorf("%d saves of 40 cells", n)
	}
}

func TestExecuteNotebook_IsJudgedByItsLastSave(t *testing.T) {
	full := errors.New("no space left on device")
	tests := []struct {
		name string
		save func(n int32) error
		want error
	}{
		{"earlier ones may fail", func(n int32) error {
			if n == 1 {
				return full
			}
			return nil
		}, nil},
		{"the last one may not", func(int32) error { return full }, full},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, dead := startKernel(t)
			var n atomic.Int32
			_, failure, _, err := ExecuteNotebook(t.Context(), encoded(t, "print('x')"), conn, dead, CellsOptions{
				Save: func(func(io.Writer) error) error { return test.save(n.Add(1)) },
			})
			if failure != nil || !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("got %+v, %v, want %v", failure, err, test.want)
			}
		})
	}
}

func TestExecuteNotebook_LeavesNoOldOutputsWhereTheKernelDoesNotStart(t *testing.T) {
	nb := notebookOf("1")
	nb.Cells[0].Outputs = []notebook.Output{{Type: "stream", Name: "stdout", Text: "stale"}}
	data, err := nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dead := make(chan Death, 1)
	dead <- Death{Code: KernelDied, Message: "exit status 1"}
	conn, _ := startKernel(t)
	executed, failure, _, err := ExecuteNotebook(t.Context(), data, conn, dead, CellsOptions{})
	if err != nil || failure == nil || bytes.Contains(executed, []byte("stale")) {
		t.Errorf("got %s, %+v, %v", executed, failure, err)
	}
}
