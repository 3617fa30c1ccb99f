package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// Which word is for what.
func TestState(t *testing.T) {
	broken := errors.New("broken")
	heldBack := fmt.Errorf("rendering: %w", &render.HeldError{})
	for name, test := range map[string]struct {
		group group
		want  string
	}{
		"new":                                    {group{}, statePending},
		"its first job":                          {group{busy: true}, statePending},
		"applied":                                {group{settled: true}, stateApplied},
		"applied, and a change on its way":       {group{settled: true, busy: true}, stateApplied},
		"held":                                   {group{settled: true, err: heldBack}, stateHeld},
		"data not listed":                        {group{err: &watcher.IncompleteError{}}, stateWaiting},
		"an object that does not exist":          {group{settled: true, err: fmt.Errorf("x: %w", &watcher.AbsentError{})}, stateWaiting},
		"failed before it was live":              {group{settled: true, err: broken}, stateFailed},
		"live, and the action failed":            {group{settled: true, owed: true, err: broken}, stateOwed},
		"live, and the child is being told":      {group{settled: true, busy: true, waiting: true}, stateOwed},
		"live by a group that is gone":           {group{owed: true}, stateOwed},
		"the child has another command line":     {group{settled: true, line: lineState{owed: true}}, stateOwed},
		"and it cannot be started with it":       {group{settled: true, err: broken, line: lineState{owed: true}}, stateOwed},
		"undone":                                 {group{settled: true, err: &rolledBackError{why: broken}}, stateRolledBack},
		"undone, and the process not told":       {group{settled: true, owed: true, err: &rolledBackError{broken, broken}}, stateOwed},
		"owed, and the next render is held":      {group{settled: true, owed: true, err: heldBack}, stateHeld},
		"being told, after an action had failed": {group{owed: true, busy: true, waiting: true, err: broken}, stateOwed},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := test.group.state()
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if test.group.err != nil && reason == "" {
				t.Error("there is no reason")
			}
		})
	}
}

// status is what /status says.
func (k *daemon) status() (s status) {
	k.t.Helper()
	code, body := k.get("/status")
	if code != http.StatusOK {
		k.t.Fatalf("/status: got %d %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		k.t.Fatalf("/status: %v in %s", err, body)
	}
	return s
}

// group is the group of a file of conf.d.
func (s status) group(t *testing.T, file string) groupStatus {
	t.Helper()
	for _, g := range s.Groups {
		if strings.HasSuffix(g.Name, "/"+file) {
			return g
		}
	}
	t.Fatalf("no group %s among %d", file, len(s.Groups))
	return groupStatus{}
}

func (k *daemon) awaitState(file, want string) groupStatus {
	k.t.Helper()
	var got groupStatus
	if !comes(func() bool { got = k.status().group(k.t, file); return got.State == want }) {
		k.t.Fatalf("%s is %s, want %s: %s", file, got.State, want, got.Reason)
	}
	return got
}

// Ready means applied: not rendered, not written, but told. What is in the way is
// named, for each group, and kconfd is ready when the last of it is gone.
func TestReady(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml":             settings("blue"),
		"conf/conf.d/fine.toml":    "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/fine\"\n",
		"conf/conf.d/held.toml":    "[[template]]\ncontents = '{{ if eq (configMap \"settings\").colour \"blue\" }}{{ fail \"not blue\" }}{{ end }}'\ndest = \"$DIR/live/held\"\n",
		"conf/conf.d/waits.toml":   "[[template]]\ncontents = '{{ (configMap \"later\").colour }}'\ndest = \"$DIR/live/waits\"\n",
		"conf/conf.d/checked.toml": "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/checked\"\ncheck_cmd = \"echo line 3; test -e $DIR/good\"\n[reload]\naction = \"none\"\nretry = \"20ms:50ms\"\n",
		"conf/conf.d/told.toml":    "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/told\"\n[reload]\naction = \"exec\"\ncommand = \"test -e $DIR/good\"\nretry = \"20ms:50ms\"\n",
		"live/keep":                "",
	})
	k := startIn(d, "-listen", "127.0.0.1:0")
	k.awaitState("held.toml", stateHeld)
	k.awaitState("waits.toml", stateWaiting)
	k.awaitState("checked.toml", stateFailed)
	told := k.awaitState("told.toml", stateOwed)
	await(t, "the action has failed", func() bool {
		s := k.status()
		return strings.Contains(s.group(t, "told.toml").Reason, "could not be told")
	})
	k.awaitState("fine.toml", stateApplied)
	if told.NextTry.IsZero() && !told.Working {
		t.Errorf("told.toml: got %+v, want a time for the next try", told)
	}
	code, body := k.get("/readyz")
	if code != http.StatusServiceUnavailable {
		t.Errorf("/readyz: got %d, want 503", code)
	}
	for _, want := range []string{
		"/fine.toml: applied\n", "/held.toml: held: rendering ", ": not blue\n",
		`/waits.toml: waiting: rendering "`, `ConfigMap "later" in namespace "default" does not exist`,
		"/checked.toml: failed: checking ", ": line 3\n", "/told.toml: owed: written, but the process could not be told: ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/readyz lacks %q:\n%s", want, body)
		}
	}
	if got := strings.Count(body, "\n"); got != 5 {
		t.Errorf("/readyz has %d lines, want one a group:\n%s", got, body)
	}

	d.write("objects.yaml", settings("green")+"---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: later}, data: {colour: red}}\n")
	k.awaitState("held.toml", stateApplied)
	k.awaitState("waits.toml", stateApplied)
	if code, body := k.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz while one is owed: got %d, want 503:\n%s", code, body)
	}
	d.write("good", "")
	await(t, "kconfd is ready", func() bool { code, _ := k.get("/readyz"); return code == http.StatusOK })
	if s := k.status(); !s.Ready {
		t.Errorf("/status is not ready: %+v", s)
	}
	k.stop()
}

// With a child, ready means that it is, too.
func TestReadyWithChild(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	d.write("conf/conf.d/a.toml", "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/a\"\n")
	k := startIn(d, "-listen", "127.0.0.1:0", "-ready-cmd", "test -e "+d.file("good"), "--", "sh", "-c", "sleep 1000", "--password=hunter2")
	await(t, "the child runs", func() bool { return k.status().Child.State == "running" })
	if code, body := k.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "child sh: running, not ready\n") {
		t.Errorf("/readyz: got %d, want 503 for the child:\n%s", code, body)
	}
	if got := k.metric("kconfd_child_ready"); got != "0" {
		t.Errorf("kconfd_child_ready: got %q, want 0", got)
	}
	d.write("good", "")
	await(t, "kconfd is ready", func() bool { code, _ := k.get("/readyz"); return code == http.StatusOK })
	if got := k.metric("kconfd_child_ready"); got != "1" {
		t.Errorf("kconfd_child_ready: got %q, want 1", got)
	}
	s := k.status()
	if want := (childStatus{Command: "sh", State: "running", Ready: true, Instance: 1, Since: s.Child.Since}); cmp.Diff(want, *s.Child) != "" || s.Child.Since.IsZero() {
		t.Errorf("got %+v, want %+v", *s.Child, want)
	}
	_, body := k.get("/status")
	if strings.Contains(body, "hunter2") {
		t.Errorf("/status has the child's arguments: %s", body)
	}
	k.signal(15)
	<-k.ended
}

// Each file is shown with what its template reads, and when that changed last.
func TestDependencies(t *testing.T) {
	t.Parallel()
	service := func(name, ip string) string {
		return "---\n{apiVersion: v1, kind: Service, metadata: {name: " + name + ", labels: {app: web}}, spec: {clusterIP: " + ip + "}}\n"
	}
	d := newDir(t, map[string]string{
		"objects.yaml": settings("blue") + service("a", "10.0.0.1") + service("b", "10.0.0.2"),
		"conf/conf.d/a.toml": `
[[template]]
contents = '{{ range services "app=web" }}{{ .ClusterIP }} {{ end }}{{ (configMap "settings").colour }}'
dest = "$DIR/live/a"
[[template]]
contents = 'x'
dest = "$DIR/live/b"
`,
		"live/keep": "",
	})
	k := startIn(d, "-listen", "127.0.0.1:0")
	began := k.awaitState("a.toml", stateApplied)
	want := []fileStatus{
		{Path: d.file("live/a"), Template: d.file("live/a"), Dependencies: []dependencyStatus{
			{Name: `ConfigMap "settings" in namespace "default"`}, {Name: `Services with labels "app=web" in namespace "default"`},
		}},
		{Path: d.file("live/b"), Template: d.file("live/b"), Dependencies: []dependencyStatus{}},
	}
	for i := range want {
		want[i].Written = began.Files[i].Written
		if want[i].Written.IsZero() {
			t.Errorf("%s: it is not known when it was written", want[i].Path)
		}
	}
	if diff := cmp.Diff(want, began.Files); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}

	before := time.Now()
	d.write("objects.yaml", settings("blue")+service("a", "10.0.0.1")+service("b", "10.0.0.9"))
	d.awaitFile("live/a", "10.0.0.1 10.0.0.9 blue")
	var got []dependencyStatus
	await(t, "it is applied", func() bool {
		s := k.status()
		got = s.group(t, "a.toml").Files[0].Dependencies
		return len(s.Changes) == 2
	})
	if got[0].Name != `Services with labels "app=web" in namespace "default"` || got[0].Object != "b" || got[0].Changed.Before(before) || !got[1].Changed.IsZero() {
		t.Errorf("after a change of b: got %+v", got)
	}
	k.stop()
}

// The last changes are told, with what caused them and what became of them.
func TestChanges(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "! grep -q red {{.src}}"
[reload]
action = "exec"
command = "test -e $DIR/good"
retry = "100ms:200ms"
`
	files["good"] = ""
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	// newest waits for a change, which is to be the newest.
	newest := func(trigger, outcome, reason string, lines ...string) {
		t.Helper()
		var c change
		if !comes(func() bool {
			s := k.status()
			if len(s.Changes) == 0 {
				return false
			}
			c = s.Changes[0]
			return c.Trigger == trigger && c.Outcome == outcome && strings.Contains(c.Reason, reason)
		}) {
			t.Fatalf("got %+v, want %s by %s: %s", c, outcome, trigger, reason)
		}
		var got []string
		for line := range strings.Lines(c.Diff) {
			if line[0] == '+' || line[0] == '-' {
				got = append(got, strings.ReplaceAll(strings.TrimSpace(line), d.path, "$DIR"))
			}
		}
		if diff := cmp.Diff(lines, got); diff != "" {
			t.Errorf("%s by %s (-want +got):\n%s", outcome, trigger, diff)
		}
		if c.Time.IsZero() || c.Duration <= 0 || c.Times < 1 {
			t.Errorf("got %+v, want a time and a duration", c)
		}
	}
	newest("start", stateApplied, "", "--- /dev/null", "+++ $DIR/live/a", "+blue")
	const data = `ConfigMap "settings" in namespace "default"`
	d.write("objects.yaml", settings("green"))
	newest(data, stateApplied, "", "--- $DIR/live/a", "+++ $DIR/live/a", "-blue", "+green")

	if err := os.WriteFile(d.file("live/a"), []byte("grey\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	newest(touched, stateApplied, "", "--- $DIR/live/a", "+++ $DIR/live/a", "-grey", "+green")

	d.write("objects.yaml", settings("red"))
	newest("another try", stateFailed, "checking ", "--- $DIR/live/a", "+++ $DIR/live/a", "-green", "+red")
	await(t, "the same failure is one change", func() bool {
		s := k.status()
		return s.Changes[0].Times > 2 && s.Changes[1].Trigger == touched
	})

	if err := os.Remove(d.file("good")); err != nil {
		t.Fatal(err)
	}
	d.write("objects.yaml", settings("white"))
	newest("another try", stateOwed, "could not be told")
	d.write("good", "")
	newest("another try", stateApplied, "")
	d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/b\"\n")
	newest("configuration", stateApplied, "", "--- /dev/null", "+++ $DIR/live/b", "+x")
	k.stop()
}

// What is shown has no secret in it: not the new one, not the old one, not one of
// which kconfd learns later, and nothing of a file that is nobody else's business.
func TestChangesHideSecrets(t *testing.T) {
	t.Parallel()
	objects := func(password, pin string) string {
		return settings("blue") + "---\n{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: " + password + "}}\n" +
			"---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: open}, data: {pin: '" + pin + "'}}\n"
	}
	d := newDir(t, map[string]string{
		"objects.yaml": objects("hunter2", "hunter3"),
		"conf/conf.d/a.toml": `
[[template]]
contents = "[client]\npassword = {{ (secret \"db\").password }}\ncolour = {{ (configMap \"settings\").colour }}\npin = {{ (configMap \"open\").pin }}\n"
dest = "$DIR/live/a"
[[template]]
contents = "token = {{ env \"TOKEN\" }}\n"
dest = "$DIR/live/owner"
mode = "0600"
`,
		"live/a": "[client]\npassword = hunter1\n",
	})
	if err := os.Chmod(d.file("live/a"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("kconfd", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf"), "-wait", "0s", "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TOKEN=hunter0")
	k := startCmd(t, cmd)
	k.awaitState("a.toml", stateApplied)
	_, body := k.get("/status")
	for _, secret := range []string{"hunter0", "hunter1", "hunter2"} {
		if strings.Contains(body, secret) {
			t.Errorf("/status has %s: %s", secret, body)
		}
	}
	for _, want := range []string{`+password = [redacted]\n`, `+colour = blue\n`, "@@ for its owner only @@"} {
		if !strings.Contains(body, want) {
			t.Errorf("/status lacks %s: %s", want, body)
		}
	}
	d.write("objects.yaml", objects("hunter3", "hunter3")) // what was shown is a secret now
	await(t, "it is hidden in what was shown before", func() bool {
		s := k.status()
		_, body = k.get("/status")
		return len(s.Changes) == 2 && !strings.Contains(body, "hunter3")
	})
	k.stop()
}

// A change is short, whatever the file: long diffs are cut, and large files are
// not compared.
func TestLongDiffs(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml": "",
		"conf/conf.d/a.toml": `
[[template]]
contents = '{{ range $i := until 5000 }}line {{ $i }}{{ "\n" }}{{ end }}'
dest = "$DIR/live/long"
[[template]]
contents = '{{ repeat 300000 "x" }}'
dest = "$DIR/live/large"
`,
		"live/keep": "",
	})
	k := startIn(d, "-listen", "127.0.0.1:0")
	k.awaitState("a.toml", stateApplied)
	diff := k.status().Changes[0].Diff
	if len(diff) > maxDiff+100 || !strings.Contains(diff, "+line 100\n") || !strings.HasSuffix(diff, " more lines @@\n") {
		t.Errorf("%d bytes that end in %q, want %d at most and that there are more", len(diff), diff[max(0, len(diff)-60):], maxDiff)
	}
	d.write("conf/conf.d/a.toml", "[[template]]\ncontents = '{{ repeat 300001 \"x\" }}'\ndest = \"$DIR/live/large\"\n")
	await(t, "the large file is written", func() bool { return len(k.status().Changes) == 2 })
	if diff := k.status().Changes[0].Diff; !strings.HasSuffix(diff, "@@ too large to compare @@\n") {
		t.Errorf("got %q, want that it is too large", diff)
	}
	k.stop()
}

// Of changes there are as many as fit; the newest is first.
func TestChangesAreFew(t *testing.T) {
	b := newBoard()
	for n := range 2 * maxChanges {
		b.add(change{Group: fmt.Sprint(n), Outcome: stateApplied})
	}
	latest := b.latest()
	if len(latest) != maxChanges || latest[0].Group != "99" || latest[maxChanges-1].Group != "50" {
		t.Errorf("got %d from %s to %s, want %d from 99 to 50", len(latest), latest[0].Group, latest[len(latest)-1].Group, maxChanges)
	}
	b.add(change{Group: "x", Outcome: stateFailed, Reason: "candidate .a123", Times: 1})
	b.add(change{Group: "y", Outcome: stateFailed, Reason: "candidate .a123", Times: 1})
	b.add(change{Group: "x", Outcome: stateFailed, Reason: "candidate .a456", Times: 1})
	b.add(change{Group: "x", Outcome: stateFailed, Reason: "another", Times: 1})
	var got []string
	for _, c := range b.latest()[:3] {
		got = append(got, fmt.Sprint(c.Group, " ", c.Reason, " ", c.Times))
	}
	if diff := cmp.Diff([]string{"x another 1", "x candidate .a456 2", "y candidate .a123 1"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Of what changes without end, the last is known, and memory stays small.
func TestNewsAreFew(t *testing.T) {
	now := time.Now()
	g := &groupTemplate{}
	for n := range 3 * maxNews {
		g.note(watcher.News{Dependency: watcher.Dependency{Name: fmt.Sprint(n)}, At: now.Add(time.Duration(n))})
	}
	_, first := g.news[watcher.Dependency{Name: "0"}]
	_, last := g.news[watcher.Dependency{Name: fmt.Sprint(3*maxNews - 1)}]
	if len(g.news) != maxNews || first || !last {
		t.Errorf("%d are known, the first: %t, the last: %t; want %d with the last", len(g.news), first, last, maxNews)
	}
}

// unlimited lets a template run for longer than a test does.
const unlimited = "[limits]\niterations = 2147483647\ntime = \"1h\"\n"

// A loop that is in the middle of something that does not end is not ready, and
// whoever asks is told so.
func TestBusyLoop(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml":       settings("blue"),
		"conf/conf.d/a.toml": "[[template]]\ncontents = '{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}'\ndest = \"$DIR/live/a\"\n" + unlimited,
	})
	k := startIn(d, "-listen", "127.0.0.1:0")
	if code, body := k.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "in the middle of a template") {
		t.Errorf("/readyz: got %d %s, want 503 and why", code, body)
	}
	if code, _ := k.get("/"); code != http.StatusOK {
		t.Errorf("the page: got %d, want it all the same", code)
	}
	k.kill()
}

// With -noop nothing is live, and the status says so.
func TestStatusOfNoop(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d, "-listen", "127.0.0.1:0", "-noop")
	k.awaitState("a.toml", stateApplied)
	if s := k.status(); !s.Noop || len(s.Changes) != 0 {
		t.Errorf("got noop %t and %d changes, want true and none", s.Noop, len(s.Changes))
	}
	k.stop()
}
