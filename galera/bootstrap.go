package galera

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A RefusedError is a decision that would be wrong as far as the record knows.
type RefusedError struct {
	Reasons   []string
	Overrules bool // -force would overrule them
}

func (e *RefusedError) Error() string {
	text := "it would be wrong:"
	for _, reason := range e.Reasons {
		text += "\n  " + reason
	}
	return text
}

// Bootstrap notes the decision that a node is to be the first of its cluster. It
// refuses, with a [*RefusedError], what speaks against it in the record, unless force
// is set; and then too what cannot work. The node carries it out when it waits for its
// start, and only if nothing has come up in between that speaks against it.
func Bootstrap(ctx context.Context, store *Store, from, by string, force bool) (told []string, err error) {
	for {
		old, err := store.there(ctx)
		if err != nil {
			return nil, err
		}
		r, told, err := old.decree(from, by, force, time.Now().UTC())
		if err != nil {
			return nil, err
		}
		if _, err = store.put(ctx, old, r); err == nil || !outdated(err) {
			return told, err
		}
		if err := pause(ctx, rand.N(conflictPause)); err != nil {
			return nil, err
		}
	}
}

// decree is a copy of the record with the decision, and what was overruled by it.
func (r *Record) decree(from, by string, force bool, at time.Time) (_ *Record, told []string, err error) {
	if fatal := r.unfit(from); fatal != "" {
		return nil, nil, &RefusedError{Reasons: []string{fatal}}
	}
	d := &Decree{From: from, Force: force, By: by, At: at}
	for _, o := range r.objections(from) {
		told = append(told, o.text)
		if o.node != from {
			if d.Over == nil {
				d.Over = map[string]string{}
			}
			d.Over[o.node] = r.Nodes[o.node].standing()
		}
	}
	if force {
		if d.Over == nil {
			d.Over = map[string]string{}
		}
		d.Over[from] = r.Nodes[from].stake()
	}
	if len(told) > 0 && !force {
		return nil, nil, &RefusedError{told, true}
	}
	c := r.clone()
	c.Bootstrap = d
	return c, told, nil
}

// Read gives the record, with [ErrNoRecord] when there is none.
func (s *Store) Read(ctx context.Context) (*Record, error) {
	old, err := s.there(ctx)
	if err != nil {
		return nil, err
	}
	return old.Record, nil
}

// there is the record as it is now, with [ErrNoRecord] when there is none.
func (s *Store) there(ctx context.Context) (*stored, error) {
	old, err := s.get(ctx)
	if err == nil && old == nil {
		err = fmt.Errorf("there is no configmap %q: %w", s, ErrNoRecord)
	}
	return old, err
}
