package gate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// A chaos is ten minutes at a gate, in a moment: replicas that come, act, leave and
// fail, and what happens to them.
type chaos struct {
	replicas int
	slots    int
	kills    bool // replicas die, and some come again
	cuts     bool // single replicas lose the server
	outages  bool // all lose it at once
	losses   bool // answers are lost
	deletes  bool // somebody deletes the Lease
	fails    bool // what they do fails at times, and they put it right later
}

const lease = 15 * time.Second

// The promises of the package, whatever happens.
func TestChaos(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]chaos{
		"nothing happens":           {replicas: 5, slots: 1},
		"replicas die":              {replicas: 5, slots: 1, kills: true},
		"replicas die, two slots":   {replicas: 6, slots: 2, kills: true},
		"replicas lose the server":  {replicas: 5, slots: 1, cuts: true, losses: true},
		"the server is away":        {replicas: 5, slots: 1, outages: true},
		"the server is away, three": {replicas: 8, slots: 3, outages: true, losses: true},
		"the Lease is deleted":      {replicas: 5, slots: 1, deletes: true},
		"what they do fails":        {replicas: 5, slots: 1, fails: true, losses: true},
		"all of it":                 {replicas: 6, slots: 2, kills: true, cuts: true, outages: true, losses: true, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// A scene is a chaos while it lasts.
type scene struct {
	chaos
	t      *testing.T
	server *memory
	ctx    context.Context
	until  time.Time
	log    journal

	mu      sync.Mutex
	passes  map[*Pass]string // whoever is between Enter and the end of what he does
	entered int
	lost    int
	failed  map[string]bool // who stopped the gate and has not left well since
	waiting int
	idle    time.Time     // since when nobody is inside, somebody waits, and nobody has died
	stuck   time.Duration // the longest of that
}

func (c chaos) run(t *testing.T) {
	s := &scene{chaos: c, t: t, server: newMemory(), passes: map[*Pass]string{}, failed: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s.ctx = ctx
	s.until, _ = ctx.Deadline()
	var running sync.WaitGroup
	for i := range c.replicas {
		running.Go(func() { s.replica(i) }) // until ctx ends
	}
	running.Go(s.disturb) // until ctx ends
	running.Wait()
	synctest.Wait()
	time.Sleep(time.Second) // for the watches
	defer s.log.showIfFailed(t)
	t.Logf("%d passes, %d of them lost, %d writes; at most %s with nobody inside", s.entered, s.lost, s.server.writes, s.stuck)
	if s.entered < 5 {
		t.Errorf("only %d passes in 10 minutes: %s", s.entered, s.server)
	}
	if c.lasting() && s.lost > 0 {
		t.Errorf("%d passes lost, with nothing in the way", s.lost)
	}
	// All that keeps somebody out is the dead, until they are noticed.
	if limit := lease + 200*time.Millisecond; !c.cuts && !c.outages && !c.losses && !c.fails && s.stuck > limit {
		t.Errorf("nobody was let in for %s, want at most %s", s.stuck, limit)
	}
}

// lasting says whether a pass has no reason to be lost.
func (c chaos) lasting() bool { return !c.kills && !c.cuts && !c.outages && !c.losses }

// replica is one process after the other.
func (s *scene) replica(i int) {
	for s.ctx.Err() == nil {
		l := &link{memory: s.server, cut: func() bool { return false }, lose: func() float64 { return 0 }}
		if s.losses {
			l.lose = func() float64 { return 0.02 }
		}
		if s.cuts {
			l.cut = s.cutter()
		}
		o := Options{Namespace: "x", Name: "gate", Identity: fmt.Sprint("web-", i), Slots: s.slots, Duration: lease}
		s.log.log(&o)
		o.Log.Info("starts")
		g := newGate(l, o)
		life := time.Duration(1 << 62)
		if s.kills {
			life = rand.N(4 * time.Minute)
		}
		ctx, cancel := context.WithTimeout(s.ctx, life)
		s.live(ctx, g)
		cancel()
		g.Close()
		o.Log.Info("ends")
		sleep(s.ctx, rand.N(time.Minute))
	}
}

// cutter cuts a link for 0 to 60 s, every two minutes or so.
func (s *scene) cutter() func() bool {
	type cut struct{ from, to time.Time }
	var cuts []cut
	for at := time.Now(); at.Before(s.until); {
		from := at.Add(rand.N(2 * time.Minute))
		at = from.Add(rand.N(time.Minute))
		cuts = append(cuts, cut{from, at})
	}
	return func() bool {
		now := time.Now()
		return slices.ContainsFunc(cuts, func(c cut) bool { return now.After(c.from) && now.Before(c.to) })
	}
}

// live passes the gate again and again, until ctx ends in the midst of it.
func (s *scene) live(ctx context.Context, g *Gate) {
	for ctx.Err() == nil {
		// A process that dies says nothing, so the Enter goes on until Close.
		s.wait()
		pass, err := enterUntil(ctx, g)
		if err != nil {
			s.died()
			return
		}
		s.begin(g.options.Identity, pass)
		alive := sleep(ctx, rand.N(s.acts()))
		s.end(pass)
		if !alive {
			return
		}
		if s.fails && rand.IntN(4) == 0 {
			err = s.fail(ctx, g.options.Identity, pass)
		} else {
			s.mend(g.options.Identity)
			err = pass.Leave(ctx)
		}
		if err != nil {
			return
		}
		sleep(ctx, rand.N(time.Second))
	}
}

// acts is the longest that somebody is inside: where links are cut, long enough
// for his pass to end before he does.
func (s *scene) acts() time.Duration {
	if s.cuts {
		return time.Minute
	}
	return 20 * time.Second
}

// fail stops the gate. From then on, nobody else may come in.
func (s *scene) fail(ctx context.Context, who string, pass *Pass) error {
	err := pass.Fail(ctx, "failed")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.failed[who] = true
	}
	return err
}

func (s *scene) mend(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, who)
}

// enterUntil closes the gate when ctx ends.
func enterUntil(ctx context.Context, g *Gate) (*Pass, error) {
	stop := context.AfterFunc(ctx, g.Close)
	defer stop()
	return g.Enter(context.Background())
}

// begin looks whether there is room for one more.
func (s *scene) begin(who string, pass *Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, acting := []string{}, []string{}
	for p, name := range s.passes {
		acting = append(acting, name)
		if p.Held() {
			held = append(held, name)
		}
	}
	if pass.Held() && len(held) >= s.slots {
		s.t.Errorf("%s was let in beside %v: %s", who, held, s.server)
	}
	// Without a partition and edits, even who lost his pass goes on undisturbed.
	if !s.cuts && !s.losses && len(acting) >= s.slots {
		s.t.Errorf("%s was let in while %v were at it: %s", who, acting, s.server)
	}
	// (Who died inside is let in again, since he is still inside.)
	if len(s.failed) > 0 && !s.failed[who] && !s.kills && pass.Held() {
		s.t.Errorf("%s was let in, though %v stopped the gate: %s", who, s.failed, s.server)
	}
	s.passes[pass] = who
	s.entered++
	s.waiting--
	if !s.idle.IsZero() {
		s.stuck = max(s.stuck, time.Since(s.idle))
		s.idle = time.Time{}
	}
}

// wait is somebody who comes.
func (s *scene) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	if s.waiting == 1 && len(s.passes) == 0 {
		s.idle = time.Now()
	}
}

// died is somebody who comes no more.
func (s *scene) died() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	if !s.idle.IsZero() {
		s.idle = time.Now()
	}
	if s.waiting == 0 {
		s.idle = time.Time{}
	}
}

func (s *scene) end(pass *Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-pass.Lost():
		s.lost++
	default:
	}
	delete(s.passes, pass)
	if len(s.passes) == 0 && s.waiting > 0 {
		s.idle = time.Now()
	}
}

// disturb is what happens to all.
func (s *scene) disturb() {
	for sleep(s.ctx, rand.N(time.Minute)) {
		if s.outages {
			s.setDown(true)
			sleep(s.ctx, rand.N(time.Minute))
			s.setDown(false)
		}
		if s.deletes {
			s.server.edit(func(*coordinationv1.Lease) *coordinationv1.Lease { return nil })
		}
	}
}

func (s *scene) setDown(down bool) { s.server.setDown(down) }
