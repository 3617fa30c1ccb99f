package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// startPod starts a daemon that takes itself for the pod web-0 and writes Events.
func (w world) startPod(flags ...string) *daemon {
	w.t.Helper()
	args := append([]string{"-kubeconfig", w.kubeconfig, "-confdir", w.file("conf"), "-wait", "0s", "-listen", "127.0.0.1:0", "-events"}, flags...)
	cmd := exec.Command("kconfd", args...)
	cmd.Env = append(os.Environ(), "POD_NAME=web-0", "POD_NAMESPACE="+w.namespace, "POD_UID=u-1")
	return startCmd(w.t, cmd)
}

// events are the reasons and messages of web-0's Events, with their counts, sorted.
func (w world) events() (all []string) {
	w.t.Helper()
	list, err := w.server.Client().CoreV1().Events(w.namespace).List(w.t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Pod,involvedObject.name=web-0,involvedObject.uid=u-1",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list.Items {
		all = append(all, fmt.Sprintf("%s %s %d %s", e.Type, e.Reason, e.Count, strings.ReplaceAll(e.Message, w.path, "$DIR")))
	}
	slices.Sort(all)
	return all
}

// awaitEvents waits until the Events are those; a message may end in …, for
// whatever follows.
func (w world) awaitEvents(want ...string) {
	w.t.Helper()
	slices.Sort(want)
	var got []string
	if comes(func() bool {
		got = w.events()
		return slices.EqualFunc(want, got, func(want, got string) bool {
			start, open := strings.CutSuffix(want, "…")
			return got == want || (open && strings.HasPrefix(got, start))
		})
	}) {
		return
	}
	w.t.Fatalf("Events (-want +got):\n%s", cmp.Diff(want, got))
}

// testEvents: what became of each change is told under the pod, and what is told
// again is counted; without a secret in it.
func testEvents(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.secret("db", "hunter2")
	w.write("conf/conf.d/web.toml", nodes("web", "check_cmd = \"! grep -q 10.0.0.66 {{.src}}\"\n[reload]\naction = \"exec\"\ncommand = \"test ! -e $DIR/bad\"\nretry = \"10m\"\n"))
	w.write("conf/conf.d/held.toml", "[[template]]\ncontents = '{{ with (secret \"db\").value }}{{ fail . }}{{ end }}'\ndest = \"$DIR/live/held\"\n")
	k := w.startPod()
	const (
		applied = `$DIR/conf/conf.d/web.toml: $DIR/live/web written, told by exec "test ! -e $DIR/bad"`
		held    = `Warning Held 1 $DIR/conf/conf.d/held.toml: rendering "$DIR/live/held": …`
		checked = `Warning Failed 1 $DIR/conf/conf.d/web.toml: checking "$DIR/live/web": …`
	)
	w.awaitEvents("Normal Applied 1 "+applied, held)
	w.members("web", "10.0.0.2")
	w.awaitEvents("Normal Applied 2 "+applied, held)
	w.members("web", "10.0.0.66")
	w.awaitEvents("Normal Applied 2 "+applied, held, checked)
	w.members("web", "10.0.0.2") // as before: there is nothing to write
	w.awaitEvents("Normal Applied 2 "+applied, held, checked, "Normal Applied 1 $DIR/conf/conf.d/web.toml: in order again")
	w.write("bad", "")
	w.members("web", "10.0.0.3")
	w.awaitEvents("Normal Applied 2 "+applied, held, checked, "Normal Applied 1 $DIR/conf/conf.d/web.toml: in order again",
		"Warning Failed 1 $DIR/conf/conf.d/web.toml: written, but the process could not be told: …")
	if all := strings.Join(w.events(), "\n"); strings.Contains(all, "hunter2") || !strings.Contains(all, "[redacted]") {
		t.Errorf("an Event has a secret, or none is hidden: %s", all)
	}
	k.stop()
}

// testEventsDenied: where Events may not be written, the log says so once, and all
// else goes on.
func testEventsDenied(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	w.server.locked(func() {
		w.server.Grant(t, w.namespace, "alice", "[{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]")
		w.kubeconfig = w.server.Kubeconfig(t, "alice", w.namespace)
	})
	k := w.startPod()
	k.awaitLog(`level=WARN msg="no Events are written, it is not allowed" err="events is forbidden: .*hint="` + "`kconfd rbac -events`")
	w.members("web", "10.0.0.2")
	w.awaitFile("live/web", "10.0.0.2 ")
	if got := k.count(`msg="no Events`); got != 1 {
		t.Errorf("said %d times, want once", got)
	}
	k.stop()
}

// testStale: while the API server cannot be reached, a group that is applied may
// be out of date. It says so, in the status, a metric and, when that can be
// written again, an Event; and it says when that is over.
func testStale(t *testing.T, w world) {
	l := newLine(t, w.server.URL())
	config, err := clientcmd.LoadFromFile(w.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://" + l.listener.Addr().String()
	}
	w.kubeconfig = w.file("kubeconfig")
	if err := clientcmd.WriteToFile(*config, w.kubeconfig); err != nil {
		t.Fatal(err)
	}
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	w.write("conf/conf.d/other.toml", "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/other\"\n")
	k := w.startPod()
	k.awaitState("web.toml", stateApplied)
	stale := func(file string) string { s := k.status(); return s.group(t, file).Stale }
	metric := fmt.Sprintf("kconfd_group_stale{group=%q}", w.file("conf/conf.d/web.toml"))
	if got := stale("web.toml"); got != "" || k.metric(metric) != "0" {
		t.Errorf("stale at first: %q, and the metric is %q", got, k.metric(metric))
	}
	l.cut(true)
	await(t, "the group is stale", func() bool { return stale("web.toml") != "" })
	if got, want := stale("web.toml"), fmt.Sprintf("endpoints of service \"web\" in namespace %q: failing since ", w.namespace); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %s…", got, want)
	}
	if got := stale("other.toml"); got != "" {
		t.Errorf("a group that reads nothing is stale: %q", got)
	}
	await(t, "the metric says so", func() bool { return k.metric(metric) == "1" })
	if got := k.status(); !got.Ready {
		t.Error("not ready, though what is known is applied")
	}
	l.cut(false)
	await(t, "it is over", func() bool { return stale("web.toml") == "" })
	w.awaitEvents("Normal Applied 1 $DIR/conf/conf.d/web.toml: $DIR/live/web written", "Normal Applied 1 $DIR/conf/conf.d/other.toml: $DIR/live/other written",
		"Warning Stale 1 $DIR/conf/conf.d/web.toml: endpoints of service …")
	k.stop()
}

// Without a pod or a cluster there are no Events, and that is no error.
func TestEventsWithoutPod(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"manifests": {[]string{"-manifests", "$DIR/objects.yaml"}, "the objects are from manifests"},
		"no pod":    {[]string{"-kubeconfig", "$DIR/kubeconfig"}, "this is no pod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{
				"objects.yaml": "", "conf/conf.d/a.toml": "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/a\"\n", "live/keep": "",
				"kubeconfig": "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}",
			})
			args := []string{"-events", "-confdir", d.file("conf")}
			for _, arg := range test.args {
				args = append(args, strings.ReplaceAll(arg, "$DIR", d.path))
			}
			cmd := exec.Command("kconfd", args...)
			cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "POD_") })
			k := startCmd(t, cmd)
			k.awaitLog(`level=WARN msg="no Events are written" err="` + test.want)
			d.awaitFile("live/a", "x")
			k.stop()
		})
	}
}

// The Role has what Events need when they are asked for, and only then, also where
// templates read nothing.
func TestRBACOfEvents(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	d.write("none/conf.d/none.toml", "[[template]]\ncontents = 'x'\ndest = \"x\"\n")
	settings := map[string]any{"apiGroups": []any{""}, "resources": []any{"configmaps"}, "resourceNames": []any{"settings"}, "verbs": []any{"list", "watch"}}
	written := map[string]any{"apiGroups": []any{""}, "resources": []any{"events"}, "verbs": []any{"create", "patch"}}
	for name, test := range map[string]struct {
		args []string
		want []map[string]any
	}{
		"not asked for": {[]string{"-confdir", d.file("conf")}, []map[string]any{settings}},
		"asked for":     {[]string{"-confdir", d.file("conf"), "-events"}, []map[string]any{settings, written}},
		"nothing read":  {[]string{"-confdir", d.file("none"), "-events"}, []map[string]any{written}},
	} {
		t.Run(name, func(t *testing.T) {
			printed := kconfdOutput(t, append([]string{"rbac", "-manifests", d.file("objects.yaml")}, test.args...)...)
			if diff := cmp.Diff(test.want, rulesOf(t, printed)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A line is a way to the API server that the test can cut.
type line struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func newLine(t *testing.T, server string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, server: strings.TrimPrefix(server, "https://")}
	go l.serve() // until the listener is closed
	t.Cleanup(func() {
		listener.Close()
		l.cut(true)
	})
	return l
}

func (l *line) serve() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		onward, err := net.Dial("tcp", l.server)
		if err != nil {
			conn.Close()
			continue
		}
		l.mu.Lock()
		if l.isCut {
			conn.Close()
			onward.Close()
		}
		l.conns = append(l.conns, conn, onward)
		l.mu.Unlock()
		for _, pair := range [][2]net.Conn{{conn, onward}, {onward, conn}} {
			go func() { // until either is closed
				_, _ = io.Copy(pair[0], pair[1])
				pair[0].Close()
				pair[1].Close()
			}()
		}
	}
}

func (l *line) cut(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = is
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}
