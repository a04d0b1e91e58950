package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

// edge is a notebook that goes wrong, or nearly, in a way that kernels know.
type edge struct {
	name     string
	cells    []string // as code takes them; of another type: see notebookFile
	o        CellsOptions
	want     []string // as shownCell returns it; nil: see check
	failure  *Failure // without traceback
	trace    string   // a part of the traceback
	warnings []string
	check    func(t *testing.T, r edgeResult)
}

// edgeResult is what became of an edge's notebook.
type edgeResult struct {
	cells []executedCell
	ended time.Time // when executeFile returned
}

const display = "from IPython.display import display, clear_output, update_display\n"

func TestExecuteFile_EdgesOnARealKernel(t *testing.T) {
	files := t.TempDir()
	t.Run("edges", func(t *testing.T) {
		for n, e := range slicesOf(repliesOfEdge, exitsOfEdge, lossesOfEdge, deathsOfEdge, timeoutsOfEdge, outputsOfEdge, sourcesOfEdge) {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				name := fmt.Sprintf("%02d.ipynb", n)
				if e.unfinished() {
					name = "unfinished-" + name
				}
				e.run(t, filepath.Join(files, name))
			})
		}
	})
	validate(t, files)
}

func slicesOf(lists ...[]edge) (all []edge) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// The reply decides, not the error output.
var repliesOfEdge = []edge{
	{
		name:    "UsageError, no error output",
		cells:   []string{"%undefined", "'never'"},
		want:    []string{"[1] stderr UsageError: Line magic function `%undefined` not found.\n", "[ ]"},
		failure: &Failure{Code: CellError, Message: "UsageError: Line magic function `%undefined` not found.", Cell: &CellRef{ExecutionCount: 1}},
		trace:   "UsageError: Line magic",
	},
	{
		name: "streams that cannot be flushed",
		cells: []string{
			"import os, sys\nsys.stdout, sys.stderr = None, 5", "print('on')\nwith open(os.devnull, 'w') as sys.stdout: pass",
			"print('end')",
		},
		want: []string{"[1]", "[2] stdout on\n", "[3] stdout end\n"},
	}, {
		name:  "error output, but the reply is ok",
		cells: []string{"get_ipython().showtraceback((ValueError, ValueError('shown'), None))", "'on'"},
		want:  []string{"[1] error ValueError", "[2] execute_result 'on'"},
	},
	{
		name:  "the reply has a payload of 9 MB",
		cells: []string{"get_ipython().set_next_input('x' * 9_000_000)", "'on'"},
		want:  []string{"[1]", "[2] execute_result 'on'"},
	},
	{
		name:    "status aborted",
		cells:   []string{"get_ipython().kernel._aborting = True", "'never'"},
		want:    []string{"[1]", "[ ]"},
		failure: &Failure{Code: CellError, Message: "the kernel refused to run the cell", Cell: &CellRef{Index: 1}},
	},
	{
		name:  "input()",
		cells: []string{"input('name? ')"},
		want:  []string{"[1] error StdinNotImplementedError"},
		failure: &Failure{
			Code:    CellError,
			Message: "StdinNotImplementedError: raw_input was called, but this frontend does not support input requests.",
			Cell:    &CellRef{ExecutionCount: 1, Line: 1},
		},
	},
	{
		name:  "an error between two that are allowed",
		cells: []string{"tags: raises-exception\n1/0", "%undefined", "tags: raises-exception\n1/0"},
		o:     CellsOptions{AllowErrors: true},
		want: []string{
			"[1] error ZeroDivisionError", "[2] stderr UsageError: Line magic function `%undefined` not found.\n", "[3] error ZeroDivisionError",
		},
	},
}

// sys.exit() as papermill takes it; exit() ends the kernel a moment after its reply.
var exitsOfEdge = []edge{
	cleanExitIn("sys.exit('')", `SystemExit ""`, CellsOptions{}),
	cleanExitIn("sys.exit(0)", "SystemExit 0", CellsOptions{}),
	cleanExitIn("sys.exit()", "SystemExit None", CellsOptions{}),
	cleanExitIn("raise SystemExit(0)", "SystemExit 0 with errors allowed", CellsOptions{AllowErrors: true}),
	failedExitIn("sys.exit(1)", "SystemExit 1", "SystemExit: 1"),
	failedExitIn("sys.exit('no data')", `SystemExit "text"`, "SystemExit: no data"),
	{
		name:     "exit() payload ask_exit",
		cells:    []string{"print('a'); exit()", "print('never')"},
		want:     []string{"[1] stdout a\n", "[ ]"},
		warnings: []string{"cell 1 ended the notebook: it called exit()"},
	},
	{
		name:    "exit() and then an exception",
		cells:   []string{"exit(); 1/0", "print('never')"},
		want:    []string{"[1] error ZeroDivisionError", "[ ]"},
		failure: &Failure{Code: CellError, Message: "ZeroDivisionError: division by zero", Cell: &CellRef{ExecutionCount: 1, Line: 1}},
	},
}

// noAdvice keeps IPython from saying how a person would end it.
const noAdvice = "import sys, warnings; warnings.simplefilter('ignore'); print('a'); "

func cleanExitIn(code, name string, o CellsOptions) edge {
	return edge{
		name: name, o: o,
		cells:    []string{noAdvice + code, "print('never')"},
		want:     []string{"[1] stdout a\n | error SystemExit", "[ ]"},
		warnings: []string{"cell 1 ended the notebook: it called sys.exit()"},
	}
}

func failedExitIn(code, name, message string) edge {
	return edge{
		name:    name,
		cells:   []string{noAdvice + code, "print('never')"},
		want:    []string{"[1] stdout a\n | error SystemExit", "[ ]"},
		failure: &Failure{Code: CellError, Message: message, Cell: &CellRef{ExecutionCount: 1}},
		trace:   message,
	}
}

// lossesOfEdge have a kernel that does not say that a cell has ended.
var lossesOfEdge = []edge{
	loss("reply, no idle, silence", ""),
	loss("reply, no idle, and a thread that prints on", "threading.Thread(target=lambda: [print('on', flush=True) or time.sleep(0.01) for _ in range(6000)], daemon=True).start()"),
}

// loss is an edge whose first cell runs code and whose idle is lost.
func loss(name, code string) edge {
	return edge{
		name: name,
		cells: []string{`import threading, time
kernel = get_ipython().kernel
publish = kernel._publish_status
def lose(status, *args, **keywords):
    if status == 'idle': kernel._publish_status = publish
    else: publish(status, *args, **keywords)
kernel._publish_status = lose
` + code, "'never'"},
		o:       CellsOptions{silence: 300 * time.Millisecond},
		failure: &Failure{Code: MessagesLost, Message: "the kernel's end-of-cell message was lost", Cell: &CellRef{ExecutionCount: 1}},
		check: func(t *testing.T, r edgeResult) {
			if got := r.cells[1].String(); got != "[ ]" {
				t.Errorf("the next cell is %s", got)
			}
		},
	}
}

// deathsOfEdge print when they happen, once the output before is on its way.
var deathsOfEdge = []edge{
	death("os._exit", "os._exit(1)", "the kernel died: exit status 1"),
	death("os._exit(0)", "os._exit(0)", ""),
	death("segfault", "import ctypes; ctypes.string_at(0)", "the kernel died: signal: segmentation fault"),
	death("abort in C", "os.abort()", "the kernel died: signal: aborted"),
	death("SIGTERM", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", "the kernel died: signal: terminated"),
	death("SIGKILL", "os.kill(os.getpid(), signal.SIGKILL)", "the kernel died: signal: killed"),
	{
		name:  "bad signature later",
		cells: []string{"print('a', flush=True)", "import time\nget_ipython().kernel.session.key = b'another'\nprint('forged', flush=True); time.sleep(60)", "print('never')"},
		want:  []string{"[1] stdout a\n", "[2]", "[ ]"},
		failure: &Failure{
			Code: KernelDied, Cell: &CellRef{Index: 1, ExecutionCount: 2},
			Message: protocolBroken + "kernel's iopub channel: bad signature: the sender does not hold the connection file's key",
		},
	},
	{
		name: "SIGKILL by a thread of the cell before",
		cells: []string{
			"import os, signal, threading, time\nprint('a')\nnext = threading.Event()\nthreading.Thread(target=lambda: (next.wait(), time.sleep(1), os.kill(os.getpid(), signal.SIGKILL))).start()",
			"next.set()\ntime.sleep(60)", "print('never')",
		},
		want:    []string{"[1] stdout a\n", "[2]", "[ ]"},
		failure: &Failure{Code: KernelDied, Message: "the kernel died: signal: killed", Cell: &CellRef{Index: 1, ExecutionCount: 2}},
	},
}

// death is an edge whose second cell dies in code.
func death(name, code, message string) edge {
	return edge{
		name: name,
		cells: []string{
			"import os, signal, sys, time\n'kept'",
			// A flush waits until the text is with ZeroMQ, whose own thread still has to send it.
			"print('last words', flush=True); time.sleep(0.3)\nprint(time.time(), file=sys.stderr, flush=True); time.sleep(1)\n" + code,
			"print('never')",
		},
		failure: &Failure{Code: KernelDied, Message: message, Cell: &CellRef{Index: 1, ExecutionCount: 2}},
		check: func(t *testing.T, r edgeResult) {
			got := []string{r.cells[0].String(), r.cells[1].Outputs[0].String(), r.cells[2].String()}
			if diff := cmp.Diff([]string{"[1] execute_result 'kept'", "stdout last words\n", "[ ]"}, got); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
			seconds, err := strconv.ParseFloat(strings.TrimSpace(string(r.cells[1].Outputs[1].Text)), 64)
			if err != nil {
				t.Fatal(err)
			}
			took := r.ended.Sub(time.UnixMicro(int64(seconds*1e6))) - time.Second
			t.Logf("reported %s after it", took.Round(time.Millisecond))
			if took > 20*time.Second { // it is some hundredths of one, as BenchmarkDeath sees; machines may be busy
				t.Errorf("it took %s to notice", took)
			}
		},
	}
}

var timeoutsOfEdge = []edge{
	{
		name:    "timeout in C code that holds the interpreter's lock",
		cells:   []string{"import time\nprint('a', flush=True); time.sleep(0.3)\nx = pow(7, 300_000_000)", "'never'"},
		o:       CellsOptions{CellTimeout: 4 * time.Second, Grace: time.Second},
		want:    []string{"[1] stdout a\n", "[ ]"},
		failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 4s, and did not heed an interrupt", Cell: &CellRef{ExecutionCount: 1}},
	},
	{
		name:    "cell eats KeyboardInterrupt",
		cells:   []string{"import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt: print('no', flush=True)", "'never'"},
		o:       CellsOptions{CellTimeout: 3 * time.Second, Grace: 4 * time.Second},
		want:    []string{"[1] stdout no\n", "[ ]"},
		failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s, and did not heed an interrupt", Cell: &CellRef{ExecutionCount: 1}},
	},
	{
		name:    "timeout of a process that is stopped",
		cells:   []string{"import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "'never'"},
		o:       CellsOptions{CellTimeout: 3 * time.Second, Grace: 4 * time.Second},
		failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s, and the kernel does not answer its heartbeat", Cell: &CellRef{ExecutionCount: 1}},
	},
	{
		name:    "timeout in a loop",
		cells:   []string{"x = 1\nwhile True: x += 1", "'never'"},
		o:       CellsOptions{CellTimeout: 3 * time.Second, Grace: time.Minute},
		want:    []string{"[1] error KeyboardInterrupt", "[ ]"},
		failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s", Cell: &CellRef{ExecutionCount: 1, Line: 2}},
		trace:   "KeyboardInterrupt",
	},
	{
		name:    "timeout while a child process runs",
		cells:   []string{"!sleep 60", "'never'"},
		o:       CellsOptions{CellTimeout: 3 * time.Second, Grace: time.Minute},
		failure: &Failure{Code: CellTimeout, Message: "the cell ran longer than 3s", Cell: &CellRef{ExecutionCount: 1}},
	},
}

var outputsOfEdge = []edge{
	{
		name: "clear_output",
		cells: []string{
			display + "print('old'); clear_output(); print('new')",
			"print('old'); clear_output(wait=True); print('new')",
		},
		want: []string{"[1] stdout new\n", "[2] stdout new\n"},
	},
	{
		name: "clear_output wait at end; update of cleared id",
		cells: []string{
			display + "print('stays'); clear_output(wait=True)",
			"display(5, display_id='b'); clear_output(); update_display(6, display_id='b')",
			"update_display(7, display_id='b')",
			"display(1, display_id='c'); clear_output(wait=True); update_display(2, display_id='c')",
		},
		want: []string{"[1] stdout stays\n", "[2]", "[3]", "[4] display_data 2"},
	},
	{
		name: "same display_id in three cells",
		cells: []string{
			display + "display(1, display_id='a'); display('other')",
			"display(2, display_id='a');",
			"display(3, display_id='a'); display(4, display_id='a');",
			"update_display(5, display_id='a'); update_display(6, display_id='unknown')",
		},
		want: []string{
			"[1] display_data 5 | display_data 'other'", "[2] display_data 5", "[3] display_data 5 | display_data 5", "[4]",
		},
	},
	{
		name: "transient null, metadata missing, data {}",
		cells: []string{
			"kernel = get_ipython().kernel\ndef send(kind, **content):\n" +
				"    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent('shell'))\n" +
				"send('display_data', data={}, metadata={}, transient=None)\n" +
				"send('display_data', data={'text/plain': 'no metadata'})\n" +
				"send('display_data', data={'text/plain': 'null'}, metadata=None, transient={'display_id': None})\n" +
				"send('display_data')\n" +
				"send('update_display_data', data={'text/plain': 'no transient'})\n" +
				"send('stream', name='stdout', text='')\n" +
				"send('unheard_of', data={})\nsend('debug_event', type='event')\nsend('input_request', prompt='?')",
			"send('execute_result', data={'text/plain': 'no count'}, metadata={})\nsend('error', ename='E', evalue='v')\nsend('clear_output')\nsend('stream', name='other', text='x')",
		},
		want: []string{
			"[1] display_data | display_data no metadata | display_data null | display_data", "[2] stdout x",
		},
	},
	{
		name: "a display hook that drops messages: no loss to warn of",
		cells: []string{
			"get_ipython().display_pub.register_hook(lambda message: None)",
			display + "display('dropped', 'too')\nprint('printed')",
		},
		want: []string{"[1]", "[2] stdout printed\n"},
	},
	{
		name:  "5 MB print",
		cells: []string{"print('x' * 5_000_000)", "print(('é' * 99 + '\\n') * 10_000, end='')"},
		check: func(t *testing.T, r edgeResult) {
			for i, want := range []string{strings.Repeat("x", 5_000_000) + "\n", strings.Repeat(strings.Repeat("é", 99)+"\n", 10_000)} {
				if outputs := r.cells[i].Outputs; len(outputs) != 1 || string(outputs[0].Text) != want {
					t.Errorf("cell %d: got %d outputs, want one with all that was printed", i+1, len(outputs))
				}
			}
		},
	},
	{
		name:  "a child process that outlives its cell",
		cells: []string{"import subprocess; child = subprocess.Popen(['sleep', '600'])", "child.poll() is None"},
		want:  []string{"[1]", "[2] execute_result True"},
	},
}

var sourcesOfEdge = []edge{
	{
		name:  "empty, whitespace source; raw, markdown",
		cells: []string{"", " \n\t", "markdown: # Title", "raw: 1/0", "tags: skip-execution\n1/0", "'first'"},
		want:  []string{"[ ]", "[ ]", "markdown", "raw", "[ ]", "[1] execute_result 'first'"},
	},
	{
		name:  "only comments, only a magic that prints nothing",
		cells: []string{"# nothing", "%matplotlib inline", "'third'"},
		want:  []string{"[1]", "[2]", "[3] execute_result 'third'"},
	},
}

// unfinished reports whether the last cell may never have told that it ended.
func (e edge) unfinished() bool {
	return strings.Contains(e.name, "exit()") ||
		e.failure != nil && (e.failure.Code == KernelDied || e.failure.Code == MessagesLost || strings.Contains(e.failure.Message, ", and "))
}

// run executes the notebook and leaves it as file.
func (e edge) run(t *testing.T, file string) {
	conn, dead := startKernel(t)
	executed, failure, warnings, err := executeFile(t.Context(), notebookFile(t, e.cells...), conn, dead, e.o)
	r := edgeResult{ended: time.Now()}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, executed, 0o600); err != nil {
		t.Fatal(err)
	}
	r.cells = executedCells(t, executed)
	if diff := cmp.Diff(e.want, shownCells(r.cells)); e.want != nil && diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if e.failure != nil && e.failure.Code == MessagesLost {
		warnings = nil // they may count what is still on its way
	}
	if diff := cmp.Diff(e.warnings, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	checkFailure(t, failure, e.failure, e.trace)
	if failure != nil && strings.HasSuffix(failure.Message, heartless) && failure.Advice() == failure.Code.Advice() {
		t.Errorf("%s has the advice %q", failure.Message, failure.Advice())
	}
	if e.check != nil {
		e.check(t, r)
	}
}

// notebookFile writes a notebook whose sources may begin with "markdown: " or "raw: ".
func notebookFile(t *testing.T, sources ...string) []byte {
	t.Helper()
	nb := notebookOf(sources...)
	for _, cell := range nb.Cells {
		for _, kind := range []string{"markdown", "raw"} {
			if rest, ok := strings.CutPrefix(cell.Source, kind+": "); ok {
				cell.Type, cell.Source = kind, rest
			}
		}
	}
	data, err := nb.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// executedCell is a cell as its file has it.
type executedCell struct {
	Type     string           `json:"cell_type"`
	Count    *int             `json:"execution_count"`
	Outputs  []executedOutput `json:"outputs"`
	Metadata map[string]any   `json:"metadata"`
}

type executedOutput struct {
	Type  string `json:"output_type"`
	Name  string
	Text  lines
	EName string
	Data  map[string]any
}

// lines are a text that a notebook's file holds line by line.
type lines string

func (l *lines) UnmarshalJSON(data []byte) error {
	var list []string
	err := json.Unmarshal(data, &list)
	*l = lines(strings.Join(list, ""))
	return err
}

func executedCells(t *testing.T, file []byte) []executedCell {
	t.Helper()
	var nb struct{ Cells []executedCell }
	if err := json.Unmarshal(file, &nb); err != nil {
		t.Fatal(err)
	}
	return nb.Cells
}

func shownCells(cells []executedCell) (all []string) {
	for _, cell := range cells {
		all = append(all, cell.String())
	}
	return all
}

// String returns "[n] output | output".
func (c executedCell) String() string {
	if c.Type != "code" {
		return c.Type
	}
	var outputs []string
	for _, o := range c.Outputs {
		outputs = append(outputs, o.String())
	}
	count := " "
	if c.Count != nil {
		count = fmt.Sprint(*c.Count)
	}
	return strings.TrimSuffix("["+count+"] "+strings.Join(outputs, " | "), " ")
}

// String returns what is to be seen of the output in a terminal.
func (o executedOutput) String() string {
	switch o.Type {
	case "stream":
		return o.Name + " " + string(o.Text)
	case "error":
		return "error " + o.EName
	}
	text := ""
	switch plain := o.Data["text/plain"].(type) {
	case string:
		text = " " + plain
	case []any:
		for _, line := range plain {
			text += fmt.Sprint(line)
		}
		text = " " + text
	}
	return o.Type + text
}

// validate has Jupyter's own nbformat read every notebook of a folder.
func validate(t *testing.T, folder string) {
	t.Helper()
	out, err := exec.Command(testenv.Python(t), "testdata/validate.py", folder).CombinedOutput()
	if err != nil {
		t.Errorf("the executed notebooks are not as Jupyter wants them: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestExecuteFile_KeepsItsMemoryBoundedWhenACellPrintsAGigabyte(t *testing.T) {
	conn, dead := startKernel(t)
	data := notebookFile(t, "for i in range(64): print('x' * (16 << 20), flush=True)\nprint('done')", "'on'")
	peak, stop := watchHeap()
	executed, failure, warnings, err := executeFile(t.Context(), data, conn, dead, CellsOptions{})
	stop()
	if err != nil || failure != nil || len(warnings) == 0 {
		t.Fatalf("got %+v, %v, %v", failure, warnings, err)
	}
	cells := executedCells(t, executed)
	var kept strings.Builder
	for _, o := range cells[0].Outputs {
		kept.WriteString(string(o.Text))
	}
	if text := kept.String(); len(text) > 17<<20 || strings.Count(text, "[nbpress: ") != 1 || !strings.HasPrefix(text, strings.Repeat("x", 1<<20)) {
		t.Errorf("got %d bytes that end in %q, want the first 16 MiB and a mark", len(text), text[max(0, len(text)-100):])
	}
	if cells[1].Count == nil || *cells[1].Count != 2 {
		t.Error("the next cell did not run")
	}
	t.Logf("the heap grew by at most %d MiB", peak()>>20)
	// 16 MiB are kept, as much again waits or is being read. What a busy machine is slow to
	// collect comes on top; whoever kept all that was printed would have 1024.
	if got := peak(); got > 256<<20 {
		t.Errorf("the heap grew by %d MiB", got>>20)
	}
}

// While a notebook with all the output that it may keep is saved, that is not in memory
// once more.
func TestExecuteFile_KeepsItsMemoryBoundedWhileItSaves(t *testing.T) {
	for name, cell := range map[string]string{
		"long lines":  "for i in range(20): print('x' * (2 << 20), flush=True)",
		"short lines": "for i in range(250_000): print('x' * 99)",
	} {
		t.Run(name, func(t *testing.T) {
			conn, dead := startKernel(t)
			data := notebookFile(t, cell, cell, cell)
			saves, w := 0, &weighing{before: liveHeap()}
			_, failure, _, err := executeFile(t.Context(), data, conn, dead, CellsOptions{
				saveRest: 50 * time.Millisecond,
				Save: func(write func(io.Writer) error) error {
					saves, w.size, w.weighed = saves+1, 0, false
					return write(w)
				},
			})
			t.Logf("%d saves, the heap had grown by at most %d MiB", saves, w.most>>20)
			if err != nil || failure != nil || w.size < 32<<20 || saves < 2 || w.most == 0 {
				t.Errorf("got %d bytes in %d saves, %+v, %v", w.size, saves, failure, err)
			}
			// 32 of it are the outputs, as much again may wait to be read.
			if w.most > 80<<20 {
				t.Errorf("the heap grew by %d MiB", w.most>>20)
			}
		})
	}
}

// weighing looks at the heap when it was written 30 MiB, without what is garbage then: how
// soon that is collected depends on how busy the machine is.
type weighing struct {
	before, most int64
	size         int64
	weighed      bool
}

func (w *weighing) Write(p []byte) (int, error) {
	if w.size += int64(len(p)); w.size > 30<<20 && !w.weighed {
		w.weighed, w.most = true, max(w.most, liveHeap()-w.before)
		runtime.KeepAlive(p) // which may be all that is saved
	}
	return len(p), nil
}

// watchHeap samples until stop is called how much more of the heap than now was in use
// when garbage was last collected.
func watchHeap() (peak func() int64, stop func()) {
	before := liveHeap() // and so collects what earlier tests left, which the first samples would be of
	highest := before
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-quit:
				return
			case <-ticks.C:
				metrics.Read(live)
				highest = max(highest, int64(live[0].Value.Uint64()))
			}
		}
	}()
	return func() int64 { return highest - before }, func() { close(quit); <-done }
}
