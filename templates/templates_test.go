// Package templates tests the templates of this directory with the real kconfd,
// and what they give with the real programs that read it.
//
// To test another template, add a directory to testdata that is called like it, with
// what is rendered in cases.toml: a resource file, of conf.d there or else of the one
// beside the templates, and manifests of what is in the cluster. `go test ./templates -update`
// writes the results to golden.
package templates

import (
	"bytes"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/test/build"
)

// update is the flag -update.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

// TestMain builds kconfd for the tests to find in PATH.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files")
	flag.Parse()
	os.Exit(build.InPath(m.Run))
}

// testcase is one of a cases.toml.
type testcase struct {
	Conf      string         `toml:"conf"`
	Values    map[string]any `toml:"values"`
	Manifests []string       `toml:"manifests"`
	Pod       string         `toml:"pod"`
	IP        string         `toml:"ip"`
}

// cases returns those of one template.
func cases(t *testing.T, dir string) map[string]testcase {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "cases.toml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all map[string]testcase
	if err := toml.NewDecoder(file).DisallowUnknownFields().Decode(&all); err != nil {
		t.Fatalf("%s: %v", file.Name(), err)
	}
	return all
}

func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/*/cases.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata/*/cases.toml: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		all := cases(t, dir)
		goldens := goldensOf(dir, all)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			for name, c := range all {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					compare(t, goldens[name], c.render(t, dir, strings.HasPrefix(name, "held-")))
				})
			}
		})
		removeOthers(t, filepath.Join(dir, "golden"), slices.Collect(maps.Values(goldens)))
	}
}

// goldensOf are the golden files of the cases, by their names.
func goldensOf(dir string, all map[string]testcase) map[string]string {
	goldens := map[string]string{}
	for name := range all {
		extension := filepath.Ext(filepath.Base(dir))
		if strings.HasPrefix(name, "held-") {
			extension = ".txt"
		}
		goldens[name] = filepath.Join(dir, "golden", name+extension)
	}
	return goldens
}

// compare demands that the golden file has the content, or gives it that.
func compare(t *testing.T, golden, content string) {
	t.Helper()
	if update() {
		if err := errors.Join(
			os.MkdirAll(filepath.Dir(golden), 0o755),
			os.WriteFile(golden, []byte(content), 0o644),
		); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (run: go test ./templates -update)", err)
	}
	if diff := cmp.Diff(string(want), content); diff != "" {
		t.Errorf("%s: -want +got:\n%s", golden, diff)
	}
}

// removeOthers demands that dir has no files but the goldens, or removes them.
func removeOthers(t *testing.T, dir string, goldens []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		switch {
		case slices.Contains(goldens, file):
		case update():
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s: no case gives it", file)
		}
	}
}

// render returns what kconfd prints, or why it withholds the file.
func (c testcase) render(t *testing.T, dir string, held bool) string {
	t.Helper()
	timeout := "30s"
	if held {
		timeout = "1s"
	}
	args := []string{"render", "-confdir", c.confdir(t, dir), "-timeout", timeout}
	for _, manifest := range c.Manifests {
		args = append(args, "-manifests", filepath.Join(dir, "manifests", manifest))
	}
	cmd := exec.CommandContext(t.Context(), "kconfd", args...)
	cmd.Env = append(os.Environ(), "POD_NAME="+c.Pod, "POD_NAMESPACE=default", "POD_IP="+c.IP)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case !held && err != nil:
		t.Fatalf("%v\n%s", err, stderr.String())
	case !held:
		return stdout.String()
	case !errors.As(err, &exit) || exit.ExitCode() != 3:
		t.Fatalf("got %v, want exit code 3\n%s%s", err, stdout.String(), stderr.String())
	case stdout.Len() > 0:
		t.Errorf("withheld, but printed:\n%s", stdout.String())
	}
	return reason(stderr.String())
}

// reason is the last part of the last line of what kconfd says: before it stand
// the resource file and the place in the template.
func reason(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	parts := regexp.MustCompile(`(error calling \w+|\.tmpl:\d+:\d+): `).Split(lines[len(lines)-1], -1)
	return parts[len(parts)-1] + "\n"
}

// confdir makes a configuration directory of the templates and the case's
// resource file.
func (c testcase) confdir(t *testing.T, dir string) string {
	t.Helper()
	conf := filepath.Join(dir, "conf.d", c.Conf)
	content, err := os.ReadFile(conf)
	if errors.Is(err, os.ErrNotExist) {
		conf = filepath.Join("conf.d", c.Conf)
		content, err = os.ReadFile(conf)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Values) > 0 {
		content = c.withValues(t, conf, content)
	}
	templates, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	confdir := t.TempDir()
	if err := errors.Join(
		os.Mkdir(filepath.Join(confdir, "conf.d"), 0o755),
		os.WriteFile(filepath.Join(confdir, "conf.d", c.Conf), content, 0o644),
		os.Symlink(templates, filepath.Join(confdir, "templates")),
	); err != nil {
		t.Fatal(err)
	}
	return confdir
}

// withValues returns the resource file with the case's own values.
func (c testcase) withValues(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var resource map[string]any
	if err := toml.Unmarshal(content, &resource); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	values, ok := resource["values"].(map[string]any)
	if !ok {
		t.Fatalf("%s has no [values]", name)
	}
	maps.Copy(values, c.Values)
	merged, err := toml.Marshal(resource)
	if err != nil {
		t.Fatal(err)
	}
	return merged
}

// What is rendered for MariaDB is to the taste of MariaDB, and what is rendered
// for Percona XtraDB Cluster as far as MariaDB can tell.
func TestGaleraChecksMyCnf(t *testing.T) {
	goldens, err := filepath.Glob("testdata/my.cnf/golden/*.cnf")
	if err != nil || len(goldens) < 20 {
		t.Fatalf("only %d golden files: %v", len(goldens), err)
	}
	for _, golden := range goldens {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			content, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if err := galera.Guard(content); err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(filepath.Base(golden), "percona") {
				content = forMariaDB(content)
			}
			if err := (galera.Check{File: stage(t, content)}).Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// forMariaDB replaces what only Percona XtraDB Cluster has.
func forMariaDB(content []byte) []byte {
	for pattern, replacement := range map[string]string{
		`(?m)^pxc_.*\n`:                      "",
		`(?m)^wsrep_provider = .*`:           "wsrep_on = ON\nwsrep_provider = /usr/lib/galera/libgalera_smm.so",
		`(?m)^wsrep_sst_method = xtrabackup`: "wsrep_sst_method = rsync\n# xtrabackup",
	} {
		content = regexp.MustCompile(pattern).ReplaceAll(content, []byte(replacement))
	}
	return content
}

// stage writes the content to a file of its own.
func stage(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cluster.cnf")
	if err := os.WriteFile(file, content, 0o640); err != nil {
		t.Fatal(err)
	}
	return file
}

// Values with characters that mean something in an option file reach the server
// as they are.
func TestMyCnfQuotes(t *testing.T) {
	out, err := exec.Command("/usr/sbin/mariadbd", "--defaults-file=testdata/my.cnf/golden/settings.cnf", "--verbose", "--help").Output()
	if err != nil {
		t.Fatalf("mariadbd --verbose --help: %v", err)
	}
	for name, want := range map[string]string{
		"wsrep-sst-auth": `sst:s#c r"e\t;`,
		"init-connect":   `SET @who = 'kconfd # "1"'`,
		"sql-mode":       "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
		"slow-query-log": "TRUE",
		"bind-address":   "0.0.0.0",
	} {
		line := regexp.MustCompile(`(?m)^` + name + ` +(.*)$`).FindSubmatch(out)
		if line == nil {
			t.Errorf("the server does not tell %s", name)
		} else if got := string(line[1]); got != want {
			t.Errorf("%s: the server reads %q, want %q", name, got, want)
		}
	}
}

// The settings that a template explains are those that it reads.
func TestTemplatesExplainTheirSettings(t *testing.T) {
	files, err := filepath.Glob("[^_]*.tmpl")
	if err != nil || len(files) < 6 {
		t.Fatalf("only %d templates: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			explanation, code, found := strings.Cut(string(content), "*/")
			if !found {
				t.Fatal("it does not begin with a comment")
			}
			if diff := cmp.Diff(explained(explanation), read(code)); diff != "" {
				t.Errorf("-explained +read:\n%s", diff)
			}
		})
	}
}

// explained are the settings in a list of them, two blanks before and behind.
func explained(text string) []string {
	var names []string
	for _, line := range regexp.MustCompile(`(?m)^  ([a-z_]+(?:, [a-z_]+)*)  `).FindAllStringSubmatch(text, -1) {
		names = append(names, strings.Split(line[1], ", ")...)
	}
	slices.Sort(names)
	return names
}

// read are the settings that a template asks for.
func read(code string) []string {
	var names []string
	for _, call := range regexp.MustCompile(`\$(?:values|upstream) \| dig "(\w+)"`).FindAllStringSubmatch(code, -1) {
		names = append(names, call[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
