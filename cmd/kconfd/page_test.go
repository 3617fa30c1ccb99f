package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/status/web"
)

// A showcase is a board whose status is the test's.
type showcase struct {
	board *board
	web   *web.Server
	url   string

	mu     sync.Mutex
	status *status
}

func newShowcase(t *testing.T, s *status) *showcase {
	t.Helper()
	listener, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &showcase{board: newBoard(), web: web.New(slog.New(slog.DiscardHandler), metrics.NewSet()), url: "http://" + listener.Addr().String(), status: s}
	c.board.serve(c.web)
	done := make(chan struct{})
	go func() { _ = c.web.Serve(listener) }() // until the test's end
	go func() {                               // until the test's end
		for {
			select {
			case answer := <-c.board.asks:
				c.mu.Lock()
				answer <- c.status
				c.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.web.Close()
		close(done)
	})
	return c
}

// set changes the status, and tells whoever looks.
func (c *showcase) set(s *status) {
	c.mu.Lock()
	c.status = s
	c.mu.Unlock()
	c.board.changed()
}

// aStatus is one with something of everything.
func aStatus() *status {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	settings := dependencyStatus{Name: `ConfigMap "settings" in namespace "prod"`}
	pxc := dependencyStatus{Name: `Services with labels "app=pxc" in namespace "prod"`, Changed: ago(2 * time.Minute), Object: "pxc-node4"}
	return &status{
		Time: now, Version: "1.2.0", Name: "pxc-node2-0", Namespace: "prod", Started: ago(75 * time.Hour), Ready: false,
		Groups: []groupStatus{
			{
				Name: "/etc/kconfd/conf.d/galera.toml", State: stateApplied, Since: ago(75 * time.Hour), Applied: ago(2 * time.Minute),
				Action: "restart", Files: []fileStatus{
					{"/etc/mysql/conf.d/cluster.cnf", "my.cnf.tmpl", ago(2 * time.Minute), []dependencyStatus{pxc, settings}, 0},
				},
				Gate: &gateStatus{Lease: "prod/pxc-cluster", Holders: []string{"pxc-node1-0"}, Queue: []string{"pxc-node2-0", "pxc-node3-0"}},
			},
			{
				Name: "/etc/kconfd/conf.d/haproxy.toml", State: stateHeld, Since: ago(40 * time.Second),
				Reason: `rendering "haproxy.cfg.tmpl": haproxy.cfg.tmpl:12:9: want at least 3, have 2`,
				Action: `signal USR2 to pid file "/run/haproxy.pid"`, Files: []fileStatus{
					{"/etc/haproxy/haproxy.cfg", "haproxy.cfg.tmpl", ago(26 * time.Hour), []dependencyStatus{
						{`endpoints of service "pxc" in namespace "prod"`, ago(40 * time.Second), "", ""}, {`Secret "monitor" in namespace "prod"`, time.Time{}, "", ""},
					}, 0},
				},
			},
			{
				Name: "/etc/kconfd/conf.d/exporter.toml", State: stateApplied, Since: ago(75 * time.Hour), Applied: ago(30 * time.Hour),
				Action: "none", Files: []fileStatus{{"/run/exporter/targets.json", "targets.tmpl", ago(30 * time.Hour), []dependencyStatus{settings}, 0}},
			},
		},
		Child: &childStatus{Command: "mariadbd", State: "running", Ready: true, Instance: 3, Since: ago(118 * time.Second)},
		Watches: []watchStatus{
			{Name: `ConfigMap "settings" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(12 * time.Second)},
			{Name: `endpoints of service "pxc" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(40 * time.Second)},
			{Name: `Secret "monitor" in namespace "prod"`, Healthy: true, Listed: true, Objects: 1, Progress: ago(8 * time.Second)},
			{Name: `Services with labels "app=pxc" in namespace "prod"`, Healthy: true, Listed: true, Objects: 4, Progress: ago(31 * time.Second)},
		},
		Changes: []change{
			{
				Time: ago(2 * time.Minute), Group: "/etc/kconfd/conf.d/galera.toml", Outcome: stateApplied, Times: 1, Duration: 4.31,
				Trigger: `Services with labels "app=pxc" in namespace "prod" (pxc-node4)`, Files: []string{"/etc/mysql/conf.d/cluster.cnf"},
				Diff: "--- /etc/mysql/conf.d/cluster.cnf\n+++ /etc/mysql/conf.d/cluster.cnf\n@@ -23,7 +23,7 @@\n wsrep_provider = /usr/lib/galera/libgalera_smm.so\n wsrep_cluster_name = galera\n" +
					"-wsrep_cluster_address = gcomm://10.244.1.21,10.244.2.22,10.244.3.23\n+wsrep_cluster_address = gcomm://10.244.1.21,10.244.2.22,10.244.3.23,10.244.4.24\n wsrep_sst_method = rsync\n wsrep_status_file = wsrep.json\n",
			},
			{
				Time: ago(26 * time.Hour), Group: "/etc/kconfd/conf.d/haproxy.toml", Outcome: stateFailed, Times: 4, Duration: 0.048,
				Reason: `checking "/etc/haproxy/haproxy.cfg": command "haproxy -c -f .haproxy.cfg123": exit status 1: unknown keyword 'sever' in 'listen' section`, Trigger: "configuration",
				Files: []string{"/etc/haproxy/haproxy.cfg"}, Diff: "--- a\n+++ a\n@@ -1 +1 @@\n-  server pxc-0 check\n+  sever pxc-0 check\n",
			},
			{Time: ago(30 * time.Hour), Group: "/etc/kconfd/conf.d/exporter.toml", Outcome: stateApplied, Times: 1, Duration: 0.012, Trigger: "start", Files: []string{}},
		},
	}
}

// open opens the page and waits until it shows the status and is live.
func (c *showcase) open(b *browser) {
	b.t.Helper()
	b.open(c.url + "/")
	b.await(`document.querySelector("#groups article") && document.getElementById("live").textContent === "live"`)
}

// wantQuiet fails when something went wrong in the page, or it was not allowed
// what it tried.
func (b *browser) wantQuiet() {
	b.t.Helper()
	if diff := cmp.Diff([]string{}, b.complained()); diff != "" {
		b.t.Errorf("the page complains (-want +got):\n%s", diff)
	}
}

// One Chromium shows all of these.
func TestPage(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	for name, test := range map[string]func(*testing.T, *browser){
		"live":             testPageLive,
		"hostile words":    testPageHostile,
		"no foreign code":  testPagePolicy,
		"every state":      testPageStates,
		"sizes and themes": testPageLooks,
		"the gate":         testPageGate,
		"too many viewers": testPageCrowd,
	} {
		t.Run(name, func(t *testing.T) {
			b.on(t)
			test(t, b)
		})
	}
}

// testPageLive: the page of a real kconfd follows what happens, without being
// loaded again, through the end of that kconfd and the start of the next.
func testPageLive(t *testing.T, b *browser) {
	member := func(name, ip string) string {
		return "---\n{apiVersion: v1, kind: Service, metadata: {name: " + name + ", labels: {app: pxc}}, spec: {clusterIP: " + ip + "}}\n"
	}
	secret := "---\n{apiVersion: v1, kind: Secret, metadata: {name: monitor}, stringData: {password: hunter2}}\n"
	three := secret + member("pxc-node1", "10.244.1.21") + member("pxc-node2", "10.244.2.22") + member("pxc-node3", "10.244.3.23")
	d := newDir(t, map[string]string{
		"objects.yaml": three,
		"etc/templates/cluster.cnf.tmpl": `[mysqld]
wsrep_on = ON
wsrep_cluster_name = galera
wsrep_cluster_address = gcomm://{{ range $i, $s := services "app=pxc" }}{{ if $i }},{{ end }}{{ $s.ClusterIP }}{{ end }}
wsrep_sst_method = rsync
`,
		"etc/templates/haproxy.cfg.tmpl": `listen mysql
  stats auth monitor:{{ (secret "monitor").password }}
{{ range services "app=pxc" | atLeast 3 }}  server {{ .Name }} {{ hostPort .ClusterIP 3306 }} check
{{ end }}`,
		"etc/conf.d/galera.toml":  "[[template]]\nsrc = \"cluster.cnf.tmpl\"\ndest = \"live/cluster.cnf\"\n[reload]\naction = \"exec\"\ncommand = \"echo applied >>notes; echo 'a <b>warning</b>' >&2\"\n",
		"etc/conf.d/haproxy.toml": "[[template]]\nsrc = \"haproxy.cfg.tmpl\"\ndest = \"live/haproxy.cfg\"\n[reload]\naction = \"exec\"\ncommand = \"echo applied >>notes\"\n",
		"live/keep":               "",
	})
	daemon := func(listen string) *daemon {
		cmd := exec.Command("kconfd", "-manifests", "objects.yaml", "-confdir", "etc", "-wait", "0s", "-listen", listen)
		cmd.Dir = d.path
		cmd.Env = append(os.Environ(), "POD_NAME=pxc-node2-0", "POD_NAMESPACE=")
		return startCmd(t, cmd)
	}
	k := daemon("127.0.0.1:0")
	address := k.address()
	b.look(1100, 1130, "light")
	b.open("http://" + address + "/")
	b.await(`document.getElementById("verdict").textContent === "All 2 groups are applied"`)
	b.run(`window.loaded = "once"`, nil)

	d.write("objects.yaml", three+member("pxc-node4", "10.244.4.24"))
	b.await(`document.querySelector("#changes pre .plus")?.textContent.includes("10.244.4.24")`)
	b.await(`document.querySelectorAll("#groups .tree .new b")[0]?.textContent === "pxc-node4"`)
	b.await(`document.querySelector("#groups .output pre")?.textContent === "a <b>warning</b>"`)
	if got := b.text("#changes > li"); !strings.Contains(got, `Services with labels "app=pxc" (pxc-node4)`) || !strings.Contains(got, "applied") {
		t.Errorf("the newest change says %q", got)
	}
	d.write("objects.yaml", secret+member("pxc-node1", "10.244.1.21")+member("pxc-node2", "10.244.2.22"))
	b.await(`document.getElementById("verdict").textContent === "1 of 2 groups is held"`)
	if got := b.text("#groups article:first-child"); !strings.Contains(got, "haproxy.toml") || !strings.Contains(got, "want at least 3, have 2") {
		t.Errorf("what is not in order is not first, or has no reason: %q", got)
	}
	b.await(`document.title.startsWith("● 1 of 2 groups is held")`)
	b.await(`document.querySelector("#changes > li:nth-child(4)")`)
	b.await(`document.querySelectorAll("#changes details[open]").length === 1`)
	var content string
	if b.run("document.documentElement.outerHTML", &content); strings.Contains(content, "hunter2") || !strings.Contains(content, "[redacted]") {
		t.Errorf("the page shows a secret, or hides none: %s", content)
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile("../../docs/page.png", small(t, b.screenshot()), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	k.stop()
	b.await(`document.getElementById("live").textContent === "no answer"`)
	if got := b.text("#verdict"); got != "1 of 2 groups is held" {
		t.Errorf("when kconfd has ended, the page shows %q, want what it knew last", got)
	}
	d.write("objects.yaml", three)
	k = daemon(address)
	b.await(`document.getElementById("live").textContent === "live"`)
	b.await(`document.getElementById("verdict").textContent === "All 2 groups are applied"`)
	var loaded string
	if b.run(`window.loaded`, &loaded); loaded != "once" {
		t.Errorf("the page was loaded again: %q", loaded)
	}
	k.stop()
	for _, c := range b.complained() {
		if !strings.Contains(c, "ERR_CONNECTION_REFUSED") && !strings.Contains(c, "ERR_INCOMPLETE_CHUNKED_ENCODING") && !strings.Contains(c, "ERR_CONNECTION_RESET") {
			t.Errorf("the page complains: %s", c)
		}
	}
}

// small is a PNG with no more than its 256 most frequent colours.
func small(t *testing.T, content []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[color.Color]int{}
	for y := range full.Bounds().Dy() {
		for x := range full.Bounds().Dx() {
			counts[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	reduced := image.NewPaletted(full.Bounds(), colours[:min(256, len(colours))])
	draw.Draw(reduced, full.Bounds(), full, image.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, reduced); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// testPageHostile: whatever a name, an error or a file says, it is shown as it is.
func testPageHostile(t *testing.T, b *browser) {
	const evil = `</script></pre><img src=x onerror="window.owned=1"><script>window.owned=1</script><a href="javascript:window.owned=1">&amp;`
	s := aStatus()
	s.Name, s.Namespace, s.Version, s.Refused = evil, evil, evil, evil
	g := &s.Groups[0]
	g.Name, g.State, g.Reason, g.Stale, g.Action = evil, evil, evil, evil, evil
	g.Files[0] = fileStatus{evil, evil + "2", time.Now(), []dependencyStatus{{evil, time.Now(), evil, evil}}, 1}
	g.Gate = &gateStatus{evil, []string{evil}, []string{evil}, evil, evil}
	s.Child.Command, s.Child.State, s.Child.Ready = evil, evil, false
	s.Watches[0].Name, s.Watches[0].Error = evil, evil
	s.Changes[0] = change{Time: time.Now(), Group: evil, Outcome: evil, Reason: evil, Trigger: evil, Files: []string{evil}, Diff: "--- a\n+++ b\n+" + evil + "\n", Times: 2}
	c := newShowcase(t, s)
	b.look(1180, 900, "light")
	c.open(b)
	var found struct {
		Owned    bool `json:"owned"`
		Elements int  `json:"elements"`
		Shown    int  `json:"shown"`
	}
	b.run(fmt.Sprintf(`({
		owned: "owned" in window,
		elements: document.querySelectorAll("img, script:not([src='page.js']), a[href^='javascript']").length,
		shown: document.body.textContent.split(%q).length - 1,
	})`, evil), &found)
	// Each is shown; the state of the group twice, in the verdict too.
	if found.Owned || found.Elements != 0 || found.Shown < 20 {
		t.Errorf("got %+v, want nothing but text, 20 times or more", found)
	}
	b.wantQuiet()
}

// testPagePolicy: even code that found its way into the page would not run, and
// could not ask anybody else.
func testPagePolicy(t *testing.T, b *browser) {
	c := newShowcase(t, aStatus())
	c.open(b)
	b.wantQuiet()
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for name, attempt := range map[string]string{
		"an inline script":       `const s = document.createElement("script"); s.append("window.owned = 1"); document.body.append(s)`,
		"markup":                 `document.body.innerHTML = "<img src=x onerror='window.owned = 1'>"`,
		"a handler":              `document.body.setAttribute("onclick", "window.owned = 1"); document.body.click()`,
		"a script from outside":  `const s = document.createElement("script"); s.src = "` + elsewhere.URL + `"; document.body.append(s)`,
		"a request to elsewhere": `fetch("` + elsewhere.URL + `", {mode: "no-cors"}).then(() => { window.owned = 1 })`,
		"a style":                `const s = document.createElement("style"); s.append("body { display: none }"); document.head.append(s); if (getComputedStyle(document.body).display === "none") window.owned = 1`,
		"a frame":                `const f = document.createElement("iframe"); f.src = "` + elsewhere.URL + `"; document.body.append(f)`,
	} {
		t.Run(name, func(t *testing.T) {
			b.on(t)
			b.run(`(async () => { window.refused = false; document.addEventListener("securitypolicyviolation", () => { window.refused = true }, {once: true});
				try { `+attempt+` } catch (e) { } })()`, nil)
			b.await("window.refused")
			var owned bool
			if b.run(`"owned" in window`, &owned); owned {
				t.Error("it did")
			}
		})
	}
}

// testPageStates: every state has its word, sign and colour, and stands for
// itself in the sentence at the top. It is there as soon as it is so.
func testPageStates(t *testing.T, b *browser) {
	var icons []string
	c := newShowcase(t, aStatus())
	c.open(b)
	b.run("Object.keys(icons).sort()", &icons)
	if diff := cmp.Diff(slices.Sorted(slices.Values(states())), icons); diff != "" {
		t.Errorf("signs (-states +page):\n%s", diff)
	}
	var took []time.Duration
	for _, state := range states() {
		s := aStatus()
		s.Groups = s.Groups[:1]
		s.Groups[0].State, s.Groups[0].Name = state, "conf.d/galera.toml"
		word := map[string]string{stateRolledBack: "rolled back"}[state]
		if word == "" {
			word = state
		}
		began := time.Now()
		c.set(s)
		b.await(fmt.Sprintf(`document.getElementById("verdict").textContent === "galera.toml is %s"`, word))
		took = append(took, time.Since(began))
		if got := b.text("#groups .badge"); got != word {
			t.Errorf("%s: the badge says %q", state, got)
		}
	}
	slices.Sort(took)
	t.Logf("shown after %v", took)
	if median := took[len(took)/2]; median > 3*time.Second { // asked for now and then, it would be 15
		t.Errorf("shown after %s, want at once", median)
	}
	for name, test := range map[string]struct {
		change func(*status)
		want   string
	}{
		"several":             {func(s *status) { s.Groups[0].State, s.Groups[2].State = stateFailed, stateHeld }, "3 of 3 groups are not applied: 1 failed, 2 held"},
		"two alike":           {func(s *status) { s.Groups[0].State = stateHeld }, "2 of 3 groups are held"},
		"some left out":       {func(s *status) { s.Groups, s.MoreGroups = s.Groups[:1], 4 }, "All 5 groups are applied"},
		"none":                {func(s *status) { s.Groups = nil }, "mariadbd is ready"},
		"none, and no child":  {func(s *status) { s.Groups, s.Child = nil, nil }, "There are no groups"},
		"the child not ready": {func(s *status) { s.Groups, s.Child.Ready = s.Groups[:1], false }, "galera.toml is applied, mariadbd is not ready"},
		"stale":               {func(s *status) { s.Groups = s.Groups[:1]; s.Groups[0].Stale = "away" }, "galera.toml is applied, but data may be old"},
	} {
		t.Run(name, func(t *testing.T) {
			b.on(t)
			s := aStatus()
			test.change(s)
			if s.Groups == nil {
				s.Groups = []groupStatus{}
			}
			c.set(s)
			b.await(fmt.Sprintf(`document.getElementById("verdict").textContent === %q`, test.want))
		})
	}
	b.wantQuiet()
}

// testPageGate: who acts and who waits, and why nobody may.
func testPageGate(t *testing.T, b *browser) {
	s := aStatus()
	s.Groups[0].Gate.StoppedBy, s.Groups[0].Gate.Reason = "pxc-node1-0", "its verification failed"
	c := newShowcase(t, s)
	c.open(b)
	want := "Gate prod/pxc-cluster\npxc-node1-0 acts 1. pxc-node2-0 2. pxc-node3-0 Stopped by pxc-node1-0: its verification failed"
	if got := strings.Join(strings.Fields(b.text(".gate")), " "); got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// testPageLooks: on a phone nothing is wider than the screen, and in either theme
// every word can be read: its contrast is that of WCAG AA.
func testPageLooks(t *testing.T, b *browser) {
	s := aStatus()
	for i, state := range states() {
		g := s.Groups[0]
		g.Name, g.State, g.Stale, g.Reason = fmt.Sprint("/etc/kconfd/conf.d/", i, ".toml"), state, "away", strings.Repeat("long-", 100)
		s.Groups = append(s.Groups, g)
	}
	s.Groups[0].Name = strings.Repeat("/averylongdirectory", 20) + "/a.toml"
	s.Groups[0].Files[0].Path = strings.Repeat("/averylongdirectory", 20) + "/a"
	s.Changes[0].Reason = strings.Repeat("x", 500)
	s.Watches[0].Error = strings.Repeat("y", 500)
	c := newShowcase(t, s)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int{320, 390, 768, 1180, 1920} {
			t.Run(fmt.Sprint(scheme, " ", width), func(t *testing.T) {
				b.on(t)
				b.look(width, 900, scheme)
				c.open(b)
				var wide int
				if b.run("document.scrollingElement.scrollWidth", &wide); wide > width {
					t.Errorf("the page is %d pixels wide", wide)
				}
				var faint []string
				b.run(contrasts, &faint)
				if diff := cmp.Diff([]string{}, faint); diff != "" {
					t.Errorf("hard to read (-want +got):\n%s", diff)
				}
			})
		}
	}
	b.wantQuiet()
}

// contrasts lists the words whose contrast with what is behind them is too low.
const contrasts = `(() => {
	const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const over = (below, color) => {
		context.fillStyle = "rgb(" + below.join(" ") + ")"; context.fillRect(0, 0, 1, 1);
		context.fillStyle = color; context.fillRect(0, 0, 1, 1);
		return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
	};
	const behind = (e) => over(e.parentElement ? behind(e.parentElement) : [255, 255, 255], getComputedStyle(e).backgroundColor);
	const light = (rgb) => rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const faint = new Set();
	for (const e of document.querySelectorAll("body *")) {
		const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
		const style = getComputedStyle(e);
		if (!text || !e.checkVisibility() || style.fontSize === "0px") continue;
		const back = behind(e), [a, b] = [light(back), light(over(back, style.color))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.add(ratio.toFixed(2) + " " + e.tagName + "." + e.className + " " + text.slice(0, 30));
	}
	return [...faint];
})()`

// testPageCrowd: whoever comes when there are too many viewers asks now and then.
func testPageCrowd(t *testing.T, b *browser) {
	c := newShowcase(t, aStatus())
	for range web.MaxViewers {
		response, err := http.Get(c.url + "/live")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
	}
	b.open(c.url + "/")
	b.await(`document.getElementById("live").textContent === "every few seconds"`)
	s := aStatus()
	s.Groups = s.Groups[:1]
	c.set(s)
	b.await(`document.getElementById("verdict").textContent === "galera.toml is applied"`)
}

// What is served tells browsers to trust nothing, and shows nobody's page inside
// another.
func TestHeaders(t *testing.T) {
	c := newShowcase(t, aStatus())
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
		"/icon.svg": "image/svg+xml", "/status": "application/json", "/readyz": "text/plain; charset=utf-8",
	} {
		t.Run(path, func(t *testing.T) {
			response, err := http.Get(c.url + path)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got := response.Header.Get("Content-Type"); got != contentType {
				t.Errorf("got %s, want %s", got, contentType)
			}
			policy := response.Header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("the policy %q lacks %s", policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || response.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("too much is allowed: %v", response.Header)
			}
		})
	}
	for _, path := range []string{"/nothing", "/page/index.html", "/page", "/index.html"} {
		response, err := http.Get(c.url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, response.StatusCode)
		}
	}
}

// A viewer is told that something has changed, at once but not more often than
// it can look.
func TestLive(t *testing.T) {
	c := newShowcase(t, aStatus())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("got %s, want a stream of events", got)
	}
	lines := make(chan string)
	go func() { // until the response ends
		defer close(lines)
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	next := func() string {
		t.Helper()
		select {
		case line := <-lines:
			return line
		case <-time.After(testPatience):
			t.Fatal("nothing came")
		}
		return ""
	}
	if got := next() + next(); got != ": hello" {
		t.Errorf("at first: got %q", got)
	}
	began := time.Now()
	for range 3 {
		c.board.changed()
		c.board.changed()
		if got := next() + next(); got != "data: changed" {
			t.Errorf("got %q, want that something has changed", got)
		}
	}
	if took := time.Since(began); took < 2*web.Pace {
		t.Errorf("told three times within %s, want pauses of %s", took, web.Pace)
	}
}
