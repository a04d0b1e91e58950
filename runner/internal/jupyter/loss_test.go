package jupyter

import (
	"context"
	"errors"
	"testing"
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
