package services

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

// The primary is another server from one moment to the next: clients stay connected, and their
// next transaction is on the new one.
func TestPgbouncer(t *testing.T) {
	t.Parallel()
	newPostgres(t, first, second)
	manifests := t.TempDir()
	roles := func(primary, replica string) {
		t.Helper()
		write(t, filepath.Join(manifests, "services.yaml"),
			slice("postgres-primary", "postgres", member{pod: "primary", address: primary, port: 5432})+"---\n"+
				slice("postgres-replicas", "postgres", member{pod: "replica", address: replica, port: 5432}))
	}
	roles(first, second)
	write(t, "/etc/pgbouncer/userlist.txt", `"postgres" ""`+"\n")
	dir := confdir(t, "pgbouncer.toml", map[string]any{
		"databases": map[string]any{"shop": "dbname=postgres"},
		"pgbouncer": map[string]any{
			"auth_type": "trust", "auth_file": "/etc/pgbouncer/userlist.txt", "listen_addr": balancer, "unix_socket_dir": "",
		},
	})
	pgbouncer := start(t, nil, "kconfd", "-confdir", dir, "-manifests", manifests, "-user", "postgres", "--",
		"pgbouncer", "/etc/pgbouncer/pgbouncer.ini")
	connect(t, balancer+":6432").conn.Close()

	callers, ctx := newCallers(t)
	for i := range 2 {
		callers.call(ctx, fmt.Sprintf("session %d", i), newSession(t, "shop"))
	}
	reader := callers.call(ctx, "session of a reader", newSession(t, "shop_ro"))
	fresh := callers.call(ctx, "new connections", func() (string, error) { return psql(ctx, "shop") })
	for range 3 {
		roles(second, first)
		for _, c := range []*caller{callers.all[0], callers.all[1], fresh} {
			c.awaitOnly(t, 5, second)
		}
		reader.awaitOnly(t, 5, first)
		roles(first, second)
		for _, c := range []*caller{callers.all[0], callers.all[1], fresh} {
			c.awaitOnly(t, 5, first)
		}
		reader.awaitOnly(t, 5, second)
	}
	callers.stop()
	pgbouncer.Stop(syscall.SIGTERM)
}

// whoAmI gives the address of the server.
const whoAmI = "SELECT host(inet_server_addr());"

func psqlCommand(ctx context.Context, database string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "psql", append([]string{"-XAtq", "-h", balancer, "-p", "6432", "-U", "postgres", database}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	return cmd
}

// psql asks over a new connection.
func psql(ctx context.Context, database string) (string, error) {
	out, err := psqlCommand(ctx, database, "-c", whoAmI).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// newSession connects, and gives what asks over this connection.
func newSession(t *testing.T, database string) func() (string, error) {
	t.Helper()
	return interactive(t, psqlCommand(t.Context(), database), whoAmI)
}

// newPostgres runs servers at the addresses.
func newPostgres(t *testing.T, addresses ...string) {
	t.Helper()
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		t.Fatalf("there is no PostgreSQL: %v (run: make packages)", err)
	}
	asPostgres := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin[0], args[0]), args[1:]...)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: credential(t, "postgres"), Setpgid: true}
		return cmd
	}
	run(t, exec.Command("install", "-d", "-o", "postgres", "/run/postgres"))
	const made = "/run/postgres/made"
	run(t, asPostgres("initdb", "--no-sync", "--auth=trust", "-D", made))
	write(t, made+"/pg_hba.conf", "host all all 10.244.0.0/16 trust\n")
	for _, address := range addresses {
		data := "/run/postgres/" + address
		run(t, exec.Command("cp", "-a", made, data))
		server := asPostgres("postgres", "-D", data, "-c", "listen_addresses="+address,
			"-c", "unix_socket_directories=", "-c", "shared_buffers=1MB", "-c", "fsync=off")
		log := &process.Output{}
		server.Stdout, server.Stderr = log, log
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = server.Process.Signal(syscall.SIGQUIT) // at once
			_ = server.Wait()
			if t.Failed() {
				t.Logf("PostgreSQL at %s:\n%s", address, log)
			}
		})
		process.Await(t, "PostgreSQL answers", func() bool {
			return exec.CommandContext(t.Context(), filepath.Join(bin[0], "pg_isready"), "-q", "-h", address).Run() == nil
		})
	}
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// credential is that of a user of Debian's packages.
func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatalf("%v (run: make packages)", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
