package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// ward is a warden in a PID namespace of its own, as in a pod.
type ward struct {
	top  string // of its folders
	port int
	key  string
	done chan error // how it ended
	said *bytes.Buffer
	cmd  *exec.Cmd
}

// wardUser is who the warden and its kernels run as: nobody who may do more than they.
const wardUser = 54321

// shield keeps a test's warden, which empties folders before each kernel, from the machine's
// own, and shows its user a Python that is installed in root's home.
const shield = `
set -e
python=$1 hold=$2; shift 2
case $python in /root/*)
	mount --bind "$python" "$hold"
	mount -t tmpfs -o mode=755 none /root
	mkdir -p "$python"
	mount --bind "$hold" "$python"
esac
mount -t tmpfs none /dev/shm
mount -t tmpfs none /run
exec "$@"`

// startWarden runs warden.py as process 1 of a namespace.
func startWarden(t testing.TB, arguments ...string) *ward {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give a warden a namespace of its own and a user without rights")
	}
	if out, err := exec.Command("unshare", "--pid", "--mount", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine refuses namespaces: %v %s", err, out)
	}
	top, err := os.MkdirTemp("/tmp", "nbpress-ward")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	w := &ward{top: top, port: freePorts(t), key: strings.Repeat("k", 64), done: make(chan error, 1), said: &bytes.Buffer{}}
	must(t, os.Chmod(top, 0o755))
	options := []string{"--port", strconv.Itoa(w.port), "--programs", w.at("programs"), "--cgroup", w.at("cgroup")}
	for _, name := range []string{"work", "log", "home", "tmp", "shm", "run", "programs", "cgroup"} {
		must(t, errors.Join(os.Mkdir(w.at(name), 0o755), os.Chown(w.at(name), wardUser, wardUser)))
		if name != "programs" && name != "cgroup" {
			options = append(options, "--"+name, w.at(name))
		}
	}
	must(t, os.WriteFile(w.at("programs/key"), []byte(w.key), 0o644))
	for name, program := range programs() {
		must(t, os.WriteFile(filepath.Join(w.at("programs"), name), program, 0o644))
	}
	python := testenv.Python(t)
	prefix, err := exec.Command(python, "-c", "import sys; print(sys.base_prefix, end='')").Output()
	must(t, errors.Join(err, os.Mkdir(w.at("hold"), 0o755)))
	argv := []string{"--pid", "--mount", "--fork", "--mount-proc", "--kill-child=KILL", "sh", "-c", shield, "sh", string(prefix), w.at("hold"),
		"setpriv", "--reuid", strconv.Itoa(wardUser), "--regid", strconv.Itoa(wardUser), "--clear-groups", "--no-new-privs", "--bounding-set=-all",
		python, "-I", w.at("programs/warden.py")}
	cmd := exec.Command("unshare", append(append(argv, options...), arguments...)...)
	cmd.Env = []string{"PATH=" + filepath.Dir(python) + ":/usr/bin:/bin", "HOME=" + w.at("home"), "TMPDIR=" + w.at("tmp"),
		"GREETING=hello", "KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_PORT_443_TCP=tcp://10.0.0.1:443"}
	cmd.Stderr, cmd.Stdout = w.said, w.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	w.cmd = cmd
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.done <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // which ends the namespace
		<-ended
		if t.Failed() {
			t.Logf("the warden said:\n%s", w.said)
		}
	})
	return w
}

func (w *ward) at(name string) string { return filepath.Join(w.top, name) }

// freePorts returns the first of six ports in a row that nobody uses now.
func freePorts(t testing.TB) int {
	t.Helper()
	for range 100 {
		first := 10000 + rand.IntN(20000)
		free := true
		for i := range 6 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if free = free && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// dial reaches the pod's ports where this test has them.
func (w *ward) dial(ctx context.Context, port int) (net.Conn, error) {
	return dialIP("127.0.0.1")(ctx, port-portLeash+w.port)
}

// pause stops the warden, alone of its namespace, and returns what lets it go on: what
// comes meanwhile is there all at once, in its order.
func (w *ward) pause(t testing.TB) (resume func()) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-o", "pid=", "--ppid", strconv.Itoa(w.cmd.Process.Pid)).Output()
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	for deadline := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		out, err := exec.CommandContext(t.Context(), "ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
		must(t, err)
		if strings.TrimSpace(string(out)) == "T" {
			return func() { must(t, syscall.Kill(pid, syscall.SIGCONT)) }
		}
		if time.Now().After(deadline) {
			t.Fatalf("the warden does not stop: its state is %s", out)
		}
	}
}

// take takes the warden's leash until the test ends.
func (w *ward) take(t testing.TB) *leash {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := takeLeash(ctx, w.dial, []byte(w.key))
	must(t, err)
	t.Cleanup(l.Close)
	return l
}

// ends waits for the warden's end.
func (w *ward) ends(t testing.TB) {
	t.Helper()
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		t.Fatal("the warden lives on")
	}
}

// start starts a kernel and connects to it.
func (w *ward) start(t testing.TB, l *leash) (*jupyter.Client, <-chan ending) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended, err := l.kernel(ctx)
	must(t, err)
	dead, told := make(chan struct{}), make(chan ending, 1)
	go func() {
		told <- <-ended
		close(dead)
	}()
	client, err := jupyter.Connect(ctx, connection(w.key, w.dial), jupyter.Options{Dead: dead})
	if err != nil {
		t.Fatalf("%v; log:\n%s", err, w.log(t))
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, told
}

func (w *ward) log(t testing.TB) string {
	t.Helper()
	var all []byte
	for _, name := range []string{"log/kernel.log.1", "log/kernel.log"} {
		text, err := os.ReadFile(w.at(name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return string(all)
}

// passes executes code that must not fail.
func passes(t testing.TB, c *jupyter.Client, code string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reply, err := c.Execute(ctx, code, func(jupyter.Message) {})
	if err != nil || reply.Status != "ok" {
		t.Fatalf("%s: %+v, %v", code, reply, err)
	}
}

// dies executes code that ends its kernel, and returns how.
func dies(t testing.TB, c *jupyter.Client, ended <-chan ending, code string) ending {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Execute(ctx, code, func(jupyter.Message) {}); err == nil {
		t.Fatalf("%s: the kernel lives", code)
	}
	return await(t, ended)
}

func await(t testing.TB, ended <-chan ending) ending {
	t.Helper()
	select {
	case e := <-ended:
		return e
	case <-time.After(time.Minute):
		t.Fatal("nobody said how the kernel ended")
		return ending{}
	}
}

func TestLeash_StartsKernelsAndTellsHowTheyEnded(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	for _, test := range []struct {
		code string
		want runner.Death
	}{
		{"import os; os._exit(3)", runner.Death{Code: runner.KernelDied, Message: "exit status 3"}},
		{"import os; os._exit(0)", runner.Death{Message: "exit status 0"}},
		{"import os, signal; os.kill(os.getpid(), signal.SIGKILL)", runner.Death{Code: runner.KernelDied, Message: "signal: killed"}},
		{"import ctypes; ctypes.string_at(0)", runner.Death{Code: runner.KernelDied, Message: "signal: segmentation fault"}},
	} {
		c, ended := w.start(t, l)
		if got := dies(t, c, ended, test.code).death(); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.code, got, test.want)
		}
	}
	if !strings.Contains(w.log(t), "Fatal Python error: Segmentation fault") {
		t.Errorf("the log lacks the crash:\n%s", w.log(t))
	}
	c, ended := w.start(t, l)
	passes(t, c, "1")
	must(t, l.stop(t.Context()))
	must(t, l.stop(t.Context()))
	if e := await(t, ended); e.signal != int(syscall.SIGTERM) {
		t.Errorf("a stopped kernel ended with %+v", e)
	}
}

func TestLeash_KernelMeetsNothingOfTheOneBefore(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	c, _ := w.start(t, l)
	passes(t, c, `
import os, resource, subprocess, sys, time
assert os.environ['GREETING'] == 'hello' and not [n for n in os.environ if n.startswith('KUBERNETES_')], os.environ
assert os.getcwd() == `+strconv.Quote(w.at("work"))+` and os.umask(0) == 0o022 and os.getuid() == `+strconv.Itoa(wardUser)+`
assert resource.getrlimit(resource.RLIMIT_NPROC)[1] == 1024
assert int(open('/proc/self/oom_score_adj').read()) == 1000
for folder in (os.environ['HOME'], os.environ['TMPDIR'], `+strconv.Quote(w.at("shm"))+`):
    os.makedirs(folder + '/left/closed/in'); os.chmod(folder + '/left/closed', 0)
loop = 'while :; do echo x >>beat; sleep 0.02; done'
subprocess.Popen(['sh', '-c', f'trap "" TERM; ({loop}) & ({loop})'], start_new_session=True)
subprocess.Popen(['sh', '-c', f'setsid setsid sh -c "{loop}" & exit'], start_new_session=True)
while not os.path.exists('beat'):
    time.sleep(0.01)
open('kept', 'w').close()
`)
	must(t, l.stop(t.Context()))
	size := func() int64 {
		info, err := os.Stat(w.at("work/beat"))
		must(t, err)
		return info.Size()
	}
	before := size()
	c, _ = w.start(t, l)
	passes(t, c, `
import os, time
for folder in (os.environ['HOME'], os.environ['TMPDIR'], `+strconv.Quote(w.at("shm"))+`):
    assert not os.path.exists(folder + '/left'), folder
assert os.path.exists('kept')
others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]
assert not others, others
`)
	if after := size(); after != before {
		t.Errorf("something of the first kernel's wrote %d bytes after it was stopped", after-before)
	}
}

func TestLeash_EverythingEndsWithIt(t *testing.T) {
	for name, end := range map[string]func(*leash){
		"closed":  (*leash).Close,
		"cut off": func(l *leash) { _ = l.conn.Close() },
		"garbled": func(l *leash) { _, _ = l.conn.Write([]byte("garbage\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := startWarden(t)
			l := w.take(t)
			c, ended := w.start(t, l)
			passes(t, c, "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)")
			end(l)
			w.ends(t) // its namespace has gone: no process can be left
			if e := await(t, ended); !e.lost || e.death().Code != runner.KernelDied {
				t.Errorf("got %+v", e)
			}
			<-l.over
			if _, err := l.kernel(t.Context()); !errors.Is(err, errLeashLost) {
				t.Errorf("a kernel after its end: %v", err)
			}
		})
	}
}

func TestLeash_SaysWhenTheWardenIsGone(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	c, ended := w.start(t, l)
	// PID 1 handles SIGTERM alone, which a notebook may send.
	if e := dies(t, c, ended, "import os, signal, time; os.kill(1, signal.SIGTERM); time.sleep(600)"); !e.lost {
		t.Errorf("got %+v", e)
	}
	w.ends(t)
}

func TestWarden_EndsWhenNobodyTakesItsLeash(t *testing.T) {
	startWarden(t, "--leash-within", "1").ends(t)
}

func TestWarden_LetsNobodyInWithoutTheKey(t *testing.T) {
	w := startWarden(t)
	first, err := dialUntil(t.Context(), w.dial, portLeash)
	must(t, err)
	defer first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := takeLeash(ctx, w.dial, []byte("wrong")); err == nil || !strings.Contains(err.Error(), "does not take our key") {
		t.Errorf("with a wrong key: %v", err)
	}
	for range 40 { // silent callers do not keep the agent out
		conn, err := w.dial(t.Context(), portLeash)
		must(t, err)
		defer conn.Close()
	}
	l := w.take(t)
	if _, err := io.ReadAll(first); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who was first: %v", err)
	}
	if conn, err := w.dial(t.Context(), portLeash); err == nil {
		_ = conn.Close()
		t.Error("somebody listens though the leash is taken")
	}
	w.start(t, l)
}

// TestWarden_OutlivesWhatIsReadyTogether: of what one look finds ready the first may make
// an end of the second.
func TestWarden_OutlivesWhatIsReadyTogether(t *testing.T) {
	t.Run("the key, and another caller", func(t *testing.T) {
		w := startWarden(t)
		dial := func(ctx context.Context, port int) (net.Conn, error) {
			conn, err := w.dial(ctx, port)
			return &beforeProof{Conn: conn, send: func(send func()) {
				resume := w.pause(t)
				defer resume()
				send()
				other, err := w.dial(t.Context(), portLeash)
				must(t, err)
				t.Cleanup(func() { _ = other.Close() })
			}}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l, err := takeLeash(ctx, dial, []byte(w.key))
		must(t, err)
		defer l.Close()
		must(t, l.stop(ctx))
	})
	t.Run("a stop, and something printed", func(t *testing.T) {
		w := startWarden(t)
		l := w.take(t)
		c, _ := w.start(t, l)
		passes(t, c, `
import os, threading, time
def speak():
    while not os.path.exists('speak'): time.sleep(0.01)
    os.write(2, b'x')
    open('spoke', 'w').close()
threading.Thread(target=speak, daemon=True).start()
`)
		resume := w.pause(t)
		must(t, l.say("stop"))
		must(t, os.WriteFile(w.at("work/speak"), nil, 0o644))
		for deadline := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
			if _, err := os.Stat(w.at("work/spoke")); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the kernel does not print")
			}
		}
		resume()
		select {
		case f := <-l.answers:
			if f.Is != "stopped" {
				t.Errorf("got %+v", f)
			}
		case <-l.over:
			t.Fatal(l.reason())
		}
		must(t, l.stop(t.Context()))
	})
}

// beforeProof has the first that is written be sent by a function.
type beforeProof struct {
	net.Conn
	send func(send func())
}

func (b *beforeProof) Write(p []byte) (n int, err error) {
	send := b.send
	if b.send = nil; send == nil {
		return b.Conn.Write(p)
	}
	send(func() { n, err = b.Conn.Write(p) })
	return n, err
}

func TestLeash_BelievesNobodyWithoutTheKey(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":       "",
		"something":     "HTTP/1.1 400 Bad Request\n",
		"no proof":      "nbpress-leash 1 " + strings.Repeat("0", 32) + "\n" + strings.Repeat("0", 64) + "\n",
		"endless words": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				_, _ = io.WriteString(theirs, says)
			}()
			dial := func(context.Context, int) (net.Conn, error) { return ours, nil }
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // one that says nothing is asked again
			defer cancel()
			if l, err := takeLeash(ctx, dial, []byte("key")); err == nil {
				l.Close()
				t.Error("it is believed")
			}
		})
	}
}

// TestWarden_HostileNotebook has a notebook try what it can against the warden. It may end
// its own attempt. What the agent is told must be true.
func TestWarden_HostileNotebook(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	c, ended := w.start(t, l)
	passes(t, c, `
import ctypes, glob, os, signal, socket
for number in set(signal.Signals) - {signal.SIGTERM}:
    os.kill(1, number)  # process 1 gets only what it handles
for path in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps'):
    try:
        open(path, 'rb').read(1)
    except OSError:
        continue
    raise AssertionError(path)
try:
    fds = os.listdir('/proc/1/fd')
except OSError:
    fds = []
assert not fds, fds
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(16, 1, None, None) == -1  # PTRACE_ATTACH
for path in glob.glob(`+strconv.Quote(w.at("programs"))+` + '/*'):
    try:
        open(path, 'a')
    except OSError:
        continue
    raise AssertionError(path)
try:
    socket.create_connection(('127.0.0.1', `+strconv.Itoa(w.port)+`), 5)
    raise AssertionError('the port is open')
except ConnectionRefusedError:
    pass
`)
	passes(t, c, `
import shutil
for f in os.listdir(`+strconv.Quote(w.at("log"))+`):
    os.remove(`+strconv.Quote(w.at("log"))+` + '/' + f)
os.mkfifo(`+strconv.Quote(w.at("log"))+` + '/kernel.log')
os.write(2, b'x' * 1000000)
os.remove(`+strconv.Quote(w.at("run"))+` + '/connection.json'); os.mkfifo(`+strconv.Quote(w.at("run"))+` + '/connection.json')
`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		_, _ = c.Execute(ctx, `
import os, signal
for number in signal.Signals:
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
while True:
    try: os.fork()
    except OSError: pass
`, func(jupyter.Message) {})
	}()
	beats(t, w)
	must(t, l.stop(ctx))
	await(t, ended)
	c, _ = w.start(t, l)
	passes(t, c, `
import os
others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]
assert not others, others
`)
}

// beats returns when the warden's namespace holds hundreds of processes.
func beats(t testing.TB, w *ward) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		out, err := exec.CommandContext(t.Context(), "ps", "--no-headers", "-u", strconv.Itoa(wardUser), "-o", "pid").Output()
		if err == nil && bytes.Count(out, []byte("\n")) > 300 {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatal("the fork bomb does not go off")
}

func TestWarden_TellsOutOfMemoryByItsCgroup(t *testing.T) {
	for name, files := range map[string]map[string][2]string{
		"v2": {"memory.events": {"low 0\noom 0\noom_kill 1\n", "low 0\noom 1\noom_kill 2\noom_group_kill 0\n"}, "memory.max": {"1073741824\n", "1073741824\n"}},
		"v1": {
			"memory/memory.oom_control":    {"oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
			"memory/memory.limit_in_bytes": {"1073741824\n", "1073741824\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWarden(t)
			must(t, os.MkdirAll(w.at("cgroup/memory"), 0o755))
			write := func(which int) {
				for file, texts := range files {
					if which > 0 && texts[which] == texts[0] {
						continue // not a moment without it
					}
					must(t, os.WriteFile(filepath.Join(w.at("cgroup"), file), []byte(texts[which]), 0o644))
				}
			}
			write(0)
			l := w.take(t)
			c, ended := w.start(t, l)
			if got := dies(t, c, ended, "import os; os.kill(os.getpid(), 9)").death(); got.Code != runner.KernelDied {
				t.Errorf("without a new kill: %+v", got)
			}
			c, ended = w.start(t, l)
			passes(t, c, "1")
			write(1) // it was another process of the notebook's; the kernel goes with it
			want := runner.Death{Code: runner.OOMKilled, Message: "the notebook needed more than its 1024 MiB of memory"}
			if got := await(t, ended).death(); got != want {
				t.Errorf("got %+v", got)
			}
			must(t, l.stop(t.Context()))
			c, _ = w.start(t, l)
			passes(t, c, "1") // the kill of before is not its own
		})
	}
}

func TestWarden_SaysWhatAnImageLacks(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	const missing = "    raise ModuleNotFoundError(\"No module named 'ipykernel'\")\n    import zmq\n"
	launcher := strings.Replace(string(jupyter.Launcher()), "    import zmq\n", missing, 1)
	must(t, os.WriteFile(w.at("programs/launcher.py"), []byte(launcher), 0o644))
	ended, err := l.kernel(t.Context())
	must(t, err)
	if got := await(t, ended).death(); got.Code != runner.KernelDied || !strings.Contains(got.Message, "the image has no ipykernel") {
		t.Errorf("got %+v", got)
	}
}

func TestWarden_KeepsTheEndOfTheLog(t *testing.T) {
	w := startWarden(t)
	l := w.take(t)
	c, _ := w.start(t, l)
	passes(t, c, `
import os
for i in range(100):
    os.write(2, (f'line {i:04} ' + 'x' * 9000 + '\n').encode() * 2)
os.write(2, b'the end\n')
`)
	must(t, l.stop(t.Context()))
	log := w.log(t)
	if !strings.HasSuffix(log, "the end\n") || !strings.Contains(log, "line 0090") || strings.Contains(log, "line 0001") {
		t.Errorf("the log of %d bytes ends with %q", len(log), log[max(0, len(log)-50):])
	}
	if len(log) > 1<<20 {
		t.Errorf("the log has %d bytes", len(log))
	}
}

func FuzzReadFact(f *testing.F) {
	key := []byte("key")
	for _, text := range []string{
		`{"is": "started"}`, `{"is": "ended", "status": 3, "message": "x"}`, `{"is": "ended", "signal": 9, "oom": true, "limit": 1}`,
		`{"is": "ended"}`, `{"is": "refused", "message": "\ud800"}`, `[]`, `{"is": "pong", "status": 1e99}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, signed bool) {
		line := text
		if signed {
			line = slices.Concat(lineCode(key, []byte("7 "), text), []byte(" "), text)
		}
		fact, err := readFact(line, key, 7)
		if err != nil {
			return
		}
		if !signed {
			t.Fatalf("%q is believed without a proof", line)
		}
		if len(fact.Message) > longestWords+3 || fact.Limit < 0 {
			t.Fatalf("got %+v", fact)
		}
		if fact.Is == "ended" {
			e := ending{signal: fact.Signal, oom: fact.OOM, limit: fact.Limit, message: fact.Message}
			if fact.Status != nil {
				e.status = *fact.Status
			}
			if d := e.death(); d.Code == "" && (fact.Status == nil || *fact.Status != 0) {
				t.Fatalf("%+v is told as a clean end", fact)
			}
		}
	})
}
