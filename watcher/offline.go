package watcher

import (
	"context"
	"log/slog"
)

// NewOffline returns a watcher without a source, for templates that are parsed
// and never run.
func NewOffline() *Watcher { return newWatcher(offline{}, "default", slog.New(slog.DiscardHandler)) }

type offline struct{}

func (offline) follow(ctx context.Context, _ *feed)                    { <-ctx.Done() }
func (offline) namespaceMissing(context.Context, string) (bool, error) { return false, nil }
func (offline) run(ctx context.Context) error                          { <-ctx.Done(); return nil }
func (offline) resource(_ context.Context, key watchKey) (string, bool, error) {
	return kinds()[key.gvk.Kind].resource, !kinds()[key.gvk.Kind].cluster, nil
}
