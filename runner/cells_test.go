package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nbpress/internal/testenv"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// startKernel starts a real kernel as a plain child process.
func startKernel(t *testing.T) (jupyter.Connection, <-chan Death) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nbc") // socket paths must stay short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conn := jupyter.Connection{
		Transport: "ipc", IP: filepath.Join(dir, "k"), Key: rand.Text(),
		ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5,
	}
	for name, data := range map[string][]byte{"launcher.py": jupyter.Launcher(), "connection.json": conn.File()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(testenv.Python(t), filepath.Join(dir, "launcher.py"), "-f", filepath.Join(dir, "connection.json"))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead, ended := make(chan Death, 1), make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil {
			dead <- Death{Code: KernelDied, Message: err.Error()}
		} else {
			dead <- Death{}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return conn, dead
}

// code makes a code cell of a source whose first line may be "tags: a b".
func code(source string) *notebook.Cell {
	cell := &notebook.Cell{ID: "c", Type: "code", Source: source}
	if tags, rest, ok := strings.Cut(source, "\n"); ok && strings.HasPrefix(tags, "tags: ") {
		cell.Source = rest
		var list []any
		for _, tag := range strings.Fields(tags)[1:] {
			list = append(list, tag)
		}
		cell.Metadata = map[string]any{"tags": list}
	}
	return cell
}

func notebookOf(sources ...string) *notebook.Notebook {
	nb := &notebook.Notebook{NBFormat: 4, NBFormatMinor: 5, Metadata: map[string]any{}}
	for i, source := range sources {
		cell := code(source)
		cell.ID = fmt.Sprintf("cell-%d", i)
		nb.Cells = append(nb.Cells, cell)
	}
	return nb
}

// shown renders a cell as "[n] output | output".
func shown(cell *notebook.Cell) string {
	var outputs []string
	for _, o := range cell.Outputs {
		switch o.Type {
		case "stream":
			outputs = append(outputs, o.Name+" "+o.Text)
		case "error":
			outputs = append(outputs, "error "+o.EName)
		default:
			outputs = append(outputs, o.Type+" "+o.Plain())
		}
	}
	count := " "
	if cell.ExecutionCount != nil {
		count = fmt.Sprint(*cell.ExecutionCount)
	}
	return strings.TrimSuffix("["+count+"] "+strings.Join(outputs, " | "), " ")
}

func TestExecuteCells_OnARealKernel(t *testing.T) {
	tests := []struct {
		name     string
		cells    []string
		o        CellsOptions
		want     []string // as shown returns it
		failure  *Failure // without traceback
		trace    string   // a part of the traceback
		warnings []string
	}{
		{
			name:  "outputs and counts",
			cells: []string{"print('a'); print('b')", "1 + 1", "import sys\nprint('o'); print('e', file=sys.stderr); print('o2')"},
			want:  []string{"[1] stdout a\nb\n", "[2] execute_result 2", "[3] stdout o\no2\n | stderr e\n"},
		},
		{
			name: "what is not executed",
			cells: []string{
				"#NoExecute\n1/0", "tags: skip-execution\n1/0", "tags: noexecute\n1/0", " \n", "'ran'", "# noexecute\n1/0",
			},
			want: []string{"[ ]", "[ ]", "[ ]", "[ ]", "[1] execute_result 'ran'", "[ ]"},
		},
		{
			name:  "an exception ends the run",
			cells: []string{"x = 0", "y = 1\n\n1 / x", "print('never')"},
			want:  []string{"[1]", "[2] error ZeroDivisionError", "[ ]"},
			failure: &Failure{
				Code: CellError, Message: "ZeroDivisionError: division by zero",
				Cell: &CellRef{Index: 1, ExecutionCount: 2, Line: 3},
			},
			trace: "----> 3 1 / x",
		},
		{
			name:    "the line is the innermost one of the failing cell",
			cells:   []string{"def inner():\n    pass\n    raise KeyError('k')", "def outer():\n    inner()\n\nouter()"},
			want:    []string{"[1]", "[2] error KeyError"},
			failure: &Failure{Code: CellError, Message: "KeyError: 'k'", Cell: &CellRef{Index: 1, ExecutionCount: 2, Line: 2}},
			trace:   "Cell In[1], line 3",
		},
		{
			name:    "a syntax error",
			cells:   []string{"x = 1\nx = = 2"},
			want:    []string{"[1] error SyntaxError"},
			failure: &Failure{Code: CellError, Message: "SyntaxError: invalid syntax", Cell: &CellRef{ExecutionCount: 1, Line: 2}},
			trace:   "x = = 2",
		},
		{
			name:  "errors that are allowed",
			cells: []string{"tags: raises-exception\n1/0", "'on'"},
			want:  []string{"[1] error ZeroDivisionError", "[2] execute_result 'on'"},
		},
		{
			name: "all errors are allowed", o: CellsOptions{AllowErrors: true},
			cells: []string{"1/0", "'on'"},
			want:  []string{"[1] error ZeroDivisionError", "[2] execute_result 'on'"},
		},
		{
			name: "a cell that is too slow", o: CellsOptions{CellTimeout: 3 * time.Second},
			cells:   []string{"x = 1", "import time\ntime.sleep(60)"},
			want:    []string{"[1]", "[2] error KeyboardInterrupt"},
			failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s", Cell: &CellRef{Index: 1, ExecutionCount: 2, Line: 2}},
			trace:   "KeyboardInterrupt",
		},
		{
			name: "late output goes to its own cell",
			cells: []string{
				"import threading\ngo = threading.Event()\ndef late():\n    go.wait()\n    print('late')\nt = threading.Thread(target=late)\nt.start()",
				"go.set(); t.join()\nprint('mine')",
			},
			want: []string{"[1] stdout late\n", "[2] stdout mine\n"},
		},
		{
			name: "values in #Environment cells", o: CellsOptions{Values: notebook.Values{"ASSET_ID": "plant-'1'", "N": 3}},
			cells: []string{"#Environment\na, n = '$ASSET_ID', '$N'", "(a, n, '$ASSET_ID')"},
			want:  []string{"[1]", `[2] execute_result ("plant-'1'", 3, '$ASSET_ID')`},
		},
		{
			name: "a value that there is not", o: CellsOptions{Values: notebook.Values{}},
			cells:   []string{"1", "#Environment\n\na = '$NOBODY'"},
			want:    []string{"[1] execute_result 1", "[ ]"},
			failure: &Failure{Code: InvalidReport, Cell: &CellRef{Index: 1, Line: 3}},
		},
		{
			name:  "no values: nothing is replaced",
			cells: []string{"#Environment\nprint('$ASSET_ID')"},
			want:  []string{"[1] stdout $ASSET_ID\n"},
		},
		{
			name:     "output that nests too deep",
			cells:    []string{"from IPython.display import display\nx = 1\nfor i in range(101): x = [x]\ndisplay({'text/plain': 'deep', 'application/json': x}, raw=True)"},
			want:     []string{`[1] display_data deep | stderr [nbpress: output is missing: "application/json": it nests deeper than 100 levels]` + "\n"},
			warnings: []string{`output of cell 1 is missing: "application/json": it nests deeper than 100 levels`},
		},
		{
			name: "output over the limit", o: CellsOptions{OutputLimit: 1 << 20},
			cells:    []string{"for i in range(50): print('x' * 1_000_000)\n'result'", "print('short')"},
			failure:  nil,
			warnings: []string{"the output of cell 1 was cut: a notebook keeps 1 MiB", "the output of cell 2 was cut: a notebook keeps 1 MiB"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, dead := startKernel(t)
			nb := notebookOf(test.cells...)
			started := time.Now()
			failure, warnings, err := executeCells(t.Context(), nb, conn, dead, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(started); took > 50*time.Second {
				t.Errorf("it took %s", took)
			}
			var got []string
			for _, cell := range nb.Cells {
				got = append(got, shown(cell))
			}
			if diff := cmp.Diff(test.want, got); test.want != nil && diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			checkFailure(t, failure, test.failure, test.trace)
		})
	}
}

// checkFailure compares all but the traceback, of which a part is given. An empty
// message in want is not compared.
func checkFailure(t *testing.T, got, want *Failure, trace string) {
	t.Helper()
	if got != nil {
		if !strings.Contains(got.Traceback, trace) || strings.Contains(got.Traceback, "\x1b") {
			t.Errorf("got traceback %q, want %q in it, without colours", got.Traceback, trace)
		}
		plain := *got
		plain.Traceback = ""
		plain.Message, _, _ = strings.Cut(plain.Message, " (") // of a SyntaxError: the cell's file and line
		if want != nil && want.Message == "" {
			plain.Message = ""
		}
		got = &plain
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Failure{})); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
}

// expiring is a context whose time is up when it is closed: a kernel may take as long as it
// likes to start.
type expiring chan struct{}

// Deadline implements context.Context.
func (e expiring) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (e expiring) Done() <-chan struct{} { return e }

// Value implements context.Context.
func (e expiring) Value(any) any { return nil }

// Err implements context.Context.
func (e expiring) Err() error {
	select {
	case <-e:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestExecuteCells_EndsWhenTheRunDoes(t *testing.T) {
	t.Run("its time is up", func(t *testing.T) {
		conn, dead := startKernel(t)
		ctx := make(expiring)
		expire := sync.OnceFunc(func() { close(ctx) })
		failure, _, err := executeCells(ctx, notebookOf("1", "import time\ntime.sleep(300)"), conn, dead, CellsOptions{
			CellTimeout: 4 * time.Minute,
			Progress: func(p Progress) {
				if p.Cell == 2 { // which has begun a while later
					time.AfterFunc(2*time.Second, expire)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		checkFailure(t, failure, &Failure{
			Code: RunTimeout, Message: "the run's time was up while the cell ran", Cell: &CellRef{Index: 1, ExecutionCount: 2, Line: 2},
		}, "KeyboardInterrupt")
	})
	t.Run("it is canceled", func(t *testing.T) {
		conn, dead := startKernel(t)
		ctx, cancel := context.WithCancel(t.Context())
		o := CellsOptions{Progress: func(p Progress) {
			if p.Cell == 2 {
				cancel()
			}
		}}
		failure, _, err := executeCells(ctx, notebookOf("1", "import time; time.sleep(60)"), conn, dead, o)
		if failure != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("got %+v, %v, want the cancellation as an error", failure, err)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		conn := jupyter.Connection{Transport: "ipc", IP: t.TempDir() + "/k", ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5}
		failure, _, err := executeCells(t.Context(), notebookOf("1"), conn, nil, CellsOptions{StartTimeout: 50 * time.Millisecond})
		if err != nil || failure == nil || failure.Code != StartTimeout {
			t.Errorf("got %+v, %v, want start_timeout", failure, err)
		}
	})
	t.Run("the kernel died before", func(t *testing.T) {
		conn := jupyter.Connection{Transport: "ipc", IP: t.TempDir() + "/k", ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5}
		dead := make(chan Death, 1)
		dead <- Death{Code: OOMKilled, Message: "OOMKilled"}
		failure, _, err := executeCells(t.Context(), notebookOf("1"), conn, dead, CellsOptions{})
		if err != nil {
			t.Fatal(err)
		}
		checkFailure(t, failure, &Failure{Code: OOMKilled, Message: "the kernel died before it was ready: OOMKilled"}, "")
	})
}

func TestExecuteNotebook_WritesWhatJupyterReads(t *testing.T) {
	conn, dead := startKernel(t)
	nb := notebookOf("print('x')", "import matplotlib.pyplot as plt\nplt.plot([1]);", "{'a': [1.0, None]}")
	nb.Cells[0].Outputs = []notebook.Output{{Type: "stream", Name: "stdout", Text: "stale"}}
	data, err := nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	saves, saved := 0, []byte(nil)
	_, failure, warnings, err := ExecuteNotebook(t.Context(), data, conn, dead, CellsOptions{
		Progress: func(p Progress) {
			events = append(events, fmt.Sprintf("%d/%d %d %s", p.Cell, p.Cells, p.Index, p.Event))
		},
		Save: whole(func(file []byte) error { saves, saved = saves+1, file; return nil }),
	})
	if err != nil || failure != nil || len(warnings) > 0 {
		t.Fatalf("got %+v, %v, %v", failure, warnings, err)
	}
	want := []string{"1/3 0 started", "1/3 0 finished", "2/3 1 started", "2/3 1 finished", "3/3 2 started", "3/3 2 finished"}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if saves < 2 {
		t.Errorf("%d saves, want one before the last", saves)
	}
	file := filepath.Join(t.TempDir(), "executed.ipynb")
	if err := os.WriteFile(file, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	validate := exec.Command(testenv.Python(t), "-c", `
import nbformat, sys
nb = nbformat.read(sys.argv[1], 4)
nbformat.validate(nb)
assert nb.metadata.language_info.name == "python", nb.metadata
assert set(nb.cells[0].metadata.execution) == {"iopub.status.busy", "iopub.execute_input", "shell.execute_reply", "iopub.status.idle"}
print([o.get("text") or sorted(o.data) for c in nb.cells for o in c.outputs])`, file)
	out, err := validate.CombinedOutput()
	const shown = "['x\\n', ['image/png', 'text/plain'], ['text/plain']]\n"
	if err != nil || string(out) != shown {
		t.Errorf("got %s, %v, want %s", out, err, shown)
	}
}

func TestExecuteNotebook_WarnsOfMessagesThatNeverCameOrCameTwice(t *testing.T) {
	conn, dead := startKernel(t)
	_, failure, warnings, err := ExecuteNotebook(t.Context(), encoded(t,
		"'well'",
		"session = get_ipython().kernel.session\nfor _ in range(3): next(session.numbers)", // under which nothing is sent
		"kernel = get_ipython().kernel\nframes = session.serialize(session.msg('stream', {'name': 'stdout', 'text': 'x'}))\n"+
			"for _ in range(2): kernel.iopub_socket.send_multipart([b'topic', *frames])",
	), conn, dead, CellsOptions{})
	if failure != nil || err != nil {
		t.Fatalf("got %+v, %v", failure, err)
	}
	want := []string{
		"3 messages of the kernel never came: outputs may be missing from cell 2 on",
		"1 message of the kernel came twice, and counted once: somebody may be replaying them",
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestExecuteNotebook_InterruptsAsItIsTold(t *testing.T) {
	conn, dead := startKernel(t)
	told := make(chan struct{}, 1)
	_, failure, _, err := ExecuteNotebook(t.Context(), encoded(t, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"), conn, dead, CellsOptions{
		CellTimeout: 3 * time.Second, Grace: time.Second,
		Interrupt: func() error { told <- struct{}{}; return nil }, // and so the cell goes on
	})
	if err != nil {
		t.Fatal(err)
	}
	checkFailure(t, failure, &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s, and did not heed an interrupt", Cell: &CellRef{ExecutionCount: 1}}, "")
	if len(told) != 1 {
		t.Error("nobody was told to interrupt")
	}
}

func TestExecuteNotebook_EndsWithItsKernelAlsoWhereErrorsAreAllowed(t *testing.T) {
	conn, dead := startKernel(t)
	_, failure, _, err := ExecuteNotebook(t.Context(), encoded(t, "1/0", "import os; os._exit(7)", "'never'"), conn, dead, CellsOptions{AllowErrors: true})
	if err != nil {
		t.Fatal(err)
	}
	checkFailure(t, failure, &Failure{Code: KernelDied, Message: "the kernel died: exit status 7", Cell: &CellRef{Index: 1, ExecutionCount: 2}}, "")
}
