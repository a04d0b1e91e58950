package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// sleeper is a store whose agent is stopped within an operation on the latest keys, as
// by SIGSTOP, until it is woken.
type sleeper struct {
	runner.Store
	at     int // the operation, from 0
	asleep chan struct{}
	wake   chan struct{}
}

func (s *sleeper) maybe(key string) {
	if !strings.Contains(key, "latest/") {
		return
	}
	if s.at--; s.at == -1 {
		close(s.asleep)
		<-s.wake
	}
}

func (s *sleeper) Get(ctx context.Context, key string) ([]byte, error) {
	s.maybe(key)
	return s.Store.Get(ctx, key)
}

func (s *sleeper) List(ctx context.Context, prefix string) ([]string, error) {
	s.maybe(prefix)
	return s.Store.List(ctx, prefix)
}

func (s *sleeper) Put(ctx context.Context, key string, data []byte) error {
	s.maybe(key)
	return s.Store.Put(ctx, key, data)
}

func (s *sleeper) Delete(ctx context.Context, key string) error {
	s.maybe(key)
	return s.Store.Delete(ctx, key)
}

// An agent that slept while its successor moved the latest pages on does not move them
// back, wherever it was.
func TestTakeover_LatestDoesNotMoveBackWhenASleeperWakes(t *testing.T) {
	exec := &runnertest.FakeExecutor{OnCell: func(_ context.Context, _ runner.Spec, source string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte(source), "a.xlsx": []byte("a")}, nil // the source says which slot
	}}
	early, late := bundleOf("plant-1"), bundleOf("plant-1")
	early.Config.Publish = []string{"*.xlsx"} // which the later page has not beside it
	slept := 0
	for at := 0; ; at++ {
		var memory runnertest.Memory
		store := &sleeper{Store: &memory, at: at, asleep: make(chan struct{}), wake: make(chan struct{})}
		first := begin(t, exec, store, runner.Options{Holder: "first"})
		first.submit(t, slotOf(early, 6))
		select {
		case <-first.Idle():
		case <-store.asleep:
			slept++
		}
		second := begin(t, exec, &memory, runner.Options{Holder: "second", Alone: true})
		second.submit(t, slotOf(late, 8))
		second.finish(t, time.Minute)
		close(store.wake)
		first.finish(t, time.Minute)
		all := memory.Objects()
		for _, language := range []string{"en", "ca"} {
			folder := "pages/energy/plant-1/latest/" + language + "/"
			want := all["pages/energy/plant-1/2026-11-23T0800+0000/g1a1/"+language+"/index.html"]
			if got := all[folder+"index.html"]; got != want || got == "" {
				t.Errorf("asleep in operation %d: the latest page is %q, want %q", at, got, want)
			}
			if _, there := all[folder+"a.xlsx"]; there {
				t.Errorf("asleep in operation %d: a file of the earlier page is left", at)
			}
		}
		if slept == at { // it was through before it came to this one
			break
		}
	}
	if slept < 8 {
		t.Errorf("the agent slept in %d operations", slept)
	}
}

// Where an agent knows that it is alone, the claims of others are void at once.
func TestTakeover_VoidsTheClaimsOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		slot := slotOf(bundleOf("plant-1"), 6)
		putClaim(t, &store, claimKey(slot, "plant-1", 1), claimFile{Holder: "other", Commit: "0ld", Deadline: time.Now().Add(time.Hour)})
		began := time.Now()
		l := begin(t, &runnertest.FakeExecutor{OnStart: raise}, &store, runner.Options{Holder: "press-1", Alone: true})
		l.submit(t, slot)
		l.finish(t, time.Hour)
		if m := manifests(t, &store)["plant-1"]; ends(m) != "abandoned,cell_error" {
			t.Errorf("attempts %s", ends(m))
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// An agent that is deposed lets go of what it has: its successor does it.
func TestTakeover_LeavesTheDeposedNoGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, _ runner.Spec) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		ctx, depose := context.WithCancelCause(t.Context())
		r, ended := runner.New(exec, &store, runner.Options{Holder: "first", Grace: time.Hour}), make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		slot := slotOf(bundleOf("plant-1"), 6)
		if err := r.Submit(ctx, slot); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		depose(fmt.Errorf("lease: %w", runner.ErrDeposed))
		<-ended
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it let go after %v", took)
		}
		if now, _ := exec.Open(); now != 0 {
			t.Errorf("%d sandboxes are left", now)
		}
		if c := readClaim(t, &store, claimKey(slot, "plant-1", 1)); c.Attempt.Ended != "released" {
			t.Errorf("the claim is %+v", c)
		}
	})
}
