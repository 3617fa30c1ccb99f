package galera

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// viewEvery is how often the record is looked at while the others are to have another view.
const viewEvery = 250 * time.Millisecond

// newest is the later of two views, either of which may be nil.
func newest(a, b *View) *View {
	if a == nil || b != nil && b.Seqno > a.Seqno {
		return b
	}
	return a
}

// awaitView waits until all others that were in a view with this node have a later one, all the
// same, so that the next node can leave: Galera may lose two departures in one change of the view.
// Nothing depends on it but that, so it has no error: it ends when the time has passed, and when
// the API server is away.
func (c StoppedCommand) awaitView(ctx context.Context, store records, node string, left *View) {
	if c.ViewTimeout <= 0 || left == nil || left.Members < 2 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, c.ViewTimeout)
	defer cancel()
	begin := time.Now()
	var behind []string
	for {
		now, err := store.get(limited)
		switch {
		case err != nil && limited.Err() == nil:
			c.Log.Warn("the views of the others are not known", "err", err)
			return
		case err == nil && now == nil: // deleted
			return
		case err == nil:
			if behind = now.behind(node, left); len(behind) == 0 {
				c.Log.Info("the others have a view without this node", "after", time.Since(begin).Round(time.Millisecond).String())
				return
			}
		}
		if pause(limited, viewEvery) != nil {
			break
		}
	}
	level := slog.LevelWarn
	if ctx.Err() != nil {
		level = slog.LevelDebug
	}
	c.Log.Log(ctx, level, "the others do not have a view without this node yet", "after", time.Since(begin).Round(time.Millisecond).String(), "behind", strings.Join(behind, ", "))
}

// behind says of which nodes it is not known that they have the next view after one that a node
// has left. A node whose own view is older than that one was not in it: it is down, and its
// entry stale.
func (r *Record) behind(left string, view *View) (behind []string) {
	var next *View
	for _, name := range r.others(left) {
		n := r.Nodes[name]
		if n.State != Synced || n.View == nil || n.View.Seqno < view.Seqno {
			continue
		}
		if n.View.Seqno == view.Seqno || next != nil && *next != *n.View {
			behind = append(behind, fmt.Sprintf("%s with view %d", name, n.View.Seqno))
		}
		next = newest(next, n.View)
	}
	return behind
}
