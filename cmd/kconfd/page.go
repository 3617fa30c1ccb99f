package main

import (
	"context"
	"embed"
	"fmt"
	"net/http"
	"strings"

	"github.com/kconfd/kconfd/internal/status/web"
)

// page is what is served as it is. (Go embeds files only into variables of a
// package.)
//
//go:embed page
var page embed.FS

// serve has the server serve what the board shows.
func (b *board) serve(s *web.Server) {
	b.changed = s.Changed
	for path, file := range map[string][2]string{
		"/":         {"index.html", "text/html; charset=utf-8"},
		"/page.css": {"page.css", "text/css; charset=utf-8"},
		"/page.js":  {"page.js", "text/javascript; charset=utf-8"},
		"/icon.svg": {"icon.svg", "image/svg+xml"},
	} {
		s.Page(path, func(context.Context) web.Answer {
			content, err := page.ReadFile("page/" + file[0])
			if err != nil {
				return web.Answer{Code: http.StatusInternalServerError, Type: plainText, Body: []byte(err.Error() + "\n")}
			}
			return web.Answer{Code: http.StatusOK, Type: file[1], Body: content}
		})
	}
	s.Page("/status", b.statusAnswer)
	s.Page("/readyz", b.readyAnswer)
	s.Stream("/live")
}

// busyAnswer is for a loop that does not answer.
func busyAnswer(err error) web.Answer {
	return web.Answer{Code: http.StatusServiceUnavailable, Type: plainText, Body: []byte(err.Error() + "\n")}
}

// statusAnswer is the status as JSON.
func (b *board) statusAnswer(ctx context.Context) web.Answer {
	s, err := b.ask(ctx)
	if err != nil {
		return busyAnswer(err)
	}
	return web.Answer{Code: http.StatusOK, Type: "application/json", Body: s.encode()}
}

// readyAnswer says 200 when every group is applied and the child, if there is one,
// is ready; else 503, and what is in the way.
func (b *board) readyAnswer(ctx context.Context) web.Answer {
	s, err := b.ask(ctx)
	if err != nil {
		return busyAnswer(err)
	}
	a := web.Answer{Code: http.StatusOK, Type: plainText}
	if !s.Ready {
		a.Code = http.StatusServiceUnavailable
	}
	var text lines
	if c := s.Child; c != nil {
		text.add(fmt.Sprintf("child %s: %s", c.Command, c.words()))
	}
	for _, g := range s.Groups {
		text.add(withReason(g.Name+": "+g.State, g.Reason))
		for _, o := range g.Outputs {
			if g.State != stateApplied && o.Failed && strings.Contains(o.Text, "\n") { // one line is in the reason
				text.add("  " + strings.ReplaceAll(o.Text, "\n", "\n  "))
			}
		}
	}
	a.Body = text.bytes()
	return a
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
	return withReason(c.State, c.Waits)
}
