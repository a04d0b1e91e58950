package jupyter

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/google/go-cmp/cmp"
)

// The inputs that every run begins with are in testdata/fuzz, named for what they are.

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

// received is a message as recv gives it.
type received struct {
	Frames [][]byte
	Cut    int64
}

// receive shakes hands with a peer that says data, and reads all its messages.
func receive(t *testing.T, data []byte, limits Limits) (all []received) {
	t.Helper()
	ch, err := handshake(t.Context(), "fuzz", bytesConn{Reader: bytes.NewReader(data)}, zmq4.Dealer, limits)
	for err == nil {
		var m received
		if m.Frames, m.Cut, err = ch.recv(); err == nil {
			all = append(all, m)
		}
	}
	return all
}

// model is what receive is to give of a stream that follows the handshake, by
// https://rfc.zeromq.org/spec/23/#framing.
func model(data []byte, limits Limits) (all []received) {
	var m received
	kept := int64(0)
	for len(data) >= 2 {
		flags, size, rest := data[0], uint64(data[1]), data[2:]
		if flags&flagLong != 0 {
			if len(data) < 9 {
				return all
			}
			size, rest = binary.BigEndian.Uint64(data[1:]), data[9:]
		}
		if flags > flagMore|flagLong|flagCommand || size > uint64(len(rest)) {
			return all
		}
		var frame []byte
		frame, data = rest[:size], rest[size:]
		if flags&flagCommand != 0 {
			if flags&flagMore != 0 || len(m.Frames) > 0 || size > commandLimit {
				return all
			}
			continue
		}
		if len(m.Frames) == limits.Parts {
			return all
		}
		if int64(size) > min(limits.Frame, limits.Message-kept) {
			m.Cut += int64(size)
			frame = nil
		}
		kept += int64(len(frame))
		m.Frames = append(m.Frames, append([]byte{}, frame...))
		if flags&flagMore == 0 {
			all = append(all, m)
			m, kept = received{}, 0
		}
	}
	return all
}

// FuzzChannel gives the client a peer's bytes after the handshake: it must take
// from them the messages that are there, and nothing that is over the limits.
func FuzzChannel(f *testing.F) {
	limits := Limits{Frame: 1 << 10, Message: 2 << 10, Parts: 8}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := receive(t, peerBytes(greetingOf(), readyOf("ROUTER"), data), limits)
		if diff := cmp.Diff(model(data, limits), got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzReady gives the client a peer's greeting and READY: it must refuse them or be
// connected to a socket that fits.
func FuzzReady(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		ch, err := handshake(t.Context(), "fuzz", bytesConn{Reader: bytes.NewReader(data)}, zmq4.Sub, Limits{})
		if err != nil {
			return
		}
		if kind := ch.zmtp.Peer.Meta["Socket-Type"]; kind != "PUB" && kind != "XPUB" {
			t.Errorf("connected to a %q", kind)
		}
		if len(data) < greetingBytes || string(data[12:16]) != "NULL" || data[10] < 3 {
			t.Errorf("connected after the greeting %q", data)
		}
	})
}

func TestChannel_TakesNoMemoryByThePeersWord(t *testing.T) {
	limits := Limits{Frame: 4 << 20, Message: 16 << 20, Parts: 8}
	cost := func(data []byte) int64 {
		before := allocated()
		receive(t, peerBytes(greetingOf(), readyOf("ROUTER"), data), limits)
		return int64(allocated() - before)
	}
	cost(nil)
	idle := cost(nil)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var data []byte
		for range random.IntN(4) {
			data = append(data, longFrame(byte(random.IntN(2)), 100)...)
			data = append(data, make([]byte, 100)...)
		}
		promised := random.Uint64() >> random.IntN(64)
		data = append(data, longFrame(byte(random.IntN(2))|byte(random.IntN(2))<<2, promised)...)
		data = append(data, make([]byte, random.IntN(5000))...)
		if got, most := cost(data)-idle, int64(100*len(data))+limits.Frame+64<<10; got > most {
			t.Fatalf("%d bytes were allocated for %d that came and %d that were promised, more than %d", got, len(data), promised, most)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzDecode gives the client a message whose signature is right: it must take it
// as it is or refuse it.
func FuzzDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, header, parent, content []byte) {
		parts := [][]byte{header, parent, []byte("{}"), content}
		frames := append([][]byte{[]byte(delimiter), sign([]byte("k"), parts)}, parts...)
		m, err := decode([]byte("k"), frames)
		if err == nil && (m.Type == "" || !bytes.Equal(m.Content, content) || len(header) > headerLimit || !json.Valid(header)) {
			t.Fatalf("decoded as %+v", m)
		}
		if at := m.Time(); !at.IsZero() && at.Location() != time.UTC {
			t.Errorf("the time %s is not in UTC", at)
		}
		if r, err := parseReply(m); err == nil {
			if r.Status != "ok" && r.Status != "error" && r.Status != "aborted" || r.Count < 0 || len(r.Traceback) > tracebackLimit+1 {
				t.Errorf("the reply is %+v", r)
			}
		}
		if state := executionState(m); len(state) > smallFrame {
			t.Errorf("a state of %d bytes", len(state))
		}
		if _, err := decode([]byte("other"), frames); err == nil {
			t.Error("decoded with another key")
		}
	})
}

// fuzzed are the messages of FuzzExecute: one a line, of a channel and a type, a
// parent, and the content.
func fuzzed(data []byte) (all []event) {
	kinds := []string{"stream", "status", "execute_reply", "display_data", "clear_output", "execute_input", "comm_msg", "iopub_welcome"}
	parents := []string{"now", "earlier", ""}
	var last [2]Message
	for n, line := range bytes.Split(data, []byte("\n")) {
		if len(line) < 2 {
			continue
		}
		channel, i := channelIOPub, 0
		if line[0]&8 != 0 {
			channel, i = channelShell, 1
		}
		m := Message{ID: strconv.Itoa(n), Type: kinds[line[0]%8], ParentID: parents[int(line[1])%len(parents)], Session: "s", Content: line[2:]}
		all = append(all, newEvent(channel, m, &last[i]))
	}
	return all
}

// FuzzExecute gives a request under way messages in any order, of which the queue
// holds only some, and then the end: the request ends well if both its reply and its
// idle were among them, output comes in order, and nothing stays counted.
func FuzzExecute(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Client{inbox: newInbox(4 << 10), output: true, timing: timing{}.withDefaults(), pending: &request{id: "now"}}
		c.timing.silence = time.Hour
		replied, idle := false, false
		for _, e := range fuzzed(data) {
			if e.channel == channelIOPub && e.msg.Type == "status" && e.msg.ParentID == "now" {
				idle = idle || executionState(e.msg) == "idle"
			}
			if _, err := parseReply(e.msg); err == nil && e.channel == channelShell && e.msg.Type == "execute_reply" && e.msg.ParentID == "now" {
				replied = true
			}
			if !c.inbox.push(e, 0) {
				t.Fatal("a flood, of so little")
			}
		}
		for _, channel := range []string{channelShell, channelIOPub} {
			c.inbox.push(event{channel: channel, err: io.EOF}, 0)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		before := -1
		reply, err := c.Wait(ctx, func(m Message) {
			n, _ := strconv.Atoi(m.ID)
			if n <= before || m.ParentID == "" || m.Own != (m.ParentID == "now") || m.Dropped > 0 && m.Content != nil {
				t.Errorf("after %d came %+v", before, m)
			}
			before = n
		})
		if (err == nil) != (replied && idle) && !reply.AskExit {
			t.Errorf("replied=%v, idle=%v: got %+v, %v", replied, idle, reply, err)
		}
		if ctx.Err() != nil || c.pending != nil {
			t.Error("the request did not end")
		}
		for ok := true; ok; {
			_, ok = c.inbox.pop()
		}
		if c.inbox.bytes != 0 {
			t.Errorf("the empty inbox counts %d bytes", c.inbox.bytes)
		}
	})
}

func FuzzParseConnection(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConnection(data)
		if err != nil {
			return
		}
		if again, err := ParseConnection(c.File()); err != nil || !cmp.Equal(again, c) {
			t.Fatalf("%+v was written and read as %+v, %v", c, again, err)
		}
	})
}
