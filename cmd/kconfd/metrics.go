package main

import (
	"fmt"
	"net/http"

	"github.com/VictoriaMetrics/metrics"

	"github.com/kconfd/kconfd/watcher"
)

// meters are what /metrics shows.
type meters struct {
	set     *metrics.Set
	refused *metrics.Gauge // 1 while the configuration on disk is not the one at work
}

func newMeters(w *watcher.Watcher) *meters {
	m := &meters{set: metrics.NewSet()}
	m.refused = m.set.NewGauge("kconfd_configuration_refused", nil)
	m.set.NewGauge("kconfd_watches", func() float64 { return float64(len(w.Status())) })
	m.set.NewGauge("kconfd_watches_failing", func() float64 {
		failing := 0
		for _, s := range w.Status() {
			if s.Err != nil {
				failing++
			}
		}
		return float64(failing)
	})
	return m
}

// job counts a job's end.
func (m *meters) job(r result) {
	outcome := "unchanged"
	switch {
	case r.err != nil:
		outcome = "failed"
	case r.job.wrote || r.job.acted:
		outcome = "applied"
	}
	m.set.GetOrCreateCounter(fmt.Sprintf("kconfd_applies_total{group=%q,outcome=%q}", r.job.of.name, outcome)).Inc()
}

// group says whether what a group's data asks for is live and the process
// told. It is 0 as well while a render is held or data is missing.
func (m *meters) group(name string, applied bool) {
	value := 0.0
	if applied {
		value = 1
	}
	m.set.GetOrCreateGauge(groupApplied(name), nil).Set(value)
}

// forget ends the metrics of a group that is gone.
func (m *meters) forget(name string) {
	m.set.UnregisterMetric(groupApplied(name))
}

func groupApplied(name string) string { return fmt.Sprintf("kconfd_group_applied{group=%q}", name) }

func (m *meters) configured(good bool) {
	m.refused.Set(1)
	if good {
		m.refused.Set(0)
	}
}

func (m *meters) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
