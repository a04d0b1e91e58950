package jupyter

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zeromq/zmq4"
)

// The names of a kernel's channels. Stdin is not opened: requests say that no
// input is to be had.
const (
	channelShell   = "shell"
	channelIOPub   = "iopub"
	channelControl = "control"
	channelHB      = "hb"
)

// Options are a client's collaborators. The zero value works.
type Options struct {
	Limits Limits
	Dead   <-chan struct{} // closed when the sandbox knows that the kernel is gone; nil: it never knows
	Log    *slog.Logger    // nil: no log

	// Silence is how long a kernel may owe half of a cell's end; default 30 s.
	Silence time.Duration

	timing timing // tests shorten it
}

// timing holds the client's own deadlines. Zero fields mean the defaults.
type timing struct {
	probe     time.Duration // between kernel_info requests while the kernel starts
	silence   time.Duration // Options.Silence
	drain     time.Duration // for the last output after a death was noticed
	heartbeat time.Duration // between heartbeats
	frozen    time.Duration // without a heartbeat: dead
}

func (t timing) withDefaults() timing {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&t.probe, 500*time.Millisecond)
	set(&t.silence, 30*time.Second)
	set(&t.drain, 500*time.Millisecond)
	set(&t.heartbeat, 5*time.Second)
	set(&t.frozen, 60*time.Second)
	return t
}

// Client talks to one kernel process. Execute, Wait and Drain are for one
// goroutine at a time; the other methods may be called from any.
type Client struct {
	key     []byte
	session string
	count   atomic.Int64 // of messages sent
	timing  timing
	log     *slog.Logger
	dead    <-chan struct{}

	shell, iopub, control, hb *channel

	arrivals arrivals      // of all channels
	inbox    *inbox        // from shell and iopub, to whoever executes
	replies  chan Message  // from control
	ended    chan struct{} // closed when the control channel ended
	closing  chan struct{} // closed by Close
	doubts   chan struct{} // holds a token when a heartbeat is due out of turn
	readers  sync.WaitGroup
	once     sync.Once

	unanswered atomic.Pointer[time.Time] // when the heartbeat was sent that is out; nil: none is

	info Info // set by Connect

	consumer sync.Mutex // guards what follows: held while executing
	pending  *request   // nil: none under way
	gone     error      // why the kernel cannot be used any more
	output   bool       // the output channel still delivers
	answers  bool       // the shell channel does
}

// Info is what a kernel says about itself.
type Info struct {
	ProtocolVersion string          `json:"protocol_version"`
	Implementation  string          `json:"implementation"`
	Version         string          `json:"implementation_version"`
	LanguageInfo    json.RawMessage `json:"language_info"`      // an object, as notebooks store it
	Features        []string        `json:"supported_features"` // may be nil

	session string // the kernel process's
}

// Connect dials the kernel's channels, trying again while nobody listens, and
// returns when the kernel has answered and a message of its output channel has
// been seen. It waits until ctx ends or o.Dead is closed. The error is a
// *StartError, which for a dead kernel wraps a *KernelDied.
func Connect(ctx context.Context, conn Connection, o Options) (*Client, error) {
	if err := conn.validate(); err != nil {
		return nil, &StartError{Stage: StageDial, Err: err}
	}
	c := &Client{
		key:     []byte(conn.Key),
		session: rand.Text(),
		timing:  o.timing.withDefaults(),
		log:     o.Log,
		dead:    o.Dead,
		inbox:   newInbox(o.Limits.withDefaults().Queue),
		replies: make(chan Message, 16),
		ended:   make(chan struct{}),
		closing: make(chan struct{}),
		doubts:  make(chan struct{}, 1),
		output:  true,
		answers: true,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.timing.silence = cmp.Or(o.Silence, c.timing.silence)
	ctx, stop := c.whileAlive(ctx)
	defer stop()
	if err := c.open(ctx, conn, o.Limits); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.read()
	if err := c.greet(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// whileAlive returns a context that also ends when the kernel is known to be dead.
func (c *Client) whileAlive(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-c.dead:
			cancel(&KernelDied{Reason: "it ended before it answered"})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-watched
	}
}

// open dials the four channels. Kernels bind the heartbeat last.
func (c *Client) open(ctx context.Context, conn Connection, limits Limits) error {
	limits = limits.withDefaults()
	replies := limits
	// A payload stands in the one frame that decides about the cell.
	replies.Frame = limits.Message
	acknowledgements := Limits{Frame: 64 << 10, Message: 128 << 10, Parts: 64} // of interrupts and of a shutdown
	beats := Limits{Frame: 4 << 10, Message: 8 << 10, Parts: 16}
	for _, o := range []struct {
		channel **channel
		name    string
		port    int
		kind    zmq4.SocketType
		limits  Limits
	}{
		{&c.shell, channelShell, conn.ShellPort, zmq4.Dealer, replies},
		{&c.control, channelControl, conn.ControlPort, zmq4.Dealer, acknowledgements},
		{&c.iopub, channelIOPub, conn.IOPubPort, zmq4.Sub, limits},
		{&c.hb, channelHB, conn.HBPort, zmq4.Req, beats},
	} {
		ch, err := openChannel(ctx, o.name, conn, o.port, o.kind, o.limits)
		if err != nil {
			return err
		}
		*o.channel = ch
	}
	subscribeToAll := [][]byte{{1}} // https://rfc.zeromq.org/spec/23/#the-publish-subscribe-pattern
	if err := c.iopub.send(ctx, subscribeToAll); err != nil {
		return &StartError{Stage: StageZMTP, Channel: channelIOPub, Err: err}
	}
	return nil
}

// greet asks the kernel who it is until it has answered and its output is seen.
// Any message on iopub proves that the subscription works; protocol versions do
// not tell whether a kernel sends iopub_welcome (see JEP 65).
func (c *Client) greet(ctx context.Context) error {
	probes := make(map[string]bool)
	answered, seen := false, false
	probe := time.NewTimer(0)
	defer probe.Stop()
	for !answered || !seen {
		if ctx.Err() != nil { // however much there is to read
			return c.silent(ctx, answered)
		}
		e, ok := c.inbox.pop()
		switch {
		case ok && e.err != nil:
			return &StartError{Stage: stageOf(answered), Channel: e.channel, Err: c.cause(e)}
		case ok && e.channel == channelIOPub:
			seen = true
			continue
		case ok && e.msg.Type == "kernel_info_reply" && probes[e.msg.ParentID]:
			if err := c.learn(e.msg); err != nil {
				return &StartError{Stage: StageKernelInfo, Err: err}
			}
			answered = true
			probe.Reset(c.timing.probe / 10) // it is up: ask again soon if only its output is missing
			continue
		case ok:
			continue
		}
		select {
		case <-c.inbox.wake:
		case <-probe.C:
			id, err := c.request(ctx, c.shell, "kernel_info_request", struct{}{})
			if err != nil && !errors.Is(err, net.ErrClosed) { // if closed, its reader says why
				return &StartError{Stage: stageOf(answered), Channel: channelShell, Err: err}
			}
			probes[id] = true
			probe.Reset(c.timing.probe)
		case <-ctx.Done():
			return c.silent(ctx, answered)
		}
	}
	return nil
}

func stageOf(answered bool) Stage {
	if answered {
		return StageIOPub
	}
	return StageKernelInfo
}

// silent says why a kernel that let us connect did not become ready.
func (c *Client) silent(ctx context.Context, answered bool) error {
	cause := context.Cause(ctx)
	var died *KernelDied
	switch {
	case errors.As(cause, &died):
		return &StartError{Stage: stageOf(answered), Err: cause}
	case answered:
		return &StartError{Stage: StageIOPub, Err: fmt.Errorf("the kernel answers, but nothing arrives on its output channel: %w", cause)}
	}
	return &StartError{Stage: StageKernelInfo, Err: fmt.Errorf("the kernel listens but does not answer; "+
		"either it is still starting or it uses another key than the connection file's: %w", cause)}
}

// infoLimit is far more bytes than any kernel says of itself; they are kept.
const infoLimit = 1 << 20

func (c *Client) learn(m Message) error {
	if n := int64(len(m.Content)) + m.Dropped; n > infoLimit {
		return &LimitError{What: "bytes of a kernel_info_reply", Got: uint64(n), Limit: infoLimit}
	}
	if err := unmarshalObject(m.Content, &c.info); err != nil {
		return fmt.Errorf("kernel_info_reply: %w", err)
	}
	if len(c.info.ProtocolVersion) < 2 || c.info.ProtocolVersion[:2] != "5." {
		return fmt.Errorf("the kernel speaks version %q of the messaging protocol, want 5.x", c.info.ProtocolVersion)
	}
	if len(c.info.LanguageInfo) == 0 || c.info.LanguageInfo[0] != '{' {
		return errors.New("the kernel does not say what language it is in: its kernel_info_reply has no language_info")
	}
	c.info.session = m.Session
	return nil
}

// Info returns what the kernel said about itself when it was connected to.
func (c *Client) Info() Info { return c.info }

// request signs a message and sends it, and returns its id.
func (c *Client) request(ctx context.Context, ch *channel, kind string, content any) (string, error) {
	h := header{
		MsgID:    c.session + "_" + strconv.FormatInt(c.count.Add(1), 10),
		MsgType:  kind,
		Username: "nbpress",
		Session:  c.session,
		Date:     time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"),
		Version:  "5.3",
	}
	frames, err := encode(c.key, h, content)
	if err != nil {
		return "", err
	}
	return h.MsgID, ch.send(ctx, frames)
}

// SendComm sends a comm_msg: data is for the object of the kernel's that opened the
// comm, or whose comm was opened to it. What it does to the kernel is seen as output
// of another parent, while something executes or in Drain.
func (c *Client) SendComm(ctx context.Context, commID string, data any) error {
	_, err := c.request(ctx, c.shell, "comm_msg", struct {
		CommID string `json:"comm_id"`
		Data   any    `json:"data"`
	}{commID, data})
	if err != nil {
		return fmt.Errorf("send a message to comm %s: %w", commID, err)
	}
	return nil
}

// Interrupt asks the kernel to interrupt what it executes, on the control channel.
// It does not wait: whether it helped is seen by Wait. A kernel that is busy in C
// code may take any time to heed it.
func (c *Client) Interrupt(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.request(ctx, c.control, "interrupt_request", struct{}{})
	return err
}

// Unanswered returns for how long the kernel has not answered its heartbeat. Wait sends
// one. Whatever the code does, a process that runs answers within milliseconds.
func (c *Client) Unanswered() time.Duration {
	sent := c.unanswered.Load()
	if sent == nil {
		return 0
	}
	return time.Since(*sent)
}

// Shutdown asks the kernel to end and returns when it has agreed or is gone, or
// with ctx's error.
func (c *Client) Shutdown(ctx context.Context) error {
	id, err := c.request(ctx, c.control, "shutdown_request", map[string]bool{"restart": false})
	replies := c.replies
	if err != nil {
		replies = nil // the channel was closed with that, so its reader ends
	}
	for {
		select {
		case m := <-replies:
			if m.ParentID == id {
				return nil
			}
		case <-c.ended:
			return nil
		case <-c.dead:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("shut the kernel down: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// Close drops the connections and waits for the client's goroutines. The kernel
// lives on. It is idempotent.
func (c *Client) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closing)
		for _, ch := range []*channel{c.shell, c.control, c.iopub, c.hb} {
			if ch != nil {
				err = errors.Join(err, ch.close())
			}
		}
	})
	c.readers.Wait()
	return err
}
