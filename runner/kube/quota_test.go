package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nbpress/runner"
)

var errQuota = &runner.Failure{Code: runner.QuotaExceeded, Message: "exceeded quota"}

// rooms is a namespace with quota for a number of pods.
type rooms struct {
	mu      sync.Mutex // guards what follows
	free    int
	through []int
}

func (r *rooms) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
}

func (r *rooms) take(i int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == 0 {
		return errQuota
	}
	r.free--
	r.through = append(r.through, i)
	return nil
}

// A new run comes as soon as a pod has ended, and has to stand behind all the same.
func TestQuotaQueue_LetsThroughWhoHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotaQueue()
		r := rooms{free: 1}
		come := func(i int) {
			go func() {
				if err := q.pass(t.Context(), time.Hour, func() error { return r.take(i) }); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}()
			synctest.Wait()
		}
		for i := range 4 {
			come(i)
		}
		for i := 4; i < 8; i++ {
			r.add(1)
			come(i)
			q.ring()
			time.Sleep(time.Second)
		}
		r.add(4)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 4, 5, 6, 7}; !slices.Equal(r.through, want) {
			t.Errorf("got through: %v, want %v", r.through, want)
		}
	})
}

func TestQuotaQueue_IsNotHeldUpByWhoWantsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, began := newQuotaQueue(), time.Now()
		refused := make(chan error)
		go func() { refused <- q.pass(t.Context(), time.Hour, func() error { return errQuota }) }()
		synctest.Wait()
		var passing sync.WaitGroup
		for range 3 {
			passing.Go(func() {
				if err := q.pass(t.Context(), time.Hour, func() error { return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		passing.Wait()
		if took := time.Since(began); took > 2*turn {
			t.Errorf("the others got through after %v", took)
		}
		if err := <-refused; !lacksQuota(err) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestQuotaQueue_TriesAtOnceWhenAPodHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotaQueue()
		var r rooms
		passed := make(chan time.Time)
		go func() {
			_ = q.pass(t.Context(), time.Hour, func() error { return r.take(0) })
			passed <- time.Now()
		}()
		time.Sleep(time.Minute + time.Second)
		q.ring() // before the quota has noticed
		time.Sleep(shortestPause / 4)
		r.add(1)
		if ended, at := time.Now(), <-passed; at.Sub(ended) > shortestPause {
			t.Errorf("tried %v after the end of a pod", at.Sub(ended))
		}
	})
}

func TestQuotaQueue_LosesPatienceWhereNobodyGetsThrough(t *testing.T) {
	const patience = 5 * time.Minute
	for _, test := range []struct {
		name string
		free func(since time.Duration) bool
		want string // how it ends for each of three
	}{
		{"with nobody", func(time.Duration) bool { return false }, "quota_exceeded quota_exceeded quota_exceeded"},
		{"not while others get through", func(since time.Duration) bool { return since > patience-time.Minute }, "ok ok ok"},
		{"with those behind", func(since time.Duration) bool { return since > 2*patience }, "quota_exceeded quota_exceeded quota_exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, began := newQuotaQueue(), time.Now()
				var mu sync.Mutex  // guards last
				var last time.Time // a pod lives for four minutes
				ends := make([]string, 3)
				var waiting sync.WaitGroup
				for i := range ends {
					waiting.Go(func() {
						ends[i] = "ok"
						err := q.pass(t.Context(), patience, func() error {
							mu.Lock()
							defer mu.Unlock()
							if !test.free(time.Since(began)) || !last.IsZero() && time.Since(last) < 4*time.Minute {
								return errQuota
							}
							last = time.Now()
							return nil
						})
						if failure := (*runner.Failure)(nil); errors.As(err, &failure) {
							ends[i] = string(failure.Code)
						}
					})
					synctest.Wait()
				}
				waiting.Wait()
				if got := strings.Join(ends, " "); got != test.want {
					t.Errorf("ended with %s, want %s", got, test.want)
				}
				if took := time.Since(began); strings.Contains(test.want, "quota") && took > patience+time.Minute {
					t.Errorf("all were told after %v", took)
				}
			})
		})
	}
}

func TestQuotaQueue_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuotaQueue()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ended := make(chan error)
		for range 2 {
			go func() { ended <- q.pass(ctx, time.Hour, func() error { return errQuota }) }()
			synctest.Wait()
		}
		for range 2 {
			if err := <-ended; !lacksQuota(err) {
				t.Errorf("ended with %v", err)
			}
		}
		other := errors.New("forbidden")
		if err := q.pass(t.Context(), time.Hour, func() error { return fmt.Errorf("create pod: %w", other) }); !errors.Is(err, other) {
			t.Errorf("afterwards: %v", err)
		}
	})
}
