package galera

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Included files are read where and as the server reads them.
func TestReadOptions(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"my.cnf":     "[mysqld]\nport=1\n!include DIR/one\nport=2\n!includedir DIR/more\n[client]\nport=3\n!include DIR/none\n[mysqld]\nback_log=4\n",
		"one":        "[client]\nport=5\n[mysqld]\nmax_connections=6\n!include DIR/two\nmax_connections=7\n",
		"two":        "[mariadb]\nport=8\n",
		"more/b.cnf": "[mysqld]\nback_log=9\n",
		"more/a.cnf": "[mysqld]\nback_log=10\n",
		"more/c":     "[mysqld]\nback_log=11\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options, err := readOptions(filepath.Join(dir, "my.cnf"))
	if err != nil {
		t.Fatal(err)
	}
	var got, lines []string
	for _, o := range options {
		got = append(got, fmt.Sprintf("--%s=%s", o.Name, o.Value))
		lines = append(lines, fmt.Sprint(o.Line))
	}
	out, err := exec.Command("my_print_defaults", "--defaults-file="+filepath.Join(dir, "my.cnf"), "--mariadbd").Output()
	if err != nil {
		t.Fatalf("%v (run: make packages)", err)
	}
	if diff := cmp.Diff(nonEmptyLines(string(out)), got); diff != "" {
		t.Errorf("-server +got:\n%s", diff)
	}
	if got, want := strings.Join(lines, " "), "2 4 2 6 4 2 2 10"; got != want {
		t.Errorf("lines: got %s, want %s", got, want)
	}
}

// A file that includes itself comes to an end.
func TestReadOptionsCircle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.cnf")
	if err := os.WriteFile(file, []byte("!include "+file+"\n[mysqld]\nport=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	options, err := readOptions(file)
	if last, found := lastOf(options, "port"); !found || last.Value != "1" || err != nil {
		t.Errorf("got %v, %v", options, err)
	}
}
