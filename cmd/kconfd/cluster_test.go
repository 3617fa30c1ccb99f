package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// A server is an API server that tests share.
type server struct {
	*cluster.Cluster
	mu sync.Mutex
}

// put creates objects, or changes them.
func (s *server) put(t *testing.T, objects ...runtime.Object) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Put(t, objects...)
}

// locked is for what tests do not do often.
func (s *server) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// A world is a namespace and a directory of a test's own.
type world struct {
	dir
	server     *server
	namespace  string
	kubeconfig string
}

// start starts a daemon on the namespace and the directory's configuration.
func (w world) start(flags ...string) *daemon {
	w.t.Helper()
	args := []string{"-kubeconfig", w.kubeconfig, "-confdir", w.file("conf"), "-wait", "0s", "-listen", "127.0.0.1:0"}
	return start(w.t, append(args, flags...)...)
}

func (w world) members(service string, addresses ...string) {
	w.t.Helper()
	w.server.put(w.t, cluster.Slice(w.namespace, service, service+"-1", addresses...))
}

func (w world) configMap(name, value string) {
	w.t.Helper()
	w.configMapData(name, map[string]string{"value": value})
}

func (w world) configMapData(name string, data map[string]string) {
	w.t.Helper()
	w.server.put(w.t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Data: data})
}

func (w world) secret(name, value string) {
	w.t.Helper()
	w.server.put(w.t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Data: map[string][]byte{"value": []byte(value)},
	})
}

// nodes is a resource file that writes a service's addresses, and what it is to do.
func nodes(service, rest string) string {
	return `
[[template]]
contents = '{{ range endpoints "` + service + `" }}{{ .Address }} {{ end }}'
dest = "$DIR/live/` + service + `"
` + rest
}

// One API server serves all of these.
func TestCluster(t *testing.T) {
	s := &server{Cluster: cluster.Start(t)}
	tests := map[string]func(*testing.T, world){
		"a signal for each change":             testSignal,
		"a command for each change":            testExec,
		"a request for each change":            testHTTP,
		"a burst is one change":                testBurst,
		"a group is one change":                testGroup,
		"only groups that are concerned":       testConcerned,
		"200 objects are one write":            testOneWrite,
		"secrets stay secret":                  testSecrets,
		"a guard holds and releases":           testHeld,
		"a denied verb":                        testDenied,
		"a namespace that does not exist":      testNoNamespace,
		"an object that comes later":           testComesLater,
		"a start without change does nothing":  testRestart,
		"health":                               testHealth,
		"Events":                               testEvents,
		"Events that may not be written":       testEventsDenied,
		"stale data":                           testStale,
		"the Role that rbac prints":            testRBAC,
		"a node of a Galera cluster":           testGalera,
		"onetime, and a command in its place":  testOnetime,
		"a failing action, and newer contents": testFailing,
		"a start while the server is away":     testStartInOutage,
		"an outage":                            testOutage,
		"replicas one at a time":               testRolling,
		"a replica dies in its turn":           testHolderDies,
		"replicas and their command lines":     testRollingCommandLine,
		"claims":                               testClaims,
		"replicas that act too soon":           testRollingThrottled,
		"replicas and what is taken back":      testRollingTakenBack,
		"a replica that loses its turn":        testRollingLost,
		"a start with older objects":           testOlderSnapshot,
		"stops one at a time":                  testStopTurns,
		"a stop waits for its turn":            testStopTurnWaits,
		"a stop that is cut short":             testStopTurnQuit,
		"stops in an outage":                   testStopTurnOutage,
		"a roll takes turns to stop":           testStopTurnInRoll,
		"a turn and a worker that is killed":   testStopTurnAdopted,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{dir: newDir(t, map[string]string{"live/keep": ""}), server: s}
			s.locked(func() {
				w.namespace = s.Namespace(t)
				w.kubeconfig = s.Kubeconfig(t, cluster.Admin, w.namespace)
			})
			test(t, w)
		})
	}
}

// testSignal: the process of a pid file is sent the signal, once for each change,
// and finds the new file.
func testSignal(t *testing.T, w world) {
	service := exec.Command("onsignal", "ready=echo $PPID >pid.new; mv pid.new pid", "HUP=cat live/web >>heard; echo >>heard", "TERM:0=")
	service.Dir = w.path
	process.Start(t, service)
	await(t, "the service runs", func() bool { return w.read("pid") != "" })

	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", "check_cmd = \"cat {{.src}} >>$DIR/checked\"\n"+`
[reload]
action = "signal"
signal = "HUP"
pid_file = "$DIR/pid"
`))
	k := w.start()
	w.awaitFile("heard", "10.0.0.1 \n")
	k.awaitLog(`msg=told action="signal HUP to pid file \\"` + w.file("pid"))
	for n := 2; n <= 4; n++ {
		w.members("web", "10.0.0.1", fmt.Sprintf("10.0.0.%d", n))
		await(t, "the service is told of a change", func() bool {
			return strings.HasSuffix(w.read("heard"), fmt.Sprintf("10.0.0.1 10.0.0.%d \n", n))
		})
	}
	await(t, "nothing is owed", func() bool { return len(w.glob("live/.*")) == 0 })
	k.stop()
	if got := w.lines("heard"); got != 4 {
		t.Errorf("told %d times, want 4: %q", got, w.read("heard"))
	}
	if got, want := w.read("checked"), "10.0.0.1 10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.3 10.0.0.1 10.0.0.4 "; got != want {
		t.Errorf("checked %q, want %q", got, want)
	}
	w.wantNoLeftovers("live")
}

func testExec(t *testing.T, w world) {
	w.members("web", "10.0.0.1", "10.0.0.2")
	w.write("conf/conf.d/web.toml", nodes("web", "[reload]\naction = \"exec\"\ncommand = \"cat {{.dest}} >>$DIR/actions; echo >>$DIR/actions\"\n"))
	k := w.start()
	w.awaitFile("actions", "10.0.0.1 10.0.0.2 \n")
	w.members("web", "10.0.0.2")
	w.awaitFile("actions", "10.0.0.1 10.0.0.2 \n10.0.0.2 \n")
	w.members("web") // known to be empty is not unknown
	w.awaitFile("actions", "10.0.0.1 10.0.0.2 \n10.0.0.2 \n\n")
	k.stop()
}

func testHTTP(t *testing.T, w world) {
	requests := make(chan string, 10)
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- r.Method + " " + r.URL.String() + " " + r.Header.Get("X-Reason") + " " + string(body) + " " + w.read("live/web")
	}))
	defer service.Close()
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", `
[reload]
action = "http"
url = "`+service.URL+`/-/reload?token=hidden"
method = "PUT"
header = { X-Reason = "change" }
body = "now"
status = [200]
timeout = "5s"
`))
	k := w.start()
	want := func(live string) {
		t.Helper()
		select {
		case got := <-requests:
			if want := "PUT /-/reload?token=hidden change now " + live; got != want {
				t.Errorf("got request %q, want %q", got, want)
			}
		case <-time.After(testPatience):
			t.Fatal("no request came")
		}
	}
	want("10.0.0.1 ")
	w.members("web", "10.0.0.1", "10.0.0.2")
	want("10.0.0.1 10.0.0.2 ")
	k.stop()
	if len(requests) > 0 {
		t.Errorf("one request too many: %q", <-requests)
	}
	if strings.Contains(k.log.String(), "hidden") {
		t.Errorf("the log shows the query of the URL")
	}
}

// testBurst: many changes within the quiet time are one write and one action.
func testBurst(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", "[reload]\naction = \"exec\"\ncommand = \"echo told >>$DIR/actions\"\n"))
	k := w.start("-wait", "1s:20s")
	w.awaitFile("actions", "told\n")
	var addresses []string
	for n := range 20 {
		addresses = append(addresses, fmt.Sprintf("10.0.1.%d", n))
		w.members("web", addresses...)
	}
	w.awaitFile("live/web", strings.Join(addresses, " ")+" ")
	w.awaitFile("actions", "told\ntold\n")
	k.stop()
	if got := k.count("msg=written"); got != 2 {
		t.Errorf("written %d times, want twice: the first and the burst", got)
	}
	if got := w.lines("actions"); got != 2 {
		t.Errorf("told %d times, want twice", got)
	}
}

// testGroup: several files of a group that change together are one action.
func testGroup(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/all.toml", `
[[template]]
contents = 'a {{ range endpoints "web" }}{{ .Address }}{{ end }}'
dest = "$DIR/live/a"
[[template]]
contents = 'b {{ range endpoints "web" }}{{ .Address }}{{ end }}'
dest = "$DIR/live/b"
[[template]]
contents = 'c {{ range endpoints "web" }}{{ .Address }}{{ end }}'
dest = "$DIR/live/c"
[reload]
action = "exec"
command = "cat $DIR/live/? >>$DIR/actions; echo >>$DIR/actions"
`)
	k := w.start()
	w.awaitFile("actions", "a 10.0.0.1b 10.0.0.1c 10.0.0.1\n")
	w.members("web", "10.0.0.2")
	w.awaitFile("actions", "a 10.0.0.1b 10.0.0.1c 10.0.0.1\na 10.0.0.2b 10.0.0.2c 10.0.0.2\n")
	k.stop()
	if got := w.lines("actions"); got != 2 {
		t.Errorf("told %d times, want twice", got)
	}
}

// testConcerned: groups that do not read what changed are left alone.
func testConcerned(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.members("db", "10.0.9.1")
	w.configMap("settings", "1")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	w.write("conf/conf.d/db.toml", nodes("db", ""))
	w.write("conf/conf.d/settings.toml", "[[template]]\ncontents = '{{ (configMap \"settings\").value }}'\ndest = \"$DIR/live/settings\"\n")
	k := w.start()
	w.awaitFile("live/web", "10.0.0.1 ")
	w.awaitFile("live/db", "10.0.9.1 ")
	w.awaitFile("live/settings", "1")
	for n := range 5 {
		w.members("web", fmt.Sprintf("10.0.0.1%d", n))
		w.awaitFile("live/web", fmt.Sprintf("10.0.0.1%d ", n))
	}
	applied := func(name string) string {
		return k.metric(fmt.Sprintf(`kconfd_applies_total{group=%q,outcome="applied"}`, w.file("conf/conf.d/"+name)))
	}
	await(t, "six writes of web are counted", func() bool { return applied("web.toml") == "6" })
	for _, name := range []string{"db.toml", "settings.toml"} {
		if got := applied(name); got != "1" {
			t.Errorf("%s: applied %s times, want once", name, got)
		}
		if got := k.metric(fmt.Sprintf(`kconfd_applies_total{group=%q,outcome="unchanged"}`, w.file("conf/conf.d/"+name))); got != "" {
			t.Errorf("%s: looked at %s times for nothing", name, got)
		}
	}
	k.stop()
}

// testOneWrite: a template that reads many objects is written once, when all of
// them are there, and its process is told once.
func testOneWrite(t *testing.T, w world) {
	const objects = 200
	var want strings.Builder
	for n := range objects {
		w.configMap(fmt.Sprintf("part-%d", n), strconv.Itoa(n))
		fmt.Fprintf(&want, "%d ", n)
	}
	w.write("conf/conf.d/parts.toml", `
[[template]]
contents = '{{ range until 200 }}{{ (configMap (printf "part-%d" .)).value }} {{ end }}'
dest = "$DIR/live/parts"
[reload]
action = "exec"
command = "echo told >>$DIR/actions"
`)
	k := w.start()
	w.awaitFile("live/parts", want.String())
	k.awaitLog("msg=told")
	w.configMap("part-0", "changed") // once more, so that one too many would have shown
	w.awaitLines("actions", 2)
	k.stop()
	if got := k.count("msg=written"); got != 2 {
		t.Errorf("written %d times, want once for the start and once for the change", got)
	}
}

// testSecrets: a file with a Secret in it is private, and no value of one is in a
// log, a diff, what a check prints, the HTTP server's answers or an error.
func testSecrets(t *testing.T, w world) {
	w.secret("db", "first-s3cret")
	w.write("conf/conf.d/db.toml", `
[[template]]
contents = 'password={{ (secret "db").value }}'
dest = "$DIR/live/db"
check_cmd = "cat {{.src}}; echo; cat {{.dest}}; echo; ! grep -q bad {{.src}}"
[reload]
action = "exec"
command = "echo told >>$DIR/actions"
`)
	k := w.start("-diff", "-log-level", "debug")
	w.awaitFile("actions", "told\n")
	if got := fingerprintOf(w.file("live/db")).mode; got != 0o600 {
		t.Errorf("live/db: got mode %o, want 600", got)
	}
	w.secret("db", "second-s3cret")
	w.awaitFile("live/db", "password=second-s3cret")
	w.secret("db", "bad-s3cret")
	k.awaitLog(`msg="not applied" .*err="checking .*\[redacted\]" output="password=\[redacted\]\\npassword=\[redacted\]"`)
	_, metrics := k.get("/metrics")
	_, health := k.get("/healthz")
	k.stop()
	if got := w.read("live/db"); got != "password=second-s3cret" {
		t.Errorf("live/db: got %q, want the last good one", got)
	}
	if !strings.Contains(k.out.String(), "-password=[redacted]") {
		t.Errorf("the diff lacks the line that goes: %s", k.out)
	}
	for name, text := range map[string]string{"log": k.log.String(), "diff": k.out.String(), "metrics": metrics, "health": health} {
		if strings.Contains(text, "s3cret") {
			t.Errorf("the %s has a secret: %s", name, text)
		}
	}
}

// testHeld: a guard in the template keeps the last file, the log says why, and it
// releases by itself.
func testHeld(t *testing.T, w world) {
	w.members("web", "10.0.0.1", "10.0.0.2", "10.0.0.3")
	w.write("conf/conf.d/web.toml", `
[[template]]
contents = '{{ range endpoints "web" | atLeast 2 }}{{ .Address }} {{ end }}'
dest = "$DIR/live/web"
[reload]
action = "exec"
command = "echo told >>$DIR/actions"
`)
	k := w.start()
	w.awaitFile("actions", "told\n")
	before := fingerprintOf(w.file("live/web"))
	w.members("web", "10.0.0.1")
	k.awaitLog(`level=WARN msg="render held, the last files stay" group=` + w.file("conf/conf.d/web.toml") + ` err=.*want at least 2, have 1`)
	if now := fingerprintOf(w.file("live/web")); now != before {
		t.Errorf("live/web was touched: %+v, was %+v", now, before)
	}
	w.members("web")
	k.awaitLog(`want at least 2, have 0`)
	w.members("web", "10.0.0.1", "10.0.0.4")
	w.awaitFile("live/web", "10.0.0.1 10.0.0.4 ")
	w.awaitFile("actions", "told\ntold\n")
	k.awaitLog(`level=INFO msg="in order again" group=` + w.file("conf/conf.d/web.toml"))
	k.stop()
}

// testDenied: what the Role does not allow is named, with the way out; nothing is
// written from the rest; and what was denied is read as soon as it is allowed.
func testDenied(t *testing.T, w world) {
	w.secret("db", "s3cret")
	w.members("web", "10.0.0.1")
	w.write("live/a", "old\n")
	w.write("conf/conf.d/a.toml", `
[[template]]
contents = '{{ range endpoints "web" }}{{ .Address }}{{ end }} {{ (secret "db").value }}'
dest = "$DIR/live/a"
`)
	const slices = `{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}`
	w.server.locked(func() {
		w.server.Grant(t, w.namespace, "kconfd", "["+slices+"]")
		w.kubeconfig = w.server.Kubeconfig(t, "kconfd", w.namespace)
	})
	const says = `reading Secret "db" in namespace "%[1]s": denied: secrets (?:"db" )?is forbidden: User "kconfd" cannot (?:list|watch) resource "secrets" in API group "" in the namespace "%[1]s"`
	denied := fmt.Sprintf(says, w.namespace)
	live := fingerprintOf(w.file("live/a"))

	once := start(t, "-kubeconfig", w.kubeconfig, "-confdir", w.file("conf"), "-onetime", "-timeout", "3s", "-log-level", "debug")
	<-once.ended
	if got := once.cmd.ProcessState.ExitCode(); got != 3 {
		t.Errorf("got exit code %d, want 3", got)
	}
	if once.count(`level=DEBUG msg="Failed to watch" .* reflector=`) == 0 {
		t.Error("client-go's own messages are not in the log of level debug")
	}
	for _, pattern := range []string{
		`kconfd: error: not done after 3s\n`, denied + "\n", "kconfd: hint: `kconfd rbac` prints the Role that the templates need\n",
	} {
		if once.count(pattern) != 1 {
			t.Errorf("%d times %s, want once", once.count(pattern), pattern)
		}
	}

	k := w.start()
	quoted := strings.ReplaceAll(denied, `"`, `\\"`)
	k.awaitLog(`level=WARN msg="waiting for data, the last files stay" .*` + quoted + ".*hint=\"`kconfd rbac`")
	k.awaitLog(`level=WARN msg="watch failing" watch="Secret \\"db\\" .*` + quoted)
	if got := k.count("DEBUG|reflector"); got != 0 {
		t.Errorf("client-go says it %d times in its own words as well", got)
	}
	if code, body := k.get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "denied") {
		t.Errorf("/healthz: got %d %q, want 503 and why", code, body)
	}
	if got := k.metric("kconfd_watches_failing"); got != "1" {
		t.Errorf("kconfd_watches_failing: got %q, want 1", got)
	}
	if now := fingerprintOf(w.file("live/a")); now != live {
		t.Errorf("live/a was touched: %+v, was %+v", now, live)
	}

	w.server.locked(func() {
		w.server.Grant(t, w.namespace, "kconfd", "["+slices+`, {apiGroups: [""], resources: [secrets], resourceNames: [db], verbs: [list, watch]}]`)
	})
	w.awaitFile("live/a", "10.0.0.1 s3cret")
	k.awaitLog(`level=INFO msg="watch working again"`)
	await(t, "healthy", func() bool { code, _ := k.get("/healthz"); return code == http.StatusOK })
	k.stop()
}

// testNoNamespace: a server lists a namespace that does not exist as empty. It is
// not taken for empty.
func testNoNamespace(t *testing.T, w world) {
	w.write("live/web", "old\n")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	live := fingerprintOf(w.file("live/web"))
	once := start(t, "-kubeconfig", w.kubeconfig, "-confdir", w.file("conf"), "-namespace", "nowhere", "-onetime", "-timeout", "2s")
	<-once.ended
	if got := once.cmd.ProcessState.ExitCode(); got != 3 {
		t.Errorf("got exit code %d, want 3", got)
	}
	for _, pattern := range []string{`endpoints of service "web" in namespace "nowhere".*no such namespace: "nowhere"`, `kconfd: hint: name another one with -namespace, or create it`} {
		if once.count(pattern) == 0 {
			t.Errorf("it does not say %s", pattern)
		}
	}
	if now := fingerprintOf(w.file("live/web")); now != live {
		t.Errorf("live/web was touched: %+v, was %+v", now, live)
	}
}

// testComesLater: what is awaited is named after a few seconds, not at once, and is
// used as soon as it is there.
func testComesLater(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/a.toml", "[[template]]\ncontents = '{{ (configMap \"later\").value }}'\ndest = \"$DIR/live/a\"\n")
	began := time.Now()
	k := w.start()
	k.awaitLog(`level=WARN msg="waiting for data, the last files stay" group=\S+ err=".*ConfigMap \\"later\\" in namespace \\"` + w.namespace + `\\" does not exist"`)
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("said so after %v, want a few seconds: most things come at once", took)
	}
	w.configMap("later", "here")
	w.awaitFile("live/a", "here")
	k.stop()
}

// testRestart: no write and no action of a daemon that starts where nothing has
// changed.
func testRestart(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.secret("db", "s3cret")
	w.write("conf/conf.d/web.toml", nodes("web", "[reload]\naction = \"exec\"\ncommand = \"echo told >>$DIR/actions\"\n"))
	w.write("conf/conf.d/db.toml", "[[template]]\ncontents = '{{ (secret \"db\").value }}'\ndest = \"$DIR/live/db\"\n"+
		"[reload]\naction = \"exec\"\ncommand = \"echo told >>$DIR/actions\"\n")
	w.start().stopAfter(func(k *daemon) {
		await(t, "both are told", func() bool { return k.count("msg=told") == 2 })
	})
	before, err := look(w.file("live"))
	if err != nil {
		t.Fatal(err)
	}
	w.start().stopAfter(func(k *daemon) {
		for _, name := range []string{"web.toml", "db.toml"} {
			await(t, "it has looked", func() bool {
				return k.metric(fmt.Sprintf(`kconfd_applies_total{group=%q,outcome="unchanged"}`, w.file("conf/conf.d/"+name))) == "1"
			})
		}
	})
	now, err := look(w.file("live"))
	if err != nil {
		t.Fatal(err)
	}
	for path := range before {
		if now[path] != before[path] {
			t.Errorf("%s was touched: %s, was %s", path, now[path], before[path])
		}
	}
	if got := w.lines("actions"); got != 2 {
		t.Errorf("told %d times, want no more than at first", got)
	}
}

// testHealth: /healthz tells of every watch, /metrics of the loop and the process.
func testHealth(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.configMap("settings", "1")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	w.write("conf/conf.d/a.toml", "[[template]]\ncontents = '{{ (configMap \"settings\").value }}'\ndest = \"$DIR/live/a\"\n")
	k := w.start()
	w.awaitFile("live/web", "10.0.0.1 ")
	w.awaitFile("live/a", "1")
	code, body := k.get("/healthz")
	if code != http.StatusOK {
		t.Errorf("/healthz: got %d, want 200", code)
	}
	for _, line := range []string{
		`endpoints of service "web" in namespace "` + w.namespace + `": ok, 1 objects, progress `,
		`ConfigMap "settings" in namespace "` + w.namespace + `": ok, 1 objects, progress `,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("/healthz lacks %q: %s", line, body)
		}
	}
	for name, want := range map[string]string{"kconfd_watches": "2", "kconfd_watches_failing": "0", "kconfd_configuration_refused": "0"} {
		if got := k.metric(name); got != want {
			t.Errorf("%s: got %q, want %s", name, got, want)
		}
	}
	if k.metric("process_resident_memory_bytes") == "" {
		t.Error("/metrics lacks the process's memory")
	}
	if code, _ := k.get("/nothing"); code != http.StatusNotFound {
		t.Errorf("/nothing: got %d, want 404", code)
	}
	k.stop()
}

func testOnetime(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	once := start(t, "-kubeconfig", w.kubeconfig, "-confdir", w.file("conf"), "-onetime", "--", "sh", "-c", "echo $$; cat "+w.file("live/web")+"; exit 5")
	<-once.ended
	if got := once.cmd.ProcessState.ExitCode(); got != 5 {
		t.Errorf("got exit code %d, want the command's, 5", got)
	}
	if got, want := once.out.String(), fmt.Sprintf("%d\n10.0.0.1 ", once.cmd.Process.Pid); got != want {
		t.Errorf("the command said %q, want %q: it is kconfd's process", got, want)
	}
}

// testFailing: an action that fails does not keep newer content from disk and
// process.
func testFailing(t *testing.T, w world) {
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", `
[reload]
action = "exec"
command = "grep -q 10.0.0.2 $DIR/live/web && cat $DIR/live/web >>$DIR/actions"
retry = "10m"
`))
	k := w.start()
	k.awaitLog(`level=ERROR msg="not applied" .*retry=(9|10|11)m`)
	group := w.file("conf/conf.d/web.toml")
	if got := k.metric(fmt.Sprintf(`kconfd_applies_total{group=%q,outcome="failed"}`, group)); got != "1" {
		t.Errorf("counted %q failures, want 1", got)
	}
	began := time.Now()
	w.members("web", "10.0.0.2")
	w.awaitFile("actions", "10.0.0.2 ")
	t.Logf("told of the new content after %v", time.Since(began))
	await(t, "nothing is owed", func() bool { return len(w.glob("live/.*")) == 0 })
	k.stop()
	w.wantNoLeftovers("live")
	if _, err := os.Stat(filepath.Join(w.path, "live/web")); err != nil {
		t.Error(err)
	}
}
