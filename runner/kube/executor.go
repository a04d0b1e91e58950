package kube

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Executor makes sandboxes as pods. It is for one instance of nbpress in one namespace.
type Executor struct {
	o      Options
	client *client
	pods   *watcher
	tidy   *undertaker
	quota  *quotaQueue
}

// New connects to the cluster, checks that we may do there what we have to, and begins to
// watch the instance's pods. It changes nothing there.
func New(ctx context.Context, o Options) (*Executor, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	// A sandbox is about ten requests: nobody should wait for our own limit. The cluster has
	// one of its own, and client-go backs off where it says so.
	config, err := restConfig(o.Kubeconfig, o.Context, float32(max(50, 5*o.Slots)))
	if err != nil {
		return nil, err
	}
	client, err := newClient(config, o.Namespace)
	if err != nil {
		return nil, err
	}
	if err := client.check(ctx, rightsOf(o.Forward)); err != nil {
		return nil, err
	}
	pods, err := watchPods(ctx, client, o.Instance, o.Log)
	if err != nil {
		return nil, err
	}
	return &Executor{o: o, client: client, pods: pods, tidy: newUndertaker(client, o.Instance, o.Log), quota: newQuotaQueue()}, nil
}

// Ready returns nil, or what is wrong with the cluster. It asks, and the answer may take as
// long as ctx lets it.
func (e *Executor) Ready(ctx context.Context) error {
	_, err := e.client.configMaps.Get(ctx, ownerName(e.o.Instance), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster at %s: %w", e.client.config.Host, err)
	}
	return e.pods.ready()
}

// Close stops watching, and what is still being removed. Sandboxes should be closed before.
func (e *Executor) Close() {
	e.tidy.stop()
	e.pods.stop()
}

// owner returns the reference to what owns every pod of the instance, which it makes where
// it is not there. It is asked for each time: a pod whose owner is gone is removed by the
// cluster.
func (e *Executor) owner(ctx context.Context) (metav1.OwnerReference, error) {
	name := ownerName(e.o.Instance)
	owner, err := e.client.configMaps.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		owner, err = e.client.configMaps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				labelManagedBy: managedBy, labelInstance: e.o.Instance, labelComponent: componentRuns,
			}},
			Data: map[string]string{"README": "This owns the pods of nbpress' runs: removing it removes them."},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // somebody was quicker
			owner, err = e.client.configMaps.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return metav1.OwnerReference{}, fmt.Errorf("the owner of the pods, ConfigMap %s: %w", name, err)
	}
	if !ours(owner.Labels, e.o.Instance) {
		return metav1.OwnerReference{}, fmt.Errorf("ConfigMap %s is not ours: it lacks the labels %s; choose another name for the instance", name, selector(e.o.Instance))
	}
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: owner.UID}, nil
}

// Begin removes the pods that an earlier life of this instance left, which are of no use:
// their kernels ended with the connection to the agent. It returns when they are gone. No
// sandbox of this executor may be there yet.
func (e *Executor) Begin(ctx context.Context) error {
	list, err := e.client.pods.List(ctx, metav1.ListOptions{LabelSelector: selector(e.o.Instance)})
	if err != nil {
		return fmt.Errorf("list the pods of an earlier life: %w", err)
	}
	var removing errgroup.Group
	removing.SetLimit(e.o.Slots)
	for _, pod := range list.Items {
		removing.Go(func() error {
			e.o.Log.Info("removing what an earlier life left", "pod", pod.Name)
			return e.remove(ctx, pod.Name, pod.UID)
		})
	}
	if err := removing.Wait(); err != nil {
		return fmt.Errorf("what an earlier life left: %w", err)
	}
	_, err = e.owner(ctx)
	return err
}

// How a pod ends: its processes get a short while, and where its node does not answer it is
// forgotten after a longer one. A kubelet that comes back ends what it finds forgotten.
const (
	endGrace    = 1 // seconds
	endPatience = 30 * time.Second
)

// remove ends one pod and returns when it is gone.
func (e *Executor) remove(ctx context.Context, name string, uid types.UID) error {
	f := e.pods.follow(name)
	defer f.end()
	for _, grace := range []int64{endGrace, 0} {
		if err := deletePod(ctx, e.client, name, uid, grace); err != nil {
			return err
		}
		pod, err := e.client.pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && pod.UID != uid {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for the end of pod %s: %w", name, err)
		}
		bounded, cancel := context.WithTimeout(ctx, endPatience)
		err = f.awaitGone(bounded, uid)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the end of pod %s: %w", name, err)
		}
		e.o.Log.Warn("a pod does not end", "pod", name, "node", pod.Spec.NodeName, "forced", grace == 0)
	}
	return fmt.Errorf("pod %s does not end", name)
}

// deletePod asks for the end of one pod. That it is gone, or another of its name there, is
// no error.
func deletePod(ctx context.Context, client *client, name string, uid types.UID, grace int64) error {
	err := client.pods.Delete(ctx, name, metav1.DeleteOptions{
		GracePeriodSeconds: &grace, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete pod %s: %w", name, err)
	}
	return nil
}
