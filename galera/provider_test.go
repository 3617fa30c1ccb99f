package galera

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The names are right when the real provider shows no other, takes all that it
// does not show, and takes none of Percona's.
func TestProviderNamesAreTheProviders(t *testing.T) {
	server := newServer(t)
	known := providerNames("", true)
	var shown []string
	for _, option := range parseProviderOptions(server.providerOptions(t)) {
		shown = append(shown, option.key)
		if !slices.Contains(known, option.key) {
			t.Errorf("the provider knows %q", option.key)
		}
	}
	if len(shown) < 60 {
		t.Errorf("the provider shows only %d options: %v", len(shown), shown)
	}
	for _, name := range providerNames("", false) {
		if slices.Contains(shown, name) {
			continue
		}
		if got, want := server.takes(t, name), slices.Contains(known, name); got != want {
			t.Errorf("the provider takes %q: %v, want %v", name, got, want)
		}
	}
}

func TestProviderNames(t *testing.T) {
	for name, test := range map[string]struct {
		provider string
		mariadb  bool
		option   string
		want     bool
	}{
		"both generations":        {"/usr/lib/galera3/libgalera_smm.so", false, "gcache.size", true},
		"Galera 4, MariaDB":       {"/usr/lib/galera/libgalera_smm.so", true, "gcs.vote_policy", true},
		"Galera 4, Percona":       {"/usr/lib64/galera4/libgalera_smm.so", false, "gcs.vote_policy", true},
		"not Galera 3":            {"/usr/lib/galera3/libgalera_smm.so", false, "gcs.vote_policy", false},
		"not MariaDB's Galera 3":  {"/usr/lib/galera-3/libgalera_smm.so", true, "gcs.vote_policy", false},
		"Percona's":               {"/usr/lib64/galera4/libgalera_smm.so", false, "gcache.encryption", true},
		"Percona's, with MariaDB": {"/usr/lib/galera/libgalera_smm.so", true, "gcache.encryption", false},
		"nobody's":                {"/usr/lib64/galera4/libgalera_smm.so", false, "gcache.sise", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := slices.Contains(providerNames(test.provider, test.mariadb), test.option); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := providerNames("", false)
	for key, want := range map[string]string{
		"gcache.sise":        "gcache.size",
		"gcache_size":        "gcache.size",
		"evs.suspect_timout": "evs.suspect_timeout",
		"gcs.fc_limits":      "gcs.fc_limit",
		"pc.wait_primm":      "pc.wait_prim",
		"something.else":     "",
		"":                   "",
	} {
		if got := nearest(key, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", key, got, want)
		}
	}
}

// realServer is a MariaDB server of its own with Galera, all on loopback.
type realServer struct {
	dir, config string
}

// newServer initialises a data directory.
func newServer(t *testing.T) realServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "galera")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The server runs as mysql when the test runs as root.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := realServer{dir: dir, config: filepath.Join(dir, "my.cnf")}
	s.configure(t, "gcache.size=1M")
	out, err := exec.Command("mariadb-install-db", "--defaults-file="+s.config, "--user=mysql",
		"--skip-test-db", "--auth-root-authentication-method=socket", "--auth-root-socket-user=root", "--wsrep-on=OFF").CombinedOutput()
	if err != nil {
		t.Fatalf("mariadb-install-db (of the package mariadb-server): %v\n%s", err, out)
	}
	return s
}

// configure writes the server's option file.
func (s realServer) configure(t *testing.T, providerOptions string) {
	t.Helper()
	port := freePort(t)
	content := fmt.Sprintf(`[mysqld]
user=mysql
datadir=%[1]s/data
socket=%[1]s/data/sock
skip-networking
binlog_format=ROW
innodb_buffer_pool_size=16M
innodb_log_file_size=8M
wsrep_on=ON
wsrep_provider=/usr/lib/galera/libgalera_smm.so
wsrep_provider_options="gmcast.listen_addr=tcp://127.0.0.1:%[2]d;%[3]s"
wsrep_cluster_address=gcomm://nonesuch.invalid
wsrep_node_address=127.0.0.1
`, s.dir, port, providerOptions)
	if err := os.WriteFile(s.config, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// providerOptions returns what the provider of a running node shows.
func (s realServer) providerOptions(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The server says READY=1 here when it takes queries.
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	if err := os.Chmod(notify.LocalAddr().String(), 0o777); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "/usr/sbin/mariadbd", "--defaults-file="+s.config, "--wsrep-new-cluster")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	waitReady(t, notify)

	query := "SELECT @@GLOBAL.wsrep_provider_options"
	out, err := exec.CommandContext(ctx, "mariadb", "--no-defaults", "-N", "-B", "-S", s.dir+"/data/sock", "-e", query).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", query, err, out, log.String())
	}
	return string(out)
}

// waitReady returns when the server has said that it is ready.
func waitReady(t *testing.T, notify *net.UnixConn) {
	t.Helper()
	if err := notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			t.Fatalf("waiting for the server to be ready: %v", err)
		}
		if strings.Contains(string(message[:n]), "READY=1") {
			return
		}
	}
}

// takes says whether the provider starts with an option of the name. The value is
// none, and there is nobody to join: the server ends in any case.
func (s realServer) takes(t *testing.T, name string) bool {
	t.Helper()
	s.configure(t, name+"=1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/mariadbd", "--defaults-file="+s.config).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("with %s=1: error %v, want an exit code\n%s", name, err, out)
	}
	return !strings.Contains(string(out), "Unrecognized parameter '"+name+"'")
}
