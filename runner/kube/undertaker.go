package kube

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// undertaker removes in the background what could not be removed at once, because the
// cluster was away. What it has not removed when it is stopped is left for Begin.
type undertaker struct {
	client *client
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	stopped bool
	end     chan struct{}
	work    sync.WaitGroup
}

// The pauses between two tries to remove a pod.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

func newUndertaker(client *client, log *slog.Logger) *undertaker {
	return &undertaker{client: client, log: log, end: make(chan struct{})}
}

// take removes a pod sooner or later.
func (u *undertaker) take(name string, uid types.UID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return
	}
	u.work.Go(func() {
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			select {
			case <-u.end:
				return
			case <-time.After(pause):
			}
			ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
			err := deletePod(ctx, u.client, name, uid, 0)
			cancel()
			if err == nil {
				u.log.Info("removed a pod that could not be removed before", "pod", name)
				return
			}
			u.log.Debug("a pod is not removed yet", "pod", name, "error", err)
		}
	})
}

// stop returns when nothing is being removed any more.
func (u *undertaker) stop() {
	u.mu.Lock()
	if !u.stopped {
		u.stopped = true
		close(u.end)
	}
	u.mu.Unlock()
	u.work.Wait()
}
