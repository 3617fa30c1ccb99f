// Package image tests the configuration that is in the images, with the real server
// program.
package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/test/build"
)

// TestMain builds kconfd for the checks to find in PATH.
func TestMain(m *testing.M) { os.Exit(build.InPath(m.Run)) }

// A container is what an image has in /etc/kconfd, with its volumes in a directory.
type container struct {
	t   *testing.T
	dir string
}

// newContainer takes resource files from these paths. The cluster is testdata's.
func newContainer(t *testing.T, files ...string) container {
	t.Helper()
	c := container{t, t.TempDir()}
	for _, dir := range []string{"etc/conf.d", "run", "lib"} {
		if err := os.MkdirAll(filepath.Join(c.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(c.dir, "etc/templates"), os.DirFS("../../templates")); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		c.copy(file, "etc/conf.d/"+filepath.Base(file))
	}
	c.copy("testdata/cluster.yaml", "cluster.yaml")
	return c
}

func (c container) copy(from, to string) {
	c.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(to, strings.NewReplacer("/run/mysqld", c.dir+"/run", "/var/lib/mysql", c.dir+"/lib").Replace(string(content)))
}

func (c container) write(name, content string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c container) read(name string) string {
	c.t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(content)
}

func (c container) kconfd(words ...string) (string, error) {
	cmd := exec.Command("kconfd", append(words, "-confdir", c.dir+"/etc")...)
	cmd.Env = append(os.Environ(), "POD_NAME=pxc-0", "POD_NAMESPACE=default", "POD_IP=10.0.0.1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// once writes what has changed. There is no server to restart and to wait for.
func (c container) once() (string, error) {
	before, _, _ := strings.Cut(c.read("etc/conf.d/settings.toml"), "\n[reload]")
	c.write("etc/conf.d/settings.toml", before)
	return c.kconfd("-onetime", "-timeout", "1s", "-manifests", c.dir+"/cluster.yaml")
}

// Both files are written, the server reads them as one, and what it would not take does
// not go live.
func TestMariaDB(t *testing.T) {
	c := newContainer(t, "conf.d/galera.toml", "conf.d/settings.toml")
	if out, err := c.kconfd("lint"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := c.once(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := c.value("max-connections"); got != "200" {
		t.Errorf("max_connections: got %q, want 200", got)
	}
	if got, want := c.value("wsrep-cluster-address"), "gcomm://10.0.0.1,10.0.0.2"; got != want {
		t.Errorf("wsrep_cluster_address: got %q, want %q", got, want)
	}

	before := c.read("run/settings.cnf")
	for name, setting := range map[string]string{
		"unknown":           "max_conections = 300",
		"founds a cluster":  "wsrep_cluster_address = gcomm://",
		"out of range":      "net_buffer_length = 1",
		"a template's rest": "max_connections = <no value>",
	} {
		cluster := c.read("cluster.yaml")
		c.write("cluster.yaml", strings.Replace(cluster, "max_connections = 200", setting, 1))
		if out, err := c.once(); err == nil {
			t.Errorf("%s: accepted:\n%s", name, out)
		}
		if got := c.read("run/settings.cnf"); got != before {
			t.Errorf("%s: went live:\n%s", name, got)
		}
		c.write("cluster.yaml", cluster)
	}

	// What belongs to the cluster is not a matter of settings.
	c.write("cluster.yaml", strings.Replace(c.read("cluster.yaml"), "max_connections = 200", "server_id = 9\n    datadir = /elsewhere\n    innodb_buffer_pool_size = 32M", 1))
	if out, err := c.once(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"server-id": "1", "datadir": c.dir + "/lib/data/", "innodb-buffer-pool-size": "33554432"} {
		if got := c.value(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// value is a variable as the server reads it.
func (c container) value(name string) string {
	c.t.Helper()
	out, err := exec.Command("mariadbd", "--defaults-file="+c.dir+"/run/my.cnf", "--wsrep-status-file=", "--verbose", "--help").Output()
	if err != nil {
		c.t.Fatalf("%v (run: make packages)", err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			return fields[1]
		}
	}
	return ""
}

// There is no Percona on this machine: its file is rendered, and not checked.
func TestPercona(t *testing.T) {
	c := newContainer(t, "percona/galera.toml", "conf.d/settings.toml")
	if out, err := c.kconfd("lint"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := c.kconfd("render", "-manifests", c.dir+"/cluster.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"\nwsrep_notify_cmd = \"kconfd galera notify\"\n", "\nwsrep_provider = /usr/lib64/galera4/libgalera_smm.so\n",
		"\nwsrep_cluster_address = gcomm://10.0.0.1,10.0.0.2\n", "!include " + c.dir + "/run/settings.cnf\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// What the images copy is in the repository, and is not kept from the builder.
func TestDockerfiles(t *testing.T) {
	for _, name := range []string{"Dockerfile", "Dockerfile.percona", "Dockerfile.kconfd"} {
		content, err1 := os.ReadFile(name)
		ignore, err2 := os.ReadFile(name + ".dockerignore")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		copies := 0
		for line := range strings.Lines(string(content)) {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "COPY" {
				continue
			}
			for _, source := range words[1 : len(words)-1] {
				copies++
				if _, err := os.Stat("../../" + source); err != nil && source != "bin/kconfd" { // which make builds
					t.Errorf("%s: %v", name, err)
				}
				if !shown(string(ignore), source) {
					t.Errorf("%s: the builder does not get %s", name, source)
				}
			}
		}
		if copies == 0 {
			t.Errorf("%s copies nothing", name)
		}
	}
}

// shown says whether a path is below one that a .dockerignore excepts.
func shown(ignore, path string) bool {
	for line := range strings.Lines(ignore) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok && (path == dir || strings.HasPrefix(path, dir+"/")) {
			return true
		}
	}
	return false
}
