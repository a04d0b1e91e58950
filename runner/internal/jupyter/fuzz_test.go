package jupyter

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// FuzzChannel feeds a peer's bytes through guard, zmq4 and the message decoder.
func FuzzChannel(f *testing.F) {
	router := peerBytes(greetingOf(), readyOf("ROUTER"))
	f.Add(router)
	f.Add(peerBytes(router, longFrame(0, 1<<63-1)))
	f.Add(peerBytes(router, []byte("\x04\x0a\x04PING\x00\x10abc"), []byte("\x01\x09<IDS|MSG>\x01\x00\x01\x02{}\x01\x02{}\x01\x02{}\x00\x02{}")))
	for _, ready := range []string{"\x00", "\x03abc", "\x02ab\x00\x00\x00", "\xff", "\x01a\xff\xff\xff\xff"} {
		body := "\x05READY" + ready
		f.Add(peerBytes(greetingOf(), append([]byte{flagCommand, byte(len(body))}, body...)))
	}
	limits := Limits{Frame: 1 << 10, Message: 2 << 10, Parts: 8}
	f.Fuzz(func(t *testing.T, data []byte) {
		ch, err := handshake(t.Context(), "fuzz", bytesConn{Reader: bytes.NewReader(data)}, zmq4.Dealer, limits)
		if err != nil {
			return
		}
		for {
			frames, cut, err := ch.recv()
			if err != nil {
				return
			}
			size := 0
			for _, frame := range frames {
				size += len(frame)
			}
			if len(frames) > limits.Parts || size > int(limits.Message) {
				t.Fatalf("a message of %d parts and %d bytes came through", len(frames), size)
			}
			if cut == 0 {
				_, _ = decode([]byte("key"), frames)
			}
		}
	})
}

// bytesConn is a connection whose peer has said all it will say.
type bytesConn struct {
	net.Conn
	io.Reader
}

func (c bytesConn) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c bytesConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c bytesConn) Close() error                     { return nil }
func (c bytesConn) SetDeadline(time.Time) error      { return nil }
func (c bytesConn) SetWriteDeadline(time.Time) error { return nil }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"msg_id":"1","msg_type":"stream"}`), []byte(`{"msg_id":"r"}`), []byte(`{"text":"x"}`))
	f.Add([]byte(`{"msg_type":1}`), []byte("null"), []byte(""))
	f.Fuzz(func(t *testing.T, header, parent, content []byte) {
		parts := [][]byte{header, parent, []byte("{}"), content}
		frames := append([][]byte{[]byte(delimiter), sign([]byte("k"), parts)}, parts...)
		m, err := decode([]byte("k"), frames)
		if err == nil && (m.Type == "" || !bytes.Equal(m.Content, content)) {
			t.Fatalf("decoded as %+v", m)
		}
		_ = m.Time()
		_, _ = parseReply(m)
		_ = executionState(m)
	})
}

func FuzzParseConnection(f *testing.F) {
	f.Add((Connection{Transport: "ipc", IP: "/tmp/k", ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5}).File())
	f.Add([]byte(`{"ip":"::1","shell_port":1e3,"curve_secretkey":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConnection(data)
		if err != nil {
			return
		}
		if again, err := ParseConnection(c.File()); err != nil || again != c {
			t.Fatalf("%+v was written and read as %+v, %v", c, again, err)
		}
	})
}
