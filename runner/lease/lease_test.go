package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

func TestVigil_CallsDeadWhatStoodStill(t *testing.T) {
	for _, test := range []struct {
		name  string
		looks string // . the same, + another count, x no answer
		want  bool
	}{
		{"at the first look", "+", false},
		{"one look too early", "+.....", false},
		{"at the sixth look without a change", "+......", true},
		{"while it moves", "+..+..+..+..+..+", false},
		{"counting again after each change", "+.....+.....", false},
		{"counting again after an outage", "+.....x.....", false},
		{"after an outage", "+...x......", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v vigil
			count, dead := 0, false
			for _, look := range test.looks {
				switch look {
				case 'x':
					v.missed()
					continue
				case '+':
					count++
				}
				dead = v.saw(fmt.Append(nil, count))
			}
			if dead != test.want {
				t.Errorf("after %q: dead is %v", test.looks, dead)
			}
		})
	}
}

// candidate returns an agent of a name that wants the lease.
func candidate(store runner.Store, name string) *Election {
	return Elect(store, name, slog.New(slog.DiscardHandler))
}

// crown lets an agent await the lease.
func crown(t *testing.T, c *Election) *Reign {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	r, err := c.Await(ctx)
	if err != nil {
		t.Fatalf("%s: %v", c.holder, err)
	}
	return r
}

// keep renews until the test or the returned function ends it. The channel says when it
// is over, and whether the lease was lost.
func keep(t *testing.T, r *Reign) (ended <-chan bool, die context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	lost := make(chan bool, 1)
	go func() { lost <- r.Keep(ctx) }()
	return lost, cancel
}

func TestLease_IsTakenOver(t *testing.T) {
	for _, test := range []struct {
		name     string
		end      func(t *testing.T, first *Reign) // of the first reign, whose keeping is over
		next     string
		from, to time.Duration // after that
	}{
		{"from the dead within 15 s", func(*testing.T, *Reign) {}, "second", 10 * time.Second, 15 * time.Second},
		{"at once where it was given back", func(t *testing.T, first *Reign) { first.End(t.Context()) }, "second", 0, lookPeriod},
		{"at once by the same agent after a restart", func(*testing.T, *Reign) {}, "first", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store runnertest.Memory
				first := crown(t, candidate(&store, "first"))
				_, die := keep(t, first)
				crowned := make(chan time.Time)
				if test.next == "second" { // it has stood by all the time
					go func() { crown(t, candidate(&store, "second")); crowned <- time.Now() }()
				}
				time.Sleep(3*renewPeriod + time.Second)
				die()
				synctest.Wait()
				test.end(t, first)
				died := time.Now()
				if test.next == "first" {
					go func() { crown(t, candidate(&store, "first")); crowned <- time.Now() }()
				}
				if took := (<-crowned).Sub(died); took < test.from || took > test.to {
					t.Errorf("it took %v, want %v to %v", took, test.from, test.to)
				}
			})
		})
	}
}

func TestLease_IsLeftToItsHolder(t *testing.T) {
	for _, test := range []struct {
		name   string
		outage time.Duration
	}{
		{"while it lives", 0},
		{"through an outage of the store", 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				away := time.Now().Add(time.Minute - time.Millisecond)
				store := runnertest.Memory{Before: func(context.Context, string, string) error {
					if since := time.Since(away); since > 0 && since < test.outage {
						return errors.New("no route to host")
					}
					return nil
				}}
				first := crown(t, candidate(&store, "first"))
				lost, _ := keep(t, first)
				ctx, cancel := context.WithCancel(t.Context())
				second := make(chan error)
				go func() {
					_, err := candidate(&store, "second").Await(ctx)
					second <- err
				}()
				time.Sleep(time.Minute + test.outage - time.Second)
				if test.outage > 0 && first.Fresh() {
					t.Error("a holder that cannot renew is sure of its lease")
				}
				time.Sleep(time.Hour)
				cancel()
				if err := <-second; err == nil {
					t.Error("another agent took the lease")
				}
				select {
				case <-lost:
					t.Error("the holder thinks that it lost the lease")
				default:
				}
				if !first.Fresh() {
					t.Error("the holder is not sure of its lease")
				}
			})
		})
	}
}

func TestLease_HasOneHolderWhereManyWantIt(t *testing.T) {
	for _, dead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var store runnertest.Memory
			if dead {
				crown(t, candidate(&store, "the dead"))
			}
			ctx, cancel := context.WithCancel(t.Context())
			crowned := make(chan *Reign, 8)
			for i := range 8 {
				go func() {
					r, _ := candidate(&store, fmt.Sprintf("agent-%d", i)).Await(ctx)
					if r != nil {
						go r.Keep(ctx)
					}
					crowned <- r
				}()
			}
			time.Sleep(time.Minute)
			cancel()
			reigns := 0
			for range 8 {
				if r := <-crowned; r != nil {
					reigns++
				}
			}
			if reigns != 1 {
				t.Errorf("after a dead one: %v: %d agents got the lease", dead, reigns)
			}
		})
	}
}

// A holder that was stopped, as by SIGSTOP, and wakes up after another one took over,
// knows before it does anything that it cannot rely on its lease. Also where it was
// stopped just before it wrote.
func TestLease_IsLostToASuccessorWhileItsHolderSleeps(t *testing.T) {
	for _, operation := range []string{"get", "put"} {
		synctest.Test(t, func(t *testing.T) {
			var memory runnertest.Memory
			store := &stopped{Memory: &memory, in: operation, from: time.Now(), asleep: make(chan struct{}), wake: make(chan struct{})}
			first := candidate(store, "first")
			reign := crown(t, first)
			lost, _ := keep(t, reign)
			<-store.asleep
			second := candidate(&memory, "second")
			kept, _ := keep(t, crown(t, second))
			time.Sleep(time.Minute + time.Second) // between two renewals
			if reign.Fresh() {
				t.Errorf("stopped in %s: it is sure of its lease", operation)
			}
			close(store.wake)
			select {
			case <-lost:
			case <-time.After(renewPeriod):
				t.Fatalf("stopped in %s: it does not know that the lease is lost", operation)
			}
			// Where it wrote over its successor's lease, that one gives way. One of them
			// reigns in the end.
			time.Sleep(renewPeriod + time.Second)
			gaveWay := false
			select {
			case gaveWay = <-kept:
			default:
			}
			if gaveWay != (operation == "put") {
				t.Errorf("stopped in %s: the successor gave way: %v", operation, gaveWay)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if r, _ := first.Await(ctx); (r != nil) != gaveWay {
				t.Errorf("stopped in %s: the first agent has the lease again: %v", operation, r != nil)
			}
		})
	}
}

// stopped is a store whose agent is stopped within an operation, the first after a
// minute, and woken later.
type stopped struct {
	*runnertest.Memory
	in           string
	from         time.Time
	asleep, wake chan struct{}
	once         sync.Once
}

func (s *stopped) maybe(operation string) {
	if operation == s.in && time.Since(s.from) > time.Minute {
		s.once.Do(func() {
			close(s.asleep)
			<-s.wake
		})
	}
}

func (s *stopped) Get(ctx context.Context, key string) ([]byte, error) {
	s.maybe("get")
	return s.Memory.Get(ctx, key)
}

func (s *stopped) Put(ctx context.Context, key string, data []byte) error {
	s.maybe("put")
	return s.Memory.Put(ctx, key, data)
}

func TestLease_SeizeRefusesWhileAnotherAgentLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store runnertest.Memory
		_, die := keep(t, crown(t, candidate(&store, "first")))
		time.Sleep(time.Minute)
		var held *HeldError
		if _, err := candidate(&store, "second").Seize(t.Context()); !errors.As(err, &held) || held.Holder != "first" {
			t.Errorf("beside a living agent: %v", err)
		}
		die()
		synctest.Wait()
		began := time.Now()
		if _, err := candidate(&store, "second").Seize(t.Context()); err != nil || time.Since(began) > 15*time.Second {
			t.Errorf("after it died: %v, after %v", err, time.Since(began))
		}
		store.Before = func(context.Context, string, string) error { return errors.New("no route to host") }
		if _, err := candidate(&store, "third").Seize(t.Context()); err == nil {
			t.Error("with the store away there is no error")
		}
	})
}
