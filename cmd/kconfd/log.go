package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"k8s.io/klog/v2"

	"github.com/kconfd/kconfd/apiclient"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// newLogger is the one stream of messages, those of libraries folded in. What it
// prints goes through the redactor, which knows the secrets that were read.
func newLogger(w io.Writer, f *flags, redactor *render.Redactor) *slog.Logger {
	options := &slog.HandlerOptions{Level: f.logLevel, ReplaceAttr: redactAttr(redactor)}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if f.logFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	others := slog.New(quieter{handler, redactor})
	klog.SetSlogLogger(others)
	slog.SetDefault(others) // also of the log package, which net/http uses
	log := slog.New(handler)
	apiclient.LogTo(log)
	return log
}

// quieter makes debug messages of all that client-go and net/http say: what
// matters of it comes back as an error and is told once, by who asked for it.
type quieter struct {
	slog.Handler
	redactor *render.Redactor
}

func (q quieter) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle looks at the level once more: klog hands over errors without asking.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	redacted := slog.NewRecord(r.Time, slog.LevelDebug, q.redactor.Redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		redacted.AddAttrs(redactForeign(a, q.redactor))
		return true
	})
	return q.Handler.Handle(ctx, redacted)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	var redacted []slog.Attr
	for _, a := range attrs {
		redacted = append(redacted, redactForeign(a, q.redactor))
	}
	return quieter{q.Handler.WithAttrs(redacted), q.redactor}
}

func (q quieter) WithGroup(name string) slog.Handler {
	return quieter{q.Handler.WithGroup(name), q.redactor}
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
