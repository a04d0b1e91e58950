package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	httpspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	portforwarding "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
)

// streamsAPI plays the streams of a cluster's API, which may fall silent.
type streamsAPI struct {
	*httptest.Server
	asked chan struct{} // holds an element for each request that nobody answers
	deaf  atomic.Bool   // nothing more is read of what comes
}

// newStreams answers with streams, as a pod whose every port says hello, or not at all.
func newStreams(t *testing.T, webSockets, answers bool) *streamsAPI {
	a := &streamsAPI{asked: make(chan struct{}, 10)}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		overWebSocket := r.Header.Get("Upgrade") == "websocket"
		switch {
		case overWebSocket && !webSockets:
			http.Error(w, "no WebSockets here", http.StatusBadRequest)
		case !answers:
			a.asked <- struct{}{}
			<-r.Context().Done() // until its connection ends
		case overWebSocket:
			websocket.Server{
				Handshake: func(c *websocket.Config, _ *http.Request) error {
					c.Protocol = []string{portforwarding.WebsocketsSPDYTunnelingPrefix + portforward.PortForwardProtocolV1Name}
					return nil
				},
				Handler: func(conn *websocket.Conn) {
					conn.PayloadType = websocket.BinaryFrame
					if streams, err := httpspdy.NewServerConnection(conn, hello); err == nil {
						<-streams.CloseChan()
					}
				},
			}.ServeHTTP(w, r)
		default:
			if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err == nil {
				httpspdy.NewResponseUpgrader().UpgradeResponse(w, r, hello)
			}
		}
	}))
	over := make(chan struct{})
	a.Listener = deafListener{a.Listener, &a.deaf, over}
	a.Start()
	t.Cleanup(func() {
		close(over)
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// hello greets on streams of data.
func hello(stream httpstream.Stream, replied <-chan struct{}) error {
	if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeData {
		go func() {
			<-replied
			_, _ = io.WriteString(stream, "hello")
			_, _ = io.Copy(io.Discard, stream)
		}()
	}
	return nil
}

// deafListener is of connections that may stop to read, until all is over.
type deafListener struct {
	net.Listener
	deaf *atomic.Bool
	over chan struct{}
}

func (l deafListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return deafConn{conn, l}, err
}

type deafConn struct {
	net.Conn
	l deafListener
}

func (c deafConn) Read(p []byte) (int, error) {
	if c.l.deaf.Load() {
		<-c.l.over
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// soon fails a test whose next step hangs.
func soon(t *testing.T, what string, step func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		step()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// bothWays does it with an API that knows WebSockets, and with one that does not.
func bothWays(t *testing.T, do func(t *testing.T, webSockets bool)) {
	t.Run("WebSocket", func(t *testing.T) { do(t, true) })
	t.Run("SPDY", func(t *testing.T) { do(t, false) })
}

func TestForward_AnAPIThatDoesNotAnswerHoldsNobody(t *testing.T) {
	bothWays(t, func(t *testing.T, webSockets bool) {
		a := newStreams(t, webSockets, false)
		f := newForward(&rest.Config{Host: a.URL}, "space", "pod")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		soon(t, "a dial", func() {
			if _, err := f.dial(ctx, portLeash); err == nil {
				t.Error("a dial came through")
			}
		})
		soon(t, "Close", f.Close)
		soon(t, "the connection", a.Server.Close) // which waits for its requests
		if _, err := f.dial(t.Context(), portLeash); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestForward_AWireThatSwallowsPacketsHoldsNobody(t *testing.T) {
	bothWays(t, func(t *testing.T, webSockets bool) {
		a := newStreams(t, webSockets, true)
		f := newForward(&rest.Config{Host: a.URL}, "space", "pod")
		conn, err := f.dial(t.Context(), portShell)
		must(t, err)
		other, err := f.dial(t.Context(), portLeash)
		must(t, err)
		a.deaf.Store(true)
		for err == nil { // until nothing more fits on the way
			must(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
			_, err = conn.Write(make([]byte, 1<<20))
		}
		if !isTimeout(err) {
			t.Fatalf("got %v", err)
		}
		soon(t, "a tunnel's Close", func() { _ = other.Close() })
		soon(t, "the full tunnel's Close", func() { _ = conn.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		soon(t, "another dial", func() {
			if _, err := f.dial(ctx, portShell); err == nil {
				t.Error("another dial came through")
			}
		})
		soon(t, "Close", f.Close)
		soon(t, "the streams", func() { <-conn.(*tunnel).ended })
	})
}

func TestExecer_AnAPIThatDoesNotAnswerHoldsNobody(t *testing.T) {
	bothWays(t, func(t *testing.T, webSockets bool) {
		a := newStreams(t, webSockets, false)
		e := execer{config: &rest.Config{Host: a.URL}, namespace: "space", pod: "pod"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-a.asked
			cancel()
		}()
		soon(t, "a command", func() {
			if err := e.run(ctx, []string{"true"}, strings.NewReader(""), io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	})
}
