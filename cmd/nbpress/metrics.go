package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nbpress/internal/webhook"
)

// metrics are the numbers that /metrics shows. Names begin with nbpress_; labels take
// values that we choose, never what comes from outside.
type metrics struct {
	registry   *prometheus.Registry // our own: the library's default one is a global
	deliveries *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nbpress_webhook_deliveries_total",
			Help: "Deliveries to /webhook, by who says to have sent them and by what became of them.",
		}, []string{"provider", "outcome"}),
	}
	for _, provider := range webhook.Providers() {
		for _, outcome := range webhook.Outcomes() {
			m.deliveries.WithLabelValues(string(provider), string(outcome)) // from 0, so that the first one is a rise
		}
	}
	m.registry.MustRegister(
		m.deliveries,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
