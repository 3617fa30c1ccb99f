package services

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

const redisPassword = `s3 "cr\et#`

// A redis is a server with its kconfd, in a pod of its own.
type redis struct {
	address string
	kconfd  *process.Process
}

func newRedis(t *testing.T, manifests string, i int, address string) *redis {
	t.Helper()
	data := t.TempDir()
	conf := filepath.Join(data, "redis.conf")
	dir := confdir(t, "redis.toml", map[string]any{
		"bind": address, "dir": data, "secret": "redis", "options": map[string]any{"save": `""`, "repl-diskless-sync-delay": 0},
	}, "/etc/redis/redis.conf", conf)
	env := []string{
		fmt.Sprintf("POD_NAME=redis-%d", i), "POD_NAMESPACE=default", "POD_IP=" + address, "REDISCLI_AUTH=" + redisPassword,
	}
	return &redis{address, start(t, env, "kconfd", "-confdir", dir, "-manifests", manifests, "--", "redis-server", conf)}
}

// login gives a connection with which one may ask.
func (r *redis) login(t *testing.T) *line {
	t.Helper()
	l := connect(t, r.address+":6379")
	if answer, err := l.ask("AUTH " + `"s3 \"cr\\et#"`); err != nil || answer != "+OK" {
		t.Fatalf("logging in to %s: %q, %v", r.address, answer, err)
	}
	return l
}

// get gives the value of a key.
func (l *line) get(key string) (string, error) {
	length, err := l.ask("GET " + key)
	if err != nil || !strings.HasPrefix(length, "$") {
		return "", fmt.Errorf("getting %s: %s %w", key, length, err)
	}
	if length == "$-1" {
		return "", nil
	}
	value, err := l.reader.ReadString('\n')
	return strings.TrimSpace(value), err
}

// Another server becomes the primary: none is restarted, clients of all three stay connected and
// are answered all the while, and what is written to the new primary is on the others.
func TestRedis(t *testing.T) {
	t.Parallel()
	manifests := t.TempDir()
	addresses := []string{first, second, third}
	primary := func(i int) {
		t.Helper()
		write(t, filepath.Join(manifests, "primary.yaml"),
			slice("redis-primary", "redis", member{pod: fmt.Sprintf("redis-%d", i), address: addresses[i], port: 6379}))
	}
	primary(0)
	write(t, filepath.Join(manifests, "secret.yaml"),
		"apiVersion: v1\nkind: Secret\nmetadata: {name: redis}\nstringData: {password: 's3 \"cr\\et#'}\n")
	var servers []*redis
	for i, address := range addresses {
		servers = append(servers, newRedis(t, manifests, i, address))
	}
	callers, ctx := newCallers(t)
	var logins []*line
	for _, server := range servers {
		logins = append(logins, server.login(t))
	}
	awaitReplicated(t, logins, 0, "begin")
	for i, server := range servers {
		long := server.login(t)
		callers.call(ctx, fmt.Sprintf("server %d", i), func() (string, error) {
			value, err := long.get("key")
			if err == nil && value == "" {
				err = fmt.Errorf("it has forgotten the key")
			}
			return value, err
		})
	}
	for _, i := range []int{1, 2, 0} {
		primary(i)
		awaitReplicated(t, logins, i, fmt.Sprintf("primary-%d", i))
	}
	callers.stop()
	for i, server := range servers {
		if got := strings.Count(server.kconfd.Log(), "child started"); got != 1 {
			t.Errorf("server %d was started %d times, want once", i, got)
		}
		server.kconfd.Stop(syscall.SIGTERM)
	}
}

// awaitReplicated waits until the server takes what is written, and all have it.
func awaitReplicated(t *testing.T, logins []*line, primary int, value string) {
	t.Helper()
	process.Await(t, fmt.Sprintf("server %d is the primary", primary), func() bool {
		answer, err := logins[primary].ask("SET key " + value)
		if err != nil {
			t.Fatal(err)
		}
		return answer == "+OK"
	})
	for i, login := range logins {
		process.Await(t, fmt.Sprintf("server %d has what the primary has", i), func() bool {
			got, err := login.get("key")
			if err != nil {
				t.Fatal(err)
			}
			return got == value
		})
	}
}
