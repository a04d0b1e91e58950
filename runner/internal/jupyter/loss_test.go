package jupyter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// ordinary are cells whose kernel sends what it sends in ways that differ.
var ordinary = []struct{ name, code string }{
	{"prints", "import sys\nfor i in range(200):\n    print(i, flush=True); print(i, file=sys.stderr, flush=True)"},
	{"displays", "for i in range(200): display(i)"},
	{"a value", "6*7"},
	{"an error", "1/0"},
	{"long text in pieces", "print('x' * 5_000_000)"},
	{"threads", `
import threading
def talk(n):
    for i in range(50):
        print(n, i, flush=True); display((n, i))
threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()`},
	{"processes", `
import os, subprocess
subprocess.run(['echo', 'from outside'])
for n in range(3):
    pid = os.fork()
    if pid == 0:
        for i in range(5):
            print('child', n, i, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)`},
	{"comms", "from ipykernel.comm import Comm\nc = Comm(target_name='t', data={'a': 1})\nc.send({'b': 2}, buffers=[b'x' * 100])\nc.close()"},
	{"updates", "h = display(1, display_id=True)\nfor i in range(50): h.update(i)\nfrom IPython.display import clear_output; clear_output(wait=True)"},
	{"a value that displays itself", "class Figure:\n    def _ipython_display_(self): print('figure')\nFigure()"},
	{"a hook that keeps messages", "get_ipython().display_pub.register_hook(lambda m: None)\ndisplay(1)\nget_ipython().display_pub._hooks.clear()"},
	{"a forked child that displays", `
import os
pid = os.fork()
if pid == 0:
    print('one', flush=True); display('two'); print('three', flush=True)
    os._exit(0)
os.waitpid(pid, 0)`},
}

func TestLost_IsZeroWhereNothingIsLost(t *testing.T) {
	t.Parallel()
	c, _ := connect(t, Options{})
	for _, test := range ordinary {
		if _, err := c.Execute(t.Context(), test.code, nil); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if _, err := c.Execute(t.Context(), "pass", nil); err != nil { // late ones are in after it
			t.Fatalf("%s: %v", test.name, err)
		}
		if lost := c.Lost(); lost != 0 {
			t.Fatalf("%s: %d messages lost", test.name, lost)
		}
	}
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.Execute(ctx, "while True: display(1)", func(m Message) {
			if m.Type == "display_data" {
				cancel()
			}
		}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := c.Interrupt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reply, err := c.Wait(t.Context(), nil); err != nil || reply.EName != "KeyboardInterrupt" {
			t.Fatalf("got %+v, %v", reply, err)
		}
	}
	if lost := c.Lost(); lost > 2 { // an interrupt may come between a number and its message, but hardly ever does
		t.Errorf("%d messages lost by five interrupts", lost)
	}
	if got := c.Repeated(); got != 0 {
		t.Errorf("%d messages came twice", got)
	}
}

// gate passes a kernel's output on to a client while it is open.
type gate struct{ sync.Mutex }

// through makes a connection whose output comes through g.
func (g *gate) through(t *testing.T, kernel Connection) Connection {
	t.Helper()
	network, address := kernel.endpoint(kernel.IOPubPort)
	client := kernel
	client.IOPubPort = 22
	listen(t, client, client.IOPubPort, func(c net.Conn) {
		k, err := dial(t.Context(), network, address)
		if err != nil {
			return
		}
		defer k.Close()
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = io.Copy(k, c)
			k.Close()
		})
		buf := make([]byte, 4<<10)
		for n := 0; err == nil; n, err = k.Read(buf) {
			g.Lock()
			_, _ = c.Write(buf[:n])
			g.Unlock()
		}
		c.Close()
		both.Wait()
	})
	return client
}

// displaysCell displays a number 60,000 times, and connects to a socket when it has to
// wait, or is done. They come formatted, since to format them takes longest.
const displaysCell = `
import socket, threading, time
shown = 0
def watch():
    last = -1
    while not 500 < shown == last: # ZeroMQ queues 1000, and then drops or has the kernel wait
        last = shown
        time.sleep(0.5)
    socket.socket(socket.AF_UNIX).connect(%[2]q)
threading.Thread(target=watch).start()
for i in range(%[1]d):
    display({'text/plain': str(i)}, raw=True)
    shown += 1`

// TestExecute_KeepsOrMisses60000Displays pauses the reader until the kernel waits for
// it, or where it does not wait, until it has displayed all.
func TestExecute_KeepsOrMisses60000Displays(t *testing.T) {
	const displays = 60_000
	paused := func(t *testing.T, launcher ...string) (*Client, *gate, *process) {
		p := startProcess(t, ipc(t), launcher...)
		g := new(gate)
		p.conn = g.through(t, p.conn)
		c := connectTo(t, p, Options{})
		execute(t, c, "pass") // what the handshake left is in before its end
		g.Lock()
		return c, g, p
	}
	t.Run("with our launcher all are kept", func(t *testing.T) {
		t.Parallel()
		c, g, p := paused(t)
		path := p.conn.IP + "-waits"
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		var waits sync.WaitGroup
		waits.Go(func() {
			defer g.Unlock()
			if s, err := l.Accept(); err == nil {
				s.Close()
			}
		})
		next := 0
		reply, err := c.Execute(t.Context(), fmt.Sprintf(displaysCell, displays, path), func(m Message) {
			if m.Type == "display_data" {
				if want := fmt.Sprintf(`"text/plain": "%d"`, next); !strings.Contains(string(m.Content), want) {
					t.Errorf("display %d is %s", next, m.Content)
				}
				next++
			}
		})
		l.Close()
		waits.Wait()
		if err != nil || reply.Status != "ok" || next != displays || c.Lost() != 0 {
			t.Errorf("got %d displays, lost %d, %+v, %v", next, c.Lost(), reply, err)
		}
	})
	t.Run("with ipykernel's the loss is told", func(t *testing.T) {
		t.Parallel()
		c, g, _ := paused(t, "-m", "ipykernel_launcher")
		came := make(map[string]int)
		on := func(m Message) { came[m.Type]++ }
		c.timing.silence = 3 * time.Second
		_, err := c.Execute(t.Context(), fmt.Sprintf("for i in range(%d): display({'text/plain': str(i)}, raw=True)", displays), on)
		g.Unlock()
		if !errors.Is(err, ErrIdleLost) {
			t.Errorf("got %v, want ErrIdleLost", err)
		}
		c.timing.silence = 8 * time.Second
		cells, probes := 1, 1
		for err != nil { // what is sent before the kernel has room again is lost, too
			cells++
			if _, err = c.Execute(t.Context(), "pass", on); errors.Is(err, ErrIdleLost) {
				probes++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		// A cell and a probe have two states each, a cell its code as well.
		lost := int64(displays - came["display_data"] + 2*(cells+probes) - came["status"] + cells - came["execute_input"])
		if c.Lost() != lost || lost < 1000 {
			t.Errorf("%v came, so %d are lost, not %d", came, lost, c.Lost())
		}
	})
}
