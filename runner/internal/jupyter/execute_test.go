package jupyter

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
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
