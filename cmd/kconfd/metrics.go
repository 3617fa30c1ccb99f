package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/internal/status/web"
	"github.com/kconfd/kconfd/watcher"
)

// meters are what /metrics shows.
type meters struct {
	set     *metrics.Set
	refused *metrics.Gauge // 1 while the configuration on disk is not the one at work
}

func newMeters(w *watcher.Watcher) *meters {
	m := &meters{set: metrics.NewSet()}
	m.refusals(sourceState)
	for _, limit := range limits.All() {
		m.limited(limit)
	}
	m.refused = m.set.NewGauge("kconfd_configuration_refused", nil)
	m.set.NewGauge(fmt.Sprintf("kconfd_build_info{version=%q,goversion=%q}", version, runtime.Version()), func() float64 { return 1 })
	m.countManifests(w)
	m.set.NewGauge(refusalsOf("objects"), func() float64 { return float64(w.InvalidValues()) })
	m.countWatches("kconfd_watches", w, func(watcher.WatchStatus) bool { return true })
	m.countWatches("kconfd_watches_failing", w, func(s watcher.WatchStatus) bool { return s.Err != nil })
	m.countWatches("kconfd_watches_unhealthy", w, func(s watcher.WatchStatus) bool { return !s.Healthy(time.Now()) })
	return m
}

// countManifests shows how those on disk are read.
func (m *meters) countManifests(w *watcher.Watcher) {
	m.set.NewGauge(refusalsOf("manifests"), func() float64 {
		times, _ := w.ManifestsRefused()
		return float64(times)
	})
	m.set.NewGauge("kconfd_manifests_last_read_successful", func() float64 {
		_, err := w.ManifestsRefused()
		return number(err == nil)
	})
}

// countWatches is a gauge of the watches of a sort.
func (m *meters) countWatches(name string, w *watcher.Watcher, is func(watcher.WatchStatus) bool) {
	m.set.NewGauge(name, func() float64 {
		count := 0
		for _, s := range w.Status() {
			if is(s) {
				count++
			}
		}
		return float64(count)
	})
}

// child adds what there is to tell of a child.
func (m *meters) child(c *child) {
	m.set.NewGauge("kconfd_child_ready", func() float64 { return number(c.ready()) })
	m.set.NewGauge("kconfd_child_instances_total", func() float64 { return float64(c.supervisor.Status().Instance) })
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

// limit counts a render that was ended by a limit.
func (m *meters) limit(limit string) { m.limited(limit).Inc() }

func (m *meters) limited(limit string) *metrics.Counter {
	return m.set.GetOrCreateCounter(fmt.Sprintf("kconfd_render_limit_exceeded_total{limit=%q}", limit))
}

// took counts the time that a change, or the attempt at one, has taken.
func (m *meters) took(c change) {
	m.set.GetOrCreateFloatCounter(fmt.Sprintf("kconfd_apply_duration_seconds_total{group=%q}", c.Group)).Add(c.Duration)
}

// group shows how a group stands.
func (m *meters) group(name string, is glimpse) {
	m.gauge("kconfd_group_applied", name, number(is.word == stateApplied))
	m.gauge("kconfd_group_stale", name, number(is.stale != ""))
	if !is.applied.IsZero() {
		m.gauge("kconfd_group_last_applied_timestamp_seconds", name, float64(is.applied.UnixMilli())/1000)
	}
	for _, word := range states() {
		m.set.GetOrCreateGauge(groupState(name, word), nil).Set(number(is.word == word))
	}
}

func (m *meters) gauge(metric, group string, value float64) {
	m.set.GetOrCreateGauge(ofGroup(metric, group), nil).Set(value)
}

// forget ends the gauges of a group that is gone. Counters stay.
func (m *meters) forget(name string) {
	for _, metric := range []string{"kconfd_group_applied", "kconfd_group_stale", "kconfd_group_last_applied_timestamp_seconds"} {
		m.set.UnregisterMetric(ofGroup(metric, name))
	}
	for _, word := range states() {
		m.set.UnregisterMetric(groupState(name, word))
	}
}

func ofGroup(metric, name string) string { return fmt.Sprintf("%s{group=%q}", metric, name) }

func groupState(name, word string) string {
	return fmt.Sprintf("kconfd_group_state{group=%q,state=%q}", name, word)
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// refuse counts input that is not used because it may mean harm.
func (m *meters) refuse(source string) { m.refusals(source).Inc() }

func (m *meters) refusals(source string) *metrics.Counter {
	return m.set.GetOrCreateCounter(refusalsOf(source))
}

func refusalsOf(source string) string {
	return fmt.Sprintf("kconfd_input_refused_total{source=%q}", source)
}

// Where input comes from that can be refused.
const sourceState = "state" // ledgers and snapshots: damaged, or of another user

func (m *meters) configured(good bool) { m.refused.Set(number(!good)) }

// answer is what /metrics shows. It is called by one goroutine at a time: who waits
// for what the kernel says of the process has a thread, and the container may have no
// more of them.
func (m *meters) answer(context.Context) web.Answer {
	var text, all bytes.Buffer
	m.set.WritePrometheus(&text)
	explained(&all, text.String())
	metrics.WriteProcessMetrics(&all)
	return web.Answer{Code: http.StatusOK, Type: "text/plain; version=0.0.4; charset=utf-8", Body: all.Bytes()}
}

// explained writes metrics, which are sorted, with what each is about.
func explained(w io.Writer, text string) {
	meanings, last := meanings(), ""
	for line := range strings.Lines(text) {
		name := line[:strings.IndexAny(line, "{ ")]
		if name != last {
			kind := "gauge"
			if strings.HasSuffix(name, "_total") {
				kind = "counter"
			}
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, meanings[name], name, kind)
			last = name
		}
		io.WriteString(w, line)
	}
}

// meanings are what kconfd's own metrics are about.
func meanings() map[string]string {
	return map[string]string{
		"kconfd_applies_total":                        "Ends of jobs: applied (written, told), unchanged, or failed.",
		"kconfd_apply_duration_seconds_total":         "Time that changes and attempts at them took, from the render to the end of the action.",
		"kconfd_build_info":                           "1, with the versions as labels.",
		"kconfd_child_instances_total":                "Starts of the child, also those that failed.",
		"kconfd_child_ready":                          "1 while the child runs and is ready.",
		"kconfd_configuration_refused":                "1 while the configuration on disk is bad and not the one at work.",
		"kconfd_group_applied":                        "1 when what the group's data asks for is live and the process told.",
		"kconfd_group_last_applied_timestamp_seconds": "When a change of the group was applied the last time.",
		"kconfd_group_stale":                          "1 while a watch that the group needs does not work, so that its data may be old.",
		"kconfd_group_state":                          "1 for the state in which the group is, 0 for the others.",
		"kconfd_http_accept_errors_total":             "Connections to -listen that could not be accepted.",
		"kconfd_http_closed_connections_total":        "Connections to -listen that were closed to make room, or because the client was slow.",
		"kconfd_http_connections":                     "Open connections to -listen.",
		"kconfd_http_rejected_requests_total":         "Requests to -listen that were not answered, by HTTP code.",
		"kconfd_input_refused_total":                  "Input that is not used because it may mean harm, by where it comes from.",
		"kconfd_render_limit_exceeded_total":          "Renders that were ended because a template took more than a limit allows.",
		"kconfd_manifests_last_read_successful":       "0 while the manifests on disk are bad and those read before stay.",
		"kconfd_watches":                              "Watches on the cluster.",
		"kconfd_watches_failing":                      "Watches that do not work at the moment.",
		"kconfd_watches_unhealthy":                    "Watches that fail, have not listed yet, or have been silent for too long.",
	}
}
