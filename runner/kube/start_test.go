package kube

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"nbpress/runner"
)

// fakeAPI is a cluster's API as far as it gives one pod, its owner and its Secret, and takes
// what it is sent. What becomes of a request is the test's to say.
type fakeAPI struct {
	status func(request string, nth int) int // of "POST pods" and so on, from 1; 0: it hangs up

	mu    sync.Mutex // guards what follows
	asked []string
}

// newAPI returns an executor of that API, whose pods nobody watches.
func newAPI(t *testing.T, status func(request string, nth int) int) (*fakeAPI, *Executor) {
	t.Helper()
	a := &fakeAPI{status: status}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	client, err := newClient(&rest.Config{Host: server.URL, QPS: -1}, "reports")
	must(t, err)
	o := plainOptions(t)
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return a, &Executor{o: o, client: client, tidy: newUndertaker(client, o.Instance, o.Log), quota: newQuotaQueue()}
}

// ServeHTTP implements http.Handler.
func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/reports/"), "/")
	request := r.Method + " " + resource
	a.mu.Lock()
	a.asked = append(a.asked, request)
	nth := count(a.asked, request)
	a.mu.Unlock()
	status := a.status(request, nth)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	object := map[string]any{
		"apiVersion": "v1", "kind": map[string]string{"pods": "Pod", "configmaps": "ConfigMap", "secrets": "Secret"}[resource],
		"metadata": map[string]any{"name": path.Base(r.URL.Path), "labels": map[string]string{labelManagedBy: managedBy, labelInstance: "press"}},
	}
	if r.Method == http.MethodPost {
		_ = json.NewDecoder(r.Body).Decode(&object) // the answer would not do
	}
	object["metadata"].(map[string]any)["uid"] = "of-" + resource
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func (a *fakeAPI) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

func count(all []string, one string) (n int) {
	for _, other := range all {
		if other == one {
			n++
		}
	}
	return n
}

// unwatched is a sandbox of whose pod nothing is heard.
func unwatched(e *Executor) *sandbox {
	return &sandbox{e: e, name: podName(e.o.Instance, plainSpec()), log: e.o.Log}
}

func TestCreate_WaitsWhileTheAPIIsAway(t *testing.T) {
	t.Parallel()
	a, e := newAPI(t, func(request string, nth int) int {
		switch {
		case nth > 1:
			return http.StatusOK
		case request == "POST pods":
			return 0
		}
		return http.StatusServiceUnavailable
	})
	s := unwatched(e)
	must(t, s.create(t.Context(), plainSpec()))
	if s.pod() != "of-pods" || s.secret != "of-secrets" {
		t.Errorf("pod %q, Secret %q", s.pod(), s.secret)
	}
	for request, want := range map[string]int{"GET configmaps": 2, "POST pods": 2, "POST secrets": 2} {
		if got := count(a.requests(), request); got != want {
			t.Errorf("%d times %s, want %d", got, request, want)
		}
	}
}

func TestCreate_DoesNotAskAgainForWhatIsRefused(t *testing.T) {
	a, e := newAPI(t, func(request string, _ int) int {
		if request == "POST pods" {
			return http.StatusForbidden
		}
		return http.StatusOK
	})
	var failure *runner.Failure
	if err := unwatched(e).create(t.Context(), plainSpec()); !errors.As(err, &failure) || failure.Code != runner.Internal {
		t.Errorf("got %v", err)
	}
	if got := count(a.requests(), "POST pods"); got != 1 {
		t.Errorf("it was asked for %d times", got)
	}
}

func TestCreate_IsPatientForSoLong(t *testing.T) {
	t.Parallel()
	_, e := newAPI(t, func(string, int) int { return http.StatusServiceUnavailable })
	e.o.Patience = time.Millisecond
	if err := unwatched(e).create(t.Context(), plainSpec()); !isAway(err) {
		t.Errorf("got %v", err)
	}
	e.o.Patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := unwatched(e).create(ctx, plainSpec()); err == nil {
		t.Error("a pod was made")
	}
}

// TestRemove_OfAPodThatMayBeThere: the answer to its creation was lost, and now the API is away.
func TestRemove_OfAPodThatMayBeThere(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	_, e := newAPI(t, func(request string, nth int) int {
		switch {
		case request == "DELETE pods":
			close(gone)
		case nth == 1:
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	defer e.tidy.stop()
	s := unwatched(e)
	must(t, s.remove(t.Context())) // it was never asked for
	s.mayExist = true
	if err := s.remove(t.Context()); err == nil {
		t.Error("it counts as removed")
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("it is not removed later")
	}
}

// TestAwaitNews_SaysWhatAPodWaitedForWhenTimeIsUp: also where that is the run's time, the
// report is not to blame.
func TestAwaitNews_SaysWhatAPodWaitedForWhenTimeIsUp(t *testing.T) {
	s := &sandbox{e: &Executor{o: plainOptions(t)}}
	noNode := fate{state: waiting, code: runner.Unschedulable, message: "no node takes the pod"}
	late, cancel := context.WithDeadlineCause(t.Context(), time.Now(), errors.New("run timeout"))
	defer cancel()
	var failure *runner.Failure
	if err := s.awaitNews(late, nil, noNode, time.Now()); !errors.As(err, &failure) || failure.Code != runner.Unschedulable {
		t.Errorf("got %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := s.awaitNews(stopped, nil, noNode, time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("of a start that nobody wants any more: %v", err)
	}
}

func TestPatience_WithAnImageLastsAMinuteAtMost(t *testing.T) {
	for _, test := range []struct{ patience, node, image time.Duration }{
		{5 * time.Minute, 5 * time.Minute, time.Minute},
		{3 * time.Second, 3 * time.Second, 3 * time.Second},
	} {
		e := &Executor{o: Options{Patience: test.patience}}
		node, image := e.patience(fate{code: runner.Unschedulable}), e.patience(fate{code: runner.ImagePull})
		if node != test.node || image != test.image {
			t.Errorf("of %v: %v for a node and %v for an image, want %v and %v", test.patience, node, image, test.node, test.image)
		}
	}
}
