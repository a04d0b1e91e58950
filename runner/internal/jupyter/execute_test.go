package jupyter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// quick are deadlines for tests in which a kernel stays silent.
var quick = timing{probe: 100 * time.Millisecond, silence: 50 * time.Millisecond, drain: 100 * time.Millisecond}

func connectFake(t *testing.T, k *fakeKernel, o Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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

// TestExecute_MissesTheEndOfACellWhileAThreadPrints has a kernel that says half of what
// ends a cell, and never stops printing: a message that is seen brings the next one.
func TestExecute_MissesTheEndOfACellWhileAThreadPrints(t *testing.T) {
	for _, test := range []struct {
		name   string
		code   string
		before func(k *fakeKernel, r Message)
		want   string // part of the error
	}{
		{"its idle", replyOK, func(*fakeKernel, Message) {}, ErrIdleLost.Error()},
		{"its idle, and all that come after it", replyOK, func(k *fakeKernel, _ Message) { k.mute = k.infos + 1 }, ErrIdleLost.Error()},
		{"its reply", "none", func(k *fakeKernel, r Message) { k.status(r.ID, "idle") }, "became idle but never replied"},
	} {
		for rate, ahead := range map[string]int{"slowly": 1, "without a pause": 100} {
			t.Run(test.name+", "+rate, func(t *testing.T) {
				t.Parallel()
				more := make(chan struct{}, ahead)
				var printer sync.WaitGroup
				k := startFake(t, func(k *fakeKernel, r Message) {
					test.before(k, r)
					printer.Go(func() {
						for range more {
							k.publish("stream", r.ID, `{"name":"stdout","text":"still here"}`)
						}
					})
				})
				c := connectFake(t, k, Options{timing: quick})
				for range ahead {
					more <- struct{}{}
				}
				ctx, cancel := context.WithTimeout(t.Context(), soon)
				defer cancel()
				_, err := c.Execute(ctx, test.code, func(m Message) {
					if m.Type == "stream" {
						more <- struct{}{}
					}
				})
				close(more)
				printer.Wait()
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			})
		}
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
		case <-time.After(time.Minute):
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
