package galera

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A StoppedCommand says in the record what a server left that has ended.
type StoppedCommand struct {
	NodeCommand

	// ViewTimeout is how long to wait, after that, until the others have a view without
	// this node; 0 means not at all.
	ViewTimeout time.Duration
}

// Run publishes the position of the data directory, so that the others need not wait
// for this node's return. When it cannot, nothing is changed: the record goes on to say
// that the server may run. The server, with all that belongs to it, must have ended.
func (c StoppedCommand) Run(ctx context.Context) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	store, err := c.Store(settings.Cluster)
	if err != nil {
		return err
	}
	old, err := store.get(ctx)
	switch {
	case err != nil:
		return err
	case old == nil:
		return nil
	}
	dir := dataDir{settings.DataDir, c.Server, settings.File}
	local, err := dir.inspect(ctx)
	if err != nil {
		return err
	}
	if local.data == Full {
		if err := dir.mark(); err != nil {
			return fmt.Errorf("marking %q: %w", dir.path, err)
		}
	}
	if own := old.Nodes[settings.Node]; own.Pod == c.Pod {
		if err := keepHistory(dir, &local, settings.Node, own); err != nil {
			return err
		}
	}
	left := newest(old.Nodes[settings.Node].View, dir.primaryView())
	if err := c.publish(ctx, store, settings, local); err != nil {
		return err
	}
	c.awaitView(ctx, store, settings.Node, left)
	return nil
}

// publish writes until the record says so. The marker stays whatever comes of it: nobody
// knows of a write without an answer whether it is carried out, and when. One that is repeated says the same.
func (c StoppedCommand) publish(ctx context.Context, store records, settings Settings, l local) error {
	s := stamp{settings.Address, c.Pod, token(), time.Now().UTC()}
	for {
		old, err := store.get(ctx)
		if err != nil || old == nil {
			return err
		}
		own, known := old.Nodes[settings.Node]
		if known && own.Pod != c.Pod {
			return fmt.Errorf("the record says that node %q is in pod %q, and this is %q", settings.Node, own.Pod, c.Pod)
		}
		_, err = store.put(ctx, old, old.resting(settings.Node, Stopped, l, s))
		if err == nil {
			c.Log.Info("the node is stopped", "node", settings.Node, "data", l.data, "position", l.position)
			return nil
		}
		if !outdated(err) {
			return err
		}
		if err := pause(ctx, rand.N(conflictPause)); err != nil {
			return err
		}
	}
}
