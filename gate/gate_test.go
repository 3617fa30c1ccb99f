package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/test/cluster"
)

// Against the API server.
func TestGate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *place){
		"the next is let in at once":              testHandOver,
		"ten at once, one at a time":              testStorm,
		"three slots":                             testSlots,
		"replicas that are killed":                testKilled,
		"who dies gives way":                      testDeath,
		"who comes again has his pass":            testRestart,
		"by ordinal":                              testOrdered,
		"who is to go first may be late":          testSettle,
		"a stop":                                  testStop,
		"a stop that a person takes away":         testStopTakenAway,
		"a stop that a person makes":              testStopByHand,
		"who gives up is out of the queue":        testGiveUp,
		"an Enter waits for the pass before":      testTwice,
		"the Lease reads as others do":            testReads,
		"somebody deletes the Lease":              testDeleted,
		"somebody empties the Lease":              testEmptied,
		"somebody gives the Lease to another":     testGiven,
		"annotations that nobody can read":        testGarbled,
		"a claim is no gate":                      testClaimIsNoGate,
		"the rules are enough, and none too many": testRules,
		"without leave to watch":                  testPolls,
		"denied, and then allowed":                testDenied,
		"a namespace that does not exist":         testNoNamespace,
		"looking on":                              testLook,
		"bad options":                             testOptions,
		"nothing is asked while nobody wants in":  testIdle,
		"a lease that is taken by the same name":  testSameName,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t))
		})
	}
}

// From Leave to the next Enter's return: two writes and an event.
func testHandOver(t *testing.T, p *place) {
	a, b := p.gate("a"), p.gate("b")
	pass := p.enter(a)
	var took []time.Duration
	for range 20 {
		next := p.start(b).queued()
		left := time.Now()
		p.leave(pass)
		pass = next.in()
		took = append(took, next.at.Sub(left))
		a, b = b, a
	}
	slices.Sort(took)
	t.Logf("handed over in %s (median), %s to %s", took[10], took[0], took[19])
	if took[0] > 500*time.Millisecond || took[19] > patience/4 {
		t.Errorf("handed over in %s to %s, want milliseconds", took[0], took[19])
	}
}

// crowd lets replicas pass some rounds each, and says how many were inside at
// once.
func crowd(p *place, replicas, rounds int, change ...func(*Options)) (most int32) {
	var inside, peak atomic.Int32
	var running sync.WaitGroup
	for i := range replicas {
		g := p.gate(fmt.Sprint("web-", i), change...)
		running.Go(func() { // until its rounds are over
			for range rounds {
				pass, err := g.Enter(p.t.Context())
				if err != nil {
					p.t.Error(err)
					return
				}
				now := inside.Add(1)
				for old := peak.Load(); now > old && !peak.CompareAndSwap(old, now); old = peak.Load() {
				}
				if !pass.Held() {
					p.t.Error("let in without a good pass")
				}
				time.Sleep(rand.N(10 * time.Millisecond))
				inside.Add(-1)
				if err := pass.Leave(p.t.Context()); err != nil {
					p.t.Error(err)
				}
			}
		})
	}
	running.Wait()
	return peak.Load()
}

// leaseTime is for tests in which something expires.
func leaseTime(d time.Duration) func(*Options) { return func(o *Options) { o.Duration = d } }

func testStorm(t *testing.T, p *place) {
	began := time.Now()
	most := crowd(p, 10, 3)
	t.Logf("30 passes of 10 replicas in %s", time.Since(began).Round(time.Millisecond))
	if most != 1 {
		t.Errorf("%d were inside at once, want 1", most)
	}
}

func testSlots(t *testing.T, p *place) {
	three := func(o *Options) { o.Slots = 3 }
	if most := crowd(p, 8, 3, three); most > 3 {
		t.Errorf("%d were inside at once, want 3 at most", most)
	}
	var passes []*Pass
	for i := range 3 {
		passes = append(passes, p.enter(p.gate(fmt.Sprint("web-", i), three)))
	}
	next := p.start(p.gate("web-3", three)).queued()
	next.waits(200 * time.Millisecond)
	p.leave(passes[1])
	next.in()
	if got := p.lease(); *got.Spec.HolderIdentity != "web-0" || strings.Count(got.Annotations[annotationHolders], "identity") != 2 {
		t.Errorf("got %v, %v", got.Spec, got.Annotations)
	}
}

// Real processes, killed at any moment, under the same and under new identities.
func testKilled(t *testing.T, p *place) {
	const slots, replicas, kills = 2, 6, 12
	var kubeconfig string
	theCluster.Use(t, func(c *cluster.Cluster) { kubeconfig = c.Kubeconfig(t, cluster.Admin, p.namespace) })
	dir := t.TempDir()
	running := make([]*exec.Cmd, replicas)
	start := func(i int, identity string) {
		running[i] = replicaCommand(kubeconfig, p.namespace, identity, dir, slots)
		if err := running[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	kill := func(i int) {
		if running[i] != nil {
			_ = running[i].Process.Kill()
			_ = running[i].Wait()
			running[i] = nil
		}
	}
	t.Cleanup(func() {
		for i := range running {
			kill(i)
		}
	})
	for i := range replicas {
		start(i, fmt.Sprint("web-", i))
	}
	for n := range kills {
		before := linesIn(t, dir, "passes")
		awaitLines(t, dir, "passes", len(before)+5+rand.IntN(5))
		i := rand.IntN(replicas)
		kill(i)
		if n%2 == 0 {
			start(i, fmt.Sprint("web-", i))
		} else {
			start(i, fmt.Sprintf("web-%d-%d", i, n))
		}
	}
	passes := linesIn(t, dir, "passes")
	awaitLines(t, dir, "passes", len(passes)+20)
	if faults := linesIn(t, dir, "faults"); len(faults) > 0 {
		t.Errorf("more than %d were inside at once: %q", slots, faults)
	}
	gap := longestGap(t, passes)
	t.Logf("%d passes with %d kills; nobody was let in for at most %s, with a lease time of 3 s", len(passes), kills, gap)
	if gap > patience/3 {
		t.Errorf("nobody was let in for %s", gap)
	}
}

func linesIn(t *testing.T, dir, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")[:strings.Count(string(content), "\n")]
}

func awaitLines(t *testing.T, dir, file string, n int) {
	t.Helper()
	late := time.Now().Add(patience)
	for len(linesIn(t, dir, file)) < n {
		if time.Now().After(late) {
			t.Fatalf("%d lines in %s after %s, want %d", len(linesIn(t, dir, file)), file, patience, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func longestGap(t *testing.T, lines []string) (longest time.Duration) {
	t.Helper()
	var last int64
	for _, line := range lines {
		var at int64
		if _, err := fmt.Sscan(line, &at); err != nil {
			t.Fatal(err)
		}
		if last > 0 {
			longest = max(longest, time.Duration(at-last)*time.Microsecond)
		}
		last = at
	}
	return longest
}

// Not before the dead one's pass is void, and not much later than that.
func testDeath(t *testing.T, p *place) {
	two := leaseTime(2 * time.Second)
	a, b := p.gate("a", two), p.gate("b", two)
	pass := p.enter(a)
	next := p.start(b).queued()
	died := time.Now()
	a.Close()
	within(t, time.Second, "the pass of who died is lost", pass.Lost())
	next.in()
	took := next.at.Sub(died)
	t.Logf("who died gave way after %s, with a lease time of 2 s", took)
	// It was renewed up to two fifths of the lease time before.
	if took < time.Second || took > patience/3 {
		t.Errorf("took %s, want about 2 s", took)
	}
}

func testRestart(t *testing.T, p *place) {
	a, again, b := p.gate("a"), p.gate("a"), p.gate("b")
	p.enter(a)
	waits := p.start(b).queued()
	a.Close()
	began := time.Now()
	pass := p.enter(again)
	t.Logf("has the pass again after %s, with a lease time of 1 min", time.Since(began))
	if !pass.Held() {
		t.Error("the pass is not good")
	}
	waits.waits(100 * time.Millisecond)
	p.leave(pass)
	waits.in()
}

func ordered(ordinal int) func(*Options) {
	return func(o *Options) {
		o.Ordered, o.Ordinal, o.Settle = true, ordinal, time.Millisecond
	}
}

func testOrdered(t *testing.T, p *place) {
	var order []int
	var mu sync.Mutex
	var running sync.WaitGroup
	before := p.enter(p.gate("before", ordered(5)))
	for _, i := range []int{4, 1, 11, 0, 3, 2} {
		e := p.start(p.gate(fmt.Sprint("web-", i), ordered(i))).queued()
		running.Go(func() { // until it has been inside
			<-e.done
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			if e.err == nil {
				e.err = e.pass.Leave(t.Context())
			}
			if e.err != nil {
				t.Error(e.err)
			}
		})
	}
	p.leave(before)
	running.Wait()
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 11}, order); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Who comes a little later, and is to go first, does.
func testSettle(t *testing.T, p *place) {
	settle := func(o *Options) { o.Settle = 4 * time.Second }
	began := time.Now()
	second := p.start(p.gate("web-1", ordered(1), settle)).queued()
	first := p.start(p.gate("web-0", ordered(0), settle))
	pass := first.in()
	if took := first.at.Sub(began); took < 4*time.Second {
		t.Errorf("the first was let in after %s, before others could come", took)
	}
	second.waits(100 * time.Millisecond)
	left := time.Now()
	p.leave(pass)
	second.in()
	if took := second.at.Sub(left); took > 3*time.Second {
		t.Errorf("the second was let in after %s, though it had waited", took)
	}
}

func testStop(t *testing.T, p *place) {
	var log journal
	two := leaseTime(2 * time.Second)
	a, b := p.gate("a", two), p.gate("b", two, log.log)
	p.fail(p.enter(a), "verify: exit code 1")
	stopped := p.start(b)
	stopped.awaitStatus("it is stopped", func(s Status) bool {
		e, ok := asError[*StoppedError](s.Waits())
		return ok && e.By == "a" && e.Reason == "verify: exit code 1" && time.Since(e.Since) < patience
	})
	// Longer than the lease time: a stop is for good.
	stopped.waits(3 * time.Second)
	if n := log.count("gate stopped"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}

	pass := p.enter(a) // who made it may come in
	stopped.waits(100 * time.Millisecond)
	p.fail(pass, "verify: exit code 2")
	stopped.awaitStatus("there is one mark, the new one", func(s Status) bool {
		return len(s.Stopped) == 1 && s.Stopped[0].Reason == "verify: exit code 2"
	})
	if err := p.enter(a).Withdraw(t.Context()); err != nil { // it has put nothing right
		t.Error(err)
	}
	stopped.waits(100 * time.Millisecond)
	pass = p.enter(a)
	p.leave(pass)
	p.leave(stopped.in())
	if lease := p.lease(); lease.Annotations[annotationStopped] != "" {
		t.Errorf("the mark is still there: %v", lease.Annotations)
	}

	// What was wrong may be right without a pass.
	p.fail(p.enter(a), "for once")
	stopped = p.start(b)
	stopped.awaitStatus("it is stopped once more", func(s Status) bool { _, ok := asError[*StoppedError](s.Waits()); return ok })
	for range 2 {
		if err := a.Resume(t.Context()); err != nil {
			t.Error(err)
		}
	}
	p.leave(stopped.in())

	// Who gives up says what he waited for.
	p.fail(p.enter(a), "again")
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the time is over")
	gone := make(chan error, 1)
	go func() { // until cancel
		_, err := b.Enter(ctx)
		gone <- err
	}()
	awaitStatus(t, b, "it is stopped again", func(s Status) bool { _, ok := asError[*StoppedError](s.Waits()); return ok })
	cancel(over)
	err := <-gone
	if _, ok := asError[*StoppedError](err); !ok || !errors.Is(err, over) {
		t.Errorf("got %v, want that the time is over and the gate stopped", err)
	}
}

// The message says how, and it works.
func testStopTakenAway(t *testing.T, p *place) {
	a, b := p.gate("a"), p.gate("b")
	p.fail(p.enter(a), "verify failed")
	stopped := p.start(b)
	s := stopped.awaitStatus("it is stopped", func(s Status) bool { _, ok := asError[*StoppedError](s.Waits()); return ok })
	_, command, found := strings.Cut(s.Waits().Error(), "to go on: kubectl ")
	if !found {
		t.Fatalf("no command in %q", s.Waits())
	}
	kubectl, err := cluster.Binary("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(kubectl, strings.Fields(strings.TrimSuffix(command, ")"))...)
	theCluster.Use(t, func(c *cluster.Cluster) {
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(t, cluster.Admin, "default"))
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	stopped.in()
}

func testStopByHand(t *testing.T, p *place) {
	a, b := p.gate("a"), p.gate("b")
	p.leave(p.enter(a))
	p.edit(func(l *coordinationv1.Lease) { l.Annotations[annotationStopped] = "not on a friday" })
	stopped := p.start(b)
	stopped.awaitStatus("it is stopped", func(s Status) bool {
		return s.Waits() != nil && strings.HasPrefix(s.Waits().Error(), "stopped by hand: not on a friday (")
	})
	stopped.waits(500 * time.Millisecond)
	if got := p.lease().Annotations[annotationStopped]; !strings.Contains(got, "not on a friday") {
		t.Errorf("the mark became %q", got)
	}
	p.edit(func(l *coordinationv1.Lease) { delete(l.Annotations, annotationStopped) })
	stopped.in()
}

func testGiveUp(t *testing.T, p *place) {
	a, b, c := p.gate("a"), p.gate("b"), p.gate("c")
	pass := p.enter(a)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { // until cancel
		_, err := b.Enter(ctx)
		gone <- err
	}()
	awaitStatus(t, b, "b is in the queue", func(s Status) bool { return len(s.Queue) == 1 })
	next := p.start(c).queued()
	cancel()
	err := <-gone
	if busy, ok := asError[*BusyError](err); !ok || !errors.Is(err, context.Canceled) || !slices.Equal(busy.Inside, []string{"a"}) {
		t.Errorf("got %v, want that it was called off, with a inside", err)
	}
	next.awaitStatus("b is out of the queue", func(s Status) bool { return len(s.Queue) == 1 })
	p.leave(pass)
	next.in()
}

func testTwice(t *testing.T, p *place) {
	a := p.gate("a")
	first := p.enter(a)
	second := p.start(a)
	second.waits(100 * time.Millisecond)
	p.leave(first)
	pass := second.in()
	p.leave(first) // once more, to no effect
	if err := first.Fail(t.Context(), "too late"); err != nil || !pass.Held() {
		t.Errorf("an old pass does something: %v, held %v", err, pass.Held())
	}
	p.leave(pass)
	if pass.Held() {
		t.Error("a pass that was given back is good")
	}
	select {
	case <-pass.Lost():
		t.Error("a pass that was given back is lost")
	default:
	}
}

// What kubectl shows, and what other programs go by.
func testReads(t *testing.T, p *place) {
	p.leave(p.enter(p.gate("a")))
	pass := p.enter(p.gate("b", func(o *Options) { o.Duration = 1500 * time.Millisecond }))
	defer p.leave(pass)
	lease := p.lease()
	spec := lease.Spec
	if *spec.HolderIdentity != "b" || *spec.LeaseDurationSeconds != 2 || *spec.LeaseTransitions != 2 {
		t.Errorf("got %v", spec)
	}
	if time.Since(spec.AcquireTime.Time) > patience || spec.RenewTime.Before(spec.AcquireTime) {
		t.Errorf("acquired %s, renewed %s", spec.AcquireTime, spec.RenewTime)
	}
	if len(lease.Annotations) > 0 {
		t.Errorf("got annotations %v, want none with nobody waiting", lease.Annotations)
	}
}

func testDeleted(t *testing.T, p *place) {
	var log journal
	defer log.showIfFailed(t)
	a, b := p.gate("a", log.log), p.gate("b", log.log)
	pass := p.enter(a)
	next := p.start(b).queued()
	for range 5 {
		p.remove()
		p.awaitLease("all is back", func(l *coordinationv1.Lease) bool {
			r := decode(l)
			return indexOf(r.holders, "a") == 0 && indexOf(r.queue, "b") == 0
		})
	}
	next.waits(500 * time.Millisecond)
	if !pass.Held() {
		t.Error("the pass is lost")
	}
	p.leave(pass)
	next.in()
}

// With a free slot, who was inside comes back.
func testEmptied(t *testing.T, p *place) {
	var log journal
	defer log.showIfFailed(t)
	a := p.gate("a", log.log)
	pass := p.enter(a)
	p.edit(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil })
	p.awaitLease("a is back", func(l *coordinationv1.Lease) bool { return indexOf(decode(l).holders, "a") == 0 })
	next := p.start(p.gate("b")).queued()
	next.waits(500 * time.Millisecond)
	if !pass.Held() || *p.lease().Spec.HolderIdentity != "a" {
		t.Errorf("held: %v, the holder is %q", pass.Held(), *p.lease().Spec.HolderIdentity)
	}
}

// Whom a person makes the holder is the holder.
func testGiven(t *testing.T, p *place) {
	var log journal
	a, b := p.gate("a", log.log), p.gate("b")
	pass := p.enter(a)
	next := p.start(b).queued()
	p.edit(func(l *coordinationv1.Lease) {
		l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = new("somebody"), new(int32(3))
	})
	given := time.Now()
	within(t, patience, "a loses its pass", pass.Lost())
	if pass.Held() || a.Status().State != Lost && log.count("gate lost") == 0 {
		t.Errorf("held %v, state %q", pass.Held(), a.Status().State)
	}
	p.leave(pass)
	next.in()
	if took := next.at.Sub(given); took < 2500*time.Millisecond {
		t.Errorf("let in after %s, want 3 s", took)
	}
}

func testGarbled(t *testing.T, p *place) {
	two := func(o *Options) { o.Slots, o.Duration = 2, 6*time.Second }
	var log journal
	defer log.showIfFailed(t)
	a, b, c := p.gate("a", two, log.log), p.gate("b", two), p.gate("c", two)
	passA := p.enter(a)
	passB := p.enter(b)
	next := p.start(c).queued()

	p.edit(func(l *coordinationv1.Lease) { l.Annotations[annotationQueue] = "{{{" })
	next.awaitStatus("c is in the queue again", func(s Status) bool { return len(s.Queue) == 1 })

	p.edit(func(l *coordinationv1.Lease) { l.Annotations[annotationHolders] = "nonsense" })
	garbled := time.Now()
	within(t, patience, "b, of whom nothing is left, loses its pass", passB.Lost())
	if !passA.Held() {
		t.Error("a lost its pass as well")
	}
	p.leave(passB)
	next.in() // when the nonsense has been there for the lease time
	if took := next.at.Sub(garbled); took < 5500*time.Millisecond {
		t.Errorf("let in after %s, want 6 s", took)
	}
}

func testClaimIsNoGate(t *testing.T, p *place) {
	if _, err := Claim(t.Context(), p.client(p.config), p.namespace, "web", "a"); err != nil {
		t.Fatal(err)
	}
	before := p.lease()
	e := p.start(p.gate("a"))
	e.awaitStatus("it is refused", func(s Status) bool { return errors.Is(s.Waits(), ErrClaim) })
	e.waits(100 * time.Millisecond)
	if diff := cmp.Diff(before, p.lease()); diff != "" {
		t.Errorf("the claim was changed:\n%s", diff)
	}
}

// grant allows bob what the rules say, and gives a configuration of his.
func (p *place) grant(user string, rules []Rule) {
	p.t.Helper()
	var text strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&text, "- {apiGroups: [%s], resources: [%s], resourceNames: [%s], verbs: [%s]}\n",
			r.Group, r.Resource, strings.Join(r.Names, ", "), strings.Join(r.Verbs, ", "))
	}
	theCluster.Use(p.t, func(c *cluster.Cluster) { c.Grant(p.t, p.namespace, user, text.String()) })
}

func without(rules []Rule, verb string) []Rule {
	var less []Rule
	for _, r := range rules {
		r.Verbs = slices.DeleteFunc(slices.Clone(r.Verbs), func(v string) bool { return v == verb })
		if len(r.Verbs) > 0 {
			less = append(less, r)
		}
	}
	return less
}

// asUser is the configuration of one of the cluster's ordinary users.
func (p *place) asUser(user string) (config *rest.Config) {
	p.t.Helper()
	theCluster.Use(p.t, func(c *cluster.Cluster) { config = c.ConfigFor(user) })
	return config
}

func testRules(t *testing.T, p *place) {
	bob := p.asUser("bob")
	p.grant("bob", Rules("web", "other", "web"))
	var log journal
	a, b := p.gateFor(bob, "a", log.log), p.gateFor(bob, "b")
	pass := p.enter(a)
	next := p.start(b).queued()
	p.leave(pass)
	next.in()
	if text := log.String(); strings.Contains(text, "WARN") {
		t.Errorf("something is missing:\n%s", text)
	}
	if diff := cmp.Diff([]string{"other", "web"}, Rules("web", "other", "web")[0].Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func testDenied(t *testing.T, p *place) {
	carol := p.asUser("carol")
	for _, verb := range []string{"create", "update", "get"} {
		less := without(Rules("web"), verb)
		if verb == "get" {
			less = without(less, "watch") // which would bring the Lease as well
		}
		p.grant("carol", less)
		if verb != "create" {
			p.leave(p.enter(p.gate("a"))) // so that the Lease is there
		}
		var log journal
		g := p.gateFor(carol, "b", log.log)
		e := p.start(g)
		e.awaitStatus("it is denied "+verb, func(s Status) bool {
			denied, ok := asError[*DeniedError](s.Waits())
			return ok && denied.Verb == verb
		})
		for _, words := range []string{"may not " + verb + " leases.coordination.k8s.io", `"web"`, p.namespace, `User "carol"`} {
			if err := g.Status().Waits(); !strings.Contains(err.Error(), words) {
				t.Errorf("%q is not in %q", words, err)
			}
		}
		e.waits(300 * time.Millisecond)
		if n := log.count("gate out of order"); n != 1 {
			t.Errorf("%s: told %d times, want once:\n%s", verb, n, log.String())
		}
		p.grant("carol", Rules("web"))
		p.leave(e.in())
		if log.count("gate in order again") != 1 {
			t.Errorf("%s: not told that all is well:\n%s", verb, log.String())
		}
	}
}

func testPolls(t *testing.T, p *place) {
	dave := p.asUser("dave")
	p.grant("dave", without(Rules("web"), "watch"))
	var log journal
	a, b := p.gateFor(dave, "a"), p.gateFor(dave, "b", log.log)
	pass := p.enter(a)
	next := p.start(b).queued()
	left := time.Now()
	p.leave(pass)
	next.in()
	t.Logf("handed over in %s by polling", next.at.Sub(left))
	if took := next.at.Sub(left); took > 6*time.Second {
		t.Errorf("took %s, want about a second", took)
	}
	if text := log.String(); strings.Count(text, "gate polled, since it cannot be watched") != 1 || !strings.Contains(text, "may not watch") {
		t.Errorf("not told once why it polls:\n%s", text)
	}
}

func testNoNamespace(t *testing.T, p *place) {
	g := p.gate("a", func(o *Options) { o.Namespace = "nowhere" })
	p.start(g).awaitStatus("that is said", func(s Status) bool {
		return s.Problem != nil && strings.Contains(s.Problem.Error(), `namespaces "nowhere" not found`)
	})
}

func testLook(t *testing.T, p *place) {
	idle := p.gate("c")
	if s := idle.Status(); s.State != Idle || !s.Seen.IsZero() || s.Waits() != nil {
		t.Errorf("got %+v before it was looked at", s)
	}
	pass := p.enter(p.gate("a"))
	p.start(p.gate("b")).queued()
	s := idle.Look(t.Context(), time.Minute)
	if len(s.Holders) != 1 || s.Holders[0].Identity != "a" || s.Holders[0].Self || len(s.Queue) != 1 || s.Problem != nil {
		t.Errorf("got %+v", s)
	}
	p.fail(pass, "broken")
	if s := idle.Look(t.Context(), time.Minute); len(s.Stopped) != 0 {
		t.Errorf("the server was asked again: %+v", s)
	}
	if s := idle.Look(t.Context(), 0); len(s.Stopped) != 1 || s.Stopped[0].By != "a" {
		t.Errorf("got %+v", s)
	}
}

func testOptions(t *testing.T, p *place) {
	for word, change := range map[string]func(*Options){
		"name":      func(o *Options) { o.Name = "" },
		"namespace": func(o *Options) { o.Namespace = "" },
		"identity":  func(o *Options) { o.Identity = "" },
	} {
		_, err := p.gate("a", change).Enter(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no "+word+" is given") {
			t.Errorf("without %s: got %v", word, err)
		}
	}
	g := p.gate("a")
	g.Close()
	if _, err := g.Enter(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
	g.Close()
}

// Two who bear one name: the second gets the pass, and the first knows at once.
func testSameName(t *testing.T, p *place) {
	var log journal
	a, twin := p.gate("a", log.log), p.gate("a")
	pass := p.enter(a)
	second := p.enter(twin)
	within(t, patience, "the first loses the pass", pass.Lost())
	p.leave(pass)
	if !second.Held() || *p.lease().Spec.HolderIdentity != "a" {
		t.Error("the first gave the second's pass back")
	}
	if log.count("another process entered with the same identity") != 1 {
		t.Errorf("not told:\n%s", log.String())
	}
}

// A counter counts requests.
type counter struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func testIdle(t *testing.T, p *place) {
	var requests counter
	config := rest.CopyConfig(p.config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		requests.RoundTripper = rt
		return &requests
	})
	g := p.gateFor(config, "a", leaseTime(5*time.Second))
	p.leave(p.enter(g))
	passing := requests.n.Load()
	time.Sleep(1500 * time.Millisecond) // longer than between two renewals
	if got := requests.n.Load() - passing; got > 0 {
		t.Errorf("%d requests while nobody wants in", got)
	}
	t.Logf("%d requests for one pass", passing)
	if passing > 6 {
		t.Errorf("%d requests for one pass, want about 4: look, watch, enter, leave", passing)
	}
}
