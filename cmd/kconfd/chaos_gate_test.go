package main

import (
	"context"
	"strings"
	"sync"
	"time"
)

// A gateLog is when somebody was let in.
type gateLog struct {
	mu  sync.Mutex
	ins []time.Time
}

// follow reads what is noted about those who act, as it is noted.
func (g *gateLog) follow(ctx context.Context, acting journal) {
	seen := 0
	for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		lines := acting.read()
		for _, l := range lines[seen:] {
			if strings.HasPrefix(l, "begin ") {
				g.mu.Lock()
				g.ins = append(g.ins, time.Now())
				g.mu.Unlock()
			}
		}
		seen = len(lines)
	}
}

// longest is the longest time since then that nobody was let in. It is asked
// when nobody waits any more.
func (g *gateLog) longest(since time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	idle := time.Duration(0)
	for _, in := range g.ins {
		if in.After(since) {
			idle = max(idle, in.Sub(since))
			since = in
		}
	}
	return idle
}
