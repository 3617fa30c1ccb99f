package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mariadb makes a directory with a configuration for a real mariadbd, and what
// is behind kconfd's flags to run it.
func mariadb(t *testing.T, process string) (dir, []string) {
	t.Helper()
	d := newDir(t, map[string]string{
		"objects.yaml": settings(`"100"`),
		"conf/templates/my.cnf.tmpl": `[mysqld]
datadir = $DIR/data
socket = $DIR/socket
pid-file = $DIR/pid
log-error = $DIR/error.log
skip-networking
innodb_buffer_pool_size = 8M
innodb_log_file_size = 4M
performance_schema = OFF
max_connections = {{ (configMap "settings").colour }}
`,
		"conf/conf.d/my.toml": `
[[template]]
src = "my.cnf.tmpl"
dest = "$DIR/my.cnf"
[reload]
action = "restart"
[process]
ready = "notify"
stop_grace = "none"
` + process,
	})
	for _, sub := range []string{"data", "tmp"} {
		if err := os.Mkdir(d.file(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+d.file("data"), "--tmpdir="+d.file("tmp"), "--auth-root-authentication-method=normal", "--skip-test-db")
	args := []string{"--", "mariadbd", "--defaults-file=" + d.file("my.cnf")}
	if os.Getuid() == 0 {
		install.Args = append(install.Args, "--user=root")
		args = append(args, "--user=root")
	}
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v (run: make packages)\n%s", err, out)
	}
	return d, args
}

// mariadbPID is the server's process id, as it sees it.
func (d dir) mariadbPID() int {
	pid, _ := strconv.Atoi(strings.TrimSpace(d.read("pid"))) // 0 when it is not there yet
	return pid
}

// wantShutdown fails when the server has not shut down so many times.
func (d dir) wantShutdown(want int) {
	d.t.Helper()
	if got := strings.Count(d.read("error.log"), "Shutdown complete\n"); got != want {
		d.t.Errorf("mariadbd has shut down %d times, want %d", got, want)
	}
}

// A real mariadbd says that it is ready, is restarted for a change, and shuts
// down cleanly on SIGTERM.
func TestMariadbd(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d, args := mariadb(t, "")
		k := startWay(t, way, filed(d, args...)...)
		k.awaitLog(`child ready" instance=1`)
		d.write("objects.yaml", settings(`"200"`))
		k.awaitLog(`child ready" instance=2`)
		d.wantShutdown(1)
		out, err := exec.Command("mariadb", "--no-defaults", "-uroot", "-S", d.file("socket"), "-Ne", "select @@max_connections").CombinedOutput()
		if err != nil || string(out) != "200\n" {
			t.Errorf("max_connections: got %q, %v", out, err)
		}
		took, code := k.end(syscall.SIGTERM)
		t.Logf("ended after %v", took)
		if code != 0 {
			t.Errorf("got exit code %d, want 0", code)
		}
		d.wantShutdown(2)
	})
}

// A mariadbd that was killed comes back, and recovers.
func TestMariadbdKilled(t *testing.T) {
	t.Parallel()
	d, args := mariadb(t, "restart = \"on-failure\"\nrestart_wait = \"50ms:1s\"\n")
	k := start(t, filed(d, args...)...)
	k.awaitLog(`child ready" instance=1`)
	if err := syscall.Kill(d.mariadbPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.awaitLog(`child ready" instance=2`)
	k.wantEnd(0)
	d.wantShutdown(1)
}

// When the worker is killed, mariadbd is shut down cleanly.
func TestMariadbdWorkerKilled(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d, args := mariadb(t, "")
		k := startWay(t, way, filed(d, args...)...)
		k.awaitLog(`child ready" instance=1`)
		start := time.Now()
		if err := syscall.Kill(k.worker(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := k.code(); got != 137 {
			t.Errorf("got exit code %d, want 137", got)
		}
		t.Logf("ended after %v", time.Since(start))
		d.wantShutdown(1)
	})
}
