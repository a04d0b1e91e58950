package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// This file holds what the tests on a real cluster share.

// patience bounds every wait for the cluster. A machine may be slow and shared.
const patience = 5 * time.Minute

// cluster is a namespace of a test's own on the cluster of $KUBECONFIG.
type cluster struct {
	testing.TB
	kubeconfig, namespace, image string
	client                       *client // the test's own, with all rights
}

// onCluster skips a test where there is no cluster to run it on.
func onCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{TB: t, kubeconfig: os.Getenv("KUBECONFIG"), image: os.Getenv("NBPRESS_E2E_IMAGE"),
		namespace: "nbpress-" + strings.ToLower(rand.Text()[:10])}
	if c.kubeconfig == "" || c.image == "" {
		t.Skip("KUBECONFIG and NBPRESS_E2E_IMAGE name no cluster and no image; make e2e does")
	}
	config, err := restConfig(c.kubeconfig, "", 100)
	c.must(err)
	c.client, err = newClient(config, c.namespace)
	c.must(err)
	ctx := t.Context()
	c.must(c.client.core.Post().Resource("namespaces").Body(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: c.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "nbpress-test": "true"},
	}}).Do(ctx).Error())
	t.Cleanup(func() {
		c.must(c.client.core.Delete().Resource("namespaces").Name(c.namespace).Do(context.WithoutCancel(ctx)).Error())
	})
	c.eventually("the namespace has its service account", func() bool { // no pod is admitted before
		err := c.client.core.Get().Namespace(c.namespace).Resource("serviceaccounts").Name("default").Do(ctx).Error()
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	return c
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// options are for small pods.
func (c *cluster) options() Options {
	log := slog.New(slog.NewTextHandler(c.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return smallPods(c.kubeconfig, c.namespace, c.image, log)
}

func smallPods(kubeconfig, namespace, image string, log *slog.Logger) Options {
	return Options{
		Kubeconfig: kubeconfig, Namespace: namespace, Instance: "press", Image: image,
		MilliCPU: 100, Memory: 256 << 20, Storage: 64 << 20, StartTimeout: patience, Log: log,
	}
}

// number is how much of something the environment asks for.
func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number", name, text)
	}
	return n
}

// open returns an executor that ends with the test.
func (c *cluster) open(o Options) *Executor {
	c.Helper()
	e, err := New(c.Context(), o)
	c.must(err)
	c.Cleanup(e.Close)
	return e
}

// spec is an attempt of a run of its own.
func (c *cluster) spec() runner.Spec {
	return runner.Spec{
		Run: runner.RunID("test" + strings.ToLower(rand.Text()[:16])), Generation: 1, Attempt: 1,
		Report: "report", Asset: "asset", Deadline: time.Now().Add(20 * time.Minute),
	}
}

// start returns a sandbox that ends with the test.
func (c *cluster) start(e *Executor, spec runner.Spec) *sandbox {
	c.Helper()
	box, err := e.Start(c.Context(), spec)
	c.must(err)
	c.Cleanup(func() { c.close(box) })
	return box.(*sandbox)
}

func (c *cluster) close(box runner.Sandbox) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), patience)
	defer cancel()
	if err := box.Close(ctx); err != nil {
		c.Errorf("close: %v", err)
	}
}

// remains lists the pods and Secrets of the namespace, of a run or of all.
func (c *cluster) remains(run runner.RunID) []string {
	c.Helper()
	if run != "" {
		return c.selected(labelRun + "=" + string(run))
	}
	return c.selected(labelManagedBy + "=" + managedBy)
}

// selected lists the pods, and then the Secrets, that have labels.
func (c *cluster) selected(labels string) []string {
	c.Helper()
	ctx := context.WithoutCancel(c.Context())
	pods, err := c.client.pods.List(ctx, metav1.ListOptions{LabelSelector: labels})
	c.must(err)
	var left []string
	for _, pod := range pods.Items {
		left = append(left, "pod "+pod.Name)
	}
	var secrets corev1.SecretList
	c.must(c.client.core.Get().Namespace(c.namespace).Resource("secrets").Param("labelSelector", labels).Do(ctx).Into(&secrets))
	for _, secret := range secrets.Items {
		left = append(left, "Secret "+secret.Name)
	}
	return left
}

// eventually waits for something that nothing tells of.
func (c *cluster) eventually(what string, ok func() bool) {
	c.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			c.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// failure is what Start must return.
func (c *cluster) failure(box runner.Sandbox, err error) *runner.Failure {
	c.Helper()
	if box != nil {
		c.close(box)
		c.Fatal("a sandbox was started")
	}
	var failure *runner.Failure
	if !errors.As(err, &failure) {
		c.Fatalf("got %v, want a failure", err)
	}
	c.Logf("%s: %s", failure.Code, failure.Message)
	return failure
}

// says checks a failure.
func (c *cluster) says(code runner.Code, message string, want runner.Code, parts ...string) {
	c.Helper()
	if code != want {
		c.Errorf("the code is %q, want %q (%s)", code, want, message)
	}
	for _, part := range parts {
		if !strings.Contains(message, part) {
			c.Errorf("%q lacks %q", message, part)
		}
	}
}

// notebook is one that runs in a sandbox.
type notebook struct {
	done    chan struct{}
	failure *runner.Failure // after done
	err     error
	death   chan runner.Death // how the kernel ended
}

// run runs cells in a new kernel, and returns when the last of them has begun.
func (c *cluster) run(box *sandbox, cells ...string) *notebook {
	c.Helper()
	conn, dead, err := box.Kernel(c.Context())
	c.must(err)
	n := &notebook{done: make(chan struct{}), death: make(chan runner.Death, 1)}
	told := make(chan runner.Death, 1)
	go func() {
		death := <-dead
		n.death <- death
		told <- death
	}()
	began := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	go func() {
		defer close(n.done)
		defer cancel()
		_, n.failure, _, n.err = runner.ExecuteNotebook(ctx, runnertest.Notebook(cells...), conn, told, runner.CellsOptions{ReasonTimeout: box.ReasonTimeout(), Progress: func(p runner.Progress) {
			if p.Cell == len(cells) && p.Event == runner.CellStarted {
				once.Do(func() { close(began) })
			}
		}})
	}()
	select {
	case <-began:
	case <-n.done:
		c.Fatalf("the notebook ended early: %+v, %v", n.failure, n.err)
	case <-time.After(patience):
		c.Fatal("the notebook hangs")
	}
	return n
}

// ends waits for a notebook that must fail.
func (c *cluster) ends(n *notebook) *runner.Failure {
	c.Helper()
	select {
	case <-n.done:
	case <-time.After(patience):
		c.Fatal("the notebook does not end")
	}
	if n.err != nil || n.failure == nil {
		c.Fatalf("got %v and %v, want a failure", n.failure, n.err)
	}
	c.Logf("%s: %s", n.failure.Code, n.failure.Message)
	return n.failure
}
