//go:build linux

package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/runnertest"
)

// Tests whose names begin with TestIsolated are run once more as an unprivileged user.

func TestIsolated_Conforms(t *testing.T) {
	e, dir := newExecutor(t, selfInit)
	runnertest.Executor(t, func(*testing.T) runner.Executor { return e }, runnertest.ExecutorOptions{
		Trusting: !isolates(t, e),
		Remains:  func(t *testing.T, run runner.RunID) []string { return remains(t, dir, run) },
	})
}

func TestProcessGroup_Conforms(t *testing.T) {
	e, dir := newExecutor(t, nil)
	runnertest.Executor(t, func(*testing.T) runner.Executor { return e }, runnertest.ExecutorOptions{
		Trusting: true,
		Remains:  func(t *testing.T, run runner.RunID) []string { return remains(t, dir, run) },
	})
}

func TestIsolated_SeesLittleOfTheMachine(t *testing.T) {
	e := isolated(t)
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	hidden := []string{"/etc/shadow", "/var/lib", "/boot", "/sys", "/run", filepath.Join(testenv.Root(t), "go.mod"), t.TempDir(), filepath.Join(home, ".profile")}
	hiddenJSON, err := json.Marshal(hidden)
	if err != nil {
		t.Fatal(err)
	}
	passes(t, startBox(t, e), "hidden = "+string(hiddenJSON)+lookAround)
}

// lookAround tries what a notebook may not see or do.
const lookAround = `
import os, subprocess, sys
for path in hidden:
    assert not os.path.exists(path), path
status = dict(line.split(':\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\t' in line)
for kind in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
    assert int(status[kind], 16) == 0, (kind, status[kind])
assert status['NoNewPrivs'] == '1'
assert set(p for p in os.listdir('/proc') if p.isdigit()) >= {'1'} and len([p for p in os.listdir('/proc') if p.isdigit()]) < 10
assert os.readlink('/proc/self/fd/0') == '/dev/null'

def refused(what, *args, **kwargs):
    try:
        what(*args, **kwargs)
    except OSError:
        return
    assert False, ('allowed', what, args)
for folder in ('/', '/etc', '/usr', '/usr/lib', '/nbpress', '/dev', sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), '/proc/sys/kernel'):
    refused(open, os.path.join(folder, 'new'), 'w')
refused(os.rename, '/nbpress/work', '/nbpress/other')
refused(open, '/proc/1/environ')
refused(open, '/proc/sys/kernel/hostname', 'w')
refused(os.mknod, 'sda', 0o600 | 0o060000, os.makedev(8, 0))
refused(os.chroot, '.')
refused(os.kill, 1, 0) if os.getuid() else None

import ctypes
libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
for target in (b'/', b'/usr', sys.prefix.encode()):
    assert libc.mount(None, target, None, MS_REMOUNT | MS_BIND, None) == -1, target
assert libc.mount(b'tmpfs', b'/nbpress/work', b'tmpfs', 0, None) == -1
assert libc.umount2(b'/usr', 2) == -1
`

func TestIsolated_BoundsAForkBomb(t *testing.T) {
	e := openExecutor(t, local.Options{Python: testenv.Python(t), Dir: t.TempDir(), Init: selfInit, Log: logTo(t), Processes: 200})
	if !isolates(t, e) {
		t.Skip("this machine allows no namespaces")
	}
	box := startBox(t, e)
	passes(t, box, `
import subprocess, sys
bomb = '''
import os, signal
made = 0
try:
    while made < 10000:
        if os.fork() == 0:
            os.close(1)
            signal.pause()
        made += 1
except BlockingIOError:
    print(made)
'''
made = int(subprocess.run([sys.executable, '-ISc', bomb], stdout=subprocess.PIPE, text=True).stdout)
assert 0 < made < 200, made
`)
	if err := box.StopKernel(t.Context()); err != nil {
		t.Fatal(err)
	}
	passes(t, startBox(t, e), "import subprocess; subprocess.run(['true'], check=True)") // the agent goes on
}

func TestSandbox_WorksInAFolderWithALongName(t *testing.T) {
	for name, init := range map[string][]string{"isolated": selfInit, "process group": nil} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), strings.Repeat("long-name/", 12))
			e := openExecutor(t, local.Options{Python: testenv.Python(t), Dir: dir, Init: init, Log: logTo(t)})
			box := startBox(t, e)
			passes(t, box, "pass")
			passes(t, box, "import os; assert os.path.basename(os.getcwd()) == 'work'")
		})
	}
}

func TestStartKernel_WorksWithALongTMPDIR(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("n", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	kernel, err := local.StartKernel(t.Context(), testenv.Python(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, failure, _, err := runner.ExecuteNotebook(ctx, runnertest.Notebook("open('here', 'w')"), kernel.Connection, kernel.Died, runner.CellsOptions{})
	if err != nil || failure != nil {
		t.Fatalf("got %v, %v; log: %s", failure, err, kernel.Log())
	}
	if _, err := os.Stat(filepath.Join(dir, "here")); err != nil {
		t.Error(err)
	}
}

func TestNew_RefusesAPythonThatCannotServe(t *testing.T) {
	bare := filepath.Join(t.TempDir(), "bare") // a Python without packages
	script := fmt.Sprintf("#!/bin/sh\nexec %s -S \"$@\"\n", testenv.Python(t))
	broken := filepath.Join(t.TempDir(), "broken")
	for path, content := range map[string]string{bare: script, broken: "#!/bin/sh\necho no such library >&2\nexit 3\n"} {
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for python, want := range map[string]string{
		"/no/such/python": "/no/such/python",
		bare:              "has no ipykernel",
		broken:            "exit status 3: no such library",
		"/bin/echo":       "answers",
	} {
		_, err := local.New(t.Context(), local.Options{Python: python, Dir: t.TempDir(), Log: logTo(t)})
		if !errors.Is(err, local.ErrNoPython) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrNoPython and %q", python, err, want)
		}
	}
}

func TestNew_RefusesAFolderThatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	link, file, theirs := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "theirs")
	if err := errors.Join(os.Symlink(t.TempDir(), link), os.WriteFile(file, nil, 0o600), os.Mkdir(theirs, 0o777)); err != nil {
		t.Fatal(err)
	}
	refused := []string{link, file}
	if os.Getuid() == 0 {
		if err := os.Chown(theirs, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		refused = append(refused, theirs)
	} else {
		refused = append(refused, "/var") // root's
	}
	for _, folder := range refused {
		if _, err := local.New(t.Context(), local.Options{Python: testenv.Python(t), Dir: folder, Log: logTo(t)}); err == nil {
			t.Errorf("%s was accepted", folder)
		}
	}
}

func TestNew_WarnsWhereItCannotIsolate(t *testing.T) {
	var log bytes.Buffer
	for _, init := range [][]string{nil, {"/bin/false"}} {
		log.Reset()
		e := openExecutor(t, local.Options{Python: testenv.Python(t), Dir: t.TempDir(), Init: init, Log: textLog(&log)})
		if !strings.Contains(log.String(), "local sandbox without isolation: trusted authors only") {
			t.Errorf("Init %q: the log says %q", init, log.String())
		}
		if got := startBox(t, e).String(); got != "local, process group" {
			t.Errorf("Init %q: the sandbox is %q", init, got)
		}
	}
}

func TestNew_RefusesToShowWhatIsHidden(t *testing.T) {
	python := testenv.Python(t)
	o := local.Options{Python: python, Dir: t.TempDir(), Init: selfInit, Log: logTo(t), Hidden: []string{t.TempDir(), ""}}
	if !isolates(t, openExecutor(t, o)) {
		t.Skip("this machine allows no namespaces")
	}
	environment := filepath.Dir(filepath.Dir(python))
	store := filepath.Join(environment, "store")
	o.Hidden = append(o.Hidden, store)
	_, err := local.New(t.Context(), o)
	if !errors.Is(err, local.ErrExposed) || !strings.Contains(err.Error(), store+" lies in "+environment+",") {
		t.Errorf("got %v, want ErrExposed that names both", err)
	}
}

// TestNew_DoesNotIsolateAsRootAlone is about an agent whose unit takes capabilities
// away: a notebook that runs as root could write to /proc/sys even without any.
func TestNew_DoesNotIsolateAsRootAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test run is unprivileged")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "powerless", t.TempDir(), testenv.Python(t))
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if got, want := string(out), "local, process group\n"; err != nil || got != want {
		t.Errorf("root without capabilities gets %q, %v; want %q", got, err, want)
	}
}

func TestSandbox_IsRemovedHoweverTheNotebookLeftIt(t *testing.T) {
	e, dir := newExecutor(t, selfInit)
	box := startBox(t, e)
	passes(t, box, `
import os
for i in range(5000):
    os.mkdir('d')
    os.chdir('d')
os.chdir('/')
os.makedirs(os.environ['HOME'] + '/a/b/c')
os.chmod(os.environ['HOME'] + '/a/b', 0)
`)
	if err := box.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if left := remains(t, dir, "run"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAgent_LeavesNothingBehindWhenItIsKilled(t *testing.T) {
	for _, mode := range []string{"isolated", "process group"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			python := testenv.Python(t)
			agent := startAgent(t, dir, python, mode)
			if mode == "isolated" && !isolates(t, openExecutor(t, local.Options{Python: python, Dir: dir, Init: selfInit, Log: logTo(t)})) {
				t.Skip("this machine allows no namespaces")
			}
			if len(marked(t, agent.run)) == 0 {
				t.Fatal("the agent's kernel is not found")
			}
			alive := startBox(t, openExecutor(t, local.Options{Python: python, Dir: dir, Log: logTo(t)})) // sweeps, with the agent alive
			if got := remains(t, dir, runner.RunID(agent.run)); len(got) == 0 {
				t.Fatal("the folder of a living agent was swept")
			}
			if err := agent.process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() []string { return marked(t, agent.run) })
			agent.wait()
			openExecutor(t, local.Options{Python: python, Dir: dir, Log: logTo(t)})
			if got := remains(t, dir, runner.RunID(agent.run)); len(got) != 0 {
				t.Errorf("the next agent left %q", got)
			}
			passes(t, alive, "pass") // not swept
		})
	}
}

// What an agent had barely begun to make, or almost removed, when it was killed has no
// lock that tells whose it is. It is swept at once, unless somebody is at such work now.
func TestNew_SweepsSandboxesThatAreHalfMade(t *testing.T) {
	dir, python := t.TempDir(), testenv.Python(t)
	for _, box := range []string{"bare", "empty"} {
		if err := os.Mkdir(filepath.Join(dir, box), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "empty", "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	halfRemoved(t, filepath.Join(dir, "removed"))
	making, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer making.Close()
	if err := syscall.Flock(int(making.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	openExecutor(t, local.Options{Python: python, Dir: dir, Log: logTo(t)})
	if left := folders(t, dir); !slices.Equal(left, []string{"bare", "empty"}) {
		t.Errorf("while somebody makes a sandbox, %q are left", left)
	}
	making.Close()
	openExecutor(t, local.Options{Python: python, Dir: dir, Log: logTo(t)})
	if left := folders(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// halfRemoved is a sandbox whose agent was killed while it removed it: folders were raised
// to the top of another, which a notebook had closed.
func halfRemoved(t *testing.T, box string) {
	t.Helper()
	for _, folder := range []string{"work/RAISED/a/b", "work/closed/deep"} {
		if err := os.MkdirAll(filepath.Join(box, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(box, "work", "closed", "deep", "f"), []byte("x"), 0o400),
		os.Symlink("/etc", filepath.Join(box, "work", "RAISED", "link")),
		os.Chmod(filepath.Join(box, "work", "closed"), 0),
		os.WriteFile(filepath.Join(box, "lock"), []byte("4194305\n"), 0o600), // no process has such a number
	)
	if err != nil {
		t.Fatal(err)
	}
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
