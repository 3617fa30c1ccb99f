package main

import (
	"time"

	"github.com/kconfd/kconfd/reload"
)

// A herald tells the service manager that runs kconfd how it fares. The loop
// owns it.
type herald struct {
	manager *reload.Manager
	ready   bool      // has been told
	alive   time.Time // when to say the next time that the loop is; zero: never
}

// findManager looks for a service manager that wants to be told.
func (e *engine) findManager(link *reload.Link) error {
	m, err := reload.FindManager(link, e.log)
	if err != nil {
		return err
	}
	e.herald.manager = m
	if m.Watchdog() > 0 {
		e.herald.alive = time.Now()
	}
	return nil
}

// announce tells what there is to tell after a round of the loop: once that all
// is applied and the child, if there is one, is ready, and all the while that
// the loop turns.
func (e *engine) announce(now time.Time) {
	h := &e.herald
	if !h.alive.IsZero() && !now.Before(h.alive) {
		h.manager.Alive()
		h.alive = now.Add(h.manager.Watchdog() / 3)
	}
	if !h.ready && e.inOrder() && e.child.ready() {
		h.ready = true
		h.manager.Ready()
	}
}

// inOrder says whether every group is applied.
func (e *engine) inOrder() bool {
	for _, g := range e.groups {
		if !g.settled || g.err != nil || g.owed {
			return false
		}
	}
	return true
}

// ready says whether there is no child to wait for.
func (c *child) ready() bool {
	if c == nil {
		return true
	}
	state, ready := c.supervisor.State()
	return state == reload.Running && ready
}

// changed is a channel of the loop; without a child nothing comes.
func (c *child) changed() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.supervisor.Changed()
}

// keepAlive says while the child is being stopped, which may take long, that
// kconfd is alive. It returns when that is over.
func (c *child) keepAlive(m *reload.Manager) {
	if m.Watchdog() <= 0 {
		return
	}
	tick := time.NewTicker(m.Watchdog() / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.Alive()
		case <-c.ended:
			return
		}
	}
}
