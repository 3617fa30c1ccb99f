package galera

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseOptions(t *testing.T) {
	mysqld := func(line int, name, value string) Option {
		return Option{Line: line, Group: "mysqld", Name: name, Value: value, Valued: true}
	}
	for name, test := range map[string]struct {
		content string
		want    []Option
	}{
		"blanks around everything": {"  [mysqld ] x\n\t a \t=  1  \r\n", []Option{mysqld(2, "a", "1")}},
		"comments":                 {"[mysqld]\n# a=1\n ; b=2\nc=3 # 4\nd=5#6\ne=7;8\n", []Option{mysqld(4, "c", "3"), mysqld(5, "d", "5"), mysqld(6, "e", "7;8")}},
		"a # in quotes":            {"[mysqld]\na='1 # 2' # 3\nb=\"x'#\"#\n", []Option{mysqld(2, "a", "1 # 2"), mysqld(3, "b", "x'#")}},
		"escapes":                  {"[mysqld]\na=\\s1\\\\n\\t2\\x\nb=\"\\\"#\"\n", []Option{mysqld(2, "a", ` 1\n`+"\t2"+`\x`), mysqld(3, "b", `"#`)}},
		"one quote is no quotes":   {"[mysqld]\na=\"\nb='x\"\n", []Option{mysqld(2, "a", `"`), mysqld(3, "b", `'x"`)}},
		"spellings of a name":      {"[MySQLd]\nWsrep-On=1\nloose_a=2\nloose-maximum-b=3\nx.c=4\n", []Option{mysqld(2, "wsrep_on", "1"), mysqld(3, "a", "2"), mysqld(4, "b", "3"), mysqld(5, "c", "4")}},
		"prefixes with a meaning":  {"[mysqld]\nskip-a\ndisable_b=0\nenable-c\nenable-d=0\n", []Option{mysqld(2, "a", "0"), mysqld(3, "b", "1"), mysqld(4, "c", "1"), mysqld(5, "d", "0")}},
		"no value":                 {"[mysqld]\na\n", []Option{{Line: 2, Group: "mysqld", Name: "a"}}},
		"no group":                 {"a=1\n", []Option{{Line: 1, Name: "a", Value: "1", Valued: true}}},
		"no newline at the end":    {"[mysqld]\na=1", []Option{mysqld(2, "a", "1")}},
		"nothing behind a NUL":     {"[mysqld]\na=1\x002\n", []Option{mysqld(2, "a", "1")}},
		"other groups":             {"[client]\na=1\n[mysqld]\na=2\n", []Option{{Line: 2, Group: "client", Name: "a", Value: "1", Valued: true}, mysqld(4, "a", "2")}},
		"includes":                 {"[mysqld]\n!include /x\n!includedir /y\n", nil},
		"a long line in pieces":    {"[mysqld]\n#" + strings.Repeat("x", maxPiece-1) + "a=1\nb=2\n", []Option{mysqld(2, "a", "1"), mysqld(3, "b", "2")}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ParseOptions([]byte(test.content))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The reader must see what the server's own reader sees, or the guard looks at
// another file than the server.
func TestParseOptionsAgreesWithTheServersReader(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	file := filepath.Join(t.TempDir(), "random.cnf")
	for range 300 {
		content := randomFile(random)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("my_print_defaults", "--defaults-file="+file, "mysqld", "galera").Output()
		if err != nil {
			t.Fatalf("my_print_defaults (of the package mariadb-client-core): %v", err)
		}
		if diff := cmp.Diff(string(out), asArguments(ParseOptions([]byte(content)))); diff != "" {
			t.Fatalf("-server +got:\n%s\nof the file:\n%q", diff, content)
		}
	}
}

// randomFile writes an option file from bytes that mean something to a reader.
// No line begins with "=": there the server's reader leaves its buffer.
func randomFile(random *rand.Rand) string {
	var file strings.Builder
	file.WriteString("[mysqld]\n")
	for range 30 {
		file.WriteString([]string{"a", " b", "'", `\`, "#", "\t;", "x"}[random.IntN(7)])
		for range random.IntN(12) {
			parts := []string{"a", "b", " ", "\t", "=", "=", "'", `"`, "#", ";", `\`, "x", ",", "\x00", "\xa0", "\r", "!", ":"}
			file.WriteString(parts[random.IntN(len(parts))])
		}
		file.WriteString([]string{"\n", "\r\n", "\n[galera]\n", "\n[other]\n", "\n [ Mysqld\t]\n"}[random.IntN(5)])
	}
	return file.String()
}

// asArguments writes the options as my_print_defaults does.
func asArguments(options []Option) string {
	var lines strings.Builder
	for _, o := range options {
		if o.Group != "mysqld" && o.Group != "galera" {
			continue
		}
		fmt.Fprintf(&lines, "--%s", o.Name)
		if o.Valued {
			fmt.Fprintf(&lines, "=%s", o.Value)
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}

func TestIsServerGroup(t *testing.T) {
	for group, want := range map[string]bool{
		"mysqld": true, "server": true, "mariadb": true, "mariadbd": true, "galera": true, "client-server": true,
		"mysqld-8.0": true, "mariadb-10.11": true, "mariadbd-11.4": true, "mysqld1": true,
		"": false, "client": false, "mysql": false, "mysqldump": false, "mysqld_safe": false, "mysqld_multi": false,
		"mariadb-dump": false, "mariadb-backup": false, "sst": false, "xtrabackup": false, "embedded": false,
	} {
		if got := isServerGroup(group); got != want {
			t.Errorf("isServerGroup(%q) = %v, want %v", group, got, want)
		}
	}
}
