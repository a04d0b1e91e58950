package main

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nbpress/internal/webhook"
	"nbpress/runner"
)

// metrics are the numbers that /metrics shows, for the questions that operators ask; a
// dozen of them, in docs/operations.md. Names begin with nbpress_; labels take values
// that we choose, never what comes from outside. They are of the process, and outlive
// reigns; what is asked of the working agent at each look is in state.go.
type metrics struct {
	registry   *prometheus.Registry // our own: the library's default one is a global
	deliveries *prometheus.CounterVec
	runs       *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	stages     *prometheus.HistogramVec
	lateness   prometheus.Histogram

	mu      sync.Mutex // guards what follows
	waiting time.Time  // since when documents wait for the ledger; zero: none does
}

// The stages of an attempt, in their order.
func stages() []string {
	return []string{"start", "token", "files", "kernel", "cells", "output", "render"}
}

// newMetrics returns metrics that ask the agent at work, if there is one, for its state.
func newMetrics(working func() *agent) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: counter("nbpress_webhook_deliveries_total",
			"Deliveries to /webhook, by who says to have sent them and by what became of them.", "provider", "outcome"),
		runs: counter("nbpress_runs_total",
			"Runs that have ended, by status, and by error code where the status is error.", "status", "code"),
		attempts: counter("nbpress_attempts_total",
			"Attempts of runs that have ended: completed, released, abandoned or an error code.", "ended"),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nbpress_stage_seconds", Help: "Seconds that attempts spent in each stage.",
			Buckets: []float64{.1, .3, 1, 3, 10, 30, 100, 300, 1000, 3000},
		}, []string{"stage"}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "nbpress_lateness_seconds", Help: "Seconds from the time that a slot was due to the first attempt of each of its runs.",
			Buckets: []float64{1, 3, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600},
		}),
	}
	m.begin()
	m.registry.MustRegister(
		m.deliveries, m.runs, m.attempts, m.stages, m.lateness, newState(m, working),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// begin sets what can be known beforehand to 0, so that the first one is a rise.
func (m *metrics) begin() {
	for _, provider := range webhook.Providers() {
		for _, outcome := range webhook.Outcomes() {
			m.deliveries.WithLabelValues(string(provider), string(outcome))
		}
	}
	m.runs.WithLabelValues(string(runner.StatusCompleted), "")
	m.runs.WithLabelValues(string(runner.StatusCanceled), "")
	for _, code := range runner.Codes() {
		m.runs.WithLabelValues(string(runner.StatusError), string(code))
	}
	for _, stage := range stages() {
		m.stages.WithLabelValues(stage)
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// finished counts a run that has ended. Its attempts are counted with it, those of
// earlier lives too.
func (m *metrics) finished(run runner.Manifest) {
	code := runner.Code("")
	if run.Error != nil {
		code = run.Error.Code
	}
	m.runs.WithLabelValues(string(run.Status), string(code)).Inc()
	for _, attempt := range run.Attempts {
		m.attempts.WithLabelValues(attempt.Ended).Inc()
		for stage, seconds := range attempt.Seconds {
			if strings.Contains(stage, ".") { // a part of one
				continue
			}
			m.stages.WithLabelValues(stage).Observe(seconds)
		}
	}
	scheduled := run.Trigger == runner.TriggerSchedule || run.Trigger == runner.TriggerCatchUp
	if scheduled && len(run.Attempts) > 0 {
		m.lateness.Observe(max(0, run.Attempts[0].StartedAt.Sub(run.ScheduledAt).Seconds()))
	}
}

// waits notes whether documents wait for the ledger.
func (m *metrics) waits(some bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !some:
		m.waiting = time.Time{}
	case m.waiting.IsZero():
		m.waiting = time.Now()
	}
}

// waited returns for how long documents have been waiting for the ledger.
func (m *metrics) waited() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting.IsZero() {
		return 0
	}
	return time.Since(m.waiting)
}
