package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// watcher is told of every change of the instance's pods, by one stream. client-go begins
// the stream anew when it ends or is too old (410), and finds out what happened meanwhile.
type watcher struct {
	namespace string
	informer  cache.SharedIndexInformer
	cancel    context.CancelFunc
	done      sync.WaitGroup

	mu        sync.Mutex                    // guards what follows
	followers map[string]map[*follower]bool // by the pod's name
	broken    error                         // why there is no stream; nil: there is one
}

// syncTimeout is how long the first list of pods may take.
const syncTimeout = time.Minute

// watchPods begins to watch, and returns once it knows all pods that there are.
func watchPods(ctx context.Context, client *client, instance string, log *slog.Logger) (*watcher, error) {
	selected := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = selector(instance)
		return o
	}
	w := &watcher{namespace: client.namespace, followers: map[string]map[*follower]bool{}}
	w.informer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.pods.List(ctx, selected(o))
			w.heard(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			stream, err := client.pods.Watch(ctx, selected(o))
			w.heard(err)
			return stream, err
		},
	}, &corev1.Pod{}, 0, cache.Indexers{})
	err := errors.Join(
		w.informer.SetTransform(slim),
		w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			log.Debug("the stream of pods is begun anew", "error", err)
		}),
	)
	_, handlerErr := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.tell(o, false) },
		UpdateFunc: func(_, o any) { w.tell(o, false) },
		DeleteFunc: func(o any) { w.tell(o, true) },
	})
	if err := errors.Join(err, handlerErr); err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	w.done.Go(func() { w.informer.RunWithContext(running) })
	syncing, cancelSync := context.WithTimeout(ctx, syncTimeout)
	defer cancelSync()
	if !cache.WaitForCacheSync(syncing.Done(), w.informer.HasSynced) {
		w.stop()
		return nil, fmt.Errorf("list the pods of namespace %s: %w", client.namespace, errors.Join(w.ready(), context.Cause(syncing)))
	}
	return w, nil
}

// slim drops of a pod what nobody here reads.
func slim(o any) (any, error) {
	if pod, ok := o.(*corev1.Pod); ok {
		pod.ManagedFields = nil
	}
	return o, nil
}

// heard notes whether the cluster talks to us.
func (w *watcher) heard(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

// ready returns why we hear nothing of pods, or nil.
func (w *watcher) ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return fmt.Errorf("watch pods: %w", w.broken)
	}
	return nil
}

// stop ends watching.
func (w *watcher) stop() {
	w.cancel()
	w.done.Wait()
}

// tell tells those who follow the pod.
func (w *watcher) tell(o any, gone bool) {
	if missed, ok := o.(cache.DeletedFinalStateUnknown); ok { // it went while there was no stream
		o = missed.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.followers[pod.Name] {
		f.tell(sight{pod, gone})
	}
}

// sight is how a pod was seen last.
type sight struct {
	pod  *corev1.Pod // shared: not to be changed
	gone bool        // deleted; pod is its last state that is known
}

// follower hears of the pods of one name.
type follower struct {
	end func()

	mu      sync.Mutex // guards what follows
	latest  map[types.UID]sight
	changed chan struct{} // closed, and made anew, with each change of latest
}

// follow hears of all pods of a name from now on, and of what is known now. It must be ended.
func (w *watcher) follow(name string) *follower {
	f := &follower{latest: map[types.UID]sight{}, changed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followers[name] == nil {
		w.followers[name] = map[*follower]bool{}
	}
	w.followers[name][f] = true
	f.end = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.followers[name], f)
		if len(w.followers[name]) == 0 {
			delete(w.followers, name)
		}
	}
	if pod := w.known(name); pod != nil {
		f.tell(sight{pod: pod})
	}
	return f
}

// known returns the pod of a name as far as we have heard; nil: none.
func (w *watcher) known(name string) *corev1.Pod {
	o, _, _ := w.informer.GetStore().GetByKey(w.namespace + "/" + name) // a store in memory has no errors
	if pod, ok := o.(*corev1.Pod); ok {
		return pod
	}
	return nil
}

func (f *follower) tell(s sight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latest[s.pod.UID].gone { // older news
		return
	}
	f.latest[s.pod.UID] = s
	close(f.changed)
	f.changed = make(chan struct{})
}

// see returns how a pod was seen last, and what is closed when it is seen again. The zero
// sight: it was not seen yet.
func (f *follower) see(uid types.UID) (sight, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest[uid], f.changed
}

// awaitGone returns when a pod that is there is gone.
func (f *follower) awaitGone(ctx context.Context, uid types.UID) error {
	for {
		seen, changed := f.see(uid)
		if seen.gone {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
