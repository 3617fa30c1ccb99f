package gate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/cluster"
)

// These stop the server under all who use it, and run by themselves.
func TestOutages(t *testing.T) {
	for name, outage := range map[string]struct {
		begin, end func(*cluster.Cluster, testing.TB)
	}{
		"paused":  {(*cluster.Cluster).PauseAPIServer, (*cluster.Cluster).ResumeAPIServer},
		"stopped": {(*cluster.Cluster).StopAPIServer, (*cluster.Cluster).StartAPIServer},
	} {
		t.Run(name, func(t *testing.T) { testOutage(t, outage.begin, outage.end) })
	}
}

func testOutage(t *testing.T, begin, end func(*cluster.Cluster, testing.TB)) {
	p := newPlace(t)
	long := leaseTime(3 * time.Second)
	var log journal
	a, b, c := p.gate("a", long), p.gate("b", long, log.log), p.gate("c", long)
	pass := p.enter(a)
	next := p.start(b).queued()

	theCluster.Use(t, func(server *cluster.Cluster) { begin(server, t) })
	away := time.Now()
	late := p.start(c) // who comes meanwhile
	within(t, patience, "the pass is lost", pass.Lost())
	lost := time.Since(away)
	t.Logf("lost %s after the server went away, with a lease time of 3 s", lost)
	if lost > 2500*time.Millisecond {
		t.Errorf("lost after %s, want 2 s at most: before anybody else can be let in", lost)
	}
	next.waits(1500 * time.Millisecond)
	if next.gate.Status().Problem == nil || late.gate.Status().Problem == nil {
		t.Error("those who wait do not say why")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := pass.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("leaving: got %v, want that the time is over", err)
	}
	if n := log.count("gate out of order"); n == 0 || n > 3 {
		t.Errorf("told %d times, want once for each kind of error:\n%s", n, log.String())
	}

	theCluster.Use(t, func(server *cluster.Cluster) { end(server, t) })
	back := time.Now()
	p.leave(pass) // is being done already
	second := next.in()
	t.Logf("the next was let in %s after the server was back", next.at.Sub(back))
	p.leave(second)
	p.leave(late.in())
}

// Who has begun keeps the others out, though his pass is lost: when the server is
// back, he is heard before he is taken for dead. And a stop is written.
func TestOutageInTheMidstOfAnAction(t *testing.T) {
	p := newPlace(t)
	four := leaseTime(4 * time.Second)
	a, b := p.gate("a", four), p.gate("b", four)
	pass := p.enter(a)
	next := p.start(b).queued()
	theCluster.Use(t, func(server *cluster.Cluster) {
		server.PauseAPIServer(t)
		defer server.ResumeAPIServer(t)
		within(t, patience, "the pass is lost", pass.Lost())
		next.waits(2 * time.Second) // the lease time is over
	})
	awaitStatus(t, a, "a is heard", func(s Status) bool { return s.State == Lost && s.Problem == nil })
	next.waits(time.Second)
	pass.Abandon() // and goes on
	pass = p.enter(a)
	next.waits(100 * time.Millisecond)

	theCluster.Use(t, func(server *cluster.Cluster) {
		server.PauseAPIServer(t)
		defer server.ResumeAPIServer(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := pass.Fail(ctx, "it did not work"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("failing: got %v, want that the time is over", err)
		}
		next.waits(4500 * time.Millisecond)
	})
	next.awaitStatus("it is stopped", func(s Status) bool { _, ok := asError[*StoppedError](s.Waits()); return ok })
}
