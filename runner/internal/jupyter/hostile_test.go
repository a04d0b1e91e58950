package jupyter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// greetingOf is the start of a ZMTP 3.0 stream with NULL security.
func greetingOf() []byte {
	g := make([]byte, greetingBytes)
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:], "NULL")
	return g
}

// readyOf is the READY command of a socket type.
func readyOf(kind string) []byte {
	body := "\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(kind))) + kind
	return append([]byte{flagCommand, byte(len(body))}, body...)
}

func peerBytes(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func longFrame(flags byte, size uint64) []byte {
	frame := []byte{flags | flagLong}
	for shift := 56; shift >= 0; shift -= 8 {
		frame = append(frame, byte(size>>shift))
	}
	return frame
}

// startHostile listens like a kernel whose shell channel says what it wants, and
// whose other channels are well-behaved and silent.
func startHostile(t *testing.T, shell func(net.Conn)) Connection {
	t.Helper()
	conn := ipc(t)
	listen(t, conn, conn.ShellPort, shell)
	listen(t, conn, conn.ControlPort, serveZMTP(zmq4.Router, drain))
	listen(t, conn, conn.IOPubPort, serveZMTP(zmq4.Pub, drain))
	listen(t, conn, conn.HBPort, serveZMTP(zmq4.Rep, drain))
	return conn
}

func TestConnect_SurvivesHostilePeers(t *testing.T) {
	router := peerBytes(greetingOf(), readyOf("ROUTER"))
	say := func(parts ...[]byte) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write(peerBytes(parts...))
			_, _ = io.Copy(io.Discard, c)
		}
	}
	end := func(parts ...[]byte) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write(peerBytes(parts...))
			_ = c.(*net.UnixConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}
	}
	endless := func(piece []byte) func(net.Conn) {
		return func(c net.Conn) {
			_, err := c.Write(router)
			for err == nil {
				_, err = c.Write(piece)
			}
		}
	}
	tests := []struct {
		name  string
		shell func(net.Conn)
		stage Stage
		want  string // in the error
	}{
		{"silent after accept", say(), StageZMTP, "does not shake hands"},
		{"ends at once", end(), StageZMTP, "EOF"},
		{"speaks HTTP", say([]byte("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat("x", 100))), StageZMTP, "greeting"},
		{"half a greeting", say(greetingOf()[:30]), StageZMTP, "does not shake hands"},
		{"other security", say(bytes.Replace(greetingOf(), []byte("NULL"), []byte("CURV"), 1)), StageZMTP, "security"},
		{"other socket type", say(greetingOf(), readyOf("PUB")), StageZMTP, "not compatible"},
		{"malformed READY 1", say(greetingOf(), []byte("\x04\x07\x05READY\x00")), StageZMTP, "malformed"},
		{"malformed READY 2", say(greetingOf(), []byte("\x04\x0a\x05READY\x03abc")), StageZMTP, "malformed"},
		{"huge READY", say(greetingOf(), longFrame(flagCommand, 1<<40)), StageZMTP, "over the limit"},
		{"message before READY", say(greetingOf(), []byte("\x00\x01x")), StageZMTP, "before the handshake"},
		{"frame of 2^31", say(router, longFrame(0, 1<<31)), StageKernelInfo, "over the limit"},
		{"frame of 2^49", say(router, longFrame(0, 1<<49)), StageKernelInfo, "over the limit"},
		{"frame of 2^62", say(router, longFrame(0, 1<<62)), StageKernelInfo, "over the limit"},
		{"frame of 2^63-1", say(router, longFrame(0, 1<<63-1)), StageKernelInfo, "over the limit"},
		{"frame of 2^64-1", say(router, longFrame(0, 1<<64-1)), StageKernelInfo, "over the limit"},
		{"a frame without end", endless(longFrame(0, 1<<31-1)), StageKernelInfo, "deadline"},
		{"parts without end", endless([]byte("\x01\x00")), StageKernelInfo, "over the limit"},
		{"unknown flags", say(router, []byte("\xf0\x01x")), StageKernelInfo, "unknown flags"},
		{"no delimiter", say(router, []byte("\x00\x01x")), StageKernelInfo, "without the delimiter"},
		{"end in mid-frame", end(router, []byte("\x00\x05ab")), StageKernelInfo, "unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := startHostile(t, test.shell)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			before := allocated()
			_, err := Connect(ctx, conn, Options{})
			if grown := allocated() - before; grown > 48<<20 {
				t.Errorf("%d MiB were allocated for it", grown>>20)
			}
			var start *StartError
			if !errors.As(err, &start) || start.Stage != test.stage || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q at stage %s", err, test.want, test.stage)
			}
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestChannel_AnswersPingWithItsContext(t *testing.T) {
	pong := make(chan string, 1)
	conn := startHostile(t, func(c net.Conn) {
		ready := make([]byte, 4<<10)
		_, _ = c.Write(peerBytes(greetingOf(), readyOf("ROUTER")))
		for read := 0; !bytes.Contains(ready[:read], []byte("kernel_info_request")); {
			n, err := c.Read(ready[read:])
			if err != nil {
				return
			}
			read += n
		}
		_, _ = c.Write([]byte("\x04\x0a\x04PING\x00\x10abc"))
		for {
			n, err := c.Read(ready)
			if err != nil {
				return
			}
			if i := bytes.Index(ready[:n], []byte("\x04PONG")); i >= 0 {
				pong <- string(ready[i:n])
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Connect(ctx, conn, Options{})
		failed <- err
	}()
	select {
	case got := <-pong:
		if !strings.HasPrefix(got, "\x04PONGabc") {
			t.Errorf("got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("no PONG")
	}
	cancel()
	<-failed
}

func TestGuard_ReplacesWhatIsTooBigByAnEmptyFrame(t *testing.T) {
	stream := peerBytes(
		greetingOf(), readyOf("PUB"),
		[]byte("\x01\x01a"), longFrame(0, 20), bytes.Repeat([]byte("x"), 20), // the second part is over the frame limit
		[]byte("\x01\x08aaaaaaaa"), []byte("\x01\x08bbbbbbbb"), []byte("\x00\x01c"), // the second is over the message limit
	)
	g := newGuard(bytes.NewReader(stream), Limits{Frame: 10, Message: 12}, nil)
	got, err := io.ReadAll(g)
	if err != nil {
		t.Fatal(err)
	}
	want := peerBytes(greetingOf(), readyOf("PUB"),
		[]byte("\x01\x01a\x00\x00"), []byte("\x01\x08aaaaaaaa"), []byte("\x01\x00"), []byte("\x00\x01c"))
	if !bytes.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if g.takeCut() != 8 {
		t.Error("the dropped bytes of the last message were not counted")
	}
}
