package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/render"
)

// secretOf is a manifest of the Secret that these tests read.
func secretOf(value string) string {
	return "{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {value: " + strconv.Quote(value) + "}}\n"
}

// wantHidden fails when a piece of a secret is in a text.
func wantHidden(t *testing.T, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if strings.Contains(text, piece) {
			t.Errorf("%q is shown in:\n%s", piece, text)
		}
	}
}

// onetime runs kconfd once on the directory's manifests and configuration, and
// gives its output, its log and its exit code.
func onetime(d dir, flags ...string) (out, log string, code int) {
	d.t.Helper()
	k := startIn(d, append([]string{"-onetime"}, flags...)...)
	<-k.ended
	return k.out.String(), k.log.String(), k.cmd.ProcessState.ExitCode()
}

// What a check says of the candidate is shown without its secrets, also where the
// check, or kconfd for its one line of error, leaves nothing of white space and
// length as it was.
func TestSecretsInWhatACheckSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value  string
		check  string
		pieces []string
	}{
		"lines squeezed into one": {"first-line\nsecond-line", `cat {{.src}} | tr '\\n' '|'; false`, []string{"first-line", "second-line"}},
		"two blanks":              {"hunter  twofold", `cat {{.src}}; false`, []string{"hunter", "twofold"}},
		"a tab":                   {"hunter\ttwofold", `cat {{.src}}; false`, []string{"hunter", "twofold"}},
		"a line that is cut":      {"hunter-twofold", `printf '%0295d' 0; cat {{.src}}; false`, []string{"hunt"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{
				"objects.yaml": secretOf(test.value),
				"conf/conf.d/a.toml": "[[template]]\ncontents = '{{ (secret \"db\").value }}'\ndest = \"$DIR/live/a\"\n" +
					"check_cmd = \"" + test.check + "\"\n",
				"live/keep": "",
			})
			_, log, code := onetime(d)
			if code != 1 || !strings.Contains(log, "checking ") {
				t.Errorf("got exit code %d, want 1 for the check:\n%s", code, log)
			}
			wantHidden(t, log, test.pieces...)
		})
	}
}

// A private file of an earlier kconfd may have secrets that this one never reads:
// in a diff, nothing of them is in the lines that go.
func TestDiffOfAnEarlierFile(t *testing.T) {
	t.Parallel()
	const live = "user = app\nold_password = s3cret\nmy s3cret phrase\nczNjcmV0czNjcmV0=\n  nested: s3cret\nname: x-s3cret\n\"app\" \"s3cret\"\n"
	tests := map[string]struct {
		template string
		mode     os.FileMode
	}{
		"the key has another name":       {`password = {{ (secret "db").value }}`, 0o644},
		"no Secret is read any more":     {`password_file = /run/db`, 0o600},
		"the key stays, for nothing now": {`old_password = from-a-file`, 0o400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{
				"objects.yaml": secretOf("n3wer"), "live/a": live,
				"conf/conf.d/a.toml": "[[template]]\ncontents = '''\nuser = other\n" + test.template + "\n'''\ndest = \"$DIR/live/a\"\n",
			})
			if err := os.Chmod(d.file("live/a"), test.mode); err != nil {
				t.Fatal(err)
			}
			rendered, err := exec.Command("kconfd", "render", "-diff", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf")).Output()
			if err == nil {
				t.Error("render -diff found no difference")
			}
			planned, _, _ := onetime(d, "-noop", "-diff")
			written, log, code := onetime(d, "-diff")
			if code != 0 {
				t.Errorf("got exit code %d: %s", code, log)
			}
			for _, diff := range []string{string(rendered), planned, written} {
				wantHidden(t, diff, "s3cret", "phrase", "my", "czNj", "n3wer")
				if !strings.Contains(diff, "-user [redacted]\n") {
					t.Errorf("the key that stays is not shown:\n%s", diff)
				}
			}
		})
	}
}

// What a daemon wrote itself it knows: its next diff shows what changed.
func TestDiffOfItsOwnFile(t *testing.T) {
	t.Parallel()
	object := func(address string) string { return secretOf("s3cret") + "---\n" + settings(address) }
	d := newDir(t, map[string]string{
		"objects.yaml": object("one"), "live/keep": "",
		"conf/conf.d/a.toml": "[[template]]\ncontents = '''\npassword = {{ (secret \"db\").value }}\nmembers = {{ (configMap \"settings\").colour }}\n'''\ndest = \"$DIR/live/a\"\n",
	})
	k := startIn(d, "-diff")
	d.awaitFile("live/a", "password = s3cret\nmembers = one\n")
	d.write("objects.yaml", object("two"))
	d.awaitFile("live/a", "password = s3cret\nmembers = two\n")
	k.stop()
	if want := " password = [redacted]\n-members = one\n+members = two\n"; !strings.HasSuffix(k.out.String(), want) {
		t.Errorf("got diffs\n%s\nwant the last to end in\n%s", k.out, want)
	}
	wantHidden(t, k.out.String(), "s3cret")
}

// The end does not wait long for a large Secret to be hidden in a diff.
func TestEndsWhileALargeSecretIsHidden(t *testing.T) {
	t.Parallel()
	var value strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&value, "the-same-beginning-of-every-line-%d-and-its-end\n", i)
	}
	d := newDir(t, map[string]string{
		"objects.yaml": secretOf(value.String()), "live/a": "old\n",
		"conf/conf.d/a.toml": "[[template]]\ncontents = '{{ (secret \"db\").value }}'\ndest = \"$DIR/live/a\"\n",
	})
	k := startIn(d, "-diff")
	await(t, "the candidate is there", func() bool { return len(candidatesIn(d)) > 0 || d.read("live/a") != "old\n" })
	took, code := k.end(syscall.SIGTERM)
	t.Logf("ended after %v", took)
	if limit := 3 * time.Second; took > limit || code != 0 {
		t.Errorf("ended after %v with %d, want less than %v and 0", took, code, limit)
	}
	wantHidden(t, k.out.String(), "the-same")
	d.wantNoLeftovers("live")
}

// candidatesIn are the candidates beside the live files.
func candidatesIn(d dir) []string {
	entries, _ := os.ReadDir(d.file("live")) // none when it is not there
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// The environment of a command may come from a Secret. What its pre_start says
// is shown without it, in the log and in the error that kconfd ends with, also
// where white space is squeezed.
func TestSecretsOfTheCommand(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml": secretOf("two  blanks s3cret"),
		"conf/conf.d/a.toml": "[process]\npre_start = 'echo two \" blanks s3cret\"; exit 1'\n" +
			"env = { PASSWORD = '{{ (secret \"db\").value }}' }\n",
	})
	k := startIn(d, "--", "true")
	<-k.ended
	if code := k.cmd.ProcessState.ExitCode(); code != exitError {
		t.Errorf("got exit code %d, want %d", code, exitError)
	}
	if log := k.log.String(); !strings.Contains(log, "pre_start") || strings.Count(log, "[redacted]") < 2 {
		t.Errorf("want the secret hidden in the log and in the error:\n%s", log)
	}
	wantHidden(t, k.log.String(), "exit status 1: two", "status 1: two blanks")
}

// Of secrets that are read no more, the newest are remembered, up to a number and a size.
func TestOldSecrets(t *testing.T) {
	var s secrets
	for n := range 3 * maxOldSecrets {
		if !s.set([]string{fmt.Sprintf("secret-%04d", n)}, nil, nil) {
			t.Fatal("a new secret is nothing new")
		}
	}
	if last := 3*maxOldSecrets - 1; s.set([]string{fmt.Sprintf("secret-%04d", last)}, nil, nil) {
		t.Error("the same secret is new")
	}
	if got, want := s.old[0], fmt.Sprintf("secret-%04d", 3*maxOldSecrets-2); len(s.old) != maxOldSecrets || got != want {
		t.Errorf("got %d old secrets, the newest %q, want %d and %q", len(s.old), got, maxOldSecrets, want)
	}
	for n := range 5 {
		s.set([]string{strings.Repeat(fmt.Sprint(n), maxOldBytes/2)}, nil, nil)
	}
	size := 0
	for _, old := range s.old {
		size += len(old)
	}
	if size > maxOldBytes || len(s.old) != 2 {
		t.Errorf("got %d old secrets of %d bytes, want 2 of %d at most", len(s.old), size, maxOldBytes)
	}
	s.set([]string{s.old[0]}, nil, nil)
	if slices.Contains(s.old, s.current[0]) {
		t.Error("a secret that is read again is old")
	}
}

// What client-go and net/http say is of others, and so is what the child says: all
// of it is searched for secrets. In kconfd's own messages names stay.
func TestSecretsInTheLog(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out strings.Builder
		var r render.Redactor
		r.Set([]string{"hunter2hunter2", "group", "in"}, nil, nil)
		log := newLogger(&out, &flags{logFormat: format, logLevel: slog.LevelDebug}, &r)
		slog.Default().With("with", "hunter2hun").WithGroup("g").Error("said ter2hunter", "err", errors.New("hunter2"), "any", []string{"hunter2"}, slog.Group("in", "x", "hunter2"))
		log.Debug("child says", "line", "STATUS=nter2hunt")
		log.Info("written", "group", "in", "file", "/etc/group", "err", errors.New("of hunter2hunter2 in group"))
		wantHidden(t, out.String(), "hunter", "nter2h", "ter2hu")
		for _, want := range []string{"/etc/group", "of [redacted] in group", "STATUS=[redacted]", "said [redacted]"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in:\n%s", format, want, out.String())
			}
		}
	}
	newLogger(io.Discard, &flags{}, &render.Redactor{}) // for the other tests
}

// The command line's templates are compared as those of files are.
func TestSecretsInErrorsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml":       secretOf("Tr0ub4dor&3"),
		"conf/conf.d/a.toml": "[process]\nargs = ['{{ fail (printf \"not %s\" ((secret \"db\").value | upper)) }}']\n",
	})
	k := startIn(d, "--", "true")
	k.awaitLog(`cannot be rendered.*not \[redacted\]`)
	k.end(syscall.SIGTERM)
	wantHidden(t, k.log.String(), "TR0UB4")
}

// What other programs say is searched for parts of secrets, under each key that it is
// logged under. What kconfd says itself is not.
func TestSecretsInAttributes(t *testing.T) {
	t.Parallel()
	r := &render.Redactor{}
	r.Set([]string{"Tr0ub4dor&3-horse"}, nil, nil)
	for key, want := range map[string]string{"line": "is [redacted]", "message": "is [redacted]", "group": "is Tr0ub4dor"} {
		if got := redactAttr(r)(nil, slog.String(key, "is Tr0ub4dor")).Value.String(); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}
