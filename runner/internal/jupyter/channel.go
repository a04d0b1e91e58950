package jupyter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

const (
	dialPause        = 10 * time.Millisecond // between tries while nobody listens
	forwardPause     = 50 * time.Millisecond // the same through Connection.Dial
	dialTimeout      = 5 * time.Second       // of one try
	handshakeTimeout = 10 * time.Second      // ZMTP, once somebody listens
	writeTimeout     = 10 * time.Second      // of one message; a frozen peer's buffers fill
	writeGrace       = time.Second           // of one message, once its context has ended; of a PONG
)

// channel is one ZMTP connection to a kernel. One goroutine calls recv, any call
// send. The first error of either closes it.
type channel struct {
	name  string
	conn  *guarded
	zmtp  *zmq4.Conn
	write sync.Mutex // guards conn's writing side
}

// openChannel dials a port until somebody listens or ctx ends, and shakes hands.
func openChannel(ctx context.Context, name string, to Connection, port int, kind zmq4.SocketType, limits Limits) (*channel, error) {
	conn, err := to.reach(ctx, port)
	if err != nil {
		return nil, &StartError{Stage: StageDial, Channel: name, Err: err}
	}
	ch, err := handshake(ctx, name, conn, kind, limits)
	if err != nil {
		return nil, &StartError{Stage: StageZMTP, Channel: name, Err: errors.Join(err, conn.Close())}
	}
	return ch, nil
}

// reach connects to one of the kernel's ports, once somebody listens there.
func (c Connection) reach(ctx context.Context, port int) (net.Conn, error) {
	if c.Dial != nil {
		return again(ctx, forwardPause, func() (net.Conn, error) { return c.Dial(ctx, port) })
	}
	network, address := c.endpoint(port)
	return dial(ctx, network, address)
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return again(ctx, dialPause, func() (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil && network == "tcp" && conn.LocalAddr().String() == conn.RemoteAddr().String() {
			// While nobody listens on a port of the ephemeral range, TCP may connect
			// the dialler to itself.
			return nil, errors.Join(errors.New("connected to itself"), conn.Close())
		}
		return conn, err
	})
}

// again dials until somebody listens or ctx ends.
func again(ctx context.Context, pause time.Duration, dial func() (net.Conn, error)) (net.Conn, error) {
	for {
		conn, err := dial()
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, syscall.EINVAL):
			return nil, fmt.Errorf("%w (the path of a Unix socket has at most 107 bytes)", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// handshake makes a ZMTP connection of conn. It does not close conn on errors.
func handshake(ctx context.Context, name string, conn net.Conn, kind zmq4.SocketType, limits Limits) (*channel, error) {
	ch := &channel{name: name}
	ch.conn = &guarded{Conn: conn, guard: newGuard(conn, limits, ch.pong)}

	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	canceled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(canceled)
		_ = conn.SetDeadline(time.Unix(1, 0)) // wakes a read under way
	})
	zmtp, err := open(ch.conn, kind)
	if !stop() {
		<-canceled
		return nil, fmt.Errorf("somebody listens but does not shake hands: %w", context.Cause(ctx))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("somebody listens but does not shake hands: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	ch.zmtp = zmtp
	ch.conn.buffer()
	return ch, nil
}

// open shakes hands. A malformed READY makes zmq4 panic in its parser.
func open(conn net.Conn, kind zmq4.SocketType) (zmtp *zmq4.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			zmtp, err = nil, fmt.Errorf("malformed handshake: %v", p)
		}
	}()
	return zmq4.Open(conn, null.Security(), kind, nil, false, nil)
}

// send writes one message within writeTimeout, or within writeGrace of ctx's end.
// One that is not written whole closes the channel.
func (ch *channel) send(ctx context.Context, frames [][]byte) error {
	ch.write.Lock()
	defer ch.write.Unlock()
	err := ch.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	hurried := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(hurried)
		_ = ch.conn.SetWriteDeadline(time.Now().Add(writeGrace))
	})
	defer func() {
		if !stop() {
			<-hurried // so that it does not hurry the next message
		}
	}()
	if err == nil {
		err = ch.zmtp.SendMsg(zmq4.NewMsgFrom(frames...))
	}
	if err == nil {
		err = ch.conn.out.Flush()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("send on channel %s: %w", ch.name, err), ch.close())
	}
	return nil
}

// recv returns the next message's frames, and how many bytes of it the guard
// dropped because they were over the limits.
func (ch *channel) recv() (frames [][]byte, cut int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			frames, cut, err = nil, 0, errors.Join(violation(fmt.Sprint("malformed message: ", p)), ch.close())
		}
	}()
	msg, err := ch.zmtp.RecvMsg()
	if err != nil {
		return nil, 0, errors.Join(err, ch.close())
	}
	return msg.Frames, ch.conn.guard.takeCut(), nil
}

// pong answers a PING with its context. It runs on the goroutine of recv.
func (ch *channel) pong(pingContext []byte) error {
	ch.write.Lock()
	defer ch.write.Unlock()
	if err := ch.conn.SetWriteDeadline(time.Now().Add(writeGrace)); err != nil {
		return err
	}
	const name = "\x04PONG"
	body := append([]byte(name), pingContext[:min(len(pingContext), 16)]...) // a context has at most 16 bytes
	_, err := ch.conn.Conn.Write(append([]byte{flagCommand, byte(len(body))}, body...))
	return err
}

// close ends recv and send. It is idempotent.
func (ch *channel) close() error {
	if err := ch.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
