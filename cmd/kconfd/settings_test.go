package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// What an HTTP action sends comes from the environment and from files, also when a file
// changes; what the server says of it in an error is shown without it.
func TestSettingsOfHTTP(t *testing.T) {
	t.Setenv("SETTINGS_TEAM", "blue")
	t.Setenv("SETTINGS_KEY", "key-of-the-environment")
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		said := fmt.Sprintf("%s %s %s %s", r.URL, r.Header.Get("Authorization"), r.Header.Get("Key"), body)
		mu.Lock()
		seen = append(seen, said)
		mu.Unlock()
		if strings.Contains(said, "second-token") {
			http.Error(w, "I do not like "+said, http.StatusForbidden)
		}
	}))
	defer server.Close()
	d := newDir(t, map[string]string{
		"objects.yaml": configMap("one"),
		"token":        "first-token\n",
		"conf/conf.d/a.toml": `
[[template]]
contents = '{{ (configMap "settings").x }}'
dest     = "$DIR/live"

[reload]
action = "http"
url    = '` + server.URL + `/{{ env "SETTINGS_TEAM" }}?file={{ .dest | urlquery }}'
header = { Authorization = 'Bearer {{ file "$DIR/token" }}', Key = '{{ secretEnv "SETTINGS_KEY" }}' }
body   = '{"team": {{ env "SETTINGS_TEAM" | quote }}}'
`,
	})
	last := func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) == 0 {
			return ""
		}
		return seen[len(seen)-1]
	}
	want := func(token string) string {
		return fmt.Sprintf(`/blue?file=%s Bearer %s key-of-the-environment {"team": "blue"}`, strings.ReplaceAll(d.file("live"), "/", "%2F"), token)
	}
	k := startIn(d, "-log-level", "debug")
	await(t, "the first request", func() bool { return last() == want("first-token") })

	d.write("token", "second-token\n")
	await(t, "the configuration is read again", func() bool { return strings.Contains(k.log.String(), "configuration read") })
	d.write("objects.yaml", configMap("two"))
	await(t, "the second request", func() bool { return last() == want("second-token") })
	await(t, "the server's answer", func() bool { return strings.Contains(k.log.String(), "I do not like") })
	log := k.log.String()
	for _, secret := range []string{"second-token", "key-of-the-environment"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q:\n%s", secret, log)
		}
	}
}

func configMap(value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {x: " + value + "}\n"
}

// A file that a setting reads has a limit.
func TestSettingsLimit(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml": "",
		"conf/conf.d/a.toml": `
[[template]]
contents = "x"
dest     = '$DIR/{{ file "$DIR/name" }}'
`,
	})
	for size, fits := range map[int]bool{maxSettingFile: true, maxSettingFile + 1: false} {
		if err := os.WriteFile(d.file("name"), []byte("n"+strings.Repeat("\n", size-1)), 0o644); err != nil {
			t.Fatal(err)
		}
		_, log, code := onetime(d)
		if fits != (code == 0) || !fits && !strings.Contains(log, "larger than the limit of 65536 bytes") {
			t.Errorf("%d bytes: got exit code %d: %s", size, code, log)
		}
	}
	if d.read("n") != "x" {
		t.Error("the file is not there")
	}
}
