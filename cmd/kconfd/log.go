package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"k8s.io/klog/v2"

	"github.com/kconfd/kconfd/reload"
)

// newLogger is the one stream of messages, client-go's folded in. What it
// prints goes through hide, which knows the secrets read so far.
func newLogger(w io.Writer, f *flags, hide *hider) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.logLevel, ReplaceAttr: hide.attr}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if f.logFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	klog.SetSlogLogger(slog.New(quieter{handler}))
	return slog.New(handler)
}

// quieter makes debug messages of all that client-go says: what matters of it
// comes back as an error and is told by the watcher, once.
type quieter struct {
	slog.Handler
}

func (q quieter) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

// hider hides secrets. Its zero value knows none.
type hider struct {
	hide atomic.Pointer[func(string) string]
}

// know replaces what is to be hidden.
func (h *hider) know(hide func(string) string) { h.hide.Store(&hide) }

func (h *hider) text(s string) string {
	if hide := h.hide.Load(); hide != nil {
		return (*hide)(s)
	}
	return s
}

func (h *hider) attr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(h.text(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(h.text(err.Error()))
		}
	}
	return a
}

// outputOf is what a failed command printed, where that is more than the one
// line that its error shows.
func outputOf(err error) string {
	var command *reload.CommandError
	if !errors.As(err, &command) {
		return ""
	}
	output := strings.TrimSpace(command.Output)
	if !strings.Contains(output, "\n") {
		return ""
	}
	return output
}
