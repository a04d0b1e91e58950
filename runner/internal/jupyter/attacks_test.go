package jupyter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
)

// outlet is a channel as its peer sees it.
type outlet struct {
	*bufio.Writer
	conn *zmq4.Conn
}

// attack is what a peer does on one of its channels.
type attack func(p *peer, w outlet, parent string)

// raw writes bytes.
func raw(parts ...[]byte) attack {
	return func(_ *peer, w outlet, _ string) { _, _ = w.Write(peerBytes(parts...)) }
}

// times writes a piece so often, or until the client gives up.
func times(n int, piece string) attack {
	return func(_ *peer, w outlet, _ string) { _ = text{piece: piece, times: n}.writeTo(w) }
}

// cut writes bytes and ends the connection.
func cut(parts ...[]byte) attack {
	return func(_ *peer, w outlet, _ string) {
		_, _ = w.Write(peerBytes(parts...))
		_ = w.Flush()
		_ = w.conn.Close()
	}
}

// drip writes a byte now and then, until the client gives up.
func drip(_ *peer, w outlet, _ string) {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for _, b := range append(longFrame(0, 1<<20), make([]byte, 1<<20)...) {
		if w.WriteByte(b) != nil || w.Flush() != nil {
			return
		}
		<-ticks.C
	}
}

// says writes signed messages of a content each.
func says(n int, kind string, content func(n int) text) attack {
	return func(p *peer, w outlet, parent string) {
		for i := range n {
			if p.say(w.Writer, p.headerOf(kind), parentOf(parent), empty, content(i)) != nil {
				return
			}
		}
	}
}

func always(x text) func(int) text { return func(int) text { return x } }

// heading says one display under another header.
func heading(header text) attack {
	return func(p *peer, w outlet, parent string) {
		_ = p.say(w.Writer, header, parentOf(parent), empty, display("x", 1))
	}
}

// named says displays whose header has another value in one field.
func named(n int, field string, value text) attack {
	return func(p *peer, w outlet, parent string) {
		for range n {
			header := p.headerOf("display_data")
			header.head = strings.TrimSuffix(header.head, "}") + `,"` + field + `":"` + value.head
			header.piece, header.times, header.tail = value.piece, value.times, value.tail+`"}`
			if p.say(w.Writer, header, parentOf(parent), empty, display("x", 1)) != nil {
				return
			}
		}
	}
}

// deep is an object so many levels deep.
func deep(n int) text {
	return text{head: `{"x":`, piece: "[", times: n - 1, tail: strings.Repeat("]", n-1) + "}"}
}

const (
	onAll    = channelShell + " " + channelIOPub + " " + channelControl + " " + channelHB
	onSigned = channelShell + " " + channelIOPub + " " + channelControl // whose messages are read
)

// hostileCase is what a peer may do when it is to execute something; after that it
// answers as it should.
type hostileCase struct {
	name   string
	on     string // channels
	attack attack
	want   string // in the client's error; "" for none. What the heartbeat says is not read, so nothing there hurts
	stuck  bool   // nobody consumes until the attack is over
	kept   int    // so many messages arrive, and nothing of any is dropped; 0: that does not matter
}

func framingCases() []hostileCase {
	return []hostileCase{
		{name: "frame of 2^31", on: onAll, attack: raw(longFrame(0, 1<<31)), want: "over the limit"},
		{name: "frame of 2^49", on: onAll, attack: raw(longFrame(0, 1<<49)), want: "over the limit"},
		{name: "frame of 2^62", on: onAll, attack: raw(longFrame(0, 1<<62)), want: "over the limit"},
		{name: "frame of 2^63-1", on: onAll, attack: raw(longFrame(0, 1<<63-1)), want: "over the limit"},
		{name: "frame of 2^64-1", on: onAll, attack: raw(longFrame(0, 1<<64-1)), want: "over the limit"},
		{name: "command of 2^64-1", on: onAll, attack: raw(longFrame(flagCommand, 1<<64-1)), want: "over the limit"},
		{name: "a frame of 512 MB that comes", on: channelIOPub, attack: func(p *peer, w outlet, parent string) {
			_, _ = w.Write(longFrame(0, 1<<29))
			_ = text{piece: strings.Repeat("x", 1<<16), times: 1 << 13}.writeTo(w)
		}, want: "without the delimiter"},
		{name: "100,000 parts", on: onAll, attack: times(100_000, "\x01\x01x"), want: "over the limit"},
		{name: "a million tiny frames", on: onAll, attack: times(1e6, "\x01\x00"), want: "over the limit"},
		{name: "a million tiny messages", on: onAll, attack: times(1e6, "\x00\x00"), want: "without the delimiter"},
		{name: "unknown flags", on: onAll, attack: raw([]byte("\xf0\x01x")), want: "unknown flags"},
		{name: "a second READY", on: onAll, attack: raw(readyOf("ROUTER"))},
		{name: "unknown commands", on: onAll, attack: times(100_000, string(commandOf("ERROR", "\x03bad")))},
		{name: "a command inside a message", on: onAll, attack: raw([]byte("\x01\x01x"), commandOf("PING", "\x00\x10")), want: "inside a message"},
		{name: "PINGs, and reads no PONG", on: onAll, attack: times(1<<40, string(commandOf("PING", "\x00\x10a-long-context--"))), want: "channel ended"},
		{name: "closes in a length", on: onAll, attack: cut(longFrame(0, 5)[:4]), want: "channel ended"},
		{name: "closes in a frame", on: onAll, attack: cut(longFrame(0, 5), []byte("ab")), want: "channel ended"},
		{name: "closes between parts", on: onAll, attack: cut([]byte("\x01\x01a\x01\x01b")), want: "channel ended"},
		{name: "closes", on: onAll, attack: cut(), want: "channel ended"},
		{name: "a byte now and then", on: onAll, attack: drip, want: "deadline"},
		{name: "announces 16 MiB and says nothing", on: channelControl + " " + channelHB, attack: raw(longFrame(0, 16<<20), []byte("x"))},
		{name: "announces 16 MiB and goes on", on: channelIOPub + " " + channelShell, attack: raw(longFrame(0, 16<<20), []byte("x")), want: "deadline"},
	}
}

func signingCases() []hostileCase {
	return []hostileCase{
		{name: "wrong signature", on: onSigned, attack: func(p *peer, w outlet, parent string) {
			_ = p.sayFrames(w.Writer, text{head: delimiter}, text{piece: "0", times: 64}, p.headerOf("stream"), parentOf(parent), empty, empty)
		}, want: "bad signature"},
		{name: "empty signature", on: onSigned, attack: func(p *peer, w outlet, parent string) {
			_ = p.sayFrames(w.Writer, text{head: delimiter}, text{}, p.headerOf("stream"), parentOf(parent), empty, empty)
		}, want: "bad signature"},
		{name: "signature of 1 MB", on: channelIOPub, attack: func(p *peer, w outlet, parent string) {
			_ = p.sayFrames(w.Writer, text{head: delimiter}, text{piece: "0", times: 1e6}, p.headerOf("stream"), parentOf(parent), empty, empty)
		}, want: "bad signature"},
		{name: "a message replayed 10,000 times", on: onSigned, attack: func(p *peer, w outlet, parent string) {
			for range 10_000 {
				p.sent = 0
				if p.say(w.Writer, p.headerOf("stream"), parentOf(parent), empty, empty) != nil {
					return
				}
			}
		}},
		{name: "no delimiter", on: onSigned, attack: raw([]byte("\x00\x01x")), want: "without the delimiter"},
		{name: "no content", on: onSigned, attack: raw([]byte("\x01\x09" + delimiter + "\x00\x00")), want: "frames after the delimiter"},
	}
}

func contentCases() []hostileCase {
	return []hostileCase{
		{name: "a million signed displays", on: channelIOPub, attack: says(million, "display_data", always(display("x", 1)))},
		{name: "signed replies without end", on: channelShell + " " + channelControl, attack: says(million/20, "inspect_reply", always(empty))},
		{name: "10,001 deep in the header", on: onSigned, attack: heading(deep(10_001)), want: "max depth"},
		{name: "10,001 deep in the parent header", on: onSigned, attack: func(p *peer, w outlet, _ string) {
			_ = p.say(w.Writer, p.headerOf("stream"), deep(10_001), empty, empty)
		}, want: "max depth"},
		{name: "10,001 deep in metadata", on: onSigned, attack: func(p *peer, w outlet, parent string) {
			_ = p.say(w.Writer, p.headerOf("stream"), parentOf(parent), deep(10_001), empty)
		}},
		{name: "10,001 deep in a display", on: onSigned, attack: says(1, "display_data", always(deep(10_001)))},
		{name: "10,001 deep in a status", on: channelIOPub, attack: says(1, "status", always(deep(10_001)))},
		{name: "10,001 deep in a reply", on: channelShell, attack: says(1, "execute_reply", always(deep(10_001))), want: "max depth"},
		{name: `20 MB of {"a":1},`, on: onSigned, attack: says(1, "display_data", always(objects(20e6)))},
		{name: `15 MB of {"a":1},`, on: onSigned, attack: says(1, "display_data", always(objects(15e6)))},
		{name: "a header of 16 MB", on: onSigned, attack: heading(text{head: "{", piece: `"a":1,`, times: 16_000_000 / 6, tail: `"b":1}`}), want: "header"},
		{name: "a message id of 16 MB", on: onSigned, attack: named(1, "msg_id", text{piece: "x", times: 16e6}), want: "header"},
		{name: "a type of 15 MB", on: onSigned, attack: named(1, "msg_type", text{piece: "x", times: 15e6}), want: "header"},
		{name: "600 types of 60 KB", on: channelIOPub, attack: named(600, "msg_type", text{piece: "x", times: 60_000}), stuck: true},
		{name: "NUL and what is not UTF-8 in names", on: onSigned, attack: named(1000, "msg_type", text{head: "\\u0000\xff\xc3(\xed\xa0\x80\\ud800"})},
		{name: "a date that is none", on: onSigned, attack: named(1000, "date", text{head: "9999-99-99T99:99:99.999999999999Z"})},
		{name: "numbers where texts belong", on: onSigned, attack: heading(text{head: `{"msg_id":1,"msg_type":"stream","session":{},"date":[],"version":null}`})},
	}
}

// objects are about n bytes of a display that would take many times that as a tree.
func objects(n int) text {
	return text{head: `{"data":{"application/json":[`, piece: `{"a":1},`, times: n / 8, tail: `{}]},"metadata":{}}`}
}

func replyCases() []hostileCase {
	reply := func(head, piece string, times int, tail string) attack {
		return says(1, "execute_reply", always(text{head: `{"status":"ok",` + head, piece: piece, times: times, tail: tail + "}"}))
	}
	return []hostileCase{
		{name: "execution count of 2^63", on: channelShell, attack: reply(`"execution_count":9223372036854775808`, "", 0, "")},
		{name: "execution count of 1.5", on: channelShell, attack: reply(`"execution_count":1.5`, "", 0, "")},
		{name: "execution count of -1", on: channelShell, attack: reply(`"execution_count":-1`, "", 0, "")},
		{name: "execution count as a text", on: channelShell, attack: reply(`"execution_count":"one"`, "", 0, "")},
		{name: "a traceback of a million lines", on: channelShell, attack: reply(`"traceback":[`, `"",`, 1e6, `""]`)},
		{name: "a traceback of 8 MB of numbers", on: channelShell, attack: reply(`"traceback":[`, `1,`, 4e6, `1]`)},
		{name: "4 million payloads", on: channelShell, attack: reply(`"payload":[`, `1,`, 4e6, `1]`)},
		{name: "an exception of 8 MB of escapes", on: channelShell, attack: reply(`"evalue":"`, `\u0001`, 8_000_000/6, `"`)},
		{name: "an exception of 20 MB", on: channelShell, attack: reply(`"evalue":"`, `x`, 20e6, `"`)},
	}
}

// stuckCases are of a consumer that takes nothing while they last.
func stuckCases() []hostileCase {
	return []hostileCase{
		{name: "60,000 displays", on: channelIOPub, attack: says(60_000, "display_data", func(n int) text { return display(strconv.Itoa(n), 1) }), stuck: true, kept: 60_000},
		{name: "200 MB of displays", on: channelIOPub, attack: says(200, "display_data", always(display("x", 1e6))), stuck: true},
		{name: "150 MB in frames of 15 MB", on: channelIOPub, attack: says(10, "display_data", always(display("x", 15e6))), stuck: true},
		{name: "many small displays", on: channelIOPub, attack: says(smallFloods, "display_data", always(display("x", 1))), stuck: true},
		{name: "many states", on: channelIOPub, attack: says(smallFloods, "status", always(empty)), stuck: true, want: "floods"},
		{name: "displays of many requests", on: channelIOPub, attack: func(p *peer, w outlet, _ string) {
			for i := range smallFloods {
				if p.say(w.Writer, p.headerOf("stream"), parentOf(fmt.Sprint(i)), empty, display("x", 100)) != nil {
					return
				}
			}
		}, stuck: true, want: "floods"},
		{name: "20 replies of 7 MB", on: channelShell, attack: says(20, "inspect_reply", always(display("x", 7e6))), stuck: true},
		{name: "20 replies of 7 MB, of which nobody knows", on: channelControl, attack: says(20, "inspect_reply", always(display("x", 7e6))), stuck: true},
		{name: "all at once", on: channelIOPub, attack: func(p *peer, w outlet, parent string) {
			says(40, "display_data", always(display("x", 1e6)))(p, w, parent)
			_, _ = w.Write(longFrame(0, 16<<20))
			_ = text{piece: "x", times: 10e6}.writeTo(w)
			_ = w.Flush()
			for _, channel := range [...]string{channelControl, channelHB} {
				other := outlet{bufio.NewWriter(p.on(channel)), p.on(channel)}
				says(100, "x", always(display("x", 60_000)))(p, other, parent)
				_ = other.Flush()
			}
			shell := outlet{bufio.NewWriter(p.on(channelShell)), p.on(channelShell)}
			says(1, "execute_reply", always(text{head: `{"status":"ok","evalue":"`, piece: `\u0001`, times: 8_000_000 / 6, tail: `"}`}))(p, shell, parent)
			_ = shell.Flush()
		}, stuck: true, want: "deadline"},
	}
}

func TestExecute_SurvivesHostilePeers(t *testing.T) {
	others := startBystander(t)
	var cases []hostileCase
	for _, more := range [...][]hostileCase{framingCases(), signingCases(), contentCases(), replyCases(), stuckCases()} {
		cases = append(cases, more...)
	}
	for _, test := range cases {
		for _, channel := range strings.Fields(test.on) {
			want := test.want
			if channel == channelHB && want != "deadline" {
				want = ""
			}
			before := runtime.NumGoroutine()
			t.Run(test.name+"/"+channel, func(t *testing.T) { survives(t, test, channel, want, others) })
			wantGoroutines(t, before)
		}
	}
}

// survives executes while a peer attacks.
func survives(t *testing.T, test hostileCase, channel, want string, others *atomic.Int64) {
	p := startPeer(t)
	over := make(chan struct{})
	p.attack = func(parent string) {
		p.attack = func(string) {}
		defer close(over)
		if test.stuck {
			p.publish("stream", parent, "{}") // what the consumer gets stuck on
		}
		w := outlet{bufio.NewWriterSize(p.on(channel), 64<<10), p.on(channel)}
		test.attack(p, w, parent)
		_ = w.Flush()
	}
	limit := 5 * time.Minute
	if want == "deadline" {
		limit = 3 * time.Second
	}
	growth, started, executed := watchHeap(t), time.Now(), others.Load()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := Connect(ctx, p.conn, Options{timing: timing{frozen: 2 * limit}}) // an attack takes minutes on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	seen, dropped := 0, int64(0)
	reply, err := c.Execute(ctx, replyOK, func(m Message) {
		if test.stuck {
			select {
			case <-over:
			case <-ctx.Done():
			}
		}
		seen++
		dropped += m.Dropped
	})
	if channel == channelControl && want != "" && err == nil {
		<-c.ended
	}
	for range 2 { // good answers may have been faster than what was wrong
		if want != "" && err == nil {
			_, err = c.Execute(ctx, replyOK, nil)
		}
	}
	took := time.Since(started)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(time.Minute); others.Load() == executed; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("another run stands still")
		}
	}
	grown := growth()
	t.Logf("grew by %.1f MB in %d ms: %d messages, %.1f MB dropped, %s, %v", float64(grown)/1e6, took.Milliseconds(), seen, float64(dropped)/1e6, reply.Status, err)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
	if test.kept > 0 && (seen < test.kept || dropped > 0) {
		t.Errorf("got %d messages, want %d, and %d bytes were dropped", seen, test.kept, dropped)
	}
	if grown > heapLimit {
		t.Errorf("the heap grew by %.1f MB", float64(grown)/1e6)
	}
	if took > limit+time.Minute {
		t.Errorf("it took %s", took)
	}
}

// deaf is a connection whose server stops reading, once the handshake and the first
// requests are through, until it is closed.
type deaf struct {
	net.Conn
	left int
	done <-chan struct{}
}

// Read implements net.Conn.
func (c *deaf) Read(p []byte) (int, error) {
	if c.left == 0 {
		<-c.done
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func connectDeaf(t *testing.T) *Client {
	t.Helper()
	k := &fakeKernel{t: t, conn: ipc(t), session: "fake", iopub: make(chan *zmq4.Conn, 1)}
	done := make(chan struct{})
	listen(t, k.conn, k.conn.ShellPort, func(c net.Conn) {
		serveZMTP(zmq4.Router, k.shell)(&deaf{Conn: c, left: 16 << 10, done: done})
	})
	listen(t, k.conn, k.conn.ControlPort, serveZMTP(zmq4.Router, drain))
	listen(t, k.conn, k.conn.HBPort, serveZMTP(zmq4.Rep, drain))
	listen(t, k.conn, k.conn.IOPubPort, serveZMTP(zmq4.Pub, func(c *zmq4.Conn) {
		k.iopub <- c
		drain(c)
	}))
	t.Cleanup(func() { close(done) })
	return connectFake(t, k, Options{timing: quick})
}

func TestExecute_EndsInTimeThoughTheKernelReadsNothing(t *testing.T) {
	t.Parallel()
	c := connectDeaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	if _, err := c.Execute(ctx, strings.Repeat("x", 4<<20), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if took := time.Since(started); took > writeTimeout-writeGrace {
		t.Errorf("it took %s", took)
	}
	if err := c.Interrupt(t.Context()); err != nil {
		t.Errorf("the other channels cannot be used: %v", err)
	}
	var died *KernelDied
	if _, err := c.Wait(t.Context(), nil); !errors.As(err, &died) {
		t.Errorf("got %v, want KernelDied", err)
	}
}

func TestSendComm_EndsInTimeThoughTheKernelReadsNothing(t *testing.T) {
	t.Parallel()
	c := connectDeaf(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	if err := c.SendComm(ctx, "c", strings.Repeat("x", 4<<20)); err == nil {
		t.Error("it was sent")
	}
	if took := time.Since(started); took > writeTimeout-writeGrace {
		t.Errorf("it took %s", took)
	}
}
