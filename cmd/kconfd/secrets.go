package main

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/kconfd/kconfd/render"
)

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

func (h *hider) attr(groups []string, a slog.Attr) slog.Attr {
	if own := a.Key == slog.MessageKey || a.Key == slog.LevelKey || a.Key == slog.TimeKey; own && len(groups) == 0 {
		return a // kconfd's own words
	}
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

// error is err with the secrets hidden in its text.
func (h *hider) error(err error) error {
	if err == nil {
		return nil
	}
	return &hiddenError{err, h}
}

type hiddenError struct {
	err   error
	hider *hider
}

func (e *hiddenError) Error() string { return e.hider.text(e.err.Error()) }
func (e *hiddenError) Unwrap() error { return e.err }

// hideIn hides in a text the secrets that are hidden in err's own.
func hideIn(text string, err error) string {
	var hidden *hiddenError
	if errors.As(err, &hidden) {
		return hidden.hider.text(text)
	}
	return text
}

// hideDiff hides the secrets in a diff: those that are known, and those that may
// have been there before. A file that is for its owner only, and that somebody
// else or an earlier kconfd wrote, may have secrets that this one never read: of
// a line that goes, no more is shown than the key that it shares with a line of
// the new content, or than stands before the secret in one.
func hideDiff(diff string, content []byte, private bool, hide func(string) string) string {
	lines := strings.SplitAfter(hide(string(content)), "\n")
	var out strings.Builder
	header := 2
	for line := range strings.Lines(hide(diff)) {
		if header--; header < 0 {
			line = hideRemoved(line, lines, private)
		}
		out.WriteString(line)
	}
	return out.String()
}

// hideRemoved hides the end of a removed line that may have a secret, given the
// lines of the new content.
func hideRemoved(line string, lines []string, private bool) string {
	removed, ok := strings.CutPrefix(line, "-")
	if !ok {
		return line
	}
	for _, l := range lines {
		if start, _, secret := strings.Cut(l, render.Redacted); secret && strings.HasPrefix(removed, start) {
			return "-" + start + render.Redacted + "\n"
		}
	}
	if !private || strings.TrimSpace(removed) == "" {
		return line
	}
	key := keyOf(removed)
	for _, l := range lines {
		if key != "" && strings.HasPrefix(l, key) {
			return "-" + key + render.Redacted + "\n"
		}
	}
	return "-" + render.Redacted + "\n" // what looks like a key may be the secret's own beginning
}

// keyOf is what a line begins with, up to the first sign that a value follows.
func keyOf(line string) string {
	word := strings.TrimLeft(line, " \t")
	end := strings.IndexAny(word, "=:\"' \t")
	if end <= 0 {
		return ""
	}
	return line[:len(line)-len(word)+end+1]
}
