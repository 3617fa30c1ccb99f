package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/kconfd/kconfd/internal/status/web"
)

// plainText is the type of answers that are lines.
const plainText = "text/plain; charset=utf-8"

// pages has the server serve what -listen offers.
func (e *engine) pages(s *web.Server) {
	s.Page("/healthz", e.health)
	s.Page("/metrics", e.meters.answer)
	if e.child != nil {
		e.meters.child(e.child)
	}
	e.board.serve(s)
}

// health says 200 when every watch makes progress, else 503, and how each
// one fares. It is meant for eyes and alerts: an API server that is away makes
// it say 503, and restarting kconfd does not bring the server back.
func (e *engine) health(context.Context) web.Answer {
	status, now := e.watcher.Status(), time.Now()
	code := http.StatusOK
	var text lines
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
		if !s.Healthy(now) {
			code = http.StatusServiceUnavailable
		}
		text.add(fmt.Sprintf("%s: %s, %d objects, progress %s ago", s.Watch, word, s.Objects, now.Sub(s.Progress).Round(time.Second)))
	}
	return web.Answer{Code: code, Type: plainText, Body: text.bytes()}
}
