package kube

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
)

// This file looks at many runs at once: the runner above pods.

// TestE2E_FairAndBounded: of runs that are all due at once a report with many does not keep
// one with few waiting; there are never more pods than slots, and a busy cluster that
// refuses requests for now gets the time that it asks for.
func TestE2E_FairAndBounded(t *testing.T) {
	const slots = 10
	due := number(t, "NBPRESS_E2E_SLOTS", 40)
	c := onCluster(t)
	api, kubeconfig := newBusyAPI(c)
	o := c.options()
	o.Kubeconfig, o.Slots = kubeconfig, slots
	few := max(due/10, 1)
	crowd := c.crowd()
	began := time.Now()
	manifests := c.press(o, tiny("big", due-few), tiny("small", few))
	took := time.Since(began)
	made, peak := crowd.end()

	late, seconds, last := 0, map[string][]float64{}, 0
	for i, m := range manifests {
		if m.Report == "small" {
			last = i + 1
		}
		for _, warning := range m.Warnings {
			if strings.Contains(warning, "was not removed") { // in time: it stood beside its successor
				late++
			}
		}
		for stage, s := range m.Attempts[len(m.Attempts)-1].Seconds {
			seconds[stage] = append(seconds[stage], s)
		}
	}
	var medians []string
	for _, stage := range []string{"start.created", "start.scheduled", "start.running", "start.reached", "start", "files", "kernel", "cells", "output", "render"} {
		if len(seconds[stage]) != due {
			t.Errorf("%d manifests of %d have the seconds of the stage %s", len(seconds[stage]), due, stage)
			continue
		}
		slices.Sort(seconds[stage])
		medians = append(medians, fmt.Sprintf("%s %.1f s", stage, seconds[stage][due/2]))
	}
	refused, impatient := api.count()
	t.Logf("%d runs in %.0f s, %d pods made, %d at a time at most; the small report's last of %d ended as number %d; %d requests were refused with 429",
		len(manifests), took.Seconds(), made, peak, few, last, refused)
	t.Logf("medians: %s", strings.Join(medians, ", "))
	if peak > slots+late || made < due {
		t.Errorf("%d pods were made, %d at a time, of which %d were not removed in time; there are %d slots", made, peak, late, slots)
	}
	if last > max(due/2, few) {
		t.Error("the small report was kept waiting")
	}
	if refused == 0 || len(impatient) > 0 {
		t.Errorf("%d requests were refused; made again too soon: %q", refused, impatient)
	}
	c.eventually("nothing is left", func() bool { return len(c.remains("")) == 0 })
}

// TestE2E_QuotaIsTheSecondBound: runs for whose pods there is no quota wait, and get in before
// those that come later. How many pods are there at a time is the cluster's affair: its quota
// is no lock, and lets one in too many where pods come and go.
func TestE2E_QuotaIsTheSecondBound(t *testing.T) {
	t.Parallel()
	const quota, slots = 2, 4
	c := onCluster(t)
	c.quota(quota)
	o := c.options()
	o.Slots, o.Patience = slots, patience
	crowd := c.crowd()
	manifests := c.press(o, tiny("report", 6))
	_, peak := crowd.end()
	slices.SortFunc(manifests, func(a, b runner.Manifest) int { return a.Attempts[0].StartedAt.Compare(b.Attempts[0].StartedAt) })
	in := make([]time.Time, len(manifests)) // when each got in
	waited := 0
	for i, m := range manifests {
		if len(m.Attempts) > 1 {
			t.Errorf("%s was tried again: %+v", m.Asset, m.Attempts)
		}
		took := time.Duration(m.Attempts[0].Seconds["start.created"] * float64(time.Second))
		in[i] = m.Attempts[0].StartedAt.Add(took)
		if took > 2*time.Second { // less than a run takes
			waited++
		}
	}
	t.Logf("%d of %d runs waited for quota; %d pods at a time at most, with quota for %d", waited, len(manifests), peak, quota)
	if waited == 0 {
		t.Error("no run waited")
	}
	for i := slots; i < len(in); i++ {
		for j := range slots {
			if in[i].Before(in[j].Add(-2 * time.Second)) { // attempts tell their beginning to the second
				t.Errorf("%s got in before %s, which had come before: %v", manifests[i].Asset, manifests[j].Asset, in[j].Sub(in[i]))
			}
		}
	}
}

// tiny returns a report of so many assets, whose notebook does next to nothing.
func tiny(name string, assets int) *report.Bundle {
	b := &report.Bundle{
		Name: name, Template: report.TemplateFile,
		Files: map[string][]byte{
			report.NotebookFile: runnertest.Notebook(`open("output.json", "w").write('{"name": "Ada"}')`),
			report.TemplateFile: []byte("Hello {{ name }}"),
		},
		Config: report.Config{
			Languages: []string{"en"}, Retries: 2, Enabled: true, Timeout: report.Timeout{Cell: patience, Run: 3 * patience},
		},
	}
	for i := range assets {
		b.Config.Assets = append(b.Config.Assets, report.Asset{ID: fmt.Sprintf("asset-%03d", i), Enabled: true})
	}
	return b
}

// press has a runner do one slot of each report, all due at the same time, and returns the
// manifests in the order in which the runs ended. All of them must be completed.
func (c *cluster) press(o Options, reports ...*report.Bundle) []runner.Manifest {
	c.Helper()
	ended := c.runs(o, &runnertest.Memory{}, func() {}, reports...)
	for _, m := range ended {
		if m.Status != runner.StatusCompleted {
			c.Errorf("%s %s: %s: %+v", m.Report, m.Asset, m.Status, m.Error)
		}
	}
	return ended
}

// runs is press for runs that may fail, with something that happens meanwhile.
func (c *cluster) runs(o Options, store runner.Store, meanwhile func(), reports ...*report.Bundle) []runner.Manifest {
	c.Helper()
	var mu sync.Mutex
	var ended []runner.Manifest
	press := runner.New(c.open(o), store, runner.Options{
		Slots: o.Slots, Grace: time.Second, Log: o.Log,
		Finished: func(m runner.Manifest) {
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, m)
		},
	})
	due := 0
	for _, b := range reports {
		record := runner.SlotRecord{
			Report: b.Name, ScheduledAt: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), Timezone: "UTC", Trigger: runner.TriggerSchedule,
			Window: runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"}, BundleCommit: "5f1c",
		}
		for _, asset := range b.Config.Assets {
			record.Assets = append(record.Assets, asset.ID)
		}
		due += len(record.Assets)
		c.must(press.Submit(c.Context(), runner.Slot{Record: record, Bundle: b}))
	}
	ctx, cancel := context.WithCancel(c.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = press.Run(ctx) }) // ctx's error
	defer running.Wait()
	defer cancel()
	meanwhile()
	select {
	case <-press.Idle():
	case <-time.After(patience + time.Duration(due)*30*time.Second):
		c.Fatal("the runs do not end")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ended) != due {
		c.Errorf("%d runs were due, %d ended", due, len(ended))
	}
	return ended
}

// crowd counts pods while it watches, as the cluster tells of them.
type crowd struct {
	stop     context.CancelFunc
	watching sync.WaitGroup

	mu    sync.Mutex // guards what follows
	there map[types.UID]bool
	made  map[types.UID]bool
	peak  int
}

// crowd begins to count the pods of runs in the namespace.
func (c *cluster) crowd() *crowd {
	c.Helper()
	ctx, cancel := context.WithCancel(c.Context())
	n := &crowd{stop: cancel, there: map[types.UID]bool{}, made: map[types.UID]bool{}}
	watching := func() (watch.Interface, error) {
		return c.client.pods.Watch(ctx, metav1.ListOptions{LabelSelector: labelManagedBy + "=" + managedBy})
	}
	stream, err := watching()
	c.must(err)
	n.watching.Go(func() {
		for {
			for event := range stream.ResultChan() {
				n.note(event)
			}
			if ctx.Err() != nil {
				return
			}
			n.note(watch.Event{}) // the cluster ends a stream now and then, and begins the next with what is there
			if stream, err = watching(); err != nil {
				if ctx.Err() == nil {
					c.Errorf("count pods: %v", err)
				}
				return
			}
		}
	})
	c.Cleanup(func() { _, _ = n.end() })
	return n
}

// note takes an event in; the zero event: begin anew.
func (n *crowd) note(event watch.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pod, _ := event.Object.(*corev1.Pod)
	switch {
	case event.Type == "":
		clear(n.there)
	case pod == nil: // an error, before the stream's end
	case event.Type == watch.Deleted:
		delete(n.there, pod.UID)
	default:
		n.there[pod.UID], n.made[pod.UID] = true, true
		n.peak = max(n.peak, len(n.there))
	}
}

// end ends the counting. It is idempotent.
func (n *crowd) end() (made, peak int) {
	n.stop()
	n.watching.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.made), n.peak
}

// busyAPI is a way to the API of a cluster that refuses every fifth request for a second, as
// API servers do that have too many. Streams of commands they never refuse so.
type busyAPI struct {
	mu        sync.Mutex // guards what follows
	requests  int
	refused   int
	until     map[string]time.Time // of requests that were refused
	impatient map[string]bool      // those that came again before
}

// newBusyAPI returns a way to the cluster's API and a kubeconfig that takes it.
func newBusyAPI(c *cluster) (*busyAPI, string) {
	c.Helper()
	there := rest.CopyConfig(c.client.config)
	there.NextProtos = []string{"http/1.1"} // the others know no upgrades
	transport, err := rest.TransportFor(there)
	c.must(err)
	address, _, err := rest.DefaultServerUrlFor(there)
	c.must(err)
	b := &busyAPI{until: map[string]time.Time{}, impatient: map[string]bool{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: address.Scheme, Host: address.Host}) },
		Transport: transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // of those who went away
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" && b.refuses(r) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	c.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	config, err := clientcmd.LoadFromFile(c.kubeconfig)
	c.must(err)
	for _, there := range config.Clusters {
		there.Server, there.CertificateAuthority, there.CertificateAuthorityData = server.URL, "", nil
	}
	file := filepath.Join(c.TempDir(), "kubeconfig")
	c.must(clientcmd.WriteToFile(*config, file))
	return b, file
}

// refuses decides about a request, and looks whether it comes too soon: one about a pod of
// its own is made by one goroutine.
func (b *busyAPI) refuses(r *http.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := r.Method + " " + r.URL.Path
	if time.Now().Before(b.until[name]) {
		b.impatient[name] = true
	}
	delete(b.until, name)
	if b.requests++; b.requests%5 != 0 {
		return false
	}
	b.refused++
	if strings.Contains(r.URL.Path, "-g1-a") {
		b.until[name] = time.Now().Add(900 * time.Millisecond)
	}
	return true
}

// count returns how many requests were refused, and which came again too soon.
func (b *busyAPI) count() (refused int, impatient []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused, slices.Sorted(maps.Keys(b.impatient))
}
