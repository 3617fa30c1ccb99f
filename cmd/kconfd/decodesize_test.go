//go:build !race

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/internal/steady"
)

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A resource file with so many keys that a decoder would take minutes is refused, at
// the first key that is one too many.
func TestTooManyKeys(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"keys of a table":   {"a.toml", "[values]\n" + numbered(80_000, "k%d=1\n"), "line 10001, column 1: more than 10000 keys and tables"},
		"array tables":      {"a.toml", numbered(40_000, "[[template]]\nsrc='%d'\n"), "line 10001, column 3: more than 10000 keys and tables"},
		"tables":            {"a.toml", numbered(60_000, "[values.t%d]\n"), "line 5001, column 2: more than 10000 keys and tables"},
		"dotted keys":       {"a.toml", numbered(40_000, "values.a.b.k%d=1\n"), "line 2501, column 1: more than 10000 keys and tables"},
		"an inline table":   {"a.toml", "values = {" + numbered(80_000, "k%d=1,") + "z=1}\n", "line 1, column 1: more than 10000 keys and tables"},
		"in an array":       {"a.toml", "[values]\na = [" + numbered(60_000, "{k%d=1},") + "]\n", "line 2, column 1: more than 10000 keys and tables"},
		"YAML":              {"a.yaml", "values:\n" + numbered(80_000, " k%d: 1\n"), "line 10001, column 2: more than 10000 keys and tables"},
		"YAML, flow":        {"a.yaml", "values: {" + numbered(80_000, "k%d: 1, ") + "}\n", "line 1, column 98890: more than 10000 keys and tables"},
		"YAML, a list":      {"a.yaml", "template:\n" + numbered(40_000, "- src: '%d'\n"), "line 10001, column 3: more than 10000 keys and tables"},
		"YAML, in the next": {"a.yaml", "values: {}\n---\n" + numbered(80_000, "k%d: 1\n"), "more than one document"},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.content) > maxResource*2 {
				t.Fatalf("%d bytes", len(c.content))
			}
			raw, err := decodeResource(c.file, []byte(c.content))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("decodeResource: %v, %v, want %s", raw, err, c.want)
			}
			if _, _, errs := decodeAll(c.file, []byte(c.content)); len(errs) != 1 {
				t.Errorf("decodeAll: %d errors, the first %v", len(errs), errs[0])
			}
		})
	}
	for file, content := range map[string]string{
		"a.toml": "[values]\n" + numbered(9_990, "k%d=1\n"), "b.yaml": "values:\n" + numbered(9_990, " k%d: 1\n"),
		"c.toml": "[values]\nlist = [" + numbered(100_000, "%d,") + "]\n", "d.toml": numbered(2_500, "[[template]]\nsrc='%d'\ndest='a'\nmode='0644'\n"),
	} {
		if _, err := decodeResource(file, []byte(content)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// kconfd says so at its start, and lint once.
func TestTooManyKeysAreReported(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "conf.d", "a.toml")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("[values]\n"+numbered(80_000, "k%d=1\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadResource(name, sources{steady.New(0), dir}); err == nil || !strings.Contains(err.Error(), "line 10001, column 1: more than 10000 keys") {
		t.Error(err)
	}
}
