package jupyter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// fakeKernel listens like a kernel and answers execute requests by a script.
type fakeKernel struct {
	t       *testing.T
	conn    Connection
	session string
	script  func(k *fakeKernel, request Message)
	infos   int    // kernel_info requests seen
	about   string // what it says of itself; "": what is right
	mute    int    // from this kernel_info request on, no idle is published; 0: never
	asked   func() // called before a kernel_info request is answered; may be nil

	mu   sync.Mutex // guards sent, and messages on iopub
	sent int        // messages

	reply func(content string) // to the request that the script is for
	idle  zmq4.Msg             // published last for a kernel_info request
	iopub chan *zmq4.Conn      // holds the subscriber's connection
	raw   net.Conn             // beneath it
}

// startFake serves until the test ends.
func startFake(t *testing.T, script func(k *fakeKernel, request Message)) *fakeKernel {
	t.Helper()
	k := &fakeKernel{t: t, conn: ipc(t), session: "fake", script: script, iopub: make(chan *zmq4.Conn, 1)}
	listen(t, k.conn, k.conn.ShellPort, serveZMTP(zmq4.Router, k.shell))
	listen(t, k.conn, k.conn.ControlPort, serveZMTP(zmq4.Router, drain))
	listen(t, k.conn, k.conn.HBPort, serveZMTP(zmq4.Rep, drain))
	listen(t, k.conn, k.conn.IOPubPort, func(raw net.Conn) {
		serveZMTP(zmq4.Pub, func(c *zmq4.Conn) {
			k.raw = raw
			k.iopub <- c
			drain(c)
		})(raw)
	})
	return k
}

// listen gives each connection to one of a kernel's ports to serve, and closes it
// after that. When the test ends, all are closed and waited for.
func listen(t *testing.T, conn Connection, port int, serve func(net.Conn)) {
	t.Helper()
	network, address := conn.endpoint(port)
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

func serveZMTP(kind zmq4.SocketType, serve func(*zmq4.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if z, err := zmq4.Open(c, null.Security(), kind, nil, true, nil); err == nil {
			serve(z)
		}
	}
}

func drain(c *zmq4.Conn) {
	for {
		if _, err := c.RecvMsg(); err != nil {
			return
		}
	}
}

func (k *fakeKernel) shell(c *zmq4.Conn) {
	iopub := <-k.iopub
	k.iopub <- iopub
	for {
		msg, err := c.RecvMsg()
		if err != nil {
			return
		}
		request, err := decode([]byte(k.conn.Key), msg.Frames)
		if err != nil {
			continue // as kernels do
		}
		if request.Type != "kernel_info_request" {
			k.reply = func(content string) { k.send(c, "execute_reply", request.ID, content) }
			k.script(k, request)
			if content, ok := k.replyOf(request); ok {
				k.reply(content)
			}
			continue
		}
		k.infos++
		if k.asked != nil {
			k.asked()
		}
		k.status(request.ID, "busy")
		k.send(c, "kernel_info_reply", request.ID,
			cmp.Or(k.about, `{"protocol_version":"5.3","language_info":{"name":"fake"},"supported_features":["kernel subshells"]}`))
		if k.mute == 0 || k.infos < k.mute {
			k.idle = k.message("status", request.ID, `{"execution_state":"idle"}`)
			k.output(k.idle)
		}
	}
}

// replyOf says how an execute request is answered: with its own code, where that is
// an object.
func (k *fakeKernel) replyOf(request Message) (string, bool) {
	var content struct{ Code string }
	if err := json.Unmarshal(request.Content, &content); err != nil {
		k.t.Error(err)
	}
	return content.Code, strings.HasPrefix(content.Code, "{")
}

// publish sends a message on iopub.
func (k *fakeKernel) publish(kind, parent, content string) {
	k.output(k.message(kind, parent, content))
}

func (k *fakeKernel) output(m zmq4.Msg) {
	c := <-k.iopub
	k.iopub <- c
	k.mu.Lock()
	defer k.mu.Unlock()
	if c != nil {
		_ = c.SendMsg(m) // the client may have gone
	}
}

// status publishes an execution state.
func (k *fakeKernel) status(parent, state string) {
	k.publish("status", parent, `{"execution_state":"`+state+`"}`)
}

func (k *fakeKernel) send(c *zmq4.Conn, kind, parent, content string) {
	_ = c.SendMsg(k.message(kind, parent, content)) // the client may have gone
}

// message makes the kernel's next message.
func (k *fakeKernel) message(kind, parent, content string) zmq4.Msg {
	k.mu.Lock()
	k.sent++
	id := fmt.Sprintf("%s_7_%d", k.session, k.sent)
	k.mu.Unlock()
	parts := [][]byte{
		[]byte(`{"msg_id":"` + id + `","msg_type":"` + kind + `","session":"` + k.session + `","date":"2026-11-23T06:00:00.5Z","new_field":[1]}`),
		[]byte(`{"msg_id":"` + parent + `"}`), []byte(`{}`), []byte(content),
	}
	frames := append([][]byte{[]byte("topic"), []byte(delimiter), sign([]byte(k.conn.Key), parts)}, parts...)
	return zmq4.NewMsgFrom(frames...)
}
