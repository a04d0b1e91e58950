package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// claimFile is a claim as the store holds it.
type claimFile struct {
	Holder   string         `yaml:"holder"`
	Deadline time.Time      `yaml:"deadline"`
	Commit   string         `yaml:"commit"`
	Attempt  runner.Attempt `yaml:"attempt"`
}

func claimKey(slot runner.Slot, asset string, attempt int) string {
	return fmt.Sprintf("runs/%s/g1/claim-%d", idOf(slot, asset), attempt)
}

// putClaim leaves a claim in the store as an agent would that is no more.
func putClaim(t *testing.T, store *runnertest.Memory, key string, c claimFile) {
	t.Helper()
	data, err := runner.Encode(c)
	if err == nil {
		err = store.Put(t.Context(), key, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readClaim(t *testing.T, store *runnertest.Memory, key string) claimFile {
	t.Helper()
	var c claimFile
	d := yaml.NewDecoder(strings.NewReader(store.Objects()[key]))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return c
}

func TestClaim_SaysWhoIsAtWorkUntilWhenAndHowItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
			time.Sleep(90 * time.Second)
			return raise(ctx, s)
		}}
		slot := slotOf(bundleOf("plant-1"), 6)
		l := begin(t, exec, &store, runner.Options{Holder: "press-1"})
		began := time.Now()
		l.submit(t, slot)
		synctest.Wait()
		open := readClaim(t, &store, claimKey(slot, "plant-1", 1))
		if open.Holder != "press-1" || open.Commit != "5f1c" || open.Attempt.Ended != "" ||
			!open.Attempt.StartedAt.Equal(began) || !open.Deadline.Equal(began.Add(25*time.Minute)) {
			t.Errorf("at the start the claim is %+v", open)
		}
		l.finish(t, time.Hour)
		ended := readClaim(t, &store, claimKey(slot, "plant-1", 1))
		if ended.Attempt.Ended != "cell_error" || !ended.Attempt.FinishedAt.Equal(began.Add(90*time.Second)) {
			t.Errorf("in the end the claim is %+v", ended)
		}
	})
}

func TestClaim_HasOneWinnerAmongManyAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
			time.Sleep(time.Minute)
			return raise(ctx, s)
		}}
		slot := slotOf(bundleOf("a", "b", "c", "d", "e"), 6)
		var agents []life
		var submitting sync.WaitGroup
		for i := range 4 {
			l := begin(t, exec, &store, runner.Options{Slots: 2, Holder: fmt.Sprintf("press-%d", i)})
			agents = append(agents, l)
			submitting.Go(func() {
				if err := l.Submit(t.Context(), slot); err != nil {
					t.Error(err)
				}
			})
		}
		submitting.Wait()
		for _, l := range agents {
			l.finish(t, time.Hour)
		}
		for asset, m := range manifests(t, &store) {
			if len(m.Attempts) != 1 {
				t.Errorf("%s took %s", asset, ends(m))
			}
		}
		if n := len(exec.Started()); n != 5 {
			t.Errorf("%d sandboxes for 5 runs", n)
		}
	})
}

func TestClaim_OfEarlierAgents(t *testing.T) {
	tests := []struct {
		name   string
		before []claimFile   // those without an end last
		lasts  time.Duration // until their deadline
		waits  time.Duration // before our attempt starts
		want   string        // how the attempts ended
		code   runner.Code
	}{
		{
			name: "another agent's is held until its deadline", lasts: 10 * time.Minute, waits: 10 * time.Minute,
			before: []claimFile{{Holder: "other"}}, want: "abandoned,cell_error", code: runner.CellError,
		}, {
			name: "another agent's is void after its deadline", lasts: -time.Second,
			before: []claimFile{{Holder: "other"}}, want: "abandoned,cell_error", code: runner.CellError,
		}, {
			name: "one of our own earlier life is void at once", lasts: 10 * time.Minute,
			before: []claimFile{{Holder: "press-1"}}, want: "abandoned,cell_error", code: runner.CellError,
		}, {
			name:   "released ones do not count",
			before: []claimFile{ended("released"), ended("released"), ended("released"), ended("released")},
			want:   "released,released,released,released,cell_error", code: runner.CellError,
		}, {
			name:   "one is left",
			before: []claimFile{ended("node_lost"), ended("evicted")},
			want:   "node_lost,evicted,cell_error", code: runner.CellError,
		}, {
			name: "none is left", lasts: 10 * time.Minute,
			before: []claimFile{ended("node_lost"), ended("released"), {Holder: "press-1"}, {Holder: "press-1"}},
			want:   "node_lost,released,abandoned,abandoned", code: runner.Internal,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store runnertest.Memory
				slot := slotOf(bundleOf("plant-1"), 6)
				for i, c := range test.before {
					c.Deadline, c.Commit = time.Now().Add(test.lasts), "0ld"
					putClaim(t, &store, claimKey(slot, "plant-1", i+1), c)
				}
				var waited time.Duration
				began := time.Now()
				exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, s runner.Spec) error {
					waited = time.Since(began)
					return raise(ctx, s)
				}}
				l := begin(t, exec, &store, runner.Options{Holder: "press-1"})
				l.submit(t, slot)
				l.finish(t, time.Hour)
				m := manifests(t, &store)["plant-1"]
				if ends(m) != test.want || m.Error == nil || m.Error.Code != test.code {
					t.Errorf("got %+v after %s, want %s after %s", m.Error, ends(m), test.code, test.want)
				}
				if waited < test.waits || waited > test.waits+time.Minute {
					t.Errorf("our attempt started after %v, want %v", waited, test.waits)
				}
				if test.code == runner.Internal && !strings.Contains(m.Error.Message, strings.ReplaceAll(test.want, ",", ", ")) {
					t.Errorf("the message does not list how the attempts ended: %s", m.Error.Message)
				}
				next := claimKey(slot, "plant-1", len(test.before)+1)
				if _, claimed := store.Objects()[next]; claimed != (test.code != runner.Internal) {
					t.Errorf("claimed once more: %v", claimed)
				} else if claimed && readClaim(t, &store, next).Commit != "0ld" {
					t.Errorf("the commit of the first claim is not kept: %+v", readClaim(t, &store, next))
				}
			})
		})
	}
}

func ended(how string) claimFile {
	return claimFile{Holder: "other", Attempt: runner.Attempt{Ended: how}}
}

// A claim may be in the store although we were told that it is not.
func TestClaim_IsOursWhenTheAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		var once sync.Once
		store.After = func(_ context.Context, operation, key string) (err error) {
			if operation == "create" && strings.HasSuffix(key, "claim-1") {
				once.Do(func() { err = errors.New("connection reset by peer") })
			}
			return err
		}
		bundle := bundleOf("plant-1")
		bundle.Config.Retries = 0
		l := begin(t, &runnertest.FakeExecutor{OnStart: raise}, &store, runner.Options{})
		l.submit(t, slotOf(bundle, 6))
		l.finish(t, time.Hour)
		if m := manifests(t, &store)["plant-1"]; ends(m) != "cell_error" {
			t.Errorf("attempts %s, want one", ends(m))
		}
	})
}

// A run that kills its agent each time ends, too.
func TestClaim_RunThatKillsItsAgentCannotLoop(t *testing.T) {
	var memory runnertest.Memory
	slot := slotOf(bundleOf("plant-1"), 6)
	for lives := 1; ; lives++ {
		dead, died := make(chan struct{}), sync.Once{}
		exec := &runnertest.FakeExecutor{OnStart: func(ctx context.Context, _ runner.Spec) error {
			died.Do(func() { close(dead) })
			memory.Before = func(context.Context, string, string) error { return errors.New("dead") }
			<-ctx.Done()
			return ctx.Err()
		}}
		memory.Before = nil
		l := begin(t, exec, &memory, runner.Options{Holder: "press-1", Grace: time.Nanosecond})
		l.submit(t, slot)
		select {
		case <-dead:
			_ = l.stop()
			continue
		case <-l.Idle():
		}
		_ = l.stop()
		m := manifests(t, &memory)["plant-1"]
		if lives != 4 || m.Error == nil || m.Error.Code != runner.Internal || ends(m) != "abandoned,abandoned,abandoned" {
			t.Errorf("in life %d: %+v after %s, want internal in the fourth", lives, m.Error, ends(m))
		}
		return
	}
}
