package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/render"
)

// The key that makes a directory is named for destinations, and not for what is read.
func TestHintOfAMissingDirectory(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "no", "file")
	open := &fs.PathError{Op: "open", Path: missing, Err: fs.ErrNotExist}
	if got := hint(&render.StageError{Dest: missing, Err: open}); !strings.Contains(got, "mkdir") {
		t.Errorf("a destination: %q", got)
	}
	if got := hint(&render.StageError{Dest: filepath.Join(dir, "file"), Err: open}); got != "" {
		t.Errorf("a destination whose directory is there: %q", got)
	}
	if got := hint(fmt.Errorf("template 1: %w", open)); got != "" {
		t.Errorf("a template: %q", got)
	}
	name := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(name, []byte("[[template]]\nsrc = 'no/a.tmpl'\ndest = '/tmp/a'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadResource(name, sources{steady.New(0), filepath.Join(dir, "templates")}); !errors.Is(err, fs.ErrNotExist) || strings.Contains(hint(err), "mkdir") {
		t.Errorf("a template of a resource file: %v, hint %q", err, hint(err))
	}
}

// A text in quotes ends at the quotes of what {{ }} in it has.
func TestHintOfQuotesWithinQuotes(t *testing.T) {
	for content, want := range map[string]bool{
		"[[template]]\ndest = \"/etc/{{ env \"A\" }}.conf\"\n":         true,
		"[reload]\nurl=\"http://x/{{ env \"A\" }}/{{ env \"B\" }}\"\n": true,
		"[[template]]\ndest = \"/etc/a\" b\n":                          false,
		"[[template]]\ndest = \"/etc/{{ env 'A' }}\" b\n":              false,
		"[[template]]\ndest = \"/etc/a\n":                              false,
	} {
		_, err := decodeResource("a.toml", []byte(content))
		if err == nil || strings.Contains(hint(err), "quotes within") != want {
			t.Errorf("%s\n%v, hint %q", content, err, hint(err))
		}
	}
}

// Of several errors in one, the hint is for each of them. One of them may be nil, as in a
// failure that has two causes at most.
func TestHintOfSeveral(t *testing.T) {
	src, dest := unknownKey(1, 1, []string{"template", "scr"}), unknownKey(2, 1, []string{"template", "destt"})
	for want, err := range map[string]error{
		`did you mean "src"? did you mean "dest"?`: fmt.Errorf("reading: %w", errors.Join(src, dest)),
		`did you mean "src"?`:                      errors.Join(src, errors.New("other"), src),
		`did you mean "dest"?`:                     &twoErrors{nil, dest},
		"":                                         &twoErrors{nil, nil},
	} {
		if got := hint(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

type twoErrors struct{ first, second error }

func (e *twoErrors) Error() string   { return "two" }
func (e *twoErrors) Unwrap() []error { return []error{e.first, e.second} }
