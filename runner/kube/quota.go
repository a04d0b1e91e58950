package kube

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"nbpress/runner"
)

// quotaQueue is where starts wait for quota: who has waited longest tries again, the others stand
// behind. Else a new start would always be quicker than they, since it comes when a pod has
// ended. Who wants more than there is for a while goes to the end: there may be enough for
// the next. Quota is a namespace's, https://kubernetes.io/docs/concepts/policy/resource-quotas/.
type quotaQueue struct {
	head   *semaphore.Weighted // of one, whom it lets in by order of arrival
	length atomic.Int32        // with the head
	ended  chan struct{}       // rung when a pod of ours is gone
	moved  time.Time           // of the head: when the last one got through
}

// turn is how long somebody may be the head while others wait.
const turn = 30 * time.Second

func newQuotaQueue() *quotaQueue {
	return &quotaQueue{head: semaphore.NewWeighted(1), ended: make(chan struct{}, 1)}
}

// ring tells the head that a pod is gone. Quota may notice a little later.
func (q *quotaQueue) ring() {
	select {
	case q.ended <- struct{}{}:
	default:
	}
}

// pass calls try until it says something else than that quota is lacking, or until nobody
// has got through for as long as the patience lasts. It returns what try said last.
func (q *quotaQueue) pass(ctx context.Context, patience time.Duration, try func() error) error {
	if q.length.Load() == 0 {
		if err := try(); !lacksQuota(err) {
			return err
		}
	}
	q.length.Add(1)
	defer q.length.Add(-1)
	came := time.Now()
	var err error = &runner.Failure{Code: runner.QuotaExceeded, Message: "other pods, which were wanted before this one, wait for the namespace's quota too"}
	for again := true; again && q.head.Acquire(ctx, 1) == nil; {
		again, err = q.lead(ctx, came, patience, try)
		q.head.Release(1)
	}
	return err
}

// lead is pass for the head. again: its turn is over, and it stands behind the others.
func (q *quotaQueue) lead(ctx context.Context, came time.Time, patience time.Duration, try func() error) (again bool, err error) {
	began := time.Now()
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err = try()
		if err == nil {
			q.moved = time.Now()
		}
		stood := min(time.Since(came), time.Since(q.moved))
		if !lacksQuota(err) || stood > patience {
			return false, err
		}
		if time.Since(began) > turn && q.length.Load() > 1 {
			return true, err
		}
		select {
		case <-q.ended:
			pause = shortestPause / 2
		case <-time.After(pause):
		case <-ctx.Done():
			return false, err
		}
	}
}

func lacksQuota(err error) bool {
	var failure *runner.Failure
	return errors.As(err, &failure) && failure.Code == runner.QuotaExceeded
}
