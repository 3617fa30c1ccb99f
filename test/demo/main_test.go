package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/test/build"
)

// The session in the README is what the demonstration prints: abridged at the
// lines "[…]" only, and with other times, ports, temporary names and places in
// the template.
func TestReadmeShowsTheDemo(t *testing.T) {
	kconfd := filepath.Join(t.TempDir(), "kconfd")
	if err := build.Kconfd(kconfd); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-kconfd", kconfd, "-templates", "../../templates", "-pause", "0"}, &out); err != nil {
		t.Fatalf("%v (without mariadbd and Galera, run: make mariadb)\n%s", err, out.String())
	}
	if err := follows(readmeSession(t), out.String()); err != nil {
		t.Errorf("%v\nThe demonstration prints:\n%s", err, out.String())
	}
}

// A demonstration that shows nothing is a failure.
func TestDemoFails(t *testing.T) {
	for name, want := range map[string]string{
		"/bin/true":     `kconfd ended, before "msg=written"`,
		"/no/such/file": "run: make build",
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), []string{"-kconfd", name, "-templates", "../../templates", "-pause", "0"}, t.Output())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
}

// readmeSession is what stands behind `$ make run` in the README.
func readmeSession(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(readme), "\n$ make run\n")
	session, _, closed := strings.Cut(session, "```\n")
	if !found || !closed {
		t.Fatal("README.md has no session of make run")
	}
	return session
}

// follows demands that the parts of the session stand in the text one after
// the other, with nothing between them but what is left out at "[…]".
func follows(session, text string) error {
	rest := normal(text)
	for i, part := range strings.Split(normal(session), "[…]\n") {
		at := strings.Index(rest, part)
		if at < 0 || (i == 0 && at > 0) {
			return fmt.Errorf("README.md has a part that does not come or not here:\n%s", part)
		}
		rest = rest[at+len(part):]
	}
	if strings.TrimSpace(rest) != "" {
		return fmt.Errorf("README.md ends before:\n%s", rest)
	}
	return nil
}

// normal is text without what is different each time.
func normal(text string) string {
	for pattern, replacement := range map[string]string{
		`\n   \|     `:              " ", // lines are folded by their length
		`\b\d+ ms\b`:                "N ms",
		`\b(after|retry)=[\d.]+m?s`: "$1=T",
		`(127\.0\.0\.1):\d{2,}`:     "$1:PORT",
		`(\.tmpl):\d+:\d+`:          "$1:PLACE",
		`\.my\.cnf\d+`:              ".my.cnfN",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, replacement)
	}
	return text
}
