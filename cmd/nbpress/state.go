package main

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// state is how the agent at work stands, asked at each look at /metrics. One that stands
// by shows nothing but that.
type state struct {
	metrics *metrics
	agent   func() *agent // nil: none is at work here

	working, slots, waiting, reports, synced, unlanded, declined *prometheus.Desc
}

func newState(m *metrics, agent func() *agent) *state {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &state{
		metrics: m, agent: agent,
		working:  desc("nbpress_working", "1: this agent works; 0: it stands by."),
		slots:    desc("nbpress_slots", "Slots for runs, busy and free.", "state"),
		waiting:  desc("nbpress_runs_waiting", "Runs that are due and wait for a slot."),
		reports:  desc("nbpress_reports", "Reports of the newest commit: planned, overdue (due for minutes and not started), broken or disabled.", "state"),
		synced:   desc("nbpress_repository_age_seconds", "Seconds since the repository's remote last answered."),
		unlanded: desc("nbpress_ledger_age_seconds", "Seconds for which documents have been waiting for the ledger; 0: none waits."),
		declined: desc("nbpress_declined_documents", "Documents that the ledger's remote declines, each by itself, and which wait in the outbox."),
	}
}

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.working, s.slots, s.waiting, s.reports, s.synced, s.unlanded, s.declined} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	a := s.agent()
	if a == nil {
		gauge(s.working, 0)
		return
	}
	gauge(s.working, 1)
	busy, waiting := a.runner.Load()
	gauge(s.slots, float64(busy), "busy")
	gauge(s.slots, float64(max(0, a.runner.Slots()-busy)), "free")
	gauge(s.waiting, float64(waiting))
	for state, n := range a.census(time.Now()) {
		gauge(s.reports, float64(n), state)
	}
	if at := a.synced.wellAt(); !at.IsZero() {
		gauge(s.synced, time.Since(at).Seconds())
	}
	gauge(s.unlanded, s.metrics.waited().Seconds())
	declined, _ := a.declined.count("")
	gauge(s.declined, float64(declined))
}

// census counts the reports of the newest commit by how they stand.
func (a *agent) census(now time.Time) map[string]int {
	a.mu.Lock()
	items := maps.Clone(a.reports)
	a.mu.Unlock()
	count := map[string]int{"planned": 0, "overdue": 0, "broken": 0, "disabled": 0}
	for name, item := range items {
		next, _ := a.planner.Next(name)
		switch {
		case item.bundle == nil:
			count["broken"]++
		case !item.bundle.Config.Enabled:
			count["disabled"]++
		case !next.IsZero() && now.Sub(next) > overdueAfter:
			count["overdue"]++
		default:
			count["planned"]++
		}
	}
	return count
}
