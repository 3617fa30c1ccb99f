package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// page is what is served as it is. (Go embeds files only into variables of a
// package.)
//
//go:embed page
var page embed.FS

const (
	// policyOfPage lets the page load what comes from here and nothing else, and run
	// no text as code.
	policyOfPage = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	// pace is how often a viewer is told of changes at most.
	pace = 250 * time.Millisecond
	// pulse is how often a viewer is told that kconfd lives.
	pulse = 15 * time.Second
	// writePatience is how long a viewer may take to read that.
	writePatience = 10 * time.Second
)

// serve adds what the board shows.
func (b *board) serve(mux *http.ServeMux) {
	for path, file := range map[string][2]string{
		"/{$}":      {"index.html", "text/html; charset=utf-8"},
		"/page.css": {"page.css", "text/css; charset=utf-8"},
		"/page.js":  {"page.js", "text/javascript; charset=utf-8"},
		"/icon.svg": {"icon.svg", "image/svg+xml"},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			content, err := page.ReadFile("page/" + file[0])
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			secure(w, file[1])
			_, _ = w.Write(content) // whoever asked may have gone
		})
	}
	mux.HandleFunc("GET /status", b.serveStatus)
	mux.HandleFunc("GET /live", b.serveLive)
	mux.HandleFunc("GET /readyz", b.serveReady)
}

// secure sets the headers of every answer of the board.
func secure(w http.ResponseWriter, contentType string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", policyOfPage)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// serveStatus is the status as JSON.
func (b *board) serveStatus(w http.ResponseWriter, r *http.Request) {
	s, err := b.ask(r.Context())
	if err != nil {
		secure(w, "text/plain; charset=utf-8")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	secure(w, "application/json")
	_ = json.NewEncoder(w).Encode(s) // it always marshals, and whoever asked may have gone
}

// serveReady says 200 when every group is applied and the child, if there is one,
// is ready; else 503, and what is in the way.
func (b *board) serveReady(w http.ResponseWriter, r *http.Request) {
	secure(w, "text/plain; charset=utf-8")
	s, err := b.ask(r.Context())
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case !s.Ready:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	for _, g := range s.Groups {
		fmt.Fprintln(w, withReason(g.Name+": "+g.State, g.Reason))
	}
	if c := s.Child; c != nil {
		fmt.Fprintf(w, "child %s: %s\n", c.Command, c.words())
	}
}

func withReason(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + reason
}

// words are how the child fares.
func (c *childStatus) words() string {
	if c.State == "running" && !c.Ready {
		return "running, not ready"
	}
	if c.Ready {
		return "ready"
	}
	return c.State
}

// serveLive tells a viewer by server-sent events that the status is another one.
func (b *board) serveLive(w http.ResponseWriter, r *http.Request) {
	news := b.join()
	if news == nil {
		secure(w, "text/plain; charset=utf-8")
		http.Error(w, fmt.Sprintf("%d are looking already; ask for /status now and then", maxViewers), http.StatusServiceUnavailable)
		return
	}
	defer b.leave(news)
	secure(w, "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(pulse)
	defer alive.Stop()
	for message := ": hello\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(writePatience)) // or else it may take longer
		if _, err := fmt.Fprint(w, message); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-time.After(pace):
		case <-r.Context().Done():
			return
		}
		select {
		case <-news:
			message = "data: changed\n\n"
		case <-alive.C:
			message = ": alive\n\n"
		case <-r.Context().Done():
			return
		}
	}
}
