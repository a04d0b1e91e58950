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
)

// everyChannel are the channels that a client opens.
var everyChannel = [...]string{channelShell, channelIOPub, channelControl, channelHB}

func TestConnect_SurvivesHostilePeers(t *testing.T) {
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
	slowly := func(data []byte) func(net.Conn) {
		return func(c net.Conn) {
			pause := time.NewTicker(50 * time.Millisecond)
			defer pause.Stop()
			for _, b := range data {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-pause.C
			}
		}
	}
	greeting := greetingOf()
	const silent = "does not shake hands"
	tests := []struct {
		name  string
		serve func(net.Conn)
		want  string // in the error
	}{
		{"silent after accept", say(), silent},
		{"half a greeting", say(greeting[:30]), silent},
		{"no READY", say(greeting), silent},
		{"half a READY", say(greeting, readyOf("ROUTER")[:9]), silent},
		{"a byte now and then", slowly(peerBytes(greeting, readyOf("ROUTER"))), silent},
		{"ends at once", end(), "EOF"},
		{"ends in the greeting", end(greeting[:30]), "EOF"},
		{"ends before READY", end(greeting), "EOF"},
		{"ends in READY", end(greeting, readyOf("ROUTER")[:9]), "EOF"},
		{"speaks HTTP", say([]byte("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat("x", 100))), "greeting"},
		{"other security", say(bytes.Replace(greeting, []byte("NULL"), []byte("CURV"), 1)), "security"},
		{"other socket type", say(greeting, readyOf("PUSH")), "not compatible"},
		{"no socket type", say(greeting, commandOf("READY", "")), "malformed"},
		{"name without its length", say(greeting, commandOf("READY", "\x00")), "malformed"},
		{"name longer than READY", say(greeting, commandOf("READY", "\x03abc")), "malformed"},
		{"value without its length", say(greeting, commandOf("READY", "\x02ab\x00\x00\x00")), "malformed"},
		{"name of 255 bytes", say(greeting, commandOf("READY", "\xff")), "EOF"},
		{"value of 2^32-1 bytes", say(greeting, commandOf("READY", "\x01a\xff\xff\xff\xff")), "EOF"},
		{"another command than READY", say(greeting, commandOf("ERROR", "\x03bad")), "command"},
		{"a command without a name", say(greeting, []byte("\x04\x00")), ""},
		{"a READY of 2^40 bytes", say(greeting, longFrame(flagCommand, 1<<40)), "over the limit"},
		{"a READY of 2^64-1 bytes", say(greeting, longFrame(flagCommand, 1<<64-1)), "over the limit"},
		{"a READY with more parts", say(greeting, []byte("\x05\x06\x05READY")), "inside a message"},
		{"a message before READY", say(greeting, []byte("\x00\x01x")), "before the handshake"},
	}
	before := runtime.NumGoroutine()
	for _, test := range tests {
		for _, channel := range everyChannel {
			t.Run(test.name+"/"+channel, func(t *testing.T) {
				growth := watchHeap(t)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				conn := startHostile(t, channel, func(c net.Conn) {
					if test.want == silent { // time is up soon, but not before the client is here
						time.AfterFunc(300*time.Millisecond, cancel)
					}
					test.serve(c)
				})
				_, err := Connect(ctx, conn, Options{})
				var start *StartError
				if !errors.As(err, &start) || start.Stage != StageZMTP || start.Channel != channel || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q of channel %s", err, test.want, channel)
				}
				if grown := growth(); grown > 8e6 {
					t.Errorf("the heap grew by %.1f MB", float64(grown)/1e6)
				}
			})
		}
	}
	wantGoroutines(t, before)
}

func TestChannel_AnswersPingWithItsContext(t *testing.T) {
	pong := make(chan string, 1)
	conn := startHostile(t, channelShell, func(c net.Conn) {
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
	case <-time.After(time.Minute):
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
