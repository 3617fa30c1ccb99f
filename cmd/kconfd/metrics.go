package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kconfd/kconfd/watcher"
)

// metrics are what /metrics shows.
type metrics struct {
	http.Handler
	jobs   *prometheus.CounterVec
	config prometheus.Gauge
}

func newMetrics(w *watcher.Watcher) *metrics {
	registry := prometheus.NewRegistry()
	m := &metrics{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	m.jobs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kconfd_applies_total",
		Help: "Attempts to write a group's files and tell the process, by outcome: unchanged, applied or failed.",
	}, []string{"group", "outcome"})
	m.config = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kconfd_configuration_good",
		Help: "1 if the configuration on disk is the one at work, 0 if it was refused.",
	})
	m.config.Set(1)
	registry.MustRegister(m.jobs, m.config)
	return m
}

// job counts a job's end.
func (m *metrics) job(r result) {
	outcome := "unchanged"
	switch {
	case r.err != nil:
		outcome = "failed"
	case r.job.wrote || r.job.acted:
		outcome = "applied"
	}
	m.jobs.WithLabelValues(r.group.name, outcome).Inc()
}

func (m *metrics) configured(good bool) {
	m.config.Set(0)
	if good {
		m.config.Set(1)
	}
}
