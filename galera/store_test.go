package galera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/test/cluster"
	testprocess "github.com/kconfd/kconfd/test/process"
)

// A place is a namespace of a test's own, on a real API server.
type place struct {
	*testing.T
	namespace string
	config    *rest.Config
	admin     kubernetes.Interface
}

func TestOnServer(t *testing.T) {
	t.Parallel()
	server := cluster.Start(t)
	t.Run("an API server that does not answer", func(t *testing.T) {
		testSilent(&place{t, server.Namespace(t), server.Config(), server.Client()}, server)
	})
	for name, test := range map[string]func(*place){
		"of many one founds":                 testFounders,
		"answers that are lost":              testLostAnswers,
		"a decision whose answer is lost":    testLostDecision,
		"objects that are no record":         testNoRecord,
		"a Role that lacks a verb":           func(p *place) { testDenied(p, server) },
		"a namespace that there is not":      testNoNamespace,
		"labels and other keys are left":     testForeignKeys,
		"a start that another one overtakes": testOvertaken,
		"the end of the context":             testEnd,
		"a position that was left":           testStopped,
		"decisions of people":                testBootstrap,
		"a server that the record forgot":    testForgotten,
		"a server that comes back in time":   testBackInTime,
		"a start that comes to nothing":      testComplaint,
		"the views of a server":              testViews,
		"a record that a monitor remembers":  testRemembered,
		"put back before a start":            testPutBackBeforeStart,
		"put back while nothing runs":        testPutBack,
		"put back while a cluster runs":      testPutBackCorrected,
		"a founder whose first boot fails":   testFailedFounder,
		"a node leaves":                      testLeave,
	} {
		t.Run(name, func(t *testing.T) {
			test(&place{t, server.Namespace(t), server.Config(), server.Client()})
		})
	}
}

// A box is a node on disk: a data directory and an option file.
type box struct {
	*place
	name string
	dir  string
	out  bytes.Buffer
	log  bytes.Buffer
}

func (p *place) box(name string) *box {
	p.Helper()
	b := &box{place: p, name: name, dir: p.TempDir()}
	b.write("my.cnf", fmt.Sprintf("[mysqld]\ndatadir = %s\nwsrep_cluster_name = test\nwsrep_node_name = %s\nwsrep_node_address = 192.0.2.1\nwsrep_cluster_address = gcomm://127.0.0.1:1\n", b.path("data"), name))
	if err := os.Mkdir(b.path("data"), 0o755); err != nil {
		p.Fatal(err)
	}
	return b
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

func (b *box) write(name, content string) {
	b.Helper()
	if err := testprocess.WriteProgram(b.path(name), []byte(content)); err != nil {
		b.Fatal(err)
	}
}

// fill gives the node data up to a position.
func (b *box) fill(seqno int) *box {
	b.Helper()
	if err := os.Mkdir(b.path("data/mysql"), 0o755); err != nil {
		b.Fatal(err)
	}
	b.write("data/grastate.dat", "# GALERA saved state\nversion: 2.1\nuuid:    "+oneUUID+"\nseqno:   -1\nsafe_to_bootstrap: 0\n")
	b.write("mariadbd", fmt.Sprintf("#!/bin/sh\necho 'WSREP: Recovered position: %s:%d' >&2\n", oneUUID, seqno))
	return b
}

func (b *box) command(config *rest.Config) NodeCommand {
	return NodeCommand{
		File: b.path("my.cnf"), Server: b.path("mariadbd"), Pod: "pod of " + b.name,
		Log:   slog.New(slog.NewTextHandler(&b.log, nil)),
		Store: func(cluster string) (*Store, error) { return b.store(config, cluster) },
	}
}

func (p *place) store(config *rest.Config, cluster string) (*Store, error) {
	client, err := NewClient(config)
	if err != nil {
		return nil, err
	}
	return NewStore(client, p.namespace, cluster)
}

// start runs a start whose first boot is a directory.
func (b *box) start(ctx context.Context, config *rest.Config) error {
	s := &Start{NodeCommand: b.command(config), Out: &b.out}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.boot = func(context.Context) error { return os.Mkdir(b.path("data/mysql"), 0o755) }
	return s.finish(ctx)
}

func (p *place) record() *Record {
	p.Helper()
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	r, err := store.Read(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// put makes a record as it is given.
func (p *place) put(r *Record) {
	p.Helper()
	data := map[string]string{"mine": "kept"}
	if err := r.into(data); err != nil {
		p.Fatal(err)
	}
	p.configMap(data)
}

func (p *place) configMap(data map[string]string) {
	p.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "test-galera", Labels: map[string]string{"mine": "kept"}}, Data: data}
	if _, err := p.admin.CoreV1().ConfigMaps(p.namespace).Create(p.Context(), object, metav1.CreateOptions{}); err != nil {
		p.Fatal(err)
	}
}

// Of ten that begin at the same time, one founds the cluster, and the others wait for it.
func testFounders(p *place) {
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	var founders atomic.Int32
	var running sync.WaitGroup
	for i := range 10 {
		b := p.box(fmt.Sprintf("node%d", i))
		running.Go(func() { // until cancel
			err := b.start(ctx, p.config)
			switch {
			case err == nil && strings.Contains(b.out.String(), "--wsrep-new-cluster"):
				founders.Add(1)
			case !errors.Is(err, context.Canceled):
				p.Errorf("%s: got %q, %v", b.name, b.out.String(), err)
			}
		})
	}
	for founders.Load() == 0 || len(p.record().Nodes) < 10 {
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	running.Wait()
	r := p.record()
	if founders.Load() != 1 || r.Nodes[r.Founder].State != Bootstrapping || r.Generation != 1 || r.Adopted {
		p.Errorf("%d founders, and the record %+v", founders.Load(), r)
	}
}

// A loser loses answers to requests that were carried out.
type loser struct {
	http.RoundTripper
	left atomic.Int32
}

func (l *loser) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method != http.MethodGet && l.left.Add(-1) >= 0 {
		response.Body.Close()
		return nil, errors.New("the answer was lost")
	}
	return response, err
}

func losing(config *rest.Config, n int32) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		l := &loser{RoundTripper: rt}
		l.left.Store(n)
		return l
	})
	return config
}

// The answers to all writes of a start are lost, one after another.
func testLostAnswers(p *place) {
	b := p.box("a")
	if err := b.start(p.Context(), losing(p.config, 4)); err != nil {
		p.Fatal(err)
	}
	r := p.record()
	if got := b.out.String(); got != "arg --wsrep-new-cluster\n" || r.Founder != "a" || r.Generation != 1 {
		p.Errorf("got %q, and the record %+v", got, r)
	}
}

// Who carries out a decision and does not hear that it was written does not forget it.
func testLostDecision(p *place) {
	b := p.box("a").fill(7)
	r := nodes(map[string]Node{"a": at(Offered, 7), "b": at(Synced, 9)})
	r.Bootstrap = &Decree{From: "a", Force: true, Over: map[string]string{"b": r.Nodes["b"].standing()}}
	p.put(r)
	if err := b.start(p.Context(), losing(p.config, 2)); err != nil { // the offer's, and the decision's
		p.Fatal(err)
	}
	want := "arg --wsrep-new-cluster\narg --wsrep-start-position=" + oneUUID + ":7\n"
	if got := b.out.String(); got != want {
		p.Errorf("got %q, want %q", got, want)
	}
	r = p.record()
	if _, known := r.Nodes["b"]; known || r.Generation != 2 || len(r.Forks) != 1 || r.Bootstrap != nil {
		p.Errorf("got the record %+v", r)
	}
	state, err := os.ReadFile(b.path("data/grastate.dat"))
	if err != nil || !strings.Contains(string(state), "safe_to_bootstrap: 1\n") || exists(b.path("data/"+markerName)) {
		p.Errorf("got %q, %v", state, err)
	}
}

// What is not understood is not touched.
func testNoRecord(p *place) {
	general := `{"version":1,"name":"test"}`
	for name, c := range map[string]struct {
		data map[string]string
		want string
	}{
		"another's":          {map[string]string{"a": "b"}, "is not the record of a Galera cluster"},
		"of a later version": {map[string]string{"cluster": `{"version":2,"name":"test"}`}, "it has version 2"},
		"another cluster's":  {map[string]string{"cluster": `{"version":1,"name":"TEST"}`}, `that of the cluster "TEST"`},
		"nonsense":           {map[string]string{"cluster": "x"}, `key "cluster"`},
		"nonsense of a node": {map[string]string{"cluster": general, "node.a": "x"}, `key "node.a"`},
		"an unknown state":   {map[string]string{"cluster": general, "node.a": `{"state":"up"}`}, `no state is "up"`},
	} {
		p.configMap(c.data)
		var unusable *RecordError
		err := p.box("a").start(p.Context(), p.config)
		if !errors.As(err, &unusable) || !strings.Contains(err.Error(), c.want) {
			p.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err := p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}); err != nil {
			p.Fatal(err)
		}
	}
}

// Each verb is needed, and what lacks is told at once.
func testDenied(p *place, server *cluster.Cluster) {
	rules := map[string]string{
		"get":    `[{apiGroups: [""], resources: [configmaps], verbs: [create, update]}]`,
		"create": `[{apiGroups: [""], resources: [configmaps], verbs: [get, update]}]`,
		"update": `[{apiGroups: [""], resources: [configmaps], verbs: [create, get]}]`,
	}
	for verb, text := range rules {
		server.Grant(p, p.namespace, "alice", text)
		err := p.box("a").start(p.Context(), server.ConfigFor("alice"))
		var denied *DeniedError
		if !errors.As(err, &denied) || denied.Verb != verb || !strings.Contains(err.Error(), "may not "+verb+` configmap "test-galera"`) {
			p.Errorf("without %s: got %v", verb, err)
		}
		_ = p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}) // if there is one
	}
	var text strings.Builder
	for _, r := range Rules("test") {
		fmt.Fprintf(&text, "- {apiGroups: [%q], resources: [%s], resourceNames: [%s], verbs: [%s]}\n",
			r.Group, r.Resource, strings.Join(r.Names, ", "), strings.Join(r.Verbs, ", "))
	}
	server.Grant(p, p.namespace, "alice", text.String())
	if err := p.box("a").start(p.Context(), server.ConfigFor("alice")); err != nil {
		p.Errorf("with all rules: %v", err)
	}
}

// A server that may run by the record is started without it, one that does not run waits.
func testSilent(p *place, server *cluster.Cluster) {
	free, bound := p.box("a").fill(7), p.box("b").fill(7)
	bound.write("data/"+markerName, "")
	for _, b := range []*box{free, bound} {
		b.write("data/"+memoryName, fmt.Sprintf(`{"record":"id","node":%q}`, b.name))
	}
	p.put(nodes(map[string]Node{"a": at(Synced, 7), "b": at(Stopped, 7)}))
	server.PauseAPIServer(p)
	defer server.ResumeAPIServer(p)
	quick := func(cluster string) (*Store, error) {
		s, err := p.store(p.config, cluster)
		s.timeout = 100 * time.Millisecond
		return s, err
	}
	for _, b := range []*box{free, bound} {
		command := b.command(p.config)
		command.Store = quick
		s := &Start{NodeCommand: command, Out: &b.out}
		if err := s.prepare(p.Context()); err != nil {
			p.Fatal(err)
		}
		s.reach = 300 * time.Millisecond
		ctx, cancel := context.WithTimeout(p.Context(), 3*time.Second)
		d, err := s.decide(ctx)
		cancel()
		if b == free && (err != nil || d.action != join || !d.keepView) {
			p.Errorf("who may run: got %+v, %v", d, err)
		}
		if b == bound && !errors.Is(err, context.DeadlineExceeded) {
			p.Errorf("who does not run: got %+v, %v", d, err)
		}
	}
	if got := bound.log.String(); strings.Count(got, "waits for the API server") != 1 {
		p.Errorf("it does not say once for what it waits:\n%s", got)
	}
}

func testNoNamespace(p *place) {
	p.namespace = "nowhere"
	err := p.box("a").start(p.Context(), p.config)
	if err == nil || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
		p.Errorf("got %v", err)
	}
}

// What people put into the ConfigMap stays.
func testForeignKeys(p *place) {
	p.put(nodes(map[string]Node{"a": at(Stopped, 7)}))
	if err := p.box("a").fill(7).start(p.Context(), p.config); err != nil {
		p.Fatal(err)
	}
	object, err := p.admin.CoreV1().ConfigMaps(p.namespace).Get(p.Context(), "test-galera", metav1.GetOptions{})
	if err != nil || object.Data["mine"] != "kept" || object.Labels["mine"] != "kept" {
		p.Errorf("got %+v, %v", object, err)
	}
}

// Of two starts with the name of one node the later one goes on.
func testOvertaken(p *place) {
	p.put(nodes(map[string]Node{"b": at(Synced, 7)}))
	first, second := p.box("a").fill(7), p.box("a").fill(7)
	ended := make(chan error, 1)
	go func() { ended <- first.start(p.Context(), p.config) }() // until it is overtaken
	for p.record().Nodes["a"].Waits == "" {
		time.Sleep(20 * time.Millisecond)
	}
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	go func() { _ = second.start(ctx, p.config) }() // until cancel
	if err := <-ended; !errors.Is(err, errRefused) || !strings.Contains(err.Error(), `starts node "a" too`) {
		p.Errorf("got %v", err)
	}
}

// A start that waits ends at once, and leaves its offer with the marker.
func testEnd(p *place) {
	p.put(nodes(map[string]Node{"b": at(Synced, 7)}))
	b := p.box("a").fill(7)
	cause := errors.New("told to end")
	ctx, cancel := context.WithCancelCause(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.start(ctx, p.config) }() // until cancel
	for p.record().Nodes["a"].Waits == "" {
		time.Sleep(20 * time.Millisecond)
	}
	told := time.Now()
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) || time.Since(told) > 2*time.Second {
		p.Errorf("got %v after %s", err, time.Since(told))
	}
	if p.record().Nodes["a"].State != Offered || !exists(b.path("data/"+markerName)) {
		p.Errorf("got %+v", p.record().Nodes["a"])
	}
	if got := strings.Count(b.log.String(), "waits for b, which may be running"); got != 1 {
		p.Errorf("the log says %d times for what it waits:\n%s", got, b.log.String())
	}
}

// Stopped publishes the position, and leaves the entry of another pod alone.
func testStopped(p *place) {
	own := at(Synced, 3)
	own.Pod = "pod of a"
	p.put(nodes(map[string]Node{"a": own, "b": at(Synced, 7)}))
	a, b := p.box("a").fill(7), p.box("b").fill(7)
	if err := (StoppedCommand{NodeCommand: a.command(losing(p.config, 1))}).Run(p.Context()); err == nil {
		p.Error("got no error, want that the answer was lost")
	}
	if err := (StoppedCommand{NodeCommand: a.command(p.config)}).Run(p.Context()); err != nil {
		p.Error(err)
	}
	got := p.record().Nodes["a"]
	if got.State != Stopped || got.Position != (Position{oneUUID, 7}) || got.Lost != nil || !exists(a.path("data/"+markerName)) {
		p.Errorf("got %+v", got)
	}
	err := StoppedCommand{NodeCommand: b.command(p.config)}.Run(p.Context())
	if err == nil || !strings.Contains(err.Error(), `node "b" is in pod ""`) || p.record().Nodes["b"].State != Synced {
		p.Errorf("another pod's: got %v, %+v", err, p.record().Nodes["b"])
	}
}

// serve runs what looks like a server with the data directory, until the test ends.
func (b *box) serve() *exec.Cmd {
	b.Helper()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		b.Fatal(err)
	}
	server := filepath.Join(b.TempDir(), "mariadbd")
	if err := testprocess.WriteProgram(server, sleep); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(server, "600")
	cmd.Dir = b.path("data")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

// A node that is Synced says so again when the record was put back to an older state or was
// deleted, but not when its server has ended, nor beside another cluster.
func testForgotten(p *place) {
	joined := func(b *box) *Joined {
		settings, err := ReadSettings(b.path("my.cnf"))
		if err != nil {
			p.Fatal(err)
		}
		b.write("wsrep.json", `{"status": {"state": "SYNCED"}}`)
		settings.StatusFile = b.path("wsrep.json")
		store, err := p.store(p.config, "test")
		if err != nil {
			p.Fatal(err)
		}
		return &Joined{
			NodeCommand: b.command(p.config), settings: settings, store: store, dir: dataDir{path: settings.DataDir},
			seen: seenRecord{recorded: true, record: General{Generation: 1}},
		}
	}
	p.put(nodes(map[string]Node{"a": at(Stopped, 3), "b": at(Stopped, 3)}))
	a, b := p.box("a").fill(7), p.box("b").fill(7)
	a.serve()
	for _, j := range []*Joined{joined(a), joined(b)} {
		if err := j.look(p.Context()); err != nil {
			p.Error(err)
		}
	}
	r := p.record()
	if r.Nodes["a"].State != Synced || r.Nodes["a"].Pod != "pod of a" {
		p.Errorf("a, which runs: got %+v, want that it is synced", r.Nodes["a"])
	}
	if r.Nodes["b"].State != Stopped {
		p.Errorf("b, which does not: got %+v, want that it is left", r.Nodes["b"])
	}
	if err := joined(a).look(p.Context()); err != nil || p.record().Nodes["a"].Token != r.Nodes["a"].Token {
		p.Errorf("once more: got %v, %+v, want that nothing is written", err, p.record().Nodes["a"])
	}
	before := joined(a)
	before.seen.record.Generation = 0
	if err := before.look(p.Context()); err == nil || !strings.Contains(err.Error(), "there may be two clusters") {
		p.Errorf("another was made the first: got %v", err)
	}
	if err := p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
	if err := joined(a).look(p.Context()); err != nil {
		p.Error(err)
	}
	if r := p.record(); !r.Adopted || r.UUID != oneUUID || r.Nodes["a"].State != Synced {
		p.Errorf("deleted: got %+v", r)
	}
}

// transport is a function that carries out a request.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// A server that gets a primary component while the API server is asked whether it may be killed
// is left alone.
func testBackInTime(p *place) {
	p.put(nodes(map[string]Node{"a": at(Synced, 3)}))
	a := p.box("a").fill(7)
	server := a.serve()
	settings, err := ReadSettings(a.path("my.cnf"))
	if err != nil {
		p.Fatal(err)
	}
	settings.StatusFile = a.path("wsrep.json")
	a.write("wsrep.json", `{"status": {"state": "CONNECTED"}}`)
	config := rest.CopyConfig(p.config)
	back := true
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport(func(r *http.Request) (*http.Response, error) {
			if back {
				a.write("wsrep.json", `{"status": {"state": "SYNCED"}}`)
			}
			return next.RoundTrip(r)
		})
	})
	store, err := p.store(config, "test")
	if err != nil {
		p.Fatal(err)
	}
	j := &Joined{NodeCommand: a.command(config), settings: settings, store: store, dir: dataDir{path: settings.DataDir}, seen: seenRecord{recorded: true, checked: time.Now()}}
	lookLonely := func() {
		a.write("wsrep.json", `{"status": {"state": "CONNECTED"}}`)
		j.alone.since = time.Now().Add(-time.Hour)
		if err := j.look(p.Context()); err != nil {
			p.Error(err)
		}
	}
	lookLonely()
	if pids, err := serversIn(settings.DataDir); err != nil || len(pids) != 1 {
		p.Errorf("got %v, %v, want that the server still runs", pids, err)
	}
	back = false
	lookLonely()
	if err := server.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		p.Errorf("got %v, want that the server was killed", err)
	}
}

// What is refused is all told, and what is forced is noted.
func testBootstrap(p *place) {
	p.put(nodes(map[string]Node{"a": at(Offered, 7), "b": at(Synced, 9), "c": has(Offered, NoData).lost(3, true)}))
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	var refused *RefusedError
	_, err = Bootstrap(p.Context(), store, "a", "me", false)
	if !errors.As(err, &refused) || len(refused.Reasons) != 2 || !refused.Overrules || p.record().Bootstrap != nil {
		p.Errorf("got %v", err)
	}
	for _, from := range []string{"c", "nobody"} {
		if _, err = Bootstrap(p.Context(), store, from, "me", true); !errors.As(err, &refused) || refused.Overrules {
			p.Errorf("from %s: got %v", from, err)
		}
	}
	told, err := Bootstrap(p.Context(), store, "a", "me", true)
	d := p.record().Bootstrap
	if err != nil || len(told) != 2 || d == nil || d.From != "a" || d.By != "me" || d.Over["b"] != "write token of b" || d.Over["c"] == "" {
		p.Errorf("got %q, %v, %+v", told, err, d)
	}
}

// A node that cannot be started says so to those who wait for it. What the record says of
// its server is left as it is.
func testComplaint(p *place) {
	b := p.box("a").fill(7)
	b.write("mariadbd", "#!/bin/sh\necho the files are broken\nexit 1\n")
	p.put(nodes(map[string]Node{"a": at(Synced, 7), "b": at(Offered, 5)}))
	before := p.record().Nodes["a"]
	s := &Start{NodeCommand: b.command(p.config), Out: &b.out}
	if err := s.Run(p.Context()); err == nil || b.out.Len() > 0 {
		p.Errorf("got %q, %v", b.out.String(), err)
	}
	r := p.record()
	after := r.Nodes["a"]
	if !strings.HasPrefix(after.Waits, "is not started: asking ") || strings.Contains(after.Waits, "\n") {
		p.Errorf("it says %q", after.Waits)
	}
	after.Waits = ""
	if diff := cmp.Diff(before, after); diff != "" {
		p.Errorf("-before +after:\n%s", diff)
	}
	if got := decide(situation{record: r, self: "b"}); got.action != wait || !strings.Contains(got.reason, "and says that it is not started: asking ") {
		p.Errorf("the other one: got %s because %q", got.action, got.reason)
	}
}
