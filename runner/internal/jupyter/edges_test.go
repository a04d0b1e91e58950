package jupyter

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/google/go-cmp/cmp"
)

const replyOK = `{"status":"ok","execution_count":1}`

// TestExecute_EdgeTable has what kernels, gateways and strangers do beside a plain
// answer. Each case is a row of what is known to go wrong between them.
func TestExecute_EdgeTable(t *testing.T) {
	ok := Reply{Status: "ok", Count: 1}
	tests := []struct {
		name   string
		code   string // what the fake replies with, after the script; "none" for no reply
		script func(k *fakeKernel, request Message)
		want   Reply
		seen   string // the types of the request's own messages
		err    string // part of the error; "" for none
		as     any    // the error's type
		again  int64  // messages that came twice
	}{
		{
			name: "idle before reply", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "busy"); k.status(r.ID, "idle") },
			want:   ok, seen: "status status",
		},
		{
			name: "reply before idle", code: "none",
			script: func(k *fakeKernel, r Message) {
				k.reply(replyOK)
				k.publish("stream", r.ID, `{"name":"stdout","text":"after the reply"}`)
				k.status(r.ID, "idle")
			},
			want: ok, seen: "stream status",
		},
		{
			name: "messages of another parent, welcome, starting", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				k.publish("iopub_welcome", "", `{}`)
				k.status("", "starting")
				k.status("other", "idle")
				k.publish("stream", "other", `{"name":"stdout","text":"late"}`)
				k.publish("a_new_type", r.ID, `{}`)
				k.status(r.ID, "idle")
			},
			want: ok, seen: "a_new_type status",
		},
		{
			name: "input_request, debug_event", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				k.publish("input_request", r.ID, `{"prompt":"name? ","password":false}`)
				k.publish("debug_event", r.ID, `{"type":"event","event":"stopped"}`)
				k.status(r.ID, "idle")
			},
			want: ok, seen: "input_request debug_event status",
		},
		{
			name: "reply, no idle, silence", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "busy") },
			err:    ErrIdleLost.Error(), want: ok, seen: "status",
		},
		{
			name: "reply, no idle of anything, silence", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.mute = k.infos + 1 },
			err:    ErrIdleLost.Error(), want: ok,
		},
		{
			name: "reply, and an idle that is late", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.asked = func() { k.status(r.ID, "idle") } },
			want:   ok, seen: "status",
		},
		{
			name: "idle, no reply within grace", code: "none",
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			err:    "became idle but never replied", as: new(*ProtocolError), seen: "status",
		},
		{
			name: "status aborted", code: `{"status":"aborted"}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "aborted"}, seen: "status",
		},
		{
			name: "status aborted, in an older word", code: `{"status":"abort"}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "aborted"}, seen: "status",
		},
		{
			name: "status unknown", code: `{"status":"perhaps"}`,
			script: func(k *fakeKernel, r Message) {},
			err:    `execute_reply with status "perhaps"`, as: new(*ProtocolError),
		},
		{
			name: "UsageError, no error output", code: `{"status":"error","ename":"UsageError","evalue":"no such magic","traceback":[]}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "error", EName: "UsageError", EValue: "no such magic", Traceback: []string{}}, seen: "status",
		},
		{
			name: "exit() payload ask_exit, among odd ones", code: `{"status":"ok","execution_count":"one","payload":[null,3,{"source":"ask_exit"}]}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "ok", AskExit: true}, seen: "status",
		},
		{
			name: "a payload that is larger than most outputs", code: "none",
			script: func(k *fakeKernel, r Message) {
				k.reply(`{"status":"ok","execution_count":1,"payload":[{"source":"set_next_input","text":"` + strings.Repeat("x", 25<<20) + `"},{"source":"ask_exit"}]}`)
				k.status(r.ID, "idle")
			},
			want: Reply{Status: "ok", Count: 1, AskExit: true}, seen: "status",
		},
		{
			name: "exit() payload ask_exit, EOF before idle", code: "none",
			script: func(k *fakeKernel, r Message) {
				k.reply(`{"status":"ok","execution_count":1,"payload":[{"source":"ask_exit"}]}`)
				k.raw.Close()
			},
			want: Reply{Status: "ok", Count: 1, AskExit: true},
		},
		{
			name: "EOF in mid-message", code: "none",
			script: func(k *fakeKernel, r Message) {
				k.publish("stream", r.ID, `{"name":"stdout","text":"before"}`)
				_, _ = k.raw.Write([]byte("\x01\x05topic\x01\x09<IDS"))
				k.raw.Close()
			},
			err: "unexpected EOF", as: new(*KernelDied), seen: "stream",
		},
		{
			name: "header.session changes", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.session = "second" },
			err:    "restarted", as: new(*KernelDied), want: ok,
		},
		{
			name: "header.session changes, and nobody replies", code: "none",
			script: func(k *fakeKernel, r Message) { k.session = "second"; k.status("", "starting") },
			err:    "restarted", as: new(*KernelDied),
		},
		{
			name: "status dead", code: "none",
			script: func(k *fakeKernel, r Message) { k.status("", "dead") },
			err:    "kernel died: its status became dead", as: new(*KernelDied),
		},
		{
			name: "status restarting", code: "none",
			script: func(k *fakeKernel, r Message) { k.status("", "restarting") },
			err:    "kernel died: its status became restarting", as: new(*KernelDied),
		},
		{
			name: "bad signature later", code: "none",
			script: func(k *fakeKernel, r Message) { k.conn.Key = "stolen"; k.status(r.ID, "idle") },
			err:    "bad signature", as: new(*ProtocolError),
		},
		{
			name: "a replayed message", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				output := k.message("stream", r.ID, `{"name":"stdout","text":"once"}`)
				for range 3 {
					k.output(output)
				}
				k.status(r.ID, "idle")
			},
			want: ok, seen: "stream status", again: 2,
		},
		{
			name: "a replayed idle of the request does not end it", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				k.output(k.idle) // of the handshake
				k.publish("stream", r.ID, `{"name":"stdout","text":"here"}`)
				k.status(r.ID, "idle")
			},
			want: ok, seen: "stream status", again: 1,
		},
		{
			name: "kernel on 7.x with subshells", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				if strings.Contains(string(r.Content), "subshell") {
					k.t.Errorf("a subshell was asked for: %s", r.Content)
				}
				k.status(r.ID, "idle")
			},
			want: ok, seen: "status",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := startFake(t, test.script)
			c := connectFake(t, k, Options{timing: quick})
			var seen []string
			got, err := c.Execute(t.Context(), test.code, func(m Message) {
				if m.Own {
					seen = append(seen, m.Type)
				}
			})
			got.At = time.Time{}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			if test.seen != strings.Join(seen, " ") {
				t.Errorf("got messages %q, want %q", seen, test.seen)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			if test.as != nil && !errors.As(err, test.as) {
				t.Errorf("got error %#v, want a %T", err, test.as)
			}
			for deadline := time.Now().Add(time.Minute); c.Lost() != 0 && time.Now().Before(deadline); {
				runtime.Gosched() // a reply to the client's probe is on its way
			}
			if lost, again := c.Lost(), c.Repeated(); lost != 0 || again != test.again {
				t.Errorf("%d messages are lost and %d came twice, want 0 and %d", lost, again, test.again)
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		t.Parallel()
		conn := startFake(t, nil).conn
		conn.Key = "another"
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		wantStage(t, ctx, conn, Options{}, StageKernelInfo, " key")
	})
	t.Run("peer silent after TCP accept", func(t *testing.T) {
		t.Parallel()
		conn := ipc(t)
		listen(t, conn, conn.ShellPort, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		wantStage(t, ctx, conn, Options{}, StageZMTP, "does not shake hands")
	})
	t.Run("nothing arrives on the output channel", func(t *testing.T) {
		t.Parallel()
		k := startFake(t, nil)
		listen(t, k.conn, 22, serveZMTP(zmq4.Pub, drain))
		conn := k.conn
		conn.IOPubPort = 22
		k.iopub <- nil
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		wantStage(t, ctx, conn, Options{timing: quick}, StageIOPub, "nothing arrives")
	})
}
