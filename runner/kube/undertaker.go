package kube

import (
	"context"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// undertaker removes in the background what could not be removed at once, because the
// cluster was away. What it has not removed when it is stopped is left for Begin.
type undertaker struct {
	client   *client
	instance string
	log      *slog.Logger

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

func newUndertaker(client *client, instance string, log *slog.Logger) *undertaker {
	return &undertaker{client: client, instance: instance, log: log, end: make(chan struct{})}
}

// take removes a pod sooner or later. Where its uid is "" it was asked for, and nobody said
// whether it is there.
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
			err := u.remove(ctx, name, uid)
			cancel()
			if err == nil {
				u.log.Info("removed a pod that could not be removed before", "pod", name)
				return
			}
			u.log.Debug("a pod is not removed yet", "pod", name, "error", err)
		}
	})
}

func (u *undertaker) remove(ctx context.Context, name string, uid types.UID) error {
	if uid == "" {
		there, err := u.client.pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && !ours(there.Labels, u.instance) {
			return nil
		}
		if err != nil {
			return err
		}
		uid = there.UID
	}
	return deletePod(ctx, u.client, name, uid, 0)
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
