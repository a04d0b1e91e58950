package jupyter

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// printed gathers what a request prints.
type printed struct{ strings.Builder }

func (p *printed) on(m Message) {
	var content struct{ Text string }
	if m.Own && m.Type == "stream" && json.Unmarshal(m.Content, &content) == nil {
		p.WriteString(content.Text)
	}
}

func execute(t *testing.T, c *Client, code string) (Reply, string) {
	t.Helper()
	var out printed
	reply, err := c.Execute(t.Context(), code, out.on)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return reply, out.String()
}

func TestClient_ExecutesOnARealKernel(t *testing.T) {
	c, p := connect(t, Options{})
	if got := string(c.Info().LanguageInfo); !strings.Contains(got, `"name": "python"`) {
		t.Errorf("got language info %s", got)
	}
	if reply, out := execute(t, c, "print(6*7)"); reply.Status != "ok" || reply.Count != 1 || out != "42\n" {
		t.Errorf("got %+v and %q", reply, out)
	}
	if reply, _ := execute(t, c, "1/0"); reply.Status != "error" || reply.EName != "ZeroDivisionError" || reply.EValue != "division by zero" {
		t.Errorf("got %+v", reply)
	}
	if reply, _ := execute(t, c, "%undefined"); reply.Status != "error" || reply.EName != "UsageError" {
		t.Errorf("got %+v", reply)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-p.dead
}

func TestClient_DialsAsItsConnectionSays(t *testing.T) {
	p := startProcess(t, ipc(t))
	inside, dialled := p.conn, make(chan int, 1000)
	p.conn.Transport, p.conn.IP = "tcp", "out of reach"
	p.conn.Dial = func(ctx context.Context, port int) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", inside.IP+"-"+strconv.Itoa(port))
		if err == nil {
			dialled <- port
		}
		return conn, err
	}
	if _, out := execute(t, connectTo(t, p, Options{}), "print(6*7)"); out != "42\n" {
		t.Errorf("got %q", out)
	}
	if len(dialled) != 4 {
		t.Errorf("%d connections, want one for each channel but stdin", len(dialled))
	}
}

func TestClient_SpeaksOverTCP(t *testing.T) {
	conn := Connection{Transport: "tcp", IP: "127.0.0.1", Key: "tcp-key"}
	for _, port := range []*int{&conn.ShellPort, &conn.IOPubPort, &conn.StdinPort, &conn.ControlPort, &conn.HBPort} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		*port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	p := startProcess(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Connect(ctx, conn, Options{Dead: p.dead})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, out := execute(t, c, "print('over tcp')"); out != "over tcp\n" {
		t.Errorf("got %q", out)
	}
}

func TestLauncher_MakesAnOrdinaryKernel(t *testing.T) {
	c, p := connect(t, Options{})
	if err := os.WriteFile(p.dir+"/beside.py", []byte("value = 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ code, want string }{
		{"print(__name__)", "__main__\n"},
		{"import beside; print(beside.value)", "7\n"},
		{"import os; print(os.getcwd())", p.dir + "\n"},
		{"import sys; print('' in sys.path, sys.path[0][:4] == '/tmp', sys.modules['__main__'].__dict__ is globals())", "True False True\n"},
		{"print(type(get_ipython()).__name__)", "ZMQInteractiveShell\n"},
		{"import sys; print('debugpy' in sys.modules, 'jedi' in sys.modules)", "False False\n"},
		{"import debugpy, jedi, IPython.terminal.embed as e; print(e.InteractiveShellEmbed.__name__)", "InteractiveShellEmbed\n"},
		{"import os; print(sum(x.endswith('.sqlite') for _, _, f in os.walk(os.environ['IPYTHONDIR']) for x in f))", "0\n"},
		{"import gc; print(gc.isenabled())", "True\n"},
		{"print(get_ipython().history_manager.input_hist_raw[1] != '')", "True\n"},
		{"1+1\nprint(In[-1][:3])", "1+1\n"},
		{"import matplotlib; print('inline' in matplotlib.get_backend())", "True\n"},
	} {
		if reply, out := execute(t, c, test.code); reply.Status != "ok" || out != test.want {
			t.Errorf("%s: got %q and %+v, want %q", test.code, out, reply, test.want)
		}
	}
	var image bool
	if _, err := c.Execute(t.Context(), "import matplotlib.pyplot as plt; plt.plot([1, 2]);", func(m Message) {
		image = image || m.Type == "display_data" && strings.Contains(string(m.Content), `"image/png"`)
	}); err != nil || !image {
		t.Errorf("a plot gave image=%v, %v", image, err)
	}
}

func TestLauncher_SendsLongTextInPieces(t *testing.T) {
	c, _ := connect(t, Options{})
	longest, total := 0, 0
	_, err := c.Execute(t.Context(), "print('é' * 5_000_000)", func(m Message) {
		if m.Type == "stream" {
			var content struct{ Text string }
			if err := json.Unmarshal(m.Content, &content); err != nil {
				t.Error(err)
			}
			longest, total = max(longest, len(content.Text)), total+len(content.Text)
		}
	})
	if err != nil || total != 10_000_001 || longest > 2<<20 {
		t.Errorf("got %d bytes in pieces of up to %d, %v", total, longest, err)
	}
}

func TestLauncher_DropsNothingForASlowReader(t *testing.T) {
	const displays = 4000
	c, p := connect(t, Options{})
	slow, err := openChannel(t.Context(), "slow", p.conn, p.conn.IOPubPort, zmq4.Sub, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.close()
	if err := slow.send(t.Context(), [][]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	for subscribed := false; !subscribed; { // what it misses before is not lost
		_, err := c.Execute(t.Context(), "pass", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = slow.recv()
		subscribed = err == nil
	}
	moved, done := make(chan struct{}, displays), make(chan error, 1)
	go func() {
		_, err := c.Execute(t.Context(), "from IPython.display import display\nfor i in range(4000): display('x' * 1000)", func(m Message) {
			if m.Type == "display_data" {
				moved <- struct{}{}
			}
		})
		done <- err
	}()
	for waits := false; !waits; { // until the kernel waits for the slow reader
		select {
		case <-moved:
		case <-time.After(500 * time.Millisecond):
			waits = true
		}
	}
	if len(done) > 0 {
		t.Fatal("the kernel did not wait")
	}
	for got := 0; got < displays; {
		frames, _, err := slow.recv()
		if err != nil {
			t.Fatalf("after %d displays: %v", got, err)
		}
		if m, err := decode([]byte(p.conn.Key), frames); err == nil && m.Type == "display_data" {
			got++
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClient_InterruptsOnTheControlChannel(t *testing.T) {
	c, _ := connect(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Execute(ctx, "print('busy', flush=True)\nwhile True: pass", func(m Message) {
		if m.Type == "stream" {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := c.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	reply, err := c.Wait(t.Context(), nil)
	if err != nil || reply.EName != "KeyboardInterrupt" {
		t.Fatalf("got %+v, %v", reply, err)
	}
	if _, out := execute(t, c, "print('still here')"); out != "still here\n" {
		t.Errorf("got %q", out)
	}
}

func TestClient_SendsToAComm(t *testing.T) {
	c, _ := connect(t, Options{})
	var comm struct {
		ID string `json:"comm_id"`
	}
	if _, err := c.Execute(t.Context(), `
from ipykernel.comm import Comm
comm = Comm(target_name='any')
comm.on_msg(lambda m: print(m['content']['data']))`, func(m Message) {
		if m.Type == "comm_open" {
			if err := json.Unmarshal(m.Content, &comm); err != nil {
				t.Error(err)
			}
		}
	}); err != nil || comm.ID == "" {
		t.Fatalf("got comm %q, %v", comm.ID, err)
	}
	if err := c.SendComm(t.Context(), comm.ID, map[string]any{"method": "update"}); err != nil {
		t.Fatal(err)
	}
	var out string
	if _, err := c.Execute(t.Context(), "pass", func(m Message) {
		if m.Type == "stream" && !m.Own {
			out += string(m.Content)
		}
	}); err != nil || !strings.Contains(out, "{'method': 'update'}") {
		t.Errorf("the comm's object printed %s, %v", out, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.SendComm(t.Context(), comm.ID, nil); err == nil {
		t.Error("a closed client sends")
	}
}

func TestClient_ExitIsNoDeath(t *testing.T) {
	c, p := connect(t, Options{})
	if reply, _ := execute(t, c, "exit()"); !reply.AskExit {
		t.Errorf("got %+v, want AskExit", reply)
	}
	<-p.dead
	if err := c.Shutdown(t.Context()); err != nil {
		t.Errorf("shut down what is gone: %v", err)
	}
}

func TestClient_DeliversLateOutputWithItsParent(t *testing.T) {
	c, _ := connect(t, Options{})
	var first string
	_, err := c.Execute(t.Context(), `
import threading
go = threading.Event()
def late():
    go.wait()
    print('late')
thread = threading.Thread(target=late)
thread.start()`, func(m Message) { first = m.ParentID })
	if err != nil {
		t.Fatal(err)
	}
	var parent string
	if _, err := c.Execute(t.Context(), "go.set(); thread.join()\nimport sys; sys.stdout.flush()", func(m Message) {
		if m.Type == "stream" {
			parent = m.ParentID
		}
	}); err != nil {
		t.Fatal(err)
	}
	if parent != first {
		t.Errorf("the late output came with parent %q, want %q", parent, first)
	}
}

func TestConnect_SaysHowFarItCame(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantStage(t, ctx, ipc(t), Options{}, StageDial, "dial unix ")
	})
	t.Run("a path too long for a socket", func(t *testing.T) {
		conn := ipc(t)
		conn.IP += strings.Repeat("x", 108)
		wantStage(t, t.Context(), conn, Options{}, StageDial, "107 bytes")
	})
	t.Run("the process ends first", func(t *testing.T) {
		p := startProcess(t, ipc(t), "-c", "raise SystemExit(3)")
		var died *KernelDied
		err := wantStage(t, t.Context(), p.conn, Options{Dead: p.dead}, StageDial, "ended before it answered")
		if !errors.As(err, &died) {
			t.Errorf("got %v, want KernelDied in it", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		p := startProcess(t, ipc(t))
		if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantStage(t, ctx, p.conn, Options{Dead: p.dead}, StageDial, "deadline")
	})
	const silent = "the kernel does not say what language it is in"
	for about, want := range map[string]string{
		`{"protocol_version":"5.3"}`:                             silent,
		`{"protocol_version":"5.3","language_info":null}`:        silent,
		`{"protocol_version":"5.3","language_info":["python"]}`:  silent,
		`{"protocol_version":"4.1","language_info":{"name":""}}`: `the kernel speaks version "4.1" of the messaging protocol, want 5.x`,
		`["5.3"]`: "kernel_info_reply: not a JSON object",
	} {
		t.Run(about, func(t *testing.T) {
			k := startFake(t, nil)
			k.about = about
			wantStage(t, t.Context(), k.conn, Options{}, StageKernelInfo, want)
		})
	}
}

func wantStage(t *testing.T, ctx context.Context, conn Connection, o Options, stage Stage, text string) error {
	t.Helper()
	_, err := Connect(ctx, conn, o)
	var start *StartError
	if !errors.As(err, &start) || start.Stage != stage || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %q at stage %s", err, text, stage)
	}
	return err
}

func TestClient_LeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("five clients", func(t *testing.T) { // its fakes end with it
		for range 5 {
			k := startFake(t, func(k *fakeKernel, r Message) { k.status(r.ID, "idle") })
			c := connectFake(t, k, Options{})
			if _, err := c.Execute(t.Context(), replyOK, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func TestDrain_EndsThoughOutputKeepsComing(t *testing.T) {
	c, _ := connect(t, Options{})
	execute(t, c, `
import threading
def print_for_ever():
    while True: print('x', flush=True)
threading.Thread(target=print_for_ever, daemon=True).start()`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	another := func(Message) {
		for c.inbox.waiting() == 0 && ctx.Err() == nil {
			runtime.Gosched()
		}
	}
	another(Message{})
	if err := c.Drain(another); err != nil || ctx.Err() != nil {
		t.Errorf("got %v, %v", err, ctx.Err())
	}
}
