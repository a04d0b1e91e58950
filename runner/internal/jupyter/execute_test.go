package jupyter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quick are deadlines for tests in which a kernel stays silent.
var quick = timing{probe: 100 * time.Millisecond, silence: 50 * time.Millisecond, drain: 100 * time.Millisecond}

func connectFake(t *testing.T, k *fakeKernel, o Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := Connect(ctx, k.conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

const replyOK = `{"status":"ok","execution_count":1}`

func TestExecute_JudgesByReplyAndIdle(t *testing.T) {
	tests := []struct {
		name   string
		code   string // what the fake replies with, after the script
		script func(k *fakeKernel, request Message)
		want   Reply
		seen   string // the types of the request's own messages
		err    string // part of the error; "" for none
	}{
		{
			name: "idle before reply", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "busy"); k.status(r.ID, "idle") },
			want:   Reply{Status: "ok", Count: 1}, seen: "status status",
		},
		{
			name: "messages of other requests and of none", code: replyOK,
			script: func(k *fakeKernel, r Message) {
				k.publish("iopub_welcome", "", `{}`)
				k.status("other", "idle")
				k.publish("stream", "other", `{"name":"stdout","text":"late"}`)
				k.publish("a_new_type", r.ID, `{}`)
				k.status(r.ID, "idle")
			},
			want: Reply{Status: "ok", Count: 1}, seen: "a_new_type status",
		},
		{
			name: "error without an error output", code: `{"status":"error","ename":"UsageError","evalue":"no such magic","traceback":[]}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "error", EName: "UsageError", EValue: "no such magic", Traceback: []string{}}, seen: "status",
		},
		{
			name: "aborted", code: `{"status":"aborted"}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "aborted"}, seen: "status",
		},
		{
			name: "aborted, in an older word", code: `{"status":"abort"}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "aborted"}, seen: "status",
		},
		{
			name: "odd payloads and fields of other types", code: `{"status":"ok","execution_count":"one","payload":[null,3,{"source":"ask_exit"}]}`,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			want:   Reply{Status: "ok", AskExit: true}, seen: "status",
		},
		{
			name: "unknown status", code: `{"status":"perhaps"}`,
			script: func(k *fakeKernel, r Message) {},
			err:    `execute_reply with status "perhaps"`,
		},
		{
			name: "reply but no idle", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "busy") },
			err:    ErrIdleLost.Error(), want: Reply{Status: "ok", Count: 1}, seen: "status",
		},
		{
			name: "reply and then no idle of anything", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.mute = k.infos + 1 },
			err:    ErrIdleLost.Error(), want: Reply{Status: "ok", Count: 1},
		},
		{
			name: "idle but no reply", code: "none",
			script: func(k *fakeKernel, r Message) { k.status(r.ID, "idle") },
			err:    "became idle but never replied", seen: "status",
		},
		{
			name: "another process answers", code: replyOK,
			script: func(k *fakeKernel, r Message) { k.session = "second" },
			err:    "restarted", want: Reply{Status: "ok", Count: 1},
		},
		{
			name: "a gateway says that the kernel is dead", code: "none",
			script: func(k *fakeKernel, r Message) { k.publish("status", "", `{"execution_state":"dead"}`) },
			err:    "kernel died: its status became dead",
		},
		{
			name: "a message signed with another key", code: "none",
			script: func(k *fakeKernel, r Message) { k.conn.Key = "stolen"; k.status(r.ID, "idle") },
			err:    "bad signature",
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
		})
	}
}

func TestExecute_LeavesTheRequestToWaitWhenItsContextEnds(t *testing.T) {
	finish := make(chan struct{})
	k := startFake(t, func(k *fakeKernel, r Message) {
		<-finish
		k.status(r.ID, "idle")
	})
	c := connectFake(t, k, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Execute(ctx, replyOK, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
	if _, err := c.Execute(t.Context(), replyOK, nil); !errors.Is(err, ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	close(finish)
	if reply, err := c.Wait(t.Context(), nil); err != nil || reply.Status != "ok" {
		t.Fatalf("got %+v, %v", reply, err)
	}
	if _, err := c.Execute(t.Context(), replyOK, nil); err != nil {
		t.Fatalf("the client is not usable after Wait: %v", err)
	}
}

func TestExecute_DropsPayloadsButNotStatesWhenNobodyConsumes(t *testing.T) {
	const messages, size = 100, 10_000
	k := startFake(t, func(k *fakeKernel, r Message) {
		text := strings.Repeat("x", size)
		for range messages {
			k.publish("stream", r.ID, `{"name":"stdout","text":"`+text+`"}`)
		}
		k.status(r.ID, "idle")
	})
	c := connectFake(t, k, Options{Limits: Limits{Queue: 20 * size}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Execute(ctx, replyOK, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for !c.inbox.holds("execute_reply", c.pending.id) || !c.inbox.holds("status", c.pending.id) { // until all has arrived, unconsumed
		select {
		case <-c.inbox.wake:
		case <-time.After(10 * time.Second):
			t.Fatal("the reply never arrived")
		}
	}
	var kept, dropped int64
	reply, err := c.Wait(t.Context(), func(m Message) {
		if m.Type == "stream" {
			kept += int64(len(m.Content))
			dropped += m.Dropped
		}
	})
	if err != nil || reply.Status != "ok" {
		t.Fatalf("got %+v, %v", reply, err)
	}
	if kept > 20*size || dropped == 0 || kept+dropped < messages*size {
		t.Errorf("kept %d and dropped %d bytes of %d", kept, dropped, messages*size)
	}
}

// holds reports whether an answer of that type waits.
func (q *inbox) holds(kind, parent string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.first; e != nil; e = e.next {
		if e.msg.Type == kind && e.msg.ParentID == parent {
			return true
		}
	}
	return false
}

func TestExecute_ReportsAFrozenKernel(t *testing.T) {
	k := startFake(t, func(*fakeKernel, Message) {})
	c := connectFake(t, k, Options{timing: timing{heartbeat: 10 * time.Millisecond, frozen: 50 * time.Millisecond, drain: 10 * time.Millisecond}})
	var died *KernelDied
	if _, err := c.Execute(t.Context(), "none", nil); !errors.As(err, &died) || !strings.Contains(err.Error(), "heartbeat") {
		t.Fatalf("got %v, want KernelDied for the heartbeat", err)
	}
}
