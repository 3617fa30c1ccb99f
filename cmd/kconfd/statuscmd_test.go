package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kconfdStatus runs `kconfd status` and gives its exit code and what it printed.
func kconfdStatus(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command("kconfd", append([]string{"status"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// A terminal shows what the page shows, and the exit code whether all is applied.
func TestStatusCommand(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/templates/a.tmpl"] = `{{ if eq (configMap "settings").colour "red" }}{{ fail "not red" }}{{ end }}{{ (configMap "settings").colour }}` + "\n"
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	k.awaitState("a.toml", stateApplied)
	address := k.address()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]struct{ env, args []string }{
		"by flag":        {nil, []string{"-listen", address}},
		"without a host": {nil, []string{"-listen", ":" + port}},
		"any address":    {nil, []string{"-listen", "0.0.0.0:" + port}},
		"by environment": {[]string{"KCONFD_LISTEN=" + address}, nil},
		// What the daemon beside it takes as well must not be in the way.
		"with the daemon's own": {[]string{"KCONFD_LISTEN=" + address, "KCONFD_CONFDIR=" + d.file("conf"), "KCONFD_EVENTS=true", "HTTP_PROXY=http://127.0.0.1:1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, log := kconfdStatus(t, call.env, call.args...)
			if code != 0 || log != "" {
				t.Errorf("got exit code %d and %q", code, log)
			}
			for _, want := range []string{
				"in default: kconfd dev, up ", ", all applied\n", "applied    " + d.file("conf/conf.d/a.toml") + ", for ",
				"  action   exec \"cat ", "  file     " + d.file("live/a") + " from a.tmpl, written ",
				"             ConfigMap \"settings\" in namespace \"default\"\n", "watches\n", "    1 objects  seen ", "last changes\n", ", by start\n",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("lacks %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, "+blue") {
				t.Errorf("has the diff, which was not asked for:\n%s", out)
			}
		})
	}
	if _, out, _ := kconfdStatus(t, nil, "-listen", address, "-diff"); !strings.Contains(out, "\n    +blue\n") {
		t.Errorf("-diff lacks the diff:\n%s", out)
	}

	d.write("objects.yaml", settings("red"))
	k.awaitState("a.toml", stateHeld)
	code, out, log := kconfdStatus(t, nil, "-listen", address)
	if code != 1 || log != "" || !strings.Contains(out, ", not all applied\n") || !strings.Contains(out, "  why      rendering \"a.tmpl\": ") {
		t.Errorf("held: got exit code %d, %q and\n%s", code, log, out)
	}
	code, out, _ = kconfdStatus(t, nil, "-listen", address, "-json")
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 1 || s.group(t, "a.toml").State != stateHeld {
		t.Errorf("-json: got exit code %d, %v in %s", code, err, out)
	}
	k.stop()
	code, out, log = kconfdStatus(t, nil, "-listen", address)
	if code != 2 || out != "" || !strings.Contains(log, "asking the kconfd at \""+address+"\": dial tcp "+address+": connect: connection refused") {
		t.Errorf("when it has ended: got exit code %d, %q, %q", code, out, log)
	}
}

// Whatever is at the address, and however it is named, is no reason to hang, or to
// say that all is well.
func TestStatusCommandInTrouble(t *testing.T) {
	t.Parallel()
	serve := func(code int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deaf.Close() })
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no address":       {nil, "-listen or KCONFD_LISTEN says where the kconfd is to be asked"},
		"no such flag":     {[]string{"-jason"}, "there is no flag -jason of kconfd status"},
		"no such host":     {[]string{"-listen", "nobody.invalid:1"}, "lookup nobody.invalid"},
		"no port":          {[]string{"-listen", "127.0.0.1"}, "missing port"},
		"another server":   {[]string{"-listen", serve(404, "404 page not found")}, "404 Not Found: 404 page not found"},
		"another language": {[]string{"-listen", serve(200, "<html>")}, "what is there is no kconfd"},
		"other JSON":       {[]string{"-listen", serve(200, "{}")}, "what is there is no kconfd"},
		"an escape":        {[]string{"-listen", serve(500, "\x1b[2J")}, "500 Internal Server Error: \ufffd[2J"},
		"busy":             {[]string{"-listen", serve(503, errBusy.Error())}, "in the middle of a template"},
		"no answer":        {[]string{"-listen", deaf.Addr().String()}, "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, log := kconfdStatus(t, nil, test.args...)
			if code != 2 || out != "" || !strings.Contains(log, test.want) {
				t.Errorf("got exit code %d, %q and %q, want 2 and %q", code, out, log, test.want)
			}
		})
	}
}

// All of it, with a gate, a child and watches that do not work, and nothing that a
// terminal would take for an order.
func TestStatusAsText(t *testing.T) {
	s := aStatus()
	s.Noop, s.Refused = true, "line 3: there is no key \"ownr\""
	s.Groups[0].Gate.StoppedBy, s.Groups[0].Gate.Reason = "pxc-node1-0", "verification failed"
	s.Groups[0].Stale = "reading endpoints of service \"pxc\": connection refused"
	s.Groups[0].Files[0].More = 7
	s.Groups[1].NextTry = s.Time.Add(12 * time.Second)
	s.Groups[2].Gate = &gateStatus{Lease: "prod/exporter"}
	s.Watches[0].Error, s.Watches[1].Listed, s.Watches[2].Healthy = "denied: \x1b[2J\x07", false, false
	s.Changes = s.Changes[1:2]
	s.Changes[0].Diff = "-a\n+b\n"
	var out strings.Builder
	if err := s.print(&out, true); err != nil {
		t.Fatal(err)
	}
	const want = `pxc-node2-0 in prod: kconfd 1.2.0, up 3d, not all applied
with -noop: nothing is written and nobody is told
the configuration on disk is refused, the one before stays: line 3: there is no key "ownr"

applied    /etc/kconfd/conf.d/galera.toml, for 3d, last applied 2m ago
  stale    reading endpoints of service "pxc": connection refused
  action   restart
  gate     prod/pxc-cluster, held by pxc-node1-0, waiting pxc-node2-0, pxc-node3-0, stopped by pxc-node1-0: verification failed
  file     /etc/mysql/conf.d/cluster.cnf from my.cnf.tmpl, written 2m ago
             Services with labels "app=pxc" in namespace "prod", changed 2m ago: pxc-node4
             ConfigMap "settings" in namespace "prod"
             and 7 more

held       /etc/kconfd/conf.d/haproxy.toml, for 40s
  why      rendering "haproxy.cfg.tmpl": haproxy.cfg.tmpl:12:9: want at least 3, have 2, next try in 12s
  action   signal USR2 to pid file "/run/haproxy.pid"
  file     /etc/haproxy/haproxy.cfg from haproxy.cfg.tmpl, written 26h ago
             endpoints of service "pxc" in namespace "prod", changed 40s ago
             Secret "monitor" in namespace "prod"

applied    /etc/kconfd/conf.d/exporter.toml, for 3d, last applied 30h ago
  action   none
  gate     prod/exporter, held by nobody, waiting nobody
  file     /run/exporter/targets.json from targets.tmpl, written 30h ago
             ConfigMap "settings" in namespace "prod"

child mariadbd: ready, instance 3, started 118s ago

watches
  ConfigMap "settings" in namespace "prod"                1 objects  seen  12s ago  denied: ` + "\ufffd[2J\ufffd" + `
  endpoints of service "pxc" in namespace "prod"          1 objects  seen  40s ago  not listed yet
  Secret "monitor" in namespace "prod"                    1 objects  seen   8s ago  silent
  Services with labels "app=pxc" in namespace "prod"      4 objects  seen  31s ago  ok

last changes
  26h ago  failed  /etc/kconfd/conf.d/haproxy.toml, 4 times, in 48ms, by configuration
    checking "/etc/haproxy/haproxy.cfg": command "haproxy -c -f .haproxy.cfg123": exit status 1: unknown keyword 'sever' in 'listen' section
    -a
    +b
`
	if diff := cmp.Diff(strings.ReplaceAll(want, "118s", "1m"), out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 99*time.Second + 999*time.Millisecond: "99s", 100 * time.Second: "1m", 99 * time.Minute: "99m",
		100 * time.Minute: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := short(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
