package runnertest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nbpress/runner"
	"nbpress/runner/internal/render"
)

// ExecutorOptions say what an implementation cannot promise, and how to look at what
// it leaves behind.
type ExecutorOptions struct {
	// Trusting is for sandboxes that only serve trusted authors: the rows are left
	// out in which a notebook looks around on the machine, or has processes that
	// leave its session.
	Trusting bool
	// Remains returns what a closed sandbox left behind on the machine or cluster:
	// folders of the run, objects, and processes in whose environment markVariable's
	// value is the run. Nil: nobody looks.
	Remains func(t *testing.T, run runner.RunID) []string
}

// MarkVariable is the environment variable that holds the run's id in every sandbox
// of the suite, for Remains to find processes by.
const MarkVariable = "NBPRESS_TEST_RUN"

// Executor tests an implementation of runner.Executor and of its sandboxes, with real
// kernels. Rows run in parallel; open is called once for each, and may return the same
// executor.
func Executor(t *testing.T, open func(t *testing.T) runner.Executor, o ExecutorOptions) {
	secret := newSecret(t)
	t.Setenv("NBPRESS_TEST_SECRET", secret.value)
	for name, test := range map[string]func(*trial){
		"PutReplacesTheWorkFolder":             putReplaces,
		"GetAndListReadWhatTheNotebookLeft":    getAndList,
		"ASecondKernelIsFreshAndAlone":         secondKernel,
		"LogIsTheEndOfStandardOutput":          logTail,
		"DeathSaysHowTheKernelEnded":           deaths,
		"RenderIsOutOfTheNotebooksReach":       renderApart,
		"SecretsReachTheKernelAlone":           secretsApart,
		"NothingOfTheAgentsIsInside":           func(tr *trial) { nothingInside(tr, secret) },
		"SandboxesCannotReachEachOther":        neighbours,
		"CloseEndsARunningNotebook":            closeDuringNotebook,
		"CloseOrItsContextEndsRender":          closeDuringRender,
		"CloseEndsPut":                         closeDuringPut,
		"CloseWorksAfterStartsContextEnded":    closeAfterCancel,
		"StartOfACanceledContextStartsNothing": startCanceled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&trial{T: t, executor: open(t), options: o})
		})
	}
}

func putReplaces(tr *trial) {
	box := tr.start(nil)
	box.put(map[string]string{"a.txt": "one", "old.txt": "", "sub/deep/b.txt": "two"})
	box.put(map[string]string{"a.txt": "changed", "sub/c.bin": "\x00\xff"})
	box.passes(`
import os
found = sorted(os.path.relpath(os.path.join(d, f)) for d, _, files in os.walk('.') for f in files)
assert found == ['a.txt', 'sub/c.bin'], found
assert open('a.txt').read() == 'changed'
assert open('sub/c.bin', 'rb').read() == b'\x00\xff'
assert not os.path.exists('sub/deep')
open('a.txt', 'a').write('!'); open('sub/new', 'w').write('n')  # the folder is the notebook's
`)
	if got := string(box.get("a.txt", 100)); got != "changed!" {
		tr.Errorf("the notebook's change reads %q", got)
	}
}

func getAndList(tr *trial) {
	box := tr.start(nil)
	box.put(map[string]string{"sub/put.txt": "put"})
	box.passes(`
import os
open('ten', 'w').write('0123456789'); open('empty', 'w')
os.symlink('ten', 'link'); os.symlink('/etc/passwd', 'outside'); os.symlink('sub', 'folder'); os.symlink('loop', 'loop')
os.mkfifo('pipe')
with open('huge', 'wb') as f:
    f.truncate(3 << 30)
os.makedirs('closed'); open('closed/x', 'w').close(); os.chmod('closed', 0)
`)
	for _, name := range []string{
		"nothing", "link", "outside", "folder", "folder/put.txt", "loop", "pipe", "sub", ".",
		"ten/x", "../work/ten", "/etc/passwd", "sub//put.txt", "",
	} {
		if _, err := box.Get(tr.Context(), name, 1<<20); !errors.Is(err, fs.ErrNotExist) {
			tr.Errorf("Get(%q): got %v, want fs.ErrNotExist", name, err)
		}
	}
	for name, limit := range map[string]int64{"ten": 9, "huge": 1 << 20} {
		if _, err := box.Get(tr.Context(), name, limit); !errors.Is(err, runner.ErrTooLarge) {
			tr.Errorf("Get(%q, %d): got %v, want ErrTooLarge", name, limit, err)
		}
	}
	for name, want := range map[string]string{"ten": "0123456789", "empty": "", "sub/put.txt": "put"} {
		if got := string(box.get(name, int64(len(want)))); got != want {
			tr.Errorf("Get(%q): got %q, want %q", name, got, want)
		}
	}
	got := slices.DeleteFunc(box.list(), func(name string) bool { return strings.HasPrefix(name, "closed/") })
	if want := []string{"empty", "huge", "sub/put.txt", "ten"}; !slices.Equal(got, want) {
		tr.Errorf("List: got %q, want %q", got, want)
	}
	box.put(nil)
	box.passes("for i in range(9000): open(f'{i}', 'w').close()")
	if got := box.list(); len(got) < 1000 || len(got) > 5000 || !slices.IsSorted(got) {
		tr.Errorf("List of 9000 files: got %d, want a few thousand, sorted", len(got))
	}
}

// background starts processes that write to files again and again, and waits for
// each file. The first two stay in the kernel's process group.
const background = `
import os, subprocess, sys, time
def beat(name, **how):
    loop = f"while :; do echo x >>beat-{name}; sleep 0.05; done"
    leaves = name in ('orphan', 'daemon')  # its parent ends at once
    shell = subprocess.Popen(['sh', '-c', f'({loop}) &' if leaves else loop],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
    if leaves:
        shell.wait()  # ipykernel waits for zombies
names = []
def background(trusting):
    beat('child'); beat('orphan'); names.extend(['child', 'orphan'])
    if not trusting:
        beat('session', start_new_session=True); beat('daemon', start_new_session=True)
        names.extend(['session', 'daemon'])
    until = time.monotonic() + 60
    while not all(os.path.exists('beat-' + n) for n in names):
        assert time.monotonic() < until, os.listdir('.')
        time.sleep(0.01)
`

func secondKernel(tr *trial) {
	box := tr.start(nil)
	box.put(nil)
	box.leaves(background + `
import tempfile
left = 'from the first kernel'
for folder in (os.environ['HOME'], tempfile.gettempdir()):
    open(os.path.join(folder, 'left'), 'w').write(left)
open('kept', 'w').write(left)
background(` + tr.python(tr.options.Trusting) + `)
`)
	box.passes(`
import os, tempfile, time
assert 'left' not in globals()
for folder in (os.environ['HOME'], tempfile.gettempdir()):
    assert not os.path.exists(os.path.join(folder, 'left')), folder
assert open('kept').read() == 'from the first kernel'  # the work folder stays
beats = [f for f in os.listdir('.') if f.startswith('beat-')]
assert len(beats) >= 2, beats
sizes = [os.path.getsize(b) for b in beats]
time.sleep(0.3)
assert sizes == [os.path.getsize(b) for b in beats], 'a background process lives on'
`)
}

func logTail(tr *trial) {
	box := tr.start(nil)
	box.put(nil)
	box.passes(`
import os, sys
for stream, text in ((sys.stdout, 'out'), (sys.stderr, 'err')):
    fd = getattr(stream, '_original_stdstream_copy', stream.fileno())  # past ipykernel
    for i in range(1000):
        os.write(fd, f'{text} {i:04} {"x" * 90}\n'.encode())
os.write(fd, b'the end\n')
`)
	for _, limit := range []int64{0, 5, 100, 4096} {
		got := box.log(limit)
		if int64(len(got)) > limit {
			tr.Errorf("Log(%d) has %d bytes", limit, len(got))
		}
		if limit >= 100 && !strings.Contains(got, "the end\n") {
			tr.Errorf("Log(%d) is not the end: %q", limit, got)
		}
	}
	if got := box.log(1 << 20); !strings.Contains(got, "out 0999") || !strings.Contains(got, "err 0999") {
		tr.Errorf("the log lacks standard output or error:\n%.2000s", got)
	}
}

func deaths(tr *trial) {
	box := tr.start(nil)
	box.put(nil)
	for _, test := range []struct {
		code    string
		want    runner.Code
		message []string // any of them
	}{
		{"os._exit(3)", runner.KernelDied, []string{"3"}},
		{"os.kill(os.getpid(), signal.SIGKILL)", runner.KernelDied, []string{"killed", "137"}},
		{"os._exit(0)", "", []string{"0"}},
	} {
		result := box.run("import os, signal\n" + test.code)
		if result.failure == nil || result.failure.Code != runner.KernelDied {
			tr.Errorf("%s: the notebook's failure is %+v, want kernel_died", test.code, result.failure)
		}
		named := slices.ContainsFunc(test.message, func(m string) bool { return strings.Contains(result.death.Message, m) })
		if result.death.Code != test.want || !named {
			tr.Errorf("%s: got %+v, want code %q and one of %q", test.code, result.death, test.want, test.message)
		}
	}
}

func renderApart(tr *trial) {
	box := tr.start(map[string]string{"PYTHONSTARTUP": "template.html", "PYTHONOPTIMIZE": "1"})
	box.put(map[string]string{"template.html": "{{ work folder }}"})
	box.leaves(background + `
import site, tempfile
poison = "raise SystemExit('poisoned')\n"
folders = ['.', os.environ['HOME'], tempfile.gettempdir(), site.getusersitepackages()]
if not ` + tr.python(tr.options.Trusting) + `:
    folders += ['/tmp', '/dev/shm']
for folder in folders:
    os.makedirs(folder, exist_ok=True)
    for module in ('jinja2', 'json', 'sitecustomize', 'usercustomize', 'os', 'gettext'):
        open(os.path.join(folder, module + '.py'), 'w').write(poison)
background(` + tr.python(tr.options.Trusting) + `)
meddle = 'while :; do for f in $(find "$HOME/.." "$TMPDIR/.." -name render.py 2>/dev/null); do echo poison >"$f"; done; done'
subprocess.Popen(['sh', '-c', meddle], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
`)
	for range 2 { // a rendering leaves nothing for the next, either
		result, err := render.Pages(tr.Context(), box, render.Request{
			Template:   "template.html",
			Files:      map[string][]byte{"template.html": []byte("{% include 'part.html' %} {{ name }}"), "part.html": []byte("Hello")},
			Executions: []render.Execution{{Output: []byte(`{"name": "Ada"}`), Languages: []string{"en"}}},
		})
		if err != nil {
			tr.Fatal(err)
		}
		if got := string(result.Pages["en"]); got != "Hello Ada" {
			tr.Errorf("the page is %q", got)
		}
	}
}

func closeAfterCancel(tr *trial) {
	ctx, cancel := context.WithCancel(tr.Context())
	box := tr.startWith(ctx, nil)
	box.put(map[string]string{"a": "b"})
	if _, _, err := box.Kernel(ctx); err != nil {
		tr.Fatal(err)
	}
	cancel()
	box.close()
	box.close()
	if err := box.Put(tr.Context(), fstest.MapFS{}); err == nil {
		tr.Error("Put into a closed sandbox succeeded")
	}
	if _, _, err := box.Kernel(tr.Context()); err == nil {
		tr.Error("a kernel was started in a closed sandbox")
	}
}

func startCanceled(tr *trial) {
	ctx, cancel := context.WithCancel(tr.Context())
	cancel()
	spec := tr.spec(nil)
	box, err := tr.executor.Start(ctx, spec)
	if !errors.Is(err, context.Canceled) {
		tr.Errorf("got %v, want context.Canceled", err)
	}
	if box != nil {
		must(tr.T, box.Close(tr.Context()))
	}
	tr.nothingRemains(spec.Run)
}
