package jupyter

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
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

// commandOf is a command with its name and body.
func commandOf(name, body string) []byte {
	body = string(rune(len(name))) + name + body
	return append([]byte{flagCommand, byte(len(body))}, body...)
}

// readyOf is the READY command of a socket type.
func readyOf(kind string) []byte {
	return commandOf("READY", "\x0bSocket-Type\x00\x00\x00"+string(rune(len(kind)))+kind)
}

func peerBytes(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func longFrame(flags byte, size uint64) []byte {
	frame := []byte{flags | flagLong}
	for shift := 56; shift >= 0; shift -= 8 {
		frame = append(frame, byte(size>>shift))
	}
	return frame
}

// kinds are the socket types of a kernel's channels.
var kinds = [...]struct {
	channel string
	kind    zmq4.SocketType
}{{channelShell, zmq4.Router}, {channelIOPub, zmq4.Pub}, {channelControl, zmq4.Router}, {channelHB, zmq4.Rep}}

// port returns where a channel listens.
func (c Connection) port(channel string) int {
	return map[string]int{channelShell: c.ShellPort, channelIOPub: c.IOPubPort, channelControl: c.ControlPort, channelHB: c.HBPort}[channel]
}

// startHostile listens like a kernel of which one channel says what it wants, and
// the others are well-behaved and silent.
func startHostile(t *testing.T, channel string, serve func(net.Conn)) Connection {
	t.Helper()
	conn := ipc(t)
	for _, k := range kinds {
		if k.channel == channel {
			listen(t, conn, conn.port(channel), serve)
		} else {
			listen(t, conn, conn.port(k.channel), serveZMTP(k.kind, drain))
		}
	}
	return conn
}

// peer is a kernel that answers as it should, but when it is to execute something
// attacks first. It reads nothing but its shell channel.
type peer struct {
	*fakeKernel
	attack func(parent string)        // called before the first answer
	conns  map[string]chan *zmq4.Conn // each holds the channel's connection
	mac    hash.Hash
	sent   int // signed messages
}

// startPeer serves until the test ends.
func startPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{conns: make(map[string]chan *zmq4.Conn)}
	p.fakeKernel = &fakeKernel{t: t, conn: ipc(t), session: "fake", script: func(_ *fakeKernel, request Message) {
		p.attack(request.ID)
		p.status(request.ID, "idle")
	}}
	done := make(chan struct{})
	for _, k := range kinds {
		conns := make(chan *zmq4.Conn, 1)
		p.conns[k.channel] = conns
		listen(t, p.conn, p.conn.port(k.channel), serveZMTP(k.kind, func(c *zmq4.Conn) {
			conns <- c
			if k.channel == channelShell {
				p.shell(c)
			} else {
				<-done
			}
		}))
	}
	p.iopub = p.conns[channelIOPub]
	t.Cleanup(func() { close(done) })
	return p
}

// on returns the connection of a channel.
func (p *peer) on(channel string) *zmq4.Conn {
	c := <-p.conns[channel]
	p.conns[channel] <- c
	return c
}

// text is a text that is too long to be held.
type text struct {
	head, piece string
	times       int
	tail        string
}

func (x text) len() int64 {
	return int64(len(x.head) + len(x.piece)*x.times + len(x.tail))
}

func (x text) writeTo(w io.Writer) error {
	_, err := io.WriteString(w, x.head)
	if x.times > 0 {
		chunk := max(1, 64<<10/max(1, len(x.piece)))
		whole := strings.Repeat(x.piece, min(chunk, x.times))
		for left := x.times; left > 0 && err == nil; left -= chunk {
			_, err = io.WriteString(w, whole[:len(x.piece)*min(chunk, left)])
		}
	}
	if x.tail != "" && err == nil {
		_, err = io.WriteString(w, x.tail)
	}
	return err
}

// headerOf is a header of its own for each message.
func (p *peer) headerOf(kind string) text {
	p.sent++
	return text{head: `{"msg_id":"x` + strconv.Itoa(p.sent) + `","msg_type":"` + kind + `","session":"fake","date":"2026-11-23T06:00:00.5Z"}`}
}

func parentOf(id string) text { return text{head: `{"msg_id":"` + id + `"}`} }

var empty = text{head: "{}"}

// say writes one signed message, which it does not hold.
func (p *peer) say(w *bufio.Writer, parts ...text) error {
	if p.mac == nil {
		p.mac = hmac.New(sha256.New, []byte(p.conn.Key))
	}
	p.mac.Reset()
	for _, part := range parts[:min(len(parts), 4)] {
		_ = part.writeTo(p.mac)
	}
	return p.sayFrames(w, append([]text{{head: delimiter}, {head: hex.EncodeToString(p.mac.Sum(nil))}}, parts...)...)
}

// sayFrames writes one message.
func (p *peer) sayFrames(w *bufio.Writer, frames ...text) error {
	for i, frame := range frames {
		flags := byte(flagMore)
		if i == len(frames)-1 {
			flags = 0
		}
		if _, err := w.Write(longFrame(flags, uint64(frame.len()))); err != nil {
			return err
		}
		if err := frame.writeTo(w); err != nil {
			return err
		}
	}
	return nil
}

// display is the content of a display of a text.
func display(piece string, times int) text {
	return text{head: `{"data":{"text/plain":"`, piece: piece, times: times, tail: `"},"metadata":{},"transient":{}}`}
}

// watchHeap measures how much the heap grows from now until the func it returns is
// called. The collector is made to run often, so that what is measured is what is
// held, and not what it did not come to yet.
func watchHeap(t *testing.T) (growth func() int64) {
	t.Helper()
	ballast, percent := make([]byte, 32<<20), debug.SetGCPercent(collectAt)
	before, stop, peak := liveHeap(), make(chan struct{}), make(chan int64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		ticks := time.NewTicker(2 * time.Millisecond)
		defer ticks.Stop()
		for most := before; ; {
			metrics.Read(sample)
			most = max(most, int64(sample[0].Value.Uint64()))
			select {
			case <-ticks.C:
			case <-stop:
				peak <- most
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		debug.SetGCPercent(percent)
		runtime.KeepAlive(ballast)
		return <-peak - before
	}
}

// wantGoroutines waits until no more goroutines than before are left.
func wantGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// startBystander has another client execute on a well-behaved kernel until the test
// ends. What it returns counts the requests.
func startBystander(t *testing.T) *atomic.Int64 {
	t.Helper()
	k := startFake(t, func(k *fakeKernel, r Message) { k.status(r.ID, "idle") })
	c := connectFake(t, k, Options{timing: timing{heartbeat: time.Hour}}) // which the fake does not answer
	done, executed := make(chan struct{}), new(atomic.Int64)
	stop := make(chan struct{})
	go func() {
		defer close(done)
		ticks := time.NewTicker(5 * time.Millisecond) // leaves the processors to the others
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
			if _, err := c.Execute(context.WithoutCancel(t.Context()), replyOK, nil); err != nil {
				t.Errorf("another run was hurt: %v", err)
				return
			}
			executed.Add(1)
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	return executed
}
