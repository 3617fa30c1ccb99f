package templates

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// What is rendered passes the check command of its resource file, which is the program's
// own, and what the program does not understand does not.
func TestChecks(t *testing.T) {
	for _, program := range []string{"haproxy", "nginx", "redis-server", "pgbouncer", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v (run: make packages)", err)
		}
	}
	for name, test := range map[string]struct {
		template string
		broken   map[string]string // what is replaced, by what
	}{
		"haproxy.toml": {"haproxy.cfg", map[string]string{
			"mode tcp":            "mode tpc",
			":3306":               ":nowhere",
			"# kconfd: end":       "    server shop-2 10.244.3.12:3306",
			"tcp-check connect":   "tcp-check conect",
			"timeout connect 3s":  "timeout connect soon",
			"inter 2s fastinter ": "inter fastinter ",
		}},
		"nginx-upstreams.toml": {"nginx-upstreams.conf", map[string]string{
			"upstream shop": "upstrem shop",
			":8080":         ":808080",
			"}":             "",
			"    server ":   "    # server ",
		}},
		"redis.toml": {"redis.conf", map[string]string{
			"port ":      "prot ",
			"replicaof ": "replicaof 1 ",
			"dir ":       "dir /does/not/exist",
		}},
		"pgbouncer.toml": {"pgbouncer.ini", map[string]string{
			"auth_type = ": "auth_type = no-",
			"listen_port":  "listen_prot",
			"host=":        "hots=",
		}},
		"prometheus-targets.toml": {"prometheus-targets.json", map[string]string{
			`"targets"`: `"target"`,
			`]`:         ``,
			`"pod"`:     `"p-o-d"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			goldens, err := filepath.Glob(filepath.Join("testdata", test.template, "golden", "*"+filepath.Ext(test.template)))
			if err != nil || len(goldens) < 5 {
				t.Fatalf("only %d golden files: %v", len(goldens), err)
			}
			for _, golden := range goldens {
				t.Run(filepath.Base(golden), func(t *testing.T) {
					t.Parallel()
					if err := check(t, name, readFile(t, golden)); err != nil {
						t.Error(err)
					}
				})
			}
			golden := readFile(t, goldens[len(goldens)-1])
			for before, after := range test.broken {
				t.Run("without "+before, func(t *testing.T) {
					t.Parallel()
					broken := strings.ReplaceAll(golden, before, after)
					if broken == golden {
						t.Fatalf("%q is not in %s", before, goldens[len(goldens)-1])
					}
					if err := check(t, name, broken); err == nil {
						t.Errorf("passed:\n%s", broken)
					}
				})
			}
		})
	}
}

// The resource files are good ones, and each template but my.cnf.tmpl has its own.
func TestResourceFiles(t *testing.T) {
	files, err := filepath.Glob("[^_]*.tmpl")
	if err != nil || len(files) < 6 {
		t.Fatalf("only %d templates: %v", len(files), err)
	}
	confs, err := filepath.Glob("conf.d/*")
	if err != nil {
		t.Fatal(err)
	}
	used := []string{"my.cnf.tmpl"}
	for _, conf := range confs {
		t.Run(filepath.Base(conf), func(t *testing.T) {
			var resource struct {
				Template []struct {
					Src string `toml:"src"`
				} `toml:"template"`
			}
			if err := toml.Unmarshal([]byte(readFile(t, conf)), &resource); err != nil {
				t.Fatal(err)
			}
			used = append(used, resource.Template[0].Src)
			c := testcase{Conf: filepath.Base(conf)}
			out, err := exec.CommandContext(t.Context(), "kconfd", "lint", "-confdir", c.confdir(t, "testdata")).CombinedOutput()
			exit := (*exec.ExitError)(nil)
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(out)) {
				// The packages do not make all directories.
				if !strings.HasSuffix(line, "does not exist here [environment]\n") && !strings.Contains(line, " templates read, ") {
					t.Errorf("kconfd lint: %s", line)
				}
			}
		})
	}
	slices.Sort(used)
	if diff := cmp.Diff(files, used); diff != "" {
		t.Errorf("-templates +used:\n%s", diff)
	}
}

// check has kconfd write the content as the resource file says, but to another place and
// without telling anybody. The error has what kconfd says when it refuses.
func check(t *testing.T, name, content string) error {
	t.Helper()
	var resource struct {
		Template []map[string]any `toml:"template"`
	}
	if err := toml.Unmarshal([]byte(readFile(t, filepath.Join("conf.d", name))), &resource); err != nil {
		t.Fatal(err)
	}
	confdir := t.TempDir()
	dest := filepath.Join(confdir, "dest")
	resource.Template[0] = map[string]any{
		"contents": content, "delims": []string{"<<<", ">>>"}, "dest": dest, "check_cmd": resource.Template[0]["check_cmd"],
	}
	changed, err := toml.Marshal(resource)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.Mkdir(filepath.Join(confdir, "conf.d"), 0o755),
		os.WriteFile(filepath.Join(confdir, "conf.d", name), changed, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "kconfd", "-confdir", confdir, "-manifests", "testdata/manifests/three.yaml", "-onetime").CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil && readFile(t, dest) != content:
		t.Errorf("%s: the file has another content", name)
	case errors.As(err, &exit) && strings.Contains(string(out), "checking"):
		return fmt.Errorf("%w\n%s", err, out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	return nil
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
