package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"

	"nbpress/runner/internal/jupyter"
)

// dialer reaches a port of one pod. What listens there speaks first.
type dialer func(ctx context.Context, port int) (net.Conn, error)

// dialTimeout is of one try to reach a port.
const dialTimeout = 5 * time.Second

// dialIP reaches the ports of a pod at its own address.
func dialIP(ip string) dialer {
	dial := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	return func(ctx context.Context, port int) (net.Conn, error) {
		return dial.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	}
}

// connection is that of the kernel which a warden starts, with the attempt's key.
func connection(key string, dial dialer) jupyter.Connection {
	return jupyter.Connection{
		Transport: "tcp", IP: "the pod", Dial: dial,
		ShellPort: portShell, IOPubPort: portIOPub, StdinPort: portStdin, ControlPort: portControl, HBPort: portHeartbeat,
		Key: key, SignatureScheme: "hmac-sha256", KernelName: "python3",
	}
}

// forward reaches the ports of a pod through the cluster's API: one connection, which is made
// when it is first needed and again when it was lost, with two streams for each port that is
// dialled. No port of this machine is opened. Its methods may be called from any goroutine.
type forward struct {
	config         *rest.Config
	namespace, pod string
	connecting     chan struct{} // holds an element while a connection is made

	mu     sync.Mutex // guards what follows; nobody waits for the cluster with it
	conn   httpstream.Connection
	next   int // number of the next pair of streams
	closed bool
}

func newForward(config *rest.Config, namespace, pod string) *forward {
	return &forward{config: config, namespace: namespace, pod: pod, connecting: make(chan struct{}, 1)}
}

// dial implements dialer. It waits for the first that the other side says: a stream to a port
// that nobody listens on is made all the same, and only ends a little later.
func (f *forward) dial(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	type result struct {
		t   *tunnel
		err error
	}
	done := make(chan result)
	go func() {
		t, err := f.open(ctx, port)
		select {
		case done <- result{t, err}:
		case <-ctx.Done():
			if t != nil {
				_ = t.Close()
			}
		}
	}()
	var t *tunnel
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("forward port %d of pod %s: %w", port, f.pod, r.err)
		}
		t = r.t
	case <-ctx.Done():
		return nil, fmt.Errorf("forward port %d of pod %s: %w", port, f.pod, context.Cause(ctx))
	}
	select {
	case <-t.spoke:
		return t, nil
	case <-t.ended:
		return nil, fmt.Errorf("forward port %d of pod %s: %w", port, f.pod, t.reason())
	case <-ctx.Done():
		_ = t.Close()
		return nil, fmt.Errorf("forward port %d of pod %s: nobody greets us: %w", port, f.pod, context.Cause(ctx))
	}
}

// forwardTimeout is of one try to reach a port through the API.
const forwardTimeout = 15 * time.Second

// open makes the streams to a port, and the connection before where there is none.
func (f *forward) open(ctx context.Context, port int) (*tunnel, error) {
	conn, number, err := f.connection(ctx)
	if err != nil {
		return nil, err
	}
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(number))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failures, err := conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	if err := failures.Close(); err != nil { // we have nothing to say on it
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a stream: %w", err), failures.Reset())
	}
	return newTunnel(conn, data, failures), nil
}

// connection returns the connection to the pod, and a number for a new pair of streams.
func (f *forward) connection(ctx context.Context) (httpstream.Connection, int, error) {
	select {
	case f.connecting <- struct{}{}:
		defer func() { <-f.connecting }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	conn, number, err := f.present()
	if conn != nil || err != nil {
		return conn, number, err
	}
	if conn, err = f.connect(ctx); err != nil {
		return nil, 0, fmt.Errorf("connect to the pod through the cluster's API: %w", err)
	}
	if !f.keep(conn) { // closed meanwhile
		_ = conn.Close()
		return nil, 0, net.ErrClosed
	}
	return conn, number, nil
}

// present returns the connection, nil where there is none, and a number for a new pair of
// streams.
func (f *forward) present() (httpstream.Connection, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, 0, net.ErrClosed
	}
	if f.conn != nil {
		select {
		case <-f.conn.CloseChan():
			f.conn = nil
		default:
		}
	}
	f.next++
	return f.conn, f.next, nil
}

// keep takes a new connection, unless we are closed.
func (f *forward) keep(conn httpstream.Connection) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.conn = conn
	}
	return !f.closed
}

func (f *forward) connect(ctx context.Context) (httpstream.Connection, error) {
	address, err := podURL(f.config, f.namespace, f.pod, "portforward")
	if err != nil {
		return nil, err
	}
	conn, err := forwardOverWebSocket(ctx, f.config, address)
	if err != nil && isNoWebSocket(err) {
		return forwardOverSPDY(ctx, f.config, address)
	}
	return conn, err
}

// Close ends the connection and all that goes through it. It is idempotent.
func (f *forward) Close() {
	f.mu.Lock()
	f.closed = true
	conn := f.conn
	f.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // it may have ended
	}
}

// tunnel is a connection to a port of a pod. The streams know no deadlines: a pipe in front
// of them does.
type tunnel struct {
	net.Conn          // the near end of the pipe
	far      net.Conn // which the streams are copied from and to

	spoke chan struct{} // closed when the other side has said something
	ended chan struct{} // closed when the streams have

	once   sync.Once
	finish func()
	mu     sync.Mutex // guards what follows
	why    error
}

func newTunnel(conn httpstream.Connection, data, failures httpstream.Stream) *tunnel {
	near, far := net.Pipe()
	t := &tunnel{Conn: near, far: far, spoke: make(chan struct{}), ended: make(chan struct{})}
	t.finish = func() {
		_ = far.Close()
		go func() { // a wire that swallows packets holds this until it is cut
			_ = data.Reset() // what is under way is of no use to anybody
			_ = failures.Reset()
			conn.RemoveStreams(data, failures)
		}()
	}
	var streams sync.WaitGroup
	told := make(chan struct{})
	streams.Go(func() {
		defer close(told)
		message, err := io.ReadAll(io.LimitReader(failures, wordsLimit))
		if len(message) > 0 {
			t.fail(errors.New(strings.ToValidUTF8(string(message), "\uFFFD")))
			t.end()
		} else if err != nil {
			t.fail(err)
		}
	})
	streams.Go(func() {
		defer t.end()
		defer func() { // the reason comes on the other stream
			select {
			case <-told:
			case <-time.After(reasonTimeout):
			}
		}()
		buffer := make([]byte, 32<<10)
		silent := true
		for {
			n, err := data.Read(buffer)
			if n > 0 && silent {
				close(t.spoke)
				silent = false
			}
			if n > 0 { // a pipe waits for a reader of nothing, too
				_, writeErr := far.Write(buffer[:n])
				err = cmp.Or(err, writeErr)
			}
			if err != nil {
				return
			}
		}
	})
	go func() { // ends with the pipe
		_, _ = io.Copy(data, far)
		t.end()
	}()
	go func() {
		streams.Wait()
		close(t.ended)
	}()
	return t
}

// reasonTimeout is how long the reason for a stream's end may come after it.
const reasonTimeout = time.Second

// fail remembers the first reason for the end.
func (t *tunnel) fail(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		t.why = why
	}
}

func (t *tunnel) reason() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		return io.EOF
	}
	return t.why
}

// end lets go of the streams.
func (t *tunnel) end() { t.once.Do(t.finish) }

// Read says why the connection ended, as far as the cluster told.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		if why := t.reason(); !errors.Is(why, io.EOF) {
			return n, fmt.Errorf("%w: %w", io.EOF, why)
		}
	}
	return n, err
}

// Close implements net.Conn.
func (t *tunnel) Close() error {
	t.end()
	return t.Conn.Close()
}
