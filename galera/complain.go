package galera

import (
	"context"
	"errors"
	"log/slog"
	"strings"
)

// complain tells the others, who wait for this node, why it does not come.
func (s *Start) complain(ctx context.Context, fault error) {
	if s.store == nil {
		return
	}
	old, err := s.store.get(ctx)
	if err != nil || old == nil {
		return // the log has it
	}
	if _, known := old.Nodes[s.settings.Node]; !known {
		return
	}
	line, _, _ := strings.Cut(fault.Error(), "\n")
	now := *old
	if r := old.givesBack(s.settings.Node, s.local.data); r != nil && !errors.Is(fault, errRefused) {
		s.Log.Warn("another node may found the cluster", "node", s.settings.Node)
		now.Record = r
	}
	if err := s.note(ctx, &now, "is not started: "+line); err != nil {
		s.Log.Warn("the others are not told why the server is not started", "err", err)
	}
}

// note tells people in the record for what the node waits.
func (s *Start) note(ctx context.Context, old *stored, reason string) error {
	own := old.Nodes[s.settings.Node]
	reason = cut(reason)
	if own.Waits == reason {
		return nil
	}
	r := old.clone()
	own.Waits = reason
	r.Nodes[s.settings.Node] = own
	_, err := s.store.put(ctx, old, r)
	return err
}

// say logs what has not been logged last.
func (s *Start) say(level slog.Level, text string) {
	if s.said != text {
		s.Log.Log(context.Background(), level, text)
	}
	s.said = text
}
