package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// hostileTexts are values that end what a value stands in, in one format or another.
func hostileTexts() map[string]string {
	return map[string]string{
		"lines":         "a\nreplicaof 192.0.2.66 6379\n[mysqld]\nplugin_load = evil.so\n}\nserver { listen 81; }\n",
		"carriage":      "a\rrequirepass evil\r\n",
		"a form feed":   "a\frequirepass evil",
		"a NUL":         "a\x00b",
		"quotes":        `a" b" 'c' \" \' \`,
		"one quote":     `"`,
		"a backslash":   `\`,
		"a comment":     "a # b ; c",
		"braces":        "a; } server { listen 81; ",
		"a template":    `{{ fail "x" }}{{ . }}`,
		"a variable":    "${HOME}$(id)`id`%(x)s",
		"an include":    "!include /etc/passwd",
		"a section":     "[mysqld]",
		"JSON":          `"}],"targets":["192.0.2.66:1"],"x":[{"y":"`,
		"other lines":   "a\u2028b\u0085c",
		"nothing but a": " ",
	}
}

// Whatever stands in a Secret, a ConfigMap or an annotation, the file has the lines that
// it has with a plain word there, or is held.
func TestHostileTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/cases.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata/*/cases.toml: %v", err)
	}
	tried := 0
	for _, file := range files {
		dir := filepath.Dir(file)
		for name, c := range cases(t, dir) {
			if strings.HasPrefix(name, "held-") || !c.readsText(t, dir) {
				continue
			}
			tried++
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
				t.Parallel()
				plain, held := c.renderWith(t, dir, "plain")
				if held {
					t.Fatal("held with a plain word")
				}
				for kind, text := range hostileTexts() {
					got, held := c.renderWith(t, dir, text)
					if !held && !slices.Equal(outline(plain), outline(got)) {
						t.Errorf("%s: the file has other lines:\n%s", kind, got)
					}
				}
			})
		}
	}
	if tried < 4 {
		t.Errorf("only %d cases read a Secret or an annotation", tried)
	}
}

// outline is what a file is made of, without its values: the first word of each line, or
// the keys of JSON.
func outline(content string) []string {
	var parsed []any
	if json.Unmarshal([]byte(content), &parsed) == nil {
		return keysIn(parsed)
	}
	var words []string
	for line := range strings.FieldsFuncSeq(content, func(r rune) bool { return strings.ContainsRune("\n\r\f\v\x00", r) }) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		words = append(words, word)
	}
	return words
}

func keysIn(value any) []string {
	var keys []string
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			keys = append(keys, keysIn(element)...)
		}
	case map[string]any:
		for key, element := range v {
			keys = append(keys, key)
			keys = append(keys, keysIn(element)...)
		}
		slices.Sort(keys)
	}
	return keys
}

// readsText says whether one of the case's manifests has free text.
func (c testcase) readsText(t *testing.T, dir string) bool {
	return slices.ContainsFunc(c.Manifests, func(m string) bool {
		content := readFile(t, filepath.Join(dir, "manifests", m))
		return strings.Contains(content, "kind: Secret") || strings.Contains(content, "kind: ConfigMap") || strings.Contains(content, "annotations:")
	})
}

// renderWith returns what kconfd prints when all free text in the manifests is the given
// one.
func (c testcase) renderWith(t *testing.T, dir, text string) (content string, held bool) {
	t.Helper()
	args := []string{"render", "-confdir", c.confdir(t, dir), "-timeout", "100ms"}
	for i, m := range c.Manifests {
		changed := filepath.Join(t.TempDir(), string(rune('a'+i))+".yaml")
		if err := os.WriteFile(changed, withText(t, readFile(t, filepath.Join(dir, "manifests", m)), text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-manifests", changed)
	}
	cmd := exec.CommandContext(t.Context(), "kconfd", args...)
	cmd.Env = append(os.Environ(), "POD_NAME="+c.Pod, "POD_NAMESPACE=default", "POD_IP="+c.IP)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return stdout.String(), false
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		return "", true
	}
	t.Fatalf("%q: %v\n%s", text, err, stderr.String())
	return "", false
}

// withText replaces the values of annotations, ConfigMaps and Secrets.
func withText(t *testing.T, manifests, text string) []byte {
	t.Helper()
	var changed bytes.Buffer
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatal(err)
		}
		if metadata, ok := o["metadata"].(map[string]any); ok {
			replaceAll(metadata["annotations"], text)
		}
		if o["kind"] == "Secret" || o["kind"] == "ConfigMap" {
			replaceAll(o["stringData"], text)
			replaceAll(o["data"], text)
		}
		content, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		changed.Write(content)
		changed.WriteString("\n---\n")
	}
	return changed.Bytes()
}

func replaceAll(values any, text string) {
	if m, ok := values.(map[string]any); ok {
		for key := range m {
			m[key] = text
		}
	}
}
