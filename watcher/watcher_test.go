package watcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// inBubble runs test with a watcher whose feeds the test fills, and with time
// that passes only when everything waits.
func inBubble(t *testing.T, test func(t *testing.T, w *Watcher, log *logBook)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log logBook
		w := newWatcher(offline{}, "shop", log.logger())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }() // until cancel
		synctest.Wait()
		test(t, w, &log)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// feedFor is the watch of a need, or nil.
func feedFor(w *Watcher, key watchKey) *feed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.feeds[key]
}

func podKey(name string) watchKey { return typedNeed(kindPod, "shop", name, "").narrow() }

func aPod(name, ip string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Status: corev1.PodStatus{PodIP: ip}}
}

func fill(t *testing.T, f *feed, pods ...*corev1.Pod) {
	t.Helper()
	var list []any
	for _, p := range pods {
		list = append(list, p)
	}
	must(t, f.Replace(list, ""))
}

// ipsPage shows the IPs of the pods that are named at the time.
func ipsPage(w *Watcher, names *[]string) *page[[]string] {
	return newPage(w, func(r *Reader) (ips []string, err error) {
		for _, name := range *names {
			p, err := r.pod(name)
			if err != nil {
				return nil, err
			}
			ips = append(ips, p.IP)
		}
		return ips, nil
	})
}

// A watch outlives its last reader by the grace, for a branch that flips back
// and forth, and no longer.
func TestGrace(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		p := ipsPage(w, &names)
		p.look()
		f := feedFor(w, podKey("a"))
		fill(t, f, aPod("a", "10.0.0.1"))
		read := func(now ...string) {
			names = now
			w.View(p.run)
		}
		lives := func() bool { return feedFor(w, podKey("a")) == f && f.ctx.Err() == nil }

		read()
		time.Sleep(defaultGrace / 2)
		read() // still not: that begins no new grace, and ends none
		time.Sleep(defaultGrace/2 - time.Second)
		if !lives() {
			t.Fatal("stopped before the grace was over")
		}
		read("a") // back in time
		time.Sleep(2 * defaultGrace)
		if !lives() {
			t.Fatal("stopped though it is read again")
		}
		if d := diff([]string{"10.0.0.1"}, p.got); d != "" {
			t.Errorf("read again (-want +got):\n%s", d)
		}
		read()
		time.Sleep(defaultGrace - time.Nanosecond)
		if !lives() {
			t.Fatal("the second time, the grace was shorter")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if lives() {
			t.Fatal("not stopped after the grace")
		}
		read("a") // too late: it is another watch, and nothing is known yet
		var incomplete *IncompleteError
		if !errors.As(p.err, &incomplete) {
			t.Errorf("after the grace: got %v, %v, want an IncompleteError", p.got, p.err)
		}
	})
}

// Until the shared watch has listed, the one before answers, and goes on to
// bring changes.
func TestSharedWatchTakesOverWhenListed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		a, b := []string{"a"}, []string{"b"}
		ofA, ofB := ipsPage(w, &a), ipsPage(w, &b)
		ofA.look()
		narrow := feedFor(w, podKey("a"))
		fill(t, narrow, aPod("a", "10.0.0.1"))
		ofA.awaitGot(t, []string{"10.0.0.1"})

		ofB.look()
		wide := feedFor(w, podKey(""))
		if wide == nil || feedFor(w, podKey("b")) != nil {
			t.Fatal("two of a namespace should share a watch")
		}
		time.Sleep(2 * defaultGrace) // the new one takes its time
		must(t, narrow.Update(aPod("a", "10.0.0.2")))
		if !ofA.stale() || ofB.stale() {
			t.Error("the old watch has news for one of the two")
		}
		ofA.awaitGot(t, []string{"10.0.0.2"})
		wide.failed(errors.New("denied"))
		w.View(ofA.run)
		if d := diff([]string{"10.0.0.2"}, ofA.got); ofA.err != nil || d != "" {
			t.Errorf("while the shared watch is refused: %v\n%s", ofA.err, d)
		}

		fill(t, wide, aPod("a", "10.0.0.3"), aPod("b", "10.0.0.4"))
		ofA.awaitGot(t, []string{"10.0.0.3"})
		ofB.awaitGot(t, []string{"10.0.0.4"})
		time.Sleep(defaultGrace)
		synctest.Wait()
		if narrow.ctx.Err() == nil || wide.ctx.Err() != nil {
			t.Error("the shared watch should have taken over")
		}

		ofB.reader.Close()
		again := feedFor(w, podKey("a"))
		w.View(ofA.run)
		if d := diff([]string{"10.0.0.3"}, ofA.got); ofA.err != nil || d != "" {
			t.Errorf("on the way back: %v\n%s", ofA.err, d)
		}
		fill(t, again, aPod("a", "10.0.0.3"))
		w.View(ofA.run)
		time.Sleep(defaultGrace)
		synctest.Wait()
		if wide.ctx.Err() == nil || again.ctx.Err() != nil {
			t.Error("the watch of one should have taken over again")
		}
	})
}

// A run that waits for two lists is repeated when both have come or been
// refused, and not for each.
func TestStaleWhenAllIsSettled(t *testing.T) {
	secretKey := func(name string) watchKey { return typedNeed(kindSecret, "shop", name, "").narrow() }
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		p := newPage(w, func(r *Reader) (string, error) {
			one, err := r.secret("one")
			two, err2 := r.secret("two")
			return one["a"] + two["a"], errors.Join(err, err2)
		})
		p.look()
		aSecret := func(name, value string) []any {
			return []any{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{"a": []byte(value)}}}
		}
		one, two := feedFor(w, secretKey("one")), feedFor(w, secretKey("two"))
		must(t, one.Replace(aSecret("one", "1"), ""))
		if !poked(w) || p.stale() {
			t.Error("worth a run though the other is still on its way")
		}
		two.failed(errors.New("denied"))
		if !poked(w) || !p.stale() {
			t.Error("not worth a run though all is settled")
		}
		p.look()
		if got, want := errorText(p.err), `waiting for Secret "two" in namespace "shop"`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		two.failed(errors.New("denied"))
		if p.stale() {
			t.Error("worth a run though nothing is new")
		}
		must(t, one.Update(aSecret("one", "9")[0]))
		if !p.stale() {
			t.Error("not worth a run though what it read has changed")
		}
		p.look()
		must(t, two.Replace(aSecret("two", "2"), ""))
		p.awaitGot(t, "92")
	})
}

// Many changes are one poke until it is taken.
func TestPokesAreOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		ipsPage(w, &names).look()
		f := feedFor(w, podKey("a"))
		for n := range 100 {
			must(t, f.Update(aPod("a", fmt.Sprint(n))))
		}
		if !poked(w) || poked(w) {
			t.Error("want one poke")
		}
		must(t, f.Update(aPod("a", "99"))) // as it is
		must(t, f.Delete(aPod("b", "")))   // never was there
		must(t, f.Bookmark("7"))
		if poked(w) {
			t.Error("poked by what changes nothing")
		}
		must(t, f.Delete(aPod("a", "99")))
		if !poked(w) {
			t.Error("not poked by a deletion")
		}
	})
}

// A list that is the same as before, as after a lost connection, is no change;
// and what is missing in it is gone.
func TestListedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a", "b"}
		p := ipsPage(w, &names)
		p.look()
		f := feedFor(w, podKey(""))
		fill(t, f, aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2"))
		p.awaitGot(t, []string{"10.0.0.1", "10.0.0.2"})
		poked(w)
		fill(t, f, aPod("b", "10.0.0.2"), aPod("a", "10.0.0.1"))
		if poked(w) || p.stale() {
			t.Error("stirred by the same list")
		}
		fill(t, f, aPod("b", "10.0.0.2"))
		if !poked(w) || !p.stale() {
			t.Error("not stirred by a list without one of them")
		}
		p.awaitErr(t, `Pod "a" in namespace "shop" does not exist`)
	})
}

// Pods come and go for months: what is gone, and read by nobody, leaves nothing.
func TestWhatIsGoneLeavesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		all := podNamesPage(w, "")
		names := []string{"kept"}
		one := ipsPage(w, &names)
		all.look()
		f := feedFor(w, podKey(""))
		fill(t, f, aPod("kept", "10.0.0.1"))
		all.awaitGot(t, []string{"kept"})
		one.awaitGot(t, []string{"10.0.0.1"}) // of all pods, one has a reader by name
		for n := range 100 {
			name := fmt.Sprintf("job-%d", n)
			must(t, f.Update(aPod(name, "10.0.0.2")))
			all.awaitGot(t, []string{name, "kept"})
			must(t, f.Delete(aPod(name, "")))
			all.awaitGot(t, []string{"kept"})
		}
		if len(f.changed) != 1 || len(f.groups) != 1 || len(f.records) != 1 {
			t.Errorf("of one that is there, %d changes, %d groups and %d records are kept", len(f.changed), len(f.groups), len(f.records))
		}
		must(t, f.Delete(aPod("kept", "")))
		one.awaitErr(t, "does not exist")
	})
}

// Readers may ask before, during and after Run.
func TestRunMayEndAtAnyMoment(t *testing.T) {
	for range 300 {
		w := newWatcher(offline{}, "shop", (&logBook{}).logger())
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for n := range 4 {
			asking.Go(func() {
				for m := range 5 {
					podNamesPage(w, fmt.Sprintf("a=n%d-%d", n, m)).look()
				}
			})
		}
		done := make(chan error)
		go func() { done <- w.Run(ctx) }() // until cancel
		cancel()
		if err := <-done; err != nil {
			t.Fatalf("Run returned %v", err)
		}
		asking.Wait()
		podNamesPage(w, "late=yes").look()
		for _, f := range w.feeds {
			if f.ctx != nil && f.ctx.Err() == nil {
				t.Fatalf("the watch of %s outlives Run", f.key.dependency())
			}
		}
		if late := feedFor(w, typedNeed(kindPod, "shop", "", "late=yes").narrow()); late.ctx != nil {
			t.Fatal("a watch was started after Run")
		}
	}
}

// Whatever Run started has ended when it returns.
func TestRunLeavesNoGoroutine(t *testing.T) {
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	dir := t.TempDir()
	writeFile(t, dir+"/a.yaml", levelYAML("one"))
	onServer, inFiles := w.watcher(t), manifestWatcher(t, &logBook{}, dir)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- onServer.Run(ctx) }() // both until cancel
	go func() { done <- inFiles.Run(ctx) }()
	known := newPage(onServer, func(r *Reader) ([]string, error) {
		_, _ = r.lookup("nowhere.example.com/v1", "Nothing", w.own, "x") // is asked for again and again
		_, _ = r.secret("none")
		endpoints, err := r.endpointsOf("web")
		return addressesOf(endpoints), err
	})
	known.look()
	poll(t, func() string { return problemWith(onServer, "the server knows no Nothing") })
	levelPage(inFiles).awaitGot(t, "one")
	if running := ours(t); len(running) < 3 {
		t.Fatalf("only %d goroutines are seen to run: the test is blind", len(running))
	}
	cancel()
	told := time.Now()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	}
	if took := time.Since(told); took > time.Second {
		t.Errorf("Run returned after %s, want at once", took)
	}
	// What is left may be on its last steps, and no more.
	poll(t, func() string { return strings.Join(ours(t), "\n\n") })
}

// ours are the stacks of the goroutines that work for a watcher.
func ours(t *testing.T) []string {
	t.Helper()
	var b strings.Builder
	must(t, pprof.Lookup("goroutine").WriteTo(&b, 2))
	var found []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		for _, part := range []string{"watcher.(*Watcher)", "watcher.(*cluster)", "watcher.(*manifests)", "watcher.(*Files)", "cache.(*Reflector)", "fsnotify.(*inotify)", "watch.(*StreamWatcher)"} {
			if strings.Contains(stack, part) && !strings.Contains(stack, "watcher.ours(") {
				found = append(found, stack)
				break
			}
		}
	}
	return found
}

// self is this pod, by its environment as far as that tells.
func TestSelf(t *testing.T) {
	worlds := map[string]func(*testing.T) world{
		"on a cluster": func(t *testing.T) world { return newClusterWorld(t) },
		"in manifests": func(t *testing.T) world { return newManifestWorld(t) },
	}
	for name, make := range worlds {
		t.Run(name, func(t *testing.T) {
			w := make(t)
			t.Run("from the Pod", func(t *testing.T) { testSelfFromPod(t, w) })
			t.Run("from the environment", func(t *testing.T) { testSelfFromEnvironment(t, w) })
			t.Run("without an IP yet", func(t *testing.T) { testSelfWithoutIP(t, w) })
		})
	}
}

type selfSeen struct {
	Name, Namespace, IP, Node string
	Ordinal                   int
	Labels, Annotations       map[string]string
	Phase                     string
}

func selfPage(w *Watcher) *page[selfSeen] {
	return newPage(w, func(r *Reader) (s selfSeen, err error) {
		self := r.self()
		errs := make([]error, 8)
		s.Namespace, errs[7] = self.Namespace()
		s.Name, errs[0] = self.Name()
		s.IP, errs[1] = self.IP()
		s.Node, errs[2] = self.Node()
		s.Ordinal, errs[3] = self.Ordinal()
		s.Labels, errs[4] = self.Labels()
		s.Annotations, errs[5] = self.Annotations()
		pod, err := self.Pod()
		if err == nil {
			s.Phase = pod.Phase
		}
		errs[6] = err
		return s, errors.Join(errs...)
	})
}

const selfYAML = `
apiVersion: v1
kind: Pod
metadata: {name: pxc-2, labels: {app: pxc}, annotations: {team: db}}
spec: {nodeName: node-a, containers: [{name: x, image: x}]}
status: {phase: Running, podIP: 10.1.0.2, podIPs: [{ip: 10.1.0.2}]}`

func clearSelf(t *testing.T) {
	t.Helper()
	for _, name := range []string{"POD_NAME", "POD_NAMESPACE", "POD_IP", "NODE_NAME"} {
		t.Setenv(name, "")
	}
}

func testSelfFromPod(t *testing.T, w world) {
	clearSelf(t)
	t.Setenv("POD_NAME", "pxc-2")
	w.put(t, object(t, w.namespace(), selfYAML))
	watcher := w.watcher(t)
	start(t, watcher)
	selfPage(watcher).awaitGot(t, selfSeen{
		Name: "pxc-2", Namespace: w.namespace(), IP: "10.1.0.2", Node: "node-a", Ordinal: 2,
		Labels: map[string]string{"app": "pxc"}, Annotations: map[string]string{"team": "db"}, Phase: "Running",
	})
}

func testSelfFromEnvironment(t *testing.T, w world) {
	clearSelf(t)
	watcher := w.watcher(t)
	start(t, watcher)
	for name, value := range map[string]string{"POD_NAME": "web", "POD_NAMESPACE": "env", "POD_IP": "10.9.9.9", "NODE_NAME": "node-z"} {
		t.Setenv(name, value)
	}
	p := newPage(watcher, func(r *Reader) (string, error) {
		self := r.self()
		name, err := self.Name()
		ip, err2 := self.IP()
		node, err3 := self.Node()
		ordinal, err4 := self.Ordinal()
		namespace, err5 := self.Namespace()
		return fmt.Sprint(name, " ", namespace, " ", ip, " ", node, " ", ordinal), errors.Join(err, err2, err3, err4, err5)
	})
	p.awaitGot(t, "web env 10.9.9.9 node-z -1")
	if n := watches(watcher); len(n) > 0 {
		t.Errorf("watched for what the environment tells: %v", n)
	}
}

func testSelfWithoutIP(t *testing.T, w world) {
	clearSelf(t)
	t.Setenv("POD_NAME", "pxc-3")
	later := strings.ReplaceAll(strings.ReplaceAll(selfYAML, "pxc-2", "pxc-3"), "10.1.0.2", "10.1.0.3")
	now, _, _ := strings.Cut(later, "status:")
	w.put(t, object(t, w.namespace(), now))
	watcher := w.watcher(t)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) (string, error) { return r.self().IP() })
	p.awaitErr(t, `the IP of pod "pxc-3" does not exist`)
	var absent *AbsentError
	if !errors.As(p.err, &absent) {
		t.Errorf("got %v, want an AbsentError", p.err)
	}
	w.put(t, object(t, w.namespace(), later))
	p.awaitGot(t, "10.1.0.3")
}

// Templates that are only parsed need the functions' names and no source.
func TestOffline(t *testing.T) {
	w := NewOffline()
	start(t, w)
	p := addressesPage(w, "web")
	p.look()
	var incomplete *IncompleteError
	if !errors.As(p.err, &incomplete) {
		t.Errorf("got %v, %v, want an IncompleteError", p.got, p.err)
	}
	if _, ok := w.NewReader().Funcs()["endpoints"]; !ok {
		t.Error("no function named endpoints")
	}
}

// What is watched for another does not answer unless it holds just what was
// asked for, not even while the right watch is on its way.
func TestOtherWatchesDoNotAnswer(t *testing.T) {
	tests := map[string]struct {
		known, asked need
		answers      bool
	}{
		"all, for a selection":           {typedNeed(kindPod, "shop", "", ""), typedNeed(kindPod, "shop", "", "app=web"), false},
		"all, for one":                   {typedNeed(kindPod, "shop", "", ""), typedNeed(kindPod, "shop", "a", ""), true},
		"a selection, for all":           {typedNeed(kindPod, "shop", "", "app=web"), typedNeed(kindPod, "shop", "", ""), false},
		"a selection, for one":           {typedNeed(kindPod, "shop", "", "app=web"), typedNeed(kindPod, "shop", "a", ""), false},
		"one, for all":                   {typedNeed(kindPod, "shop", "a", ""), typedNeed(kindPod, "shop", "", ""), false},
		"another namespace":              {typedNeed(kindPod, "prod", "", ""), typedNeed(kindPod, "shop", "a", ""), false},
		"another kind":                   {typedNeed(kindService, "shop", "", ""), typedNeed(kindPod, "shop", "a", ""), false},
		"a view, for lookup":             {typedNeed(kindPod, "shop", "a", ""), need{typedNeed(kindPod, "shop", "a", "").Dependency, true}, false},
		"all endpoints, for a service's": {typedNeed(kindEndpointSlice, "shop", "", ""), typedNeed(kindEndpointSlice, "shop", "web", ""), true},
		"one service's, for another's":   {typedNeed(kindEndpointSlice, "shop", "db", ""), typedNeed(kindEndpointSlice, "shop", "web", ""), false},
		"the same":                       {typedNeed(kindPod, "shop", "", "app=web"), typedNeed(kindPod, "shop", "", "app=web"), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
				reads := func(n need) *page[bool] {
					return newPage(w, func(r *Reader) (bool, error) { return r.feed(n) != nil, nil })
				}
				known := reads(test.known)
				known.look()
				must(t, feedFor(w, test.known.narrow()).Replace(nil, ""))
				known.awaitGot(t, true)
				asked := reads(test.asked)
				asked.look()
				if asked.got != test.answers || (asked.err == nil) != test.answers {
					t.Errorf("got %v, %v, want %v", asked.got, asked.err, test.answers)
				}
			})
		})
	}
}
