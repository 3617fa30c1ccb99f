package main

import (
	"fmt"
	"net/http"
	"time"
)

// handler serves what -listen offers.
func (e *engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", e.serveHealth)
	mux.Handle("GET /metrics", e.meters)
	if e.child != nil {
		e.meters.child(e.child)
	}
	e.board.serve(mux)
	return mux
}

// serveHealth says 200 when every watch makes progress, else 503, and how each
// one fares. It is meant for eyes and alerts: an API server that is away makes
// it say 503, and restarting kconfd does not bring the server back.
func (e *engine) serveHealth(w http.ResponseWriter, _ *http.Request) {
	status, now := e.watcher.Status(), time.Now()
	for _, s := range status {
		if !s.Healthy(now) {
			w.WriteHeader(http.StatusServiceUnavailable)
			break
		}
	}
	for _, s := range status {
		word := "ok"
		switch {
		case s.Err != nil:
			word = "failing: " + e.redactor.RedactOwn(s.Err.Error())
		case !s.Listed:
			word = "not listed yet"
		case !s.Healthy(now):
			word = "silent"
		}
		fmt.Fprintf(w, "%s: %s, %d objects, progress %s ago\n", s.Watch, word, s.Objects, now.Sub(s.Progress).Round(time.Second))
	}
}
