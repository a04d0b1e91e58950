package runnertest

import (
	"context"
	"encoding/json"
	"net"
	"sync"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"

	"nbpress/runner/internal/jupyter"
)

// fakeKernel speaks as much of the kernel's protocol as an unhurried client needs:
// it says who it is and executes cells, one after the other, in Go.
type fakeKernel struct {
	execute func(ctx context.Context, source string) error // an error is raised in the cell

	iopub     chan *zmq4.Conn // holds the subscriber
	over      chan struct{}   // closed by close
	executed  int
	listeners []net.Listener
	all       sync.WaitGroup
	once      sync.Once

	mu   sync.Mutex // guards open
	open []net.Conn
}

// listen starts to serve, until close.
func (k *fakeKernel) listen() (jupyter.Connection, error) {
	k.iopub, k.over = make(chan *zmq4.Conn, 1), make(chan struct{})
	conn := jupyter.Connection{Transport: "tcp", IP: "127.0.0.1", StdinPort: 1} // nobody asks for input
	for _, channel := range []struct {
		port  *int
		kind  zmq4.SocketType
		serve func(*zmq4.Conn)
	}{
		{&conn.ShellPort, zmq4.Router, k.shell},
		{&conn.ControlPort, zmq4.Router, k.control},
		{&conn.HBPort, zmq4.Rep, drain},
		{&conn.IOPubPort, zmq4.Pub, func(c *zmq4.Conn) { k.iopub <- c; drain(c) }},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			k.close()
			return conn, err
		}
		*channel.port = l.Addr().(*net.TCPAddr).Port
		k.listeners = append(k.listeners, l)
		k.all.Go(func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				k.all.Go(func() { k.serve(c, channel.kind, channel.serve) })
			}
		})
	}
	return conn, nil
}

func (k *fakeKernel) serve(c net.Conn, kind zmq4.SocketType, serve func(*zmq4.Conn)) {
	defer c.Close()
	k.mu.Lock()
	k.open = append(k.open, c)
	k.mu.Unlock()
	select {
	case <-k.over:
		return
	default:
	}
	if z, err := zmq4.Open(c, null.Security(), kind, nil, true, nil); err == nil {
		serve(z)
	}
}

// close ends the kernel and waits until it is gone.
func (k *fakeKernel) close() {
	for _, l := range k.listeners {
		l.Close()
	}
	k.once.Do(func() { close(k.over) })
	k.mu.Lock()
	for _, c := range k.open {
		c.Close()
	}
	k.mu.Unlock()
	k.all.Wait()
}

func drain(c *zmq4.Conn) {
	for _, err := c.RecvMsg(); err == nil; _, err = c.RecvMsg() {
	}
}

// control agrees to everything.
func (k *fakeKernel) control(c *zmq4.Conn) {
	for msg, err := c.RecvMsg(); err == nil; msg, err = c.RecvMsg() {
		_, parent, _ := request(msg)
		say(c, "shutdown_reply", parent, `{"status": "ok"}`)
	}
}

func (k *fakeKernel) shell(c *zmq4.Conn) {
	var iopub *zmq4.Conn
	select {
	case iopub = <-k.iopub:
	case <-k.over:
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k.all.Go(func() {
		defer cancel()
		<-k.over
	})
	for msg, err := c.RecvMsg(); err == nil; msg, err = c.RecvMsg() {
		kind, parent, source := request(msg)
		if kind == "kernel_info_request" {
			say(c, "kernel_info_reply", parent, `{"protocol_version": "5.3", "language_info": {"name": "fake"}}`)
		} else {
			say(c, "execute_reply", parent, k.run(ctx, source))
		}
		say(iopub, "status", parent, `{"execution_state": "idle"}`)
	}
}

// run executes a cell and returns the content of its reply.
func (k *fakeKernel) run(ctx context.Context, source string) string {
	k.executed++
	reply := map[string]any{"status": "ok", "execution_count": k.executed}
	if err := k.execute(ctx, source); err != nil {
		reply["status"], reply["ename"], reply["evalue"] = "error", "FakeError", err.Error()
	}
	content, err := json.Marshal(reply)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return string(content)
}

// request takes a message apart: its frames end in signature, header, parent header,
// metadata and content.
func request(msg zmq4.Msg) (kind, id, source string) {
	var header struct {
		ID   string `json:"msg_id"`
		Type string `json:"msg_type"`
	}
	var content struct{ Code string }
	if n := len(msg.Frames); n >= 5 {
		_ = json.Unmarshal(msg.Frames[n-4], &header) // a client that sends anything else gets no answer
		_ = json.Unmarshal(msg.Frames[n-1], &content)
	}
	return header.Type, header.ID, content.Code
}

func say(c *zmq4.Conn, kind, parent, content string) {
	_ = c.SendMsg(zmq4.NewMsgFrom( // the client may have gone
		[]byte("<IDS|MSG>"), nil, []byte(`{"msg_id": "x", "msg_type": "`+kind+`", "session": "fake"}`),
		[]byte(`{"msg_id": "`+parent+`"}`), []byte("{}"), []byte(content),
	))
}
