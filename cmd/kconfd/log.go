package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"k8s.io/klog/v2"

	"github.com/kconfd/kconfd/reload"
)

// newLogger is the one stream of messages, those of libraries folded in. What it
// prints goes through hide, which knows the secrets read so far.
func newLogger(w io.Writer, f *flags, hide *hider) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.logLevel, ReplaceAttr: hide.attr}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if f.logFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	others := slog.New(quieter{handler})
	klog.SetSlogLogger(others)
	slog.SetDefault(others) // also of the log package, which net/http uses
	return slog.New(handler)
}

// quieter makes debug messages of all that client-go and net/http say: what
// matters of it comes back as an error and is told once, by who asked for it.
type quieter struct {
	slog.Handler
}

func (q quieter) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle looks at the level once more: klog hands over errors without asking.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

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
