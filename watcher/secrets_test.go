package watcher

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ofManifests is a watcher of one text, which runs until the test ends.
func ofManifests(t *testing.T, text string) *Watcher {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := NewManifests([]string{file}, "default", nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	start(t, w)
	return w
}

const twoSecrets = `{apiVersion: v1, kind: Secret, metadata: {name: one, labels: {of: test}, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"a":"s3cret"}}'}}, stringData: {a: s3cret}}
---
{apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {a: other}}
`

// A repeated run sees stand-ins, in every way in which a secret can be read, and
// leaves no trace.
func TestRepeat(t *testing.T) {
	t.Setenv("SECRET_OF_THE_TEST", "s3cret")
	w := ofManifests(t, twoSecrets)
	read := func(r *Reader) (string, error) {
		one, err := r.secret("one")
		if err != nil {
			return "", err
		}
		object, err := r.lookup("v1", "Secret", "default", "one")
		if err != nil {
			return "", err
		}
		data, _ := object["data"].(map[string]any)
		encoded, _ := data["a"].(string)
		copied := ""
		if metadata, ok := object["metadata"].(map[string]any); ok {
			annotations, _ := metadata["annotations"].(map[string]any)
			copied, _ = annotations["kubectl.kubernetes.io/last-applied-configuration"].(string)
		}
		selected, err := r.secretsOf("of=test")
		if err != nil || len(selected) != 1 {
			return "", err
		}
		all, err := r.lookup("v1", "Secret", "default", "")
		if err != nil || len(all) == 0 {
			return "", err
		}
		listed, _, _ := unstructured.NestedString(all["items"].([]any)[0].(map[string]any), "data", "a")
		return strings.Join([]string{one["a"], encoded, copied, r.secretEnv("SECRET_OF_THE_TEST"), selected[0].Data["a"], listed}, " "), nil
	}
	p := newPage(w, read)
	p.awaitGot(t, `s3cret czNjcmV0 {"stringData":{"a":"s3cret"}} s3cret s3cret czNjcmV0`)
	needs, secrets := p.reader.Dependencies(), p.reader.Secrets()
	var again string
	w.View(func(v *View) {
		if !v.ReadSecret(p.reader) {
			t.Error("it is not known that secrets were read")
		}
		err := v.Repeat(p.reader, func(string) string { return "x" }, func() (err error) {
			again, err = read(p.reader)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if v.Stale(p.reader) {
			t.Error("the repeated run has made the first one stale")
		}
	})
	if want := "x eA== x x x eA=="; again != want {
		t.Errorf("got %q, want %q", again, want)
	}
	if d := diff(needs, p.reader.Dependencies()); d != "" {
		t.Errorf("dependencies (-before +after):\n%s", d)
	}
	if d := diff(secrets, p.reader.Secrets()); d != "" {
		t.Errorf("secrets (-before +after):\n%s", d)
	}
}

// A repeated run does not begin watches: it fails where it would need one.
func TestRepeatReadsNothingNew(t *testing.T) {
	w := ofManifests(t, twoSecrets)
	p := newPage(w, func(r *Reader) (map[string]string, error) { return r.secret("one") })
	p.await(t, func() string { return errorText(p.err) })
	w.View(func(v *View) {
		err := v.Repeat(p.reader, func(s string) string { return s }, func() error {
			_, err := p.reader.secret("two")
			return err
		})
		if err == nil {
			t.Error("what has not been listed was read without an error")
		}
	})
	if got := len(p.reader.Dependencies()); got != 1 {
		t.Errorf("got %d dependencies, want 1", got)
	}
}

// A variable that is secret makes a file private, whether it is set or not.
func TestSecretEnv(t *testing.T) {
	t.Setenv("SECRET_OF_THE_TEST", "s3cret")
	w := ofManifests(t, twoSecrets)
	for name, want := range map[string]string{"SECRET_OF_THE_TEST": "s3cret", "NOT_SET": ""} {
		p := newPage(w, func(r *Reader) (string, error) { return r.secretEnv(name), nil })
		w.View(p.run)
		if p.got != want || !p.reader.ReadSecret() {
			t.Errorf("%s: got %q and ReadSecret %v", name, p.got, p.reader.ReadSecret())
		}
		if secrets := strings.Join(p.reader.Secrets(), " "); secrets != want {
			t.Errorf("%s: got the secrets %q", name, secrets)
		}
	}
}

// What a decoder says of a manifest that may be a Secret has nothing of its text.
func TestManifestErrorsWithoutValues(t *testing.T) {
	const doc = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  password: *hunter2hunter2\n"
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := NewManifests([]string{file}, "default", nil, slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", errors.Unwrap(err))
	}
}
