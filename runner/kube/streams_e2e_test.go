package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/render"
)

// over returns the sandbox's desk by commands of another kind.
func over(box *sandbox, change func(*execer)) desk {
	e := execer{config: box.e.client.config, namespace: box.e.o.Namespace, pod: box.name}
	change(&e)
	return desk{run: e.run}
}

func TestE2E_FilesGoInAndOutWhole(t *testing.T) {
	c := onCluster(t)
	box := c.start(c.open(c.options()), c.spec())
	large := bytes.Repeat([]byte("0123456789abcde\n"), 2<<20) // 32 MiB
	for name, d := range map[string]desk{
		"WebSocket": over(box, func(*execer) {}),
		"SPDY":      over(box, func(e *execer) { e.spdyOnly = true }),
	} {
		t.Run(name, func(t *testing.T) {
			must(t, d.put(t.Context(), fstest.MapFS{"sub/large": {Data: large}, "small": {Data: []byte(name)}}))
			for range 3 {
				got, err := d.get(t.Context(), "sub/large", int64(len(large)))
				if err != nil || !bytes.Equal(got, large) {
					t.Fatalf("got %d bytes of %d, %v", len(got), len(large), err)
				}
			}
			names, err := d.list(t.Context())
			if err != nil || fmt.Sprint(names) != "[small sub/large]" {
				t.Errorf("got %q, %v", names, err)
			}
			if _, err := d.get(t.Context(), "nothing", 10); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("of no file: %v", err)
			}
			if _, err := d.get(t.Context(), "small", 1); !errors.Is(err, runner.ErrTooLarge) {
				t.Errorf("of a large one: %v", err)
			}
			result, err := render.Pages(t.Context(), at{d}, request("Hello {{ name }}"))
			if err != nil || string(result.Pages["en"]) != "Hello Ada" {
				t.Errorf("got %q, %v", result.Pages, err)
			}
		})
	}
}

func TestE2E_ARenderingWhoseAgentHasGoneEnds(t *testing.T) {
	c := onCluster(t)
	box := c.start(c.open(c.options()), c.spec())
	ctx, cancel := context.WithCancel(t.Context())
	read, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := render.Pages(ctx, onRead{box.desk, read}, request("{% for i in range(99999999999) %}{% endfor %}"))
		done <- err
	}()
	<-read
	renderers := func() string {
		var out bytes.Buffer
		look := []string{"python3", "-c", `
import os
for p in os.listdir('/proc'):
    try:
        if p.isdigit() and b'/render' + b'.py' in open(f'/proc/{p}/cmdline', 'rb').read(): print(p)
    except OSError: pass
`}
		must(t, over(box, func(*execer) {}).run(t.Context(), look, strings.NewReader(""), &out, io.Discard))
		return out.String()
	}
	c.eventually("the renderer runs", func() bool { return renderers() != "" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	c.eventually("the renderer ends", func() bool { return renderers() == "" })
}

func TestE2E_ACommandInAPodThatIsGoneIsRefusedAtOnce(t *testing.T) {
	c := onCluster(t)
	box := c.start(c.open(c.options()), c.spec())
	d := over(box, func(e *execer) { e.pod = "no-such-pod" })
	began := time.Now()
	if _, err := d.list(t.Context()); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "no-such-pod") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > awayFor/2 {
		t.Errorf("it took %v", took)
	}
}

func TestE2E_ForwardCarriesManyStreams(t *testing.T) {
	c := onCluster(t)
	o := c.options()
	o.Forward = true
	box := c.start(c.open(o), c.spec())
	must(t, box.Put(t.Context(), fstest.MapFS{}))
	conn, _, err := box.Kernel(t.Context())
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := jupyter.Connect(ctx, conn, jupyter.Options{})
	must(t, err)
	passes(t, client, `
import socket, threading
def echo(listener):
    while True:
        peer, _ = listener.accept()
        def serve(peer=peer):
            peer.sendall(b'hello\n')
            while data := peer.recv(65536):
                peer.sendall(data)
            peer.close()
        threading.Thread(target=serve, daemon=True).start()
listener = socket.create_server(('', 6000))
threading.Thread(target=echo, args=(listener,), daemon=True).start()
`)
	payload := bytes.Repeat([]byte("x"), 4<<20)
	var streams sync.WaitGroup
	for range 10 {
		streams.Go(func() {
			conn, err := box.forward.dial(ctx, 6000)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			go func() { _, _ = conn.Write(payload) }()
			got := make([]byte, len("hello\n")+len(payload))
			if n, err := io.ReadFull(conn, got); err != nil || string(got[:6]) != "hello\n" || !bytes.Equal(got[6:], payload) {
				t.Errorf("got %d bytes, %v", n, err)
			}
		})
	}
	streams.Wait()
	began := time.Now()
	if _, err := box.forward.dial(ctx, 6001); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("where nobody listens: %v", err)
	}
	if took := time.Since(began); took > forwardTimeout/2 {
		t.Errorf("a refusal took %v", took)
	}
	silent, err := box.forward.dial(ctx, 6000) // deadlines hold
	must(t, err)
	must(t, silent.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if _, err := io.ReadAll(silent); !isTimeout(err) {
		t.Errorf("a read past its deadline: %v", err)
	}
	box.forward.Close()
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("it reads on after Close")
	}
	if _, err := box.forward.dial(ctx, 6000); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestE2E_ACutForwardEndsTheAttemptAndThePodsProcesses(t *testing.T) {
	c := onCluster(t)
	o := c.options()
	o.Forward = true
	box := c.start(c.open(o), c.spec())
	must(t, box.Put(t.Context(), fstest.MapFS{}))
	_, dead, err := box.Kernel(t.Context())
	must(t, err)
	box.forward.mu.Lock()
	cut := box.forward.conn
	box.forward.mu.Unlock()
	must(t, cut.Close())
	select {
	case death := <-dead:
		if death.Code == "" {
			t.Errorf("got %+v", death)
		}
		t.Logf("%s: %s", death.Code, death.Message)
	case <-time.After(patience):
		t.Fatal("nobody noticed")
	}
	must(t, box.StopKernel(t.Context()))
}

func TestE2E_HostileNotebookHarmsItsOwnAttemptAlone(t *testing.T) {
	c := onCluster(t)
	e := c.open(c.options())
	box, other := c.start(e, c.spec()), c.start(e, c.spec())
	neighbour := kernelOn(t, other)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	client := kernelOn(t, box)
	passes(t, client, `
import glob, os, signal, socket
for number in set(signal.Signals) - {signal.SIGTERM}:
    os.kill(1, number)
for path in ('/proc/1/mem', '/proc/1/environ', '/proc/1/fd/0'):
    try:
        open(path, 'rb').read(1)
    except OSError:
        continue
    raise AssertionError(path)
for path in glob.glob('/nbpress/*'):
    for harm in (os.unlink, lambda p: open(p, 'a'), lambda p: os.chmod(p, 0)):
        try:
            harm(path)
        except OSError:
            continue
        raise AssertionError(path)
try:
    socket.create_connection(('127.0.0.1', `+strconv.Itoa(portLeash)+`), 5)
    raise AssertionError('the port of the leash is open')
except ConnectionRefusedError:
    pass
left = [name for name in os.environ if name.startswith('KUBERNETES_')]
assert not left and not os.path.exists('/var/run/secrets/kubernetes.io'), left
os.symlink('/etc/passwd', 'link'); os.mkfifo('pipe'); os.makedirs('closed/in'); os.chmod('closed', 0)
for name in ('kernel.log', 'kernel.log.1'):
    try: os.unlink('/log/' + name)
    except FileNotFoundError: pass
    os.symlink('/etc/passwd', '/log/' + name)
`)
	go func() {
		// Of a small program, so that the memory lasts for hundreds; they wait, since hundreds
		// that compute take the pod's share of a slow machine from the warden.
		_, _ = client.Execute(ctx, `
import subprocess, sys
subprocess.run([sys.executable, '-I', '-S', '-c', '''
import os, signal
while True:
    try:
        if os.fork() == 0:
            open(f'f{os.getpid()}', 'w').close()
            signal.pause()
    except OSError: pass
'''])
`, func(jupyter.Message) {})
	}()
	c.eventually("the fork bomb goes off", func() bool {
		names, err := box.desk.list(ctx)
		must(t, err)
		return len(names) > 100
	})
	passes(t, neighbour, "import subprocess; subprocess.run(['true'], check=True)") // it may still fork
	must(t, box.StopKernel(ctx))
	for _, name := range []string{"link", "pipe"} {
		if _, err := box.Get(ctx, name, 100); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get(%s): %v", name, err)
		}
	}
	if log, err := box.Log(ctx, 1<<20); err != nil || strings.Contains(string(log), "root:") {
		t.Errorf("the log is %q, %v", log, err)
	}
	must(t, box.Put(ctx, fstest.MapFS{"again": {}}))
	if names, err := box.List(ctx); err != nil || fmt.Sprint(names) != "[again]" {
		t.Errorf("got %q, %v", names, err)
	}
	passes(t, kernelOn(t, box), "import os; assert os.listdir('.') == ['again']")
}

// kernelOn starts a kernel in a sandbox and connects to it.
func kernelOn(t testing.TB, box *sandbox) *jupyter.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, dead, err := box.Kernel(ctx)
	must(t, err)
	died := make(chan struct{})
	go func() {
		death := <-dead
		t.Logf("the kernel ended: %+v", death)
		close(died)
	}()
	client, err := jupyter.Connect(ctx, conn, jupyter.Options{Dead: died})
	must(t, err)
	t.Cleanup(func() {
		_ = client.Close()
		_ = box.StopKernel(context.WithoutCancel(t.Context()))
		<-died // before the test's log ends
	})
	return client
}
