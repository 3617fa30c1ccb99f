package watcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// outage is how long a server misbehaves in these tests.
const outage = 8 * time.Second

// storms are what a server, or what stands before it, may answer to everybody.
func storms() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"500":                           answering(http.StatusInternalServerError, ""),
		"503":                           answering(http.StatusServiceUnavailable, ""),
		"503, and to come in a second":  answering(http.StatusServiceUnavailable, "1"),
		"429":                           answering(http.StatusTooManyRequests, ""),
		"429, and to come in an hour":   answering(http.StatusTooManyRequests, "3600"),
		"410":                           answering(http.StatusGone, ""),
		"404":                           answering(http.StatusNotFound, ""),
		"a page for people":             sorry,
		"nothing, and that it is fine":  func(http.ResponseWriter, *http.Request) {},
		"connections that end":          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"watches that end after a word": brief,
	}
}

// answering is a server that says no, and when to come again if that is given.
func answering(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}
}

func sorry(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<html><body>Sorry!</body></html>")
}

// brief is a server whose watches are good for one bookmark.
func brief(w http.ResponseWriter, r *http.Request) {
	var kind, version string
	for part, of := range map[string][2]string{
		"/pods": {kindPod, "v1"}, "/configmaps": {kindConfigMap, "v1"},
		"/endpointslices": {kindEndpointSlice, "discovery.k8s.io/v1"}, "/leases": {"Lease", "coordination.k8s.io/v1"},
	} {
		if strings.HasSuffix(r.URL.Path, part) {
			kind, version = of[0], of[1]
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"type": "BOOKMARK", "object": {"kind": %q, "apiVersion": %q, "metadata": {"resourceVersion": %q}}}`,
		kind, version, r.URL.Query().Get("resourceVersion"))
}

// Whatever the server says, what was known stays, nobody asks too often, and
// all is well within seconds when it has come to its senses.
func TestStorms(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var took []time.Duration
	t.Run("of", func(t *testing.T) {
		for name, answer := range storms() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStorm(t)
				s.rage(t, answer, name != "watches that end after a word")
				after := s.calm(t)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, after)
			})
		}
	})
	if len(took) == 0 {
		return // the one that was asked for failed
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("up to date after the storm: median %s, longest %s", median, took[len(took)-1])
	if median > 4*time.Second {
		t.Errorf("up to date %s after the storm in the middle, want 4s at most", median)
	}
}

// However long a server is away, it is asked every two to three seconds, and not
// by all at the same time.
func TestRetry(t *testing.T) {
	delay := retry().DelayFunc()
	for range 3 {
		if d := delay(); d > 2*time.Second {
			t.Errorf("at first, waits for %s", d)
		}
	}
	var later []time.Duration
	for range 100 {
		later = append(later, delay())
	}
	slices.Sort(later)
	if first, last := later[0], later[99]; first < 2*time.Second || last > 3*time.Second || last-first < time.Second/2 {
		t.Errorf("later, waits for %s to %s", first, last)
	}
}

// A storm is a page that reads four watches by way of a gateway.
type storm struct {
	world   *clusterWorld
	gateway *gateway
	watcher *Watcher
	page    *page[string]
}

const beforeTheStorm = "web [10.0.0.1] [a] web-0"

func newStorm(t *testing.T) *storm {
	t.Helper()
	w := newClusterWorld(t)
	w.put(
		t,
		slice(w, "web", "10.0.0.1"),
		object(t, w.own, fmt.Sprintf(settingsYAML, "web")),
		object(t, w.own, leaseYAML("gate", "web-0")),
		object(t, w.own, podYAML("a", "")),
	)
	s := &storm{world: w, gateway: newGateway(t, w)}
	s.watcher = watcherWith(t, s.gateway.kubeconfig(t, w, kube.Admin), &logBook{})
	start(t, s.watcher)
	s.page = newPage(s.watcher, readFour)
	s.page.awaitGot(t, beforeTheStorm)
	return s
}

// readFour reads four watches, of every form there is.
func readFour(r *Reader) (string, error) {
	settings, err := r.configMap("settings")
	endpoints, err2 := r.endpointsOf("web")
	pods, err3 := r.pods("")
	lease, err4 := r.lookup("coordination.k8s.io/v1", "Lease", r.watcher.namespace, "gate")
	return fmt.Sprint(settings["service"], " ", addressesOf(endpoints), " ", pods, " ", holder(lease)),
		errors.Join(err, err2, err3, err4)
}

// rage lets the storm blow. Unless it may be taken for fair weather, it is known
// that data is out of date.
func (s *storm) rage(t *testing.T, answer http.HandlerFunc, seen bool) {
	t.Helper()
	s.gateway.forget()
	began := time.Now()
	s.gateway.set(answer)
	poll(t, func() string {
		s.watcher.View(s.page.run)
		if d := diff(beforeTheStorm, s.page.got); s.page.err != nil || d != "" {
			t.Fatalf("in the storm: %v\n%s", s.page.err, d)
		}
		if left := outage - time.Since(began); left > 0 {
			return left.String()
		}
		return ""
	})
	if seen && s.page.reader.OutOfDate() == nil {
		t.Errorf("up to date after %s of storm", outage)
	}
	s.bounded(t)
}

// bounded says whether the gateway was asked too often, or by all at a time.
func (s *storm) bounded(t *testing.T) {
	t.Helper()
	var tries [][]time.Time // of each watch
	for name, times := range s.gateway.times() {
		// By the back-off it is seven times, and by the pace of watches that
		// follow each other it is some more.
		if len(times) > 20 {
			t.Errorf("%d requests of %s in %s", len(times), name, outage)
		}
		if strings.HasPrefix(name, "WATCH") {
			tries = append(tries, times)
		}
	}
	if apart := farthestApart(tries); apart < 150*time.Millisecond {
		t.Errorf("all watches are tried again at the same times, within %s:\n%v", apart, tries)
	}
}

// farthestApart is the longest time between the first and the last of the
// watches to be tried for the same time.
func farthestApart(tries [][]time.Time) (apart time.Duration) {
	for n := 0; ; n++ {
		var at []time.Time
		for _, times := range tries {
			if n >= len(times) {
				return apart
			}
			at = append(at, times[n])
		}
		apart = max(apart, slices.MaxFunc(at, time.Time.Compare).Sub(slices.MinFunc(at, time.Time.Compare)))
	}
}

// calm ends the storm, and waits until all is up to date.
func (s *storm) calm(t *testing.T) time.Duration {
	t.Helper()
	s.gateway.forget()
	s.gateway.open()
	ended := time.Now()
	s.world.put(t, slice(s.world, "web", "10.0.0.2"))
	s.world.remove(t, object(t, s.world.own, podYAML("a", "")))
	s.page.awaitGot(t, "web [10.0.0.2] [] web-0")
	s.page.await(t, func() string { return errorText(s.page.reader.OutOfDate()) })
	took := time.Since(ended)
	poll(t, func() string { return unhealthy(s.watcher) })
	for name, times := range s.gateway.times() {
		if len(times) > 4 {
			t.Errorf("%d requests of %s after the storm", len(times), name)
		}
	}
	return took
}

// Who starts while the server is away goes by what was known before, and says
// so; when the server is back, by that.
func TestStartWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	s := newStorm(t)
	snapshot := snapshotOf(t, s.watcher)
	s.gateway.line.setCut(true)
	s.world.put(t, slice(s.world, "web", "10.0.0.2"))
	s.world.remove(t, object(t, s.world.own, podYAML("a", "")))

	s.watcher = watcherWith(t, s.gateway.kubeconfig(t, s.world, kube.Admin), &logBook{})
	start(t, s.watcher)
	s.page = newPage(s.watcher, readFour)
	s.page.look()
	poll(t, func() string {
		if s.page.look(); s.page.err == nil {
			t.Fatalf("got %q from nowhere", s.page.got)
		}
		if n := len(s.watcher.Problems()); n < 4 {
			return fmt.Sprintf("%d of 4 watches have problems", n)
		}
		return ""
	})
	must(t, s.watcher.Restore(snapshot))
	s.page.awaitGot(t, beforeTheStorm)
	var late *OutOfDateError
	if err := s.page.reader.OutOfDate(); !errors.As(err, &late) || !late.Restored || late.Others != 3 || late.Unwrap() == nil {
		t.Errorf("out of date: got %v, want that four watches are restored, and why", err)
	}

	s.gateway.line.setCut(false)
	back := time.Now()
	s.page.await(t, func() string {
		if err := s.page.reader.OutOfDate(); err == nil {
			return diff("web [10.0.0.2] [] web-0", s.page.got)
		}
		return "out of date"
	})
	took := time.Since(back)
	t.Logf("up to date %s after the server was back", took)
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
}

// When all that is known is too old for the server to go on from, and has to be
// listed anew, nothing is emptied meanwhile, and what is as it was disturbs
// nobody.
func TestEverythingListedAnew(t *testing.T) {
	t.Parallel()
	s := newStorm(t)
	poked(s.watcher)
	runs := s.page.runs
	s.gateway.forget()
	goesOn := func(r *http.Request) bool { return r.URL.Query().Get("resourceVersion") != "" }
	s.gateway.setFor(goesOn, answering(http.StatusGone, ""))
	poll(t, func() string {
		s.watcher.View(func(v *View) {
			if v.Stale(s.page.reader) || v.OutOfDate(s.page.reader) != nil {
				t.Fatalf("stale: %v, out of date: %v", v.Stale(s.page.reader), v.OutOfDate(s.page.reader))
			}
		})
		again := 0
		for _, times := range s.gateway.times() {
			again += min(len(times), 2) - 1
		}
		if again < 4 {
			return fmt.Sprintf("%d of 4 are listed anew", again)
		}
		return unhealthy(s.watcher)
	})
	if s.page.look(); s.page.runs != runs || poked(s.watcher) {
		t.Error("disturbed by what is as it was")
	}
	for name, times := range s.gateway.times() {
		if len(times) > 4 {
			t.Errorf("%d requests of %s", len(times), name)
		}
	}
	s.world.put(t, slice(s.world, "web", "10.0.0.2"))
	s.page.awaitGot(t, "web [10.0.0.2] [a] web-0")
}

// Servers end watches every few minutes, and let them go on where they were.
// That is not worth a word.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	testWatchGoesOn(t, false)
}

// testWatchGoesOn ends a watch in an orderly way. When where it was is too long
// ago for the server, all is listed anew.
func testWatchGoesOn(t *testing.T, rewind bool) {
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	g := newGateway(t, w)
	var log logBook
	watcher := watcherWith(t, g.kubeconfig(t, w, kube.Admin), &log)
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.awaitGot(t, []string{"10.0.0.1"})
	w.put(t, slice(w, "web", "10.0.0.2")) // a watch that ends without a word is another matter
	p.awaitGot(t, []string{"10.0.0.2"})
	runs := p.runs

	want := 2 // the first, and the one that goes on
	if rewind {
		g.rewindAll()
		want = 3
	}
	g.end()
	request := "WATCH /apis/discovery.k8s.io/v1/namespaces/" + w.own + "/endpointslices labelSelector=kubernetes.io/service-name=web"
	poll(t, func() string {
		if err := p.reader.OutOfDate(); err != nil {
			t.Fatalf("out of date: %v", err)
		}
		if n := len(g.times()[request]); n < want {
			return fmt.Sprintf("asked %d times, want %d", n, want)
		}
		return unhealthy(watcher)
	})
	w.put(t, slice(w, "web", "10.0.0.3"))
	p.awaitGot(t, []string{"10.0.0.3"})
	if n := len(g.times()[request]); n != want || p.runs != runs+1 {
		t.Errorf("asked %d times and run %d times, want %d and %d", n, p.runs, want, runs+1)
	}
	if lines := log.lines("level=WARN"); len(lines) > 0 {
		t.Errorf("warnings: %q", lines)
	}
}

func (g *gateway) rewindAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rewind = true
}

// Without its store the server answers what it can, and never that there is
// nothing.
func TestServerWithoutItsStore(t *testing.T) {
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	known, late := w.watcher(t), w.watcher(t)
	start(t, known)
	p := addressesPage(known, "web")
	p.awaitGot(t, []string{"10.0.0.1"})

	theCluster.Use(t, func(c *kube.Cluster) { c.KillEtcd(t) })
	start(t, late)
	first := addressesPage(late, "web")
	began := time.Now()
	poll(t, func() string {
		known.View(p.run)
		if d := diff([]string{"10.0.0.1"}, p.got); p.err != nil || d != "" {
			t.Fatalf("without the store: %v\n%s", p.err, d)
		}
		if first.look(); first.err == nil && diff([]string{"10.0.0.1"}, first.got) != "" {
			t.Fatalf("listed %v without the store", first.got)
		}
		if time.Since(began) < 4*time.Second {
			return "too early to tell"
		}
		return ""
	})
	theCluster.Use(t, func(c *kube.Cluster) { c.StartEtcd(t) })
	started := time.Now()
	w.put(t, slice(w, "web", "10.0.0.2"))
	p.awaitGot(t, []string{"10.0.0.2"})
	first.awaitGot(t, []string{"10.0.0.2"})
	took := time.Since(started)
	t.Logf("up to date %s after the store was back", took)
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
	poll(t, func() string { return unhealthy(known) + unhealthy(late) })
}

// A server that cannot tell whether a namespace exists has not said that it is
// empty.
func TestNamespaceThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	g := newGateway(t, w)
	question := "GET /api/v1/namespaces/" + w.own
	g.setFor(func(r *http.Request) bool { return nameOf(r) == question }, answering(http.StatusServiceUnavailable, ""))
	watcher := watcherWith(t, g.kubeconfig(t, w, kube.Admin), &logBook{})
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.look()
	poll(t, func() string {
		if p.look(); p.err == nil {
			t.Fatalf("complete with %v", p.got)
		}
		return problemWith(watcher, `asking the server about namespace "`+w.own+`"`)
	})
	g.open()
	p.awaitGot(t, nil)
}

// The server's certificate is another one of the same authority.
func TestCertificateRotated(t *testing.T) {
	t.Parallel()
	s := newStorm(t)
	before, _ := s.gateway.certificate(nil)
	s.gateway.rotate(t)
	if after, _ := s.gateway.certificate(nil); slices.Equal(before.Certificate[0], after.Certificate[0]) {
		t.Fatal("the certificate is the same")
	}
	s.gateway.open() // what connections there are end
	took := s.calm(t)
	t.Logf("up to date %s after the certificate was another", took)
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
}

// A token that is no longer good is read again from its file.
func TestTokenRotated(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	for _, user := range []string{"carol", "dave"} {
		w.grant(t, user, `[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]`)
	}
	old, fresh := w.token(t, "carol"), w.token(t, "dave")
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, old)
	g := newGateway(t, w)
	watcher := watcherWith(t, g.kubeconfigWithTokenFile(t, w, file), &logBook{})
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.awaitGot(t, []string{"10.0.0.1"})

	outdated := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+old }
	g.setFor(outdated, answering(http.StatusUnauthorized, ""))
	poll(t, func() string { return problemWith(watcher, "provide credentials") })
	watcher.View(p.run)
	if d := diff([]string{"10.0.0.1"}, p.got); p.err != nil || d != "" {
		t.Errorf("without a good token: %v\n%s", p.err, d)
	}
	w.put(t, slice(w, "web", "10.0.0.2"))
	replaceFile(t, file, fresh)
	replaced := time.Now()
	p.awaitGot(t, []string{"10.0.0.2"})
	took := time.Since(replaced)
	t.Logf("up to date %s after the file had another token", took)
	if took > 10*time.Second {
		t.Errorf("that took %s, want seconds", took)
	}
}

// token is what the user proves himself with.
func (w *clusterWorld) token(t *testing.T, user string) (token string) {
	t.Helper()
	theCluster.Use(t, func(c *kube.Cluster) { token = c.ConfigFor(user).BearerToken })
	return token
}

func (g *gateway) kubeconfigWithTokenFile(t *testing.T, w *clusterWorld, file string) string {
	t.Helper()
	path := g.kubeconfig(t, w, kube.Admin)
	config, err := clientcmd.LoadFromFile(path)
	must(t, err)
	for _, user := range config.AuthInfos {
		user.Token, user.TokenFile = "", file
	}
	must(t, clientcmd.WriteToFile(*config, path))
	return path
}

// A connection on which nothing moves any more, and which nobody ends, is
// noticed, and left when the way is free again.
func TestConnectionThatDiesWithoutAWord(t *testing.T) {
	t.Parallel()
	w := newClusterWorld(t)
	w.put(t, slice(w, "web", "10.0.0.1"))
	l := newLine(t, w.cluster.URL())
	watcher := watcherWith(t, w.kubeconfigFor(t, l.url(), ""), &logBook{})
	start(t, watcher)
	p := addressesPage(watcher, "web")
	p.awaitGot(t, []string{"10.0.0.1"})

	l.freeze(true)
	frozen := time.Now()
	w.put(t, slice(w, "web", "10.0.0.2"))
	poked(watcher)
	select {
	case <-watcher.Changed():
	case <-time.After(time.Minute):
		t.Fatal("not noticed within a minute")
	}
	noticed := time.Since(frozen)
	if err := p.reader.OutOfDate(); err == nil || p.stale() {
		t.Errorf("poked, and out of date: %v, stale: %v", err, p.stale())
	}
	if want := pingAfter + pingTimeout + flap + 7*time.Second; noticed > want {
		t.Errorf("noticed after %s, want %s at most", noticed, want)
	}
	l.freeze(false)
	thawed := time.Now()
	p.awaitGot(t, []string{"10.0.0.2"})
	took := time.Since(thawed)
	t.Logf("noticed after %s, up to date %s after the way was free", noticed, took)
	if took > 15*time.Second {
		t.Errorf("up to date %s after the way was free, want seconds", took)
	}
	poll(t, func() string { return errorText(p.reader.OutOfDate()) })
}

// A watch that the server should have ended, and that nothing comes of, is
// ended from here.
func TestWatchEndsWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var request context.Context
		silent := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
			request = ctx
			w := watch.NewRaceFreeFake()
			context.AfterFunc(ctx, w.Stop)
			return w, nil
		}}
		o := &observed{ListWatch: silent}
		seconds := int64(300)
		for name, end := range map[string]struct {
			by    func(watch.Interface)
			after time.Duration
		}{
			"the time is over": {func(watch.Interface) {}, 5*time.Minute + overtime},
			"it is stopped":    {watch.Interface.Stop, 0},
		} {
			w, err := o.watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &seconds})
			must(t, err)
			began := time.Now()
			end.by(w)
			if _, more := <-w.ResultChan(); more {
				t.Errorf("%s: got an event", name)
			}
			if took := time.Since(began); took != end.after {
				t.Errorf("%s: ended after %s, want %s", name, took, end.after)
			}
			w.Stop()
			if request.Err() == nil {
				t.Errorf("%s: the request goes on", name)
			}
		}
	})
}
