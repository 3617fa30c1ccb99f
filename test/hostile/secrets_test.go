package hostile

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

// secretValues are the data of the Secret "s", and shownNowhere are parts of them of
// which no six bytes in a row are to be seen.
func secretValues() map[string]string {
	return map[string]string{
		"username": "adm1nistrator", "password": "Tr0ub4dor&3-horse", "quote": "it's: a Secr3tvalue",
		"uri":         "postgresql://app:Hunter2Hunter2@db.example:5432/app",
		"config.json": `{"auths":{"reg.example":{"username":"bot","password":"JsonInnerPass99"}}}`,
		"config.yaml": "db:\n  password: 'YamlInnerPass77'\n",
		"short":       "in", "zero": "00", "flag": "true", "digits": "8474632",
	}
}

func shownNowhere() []string {
	return []string{
		"adm1nistrator", "Tr0ub4dor&3-horse", "it's: a Secr3tvalue", "Hunter2Hunter2@db.example:5432", "JsonInnerPass99", "YamlInnerPass77",
		"TR0UB4DOR&3-HORSE", "8474632", "VHIwdWI0ZG9yJjMtaG9yc2", "546869735f", "5472307562346", "it''s: a", "KRZDA5LCGRSG64R",
		"YWRtMW5pc3RyYXRvcjpUcjB1YjRkb3I", "esroh-3&rod4bu0rT", "84 114 48 117", "Tr0ub4dor%263",
		"ed959ca4a127cf7607afafe90c900b004d51ae2e40be4d1419114915a1f3db01",
		"f02bacef8c48d0b551727e92b88b2cda24bd09621c1d5ffa37d26f4096386ad2",
		"5d3b7e3ec0f631161780725fa65828ff6d092e32",
		"29fc616ce6c443d0fe20a56870f1dd34",
	}
}

// measured are numbers that each run has anew: fractions of seconds, the values of metrics, and the
// names of directories. In enough of them are six digits that are a secret's as well.
var measured = regexp.MustCompile(`:\d\d\.\d+|_seconds":[\d.e-]+|(?m: [\d.e+-]+$)|/hostile\d+`)

// wantNoSecret fails when six bytes in a row of what is shown nowhere are shown.
func wantNoSecret(t *testing.T, where, text string) {
	t.Helper()
	text = measured.ReplaceAllString(text, "")
	for _, secret := range shownNowhere() {
		for i := 0; i+6 <= len(secret); i++ {
			if at := strings.Index(text, secret[i:i+6]); at >= 0 {
				t.Errorf("%s shows %q of %q: …%s…", where, secret[i:i+6], secret, text[max(0, at-80):min(len(text), at+80)])
				break
			}
		}
	}
}

// keeping is a stage whose objects are the Secret "s".
func keeping(t *testing.T, values map[string]string) *stage {
	t.Helper()
	s := newStage(t)
	s.write("objects.yaml", secretObject(t, values))
	return s
}

func secretObject(t *testing.T, values map[string]string) string {
	t.Helper()
	object, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s", "labels": map[string]string{"of": "test"}}, "stringData": values,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(object) + "\n"
}

func (s *stage) dest(name string) string { return s.path("out-" + name) }

// addGroup adds a group of one template.
func (s *stage) addGroup(name, contents, rest string) {
	s.t.Helper()
	s.write("templates/"+name+".tmpl", contents)
	s.write("conf.d/"+name+".toml", fmt.Sprintf("[[template]]\nsrc = %q\ndest = %q\n%s", name+".tmpl", s.dest(name), rest))
}

// seen is all that a daemon shows over HTTP, and kconfd status.
func seen(t *testing.T, addr string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"/status", "/readyz", "/healthz", "/metrics", "/"} {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		all.Write(body)
	}
	cmd := exec.Command("kconfd", "status", "-diff")
	cmd.Env = append(os.Environ(), "KCONFD_LISTEN="+addr)
	printed, err := cmd.CombinedOutput() // its exit code says how the groups are
	if len(printed) == 0 {
		t.Fatal(err)
	}
	return all.String() + string(printed)
}

// addressOf is the address that a daemon's log names.
func addressOf(p *process.Process) string {
	p.AwaitLog(0, `listening`)
	return regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindString(p.Log())
}

// A daemon writes files in which secrets stand in all forms: neither its diffs, nor
// its log, nor its status has them, for the first content and for the next.
func TestDerivedSecretsAreNotShown(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			s := keeping(t, secretValues())
			for name, contents := range derivedSecrets() {
				s.addGroup(name, "public = yes\nkey = "+contents+"\n", "")
			}
			p := s.start("-diff", "-listen", "127.0.0.1:0", "-log-level", "debug", "-log-format", format, "-wait", "0s")
			written := func(want string) {
				process.Await(t, "all files are written", func() bool {
					for name := range derivedSecrets() {
						if !strings.Contains(s.read(s.dest(name)), want) {
							return false
						}
					}
					return true
				})
			}
			written("key = ")
			first := p.Log()
			values := secretValues()
			values["password"] = "An0ther&4-zebra"
			values["username"] = "an0ther-us3r"
			s.write("objects.yaml", secretObject(t, values))
			process.Await(t, "the next content is written", func() bool {
				return strings.Contains(s.read(s.dest("plain")), "An0ther")
			})
			addr, shown := addressOf(p), ""
			process.Await(t, "the status shows the diffs", func() bool {
				shown = seen(t, addr)
				return strings.Contains(shown, "-key = [redacted]") && strings.Contains(shown, " public = yes")
			})
			p.Signal(syscall.SIGTERM)
			p.Wait()
			if !strings.Contains(first, "+public = yes") || !strings.Contains(first, "+key = [redacted]") {
				t.Errorf("the diffs do not show what is public:\n%s", first)
			}
			for _, text := range []string{p.Log(), shown} {
				wantNoSecret(t, "a daemon", text)
				for i := 0; i+6 <= len("An0ther&4-zebra"); i++ {
					if piece := "An0ther&4-zebra"[i : i+6]; strings.Contains(text, piece) {
						t.Fatalf("%q of the next password is shown", piece)
					}
				}
			}
			for name := range derivedSecrets() {
				if info, err := os.Stat(s.dest(name)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: got %v %v, want a file of mode 0600", name, info, err)
				}
			}
		})
	}
}

// Errors quote what they do not like, and commands print what they read. On no way
// out is a secret in it.
func TestTroubleWithSecretsIsNotShown(t *testing.T) {
	for name, trouble := range secretTrouble() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := keeping(t, secretValues())
			s.addGroup("g", trouble.contents, strings.ReplaceAll(trouble.rest, "$DEST", s.dest("g")))
			p := s.start("-diff", "-listen", "127.0.0.1:0", "-log-level", "debug", "-wait", "0s")
			addr := addressOf(p)
			process.Await(t, "there is trouble", func() bool {
				status := seen(t, addr)
				return strings.Contains(status, `"state":"failed"`) || strings.Contains(status, `"state":"held"`) ||
					strings.Contains(status, `"state":"owed"`) && strings.Contains(status, `"reason"`) || strings.Contains(status, `"state":"rolledback"`)
			})
			shown := seen(t, addr)
			p.AwaitLog(0, `not applied|held`)
			p.Signal(syscall.SIGTERM)
			p.Wait()
			wantNoSecret(t, "a daemon", p.Log()+shown)
			if !strings.Contains(p.Log(), trouble.want) {
				t.Errorf("the log does not have %q:\n%s", trouble.want, p.Log())
			}
			for _, args := range [][]string{{"-onetime", "-diff", "-timeout", "1s"}, {"-onetime", "-noop", "-diff", "-timeout", "1s"}} {
				printed, _ := s.command(args...).CombinedOutput()
				wantNoSecret(t, strings.Join(args, " "), string(printed))
			}
			render := exec.Command("kconfd", "render", "-diff", "-timeout", "1s", "-confdir", s.dir, "-manifests", s.path("objects.yaml"))
			printed, _ := render.CombinedOutput() // there may be nothing to render
			wantNoSecret(t, "render", string(printed))
		})
	}
}

// Names, labels, paths and kconfd's own words stay, whatever is a secret.
func TestShortSecretsHideNoNames(t *testing.T) {
	s := keeping(t, map[string]string{"a": "in", "b": "00", "c": "true", "d": "out-", "e": "written", "f": "default", "g": "kconfd", "h": "hostile", "i": "applied", "j": "group"})
	s.addGroup("in-00-true", "a = {{ (secret \"s\").a }}\nb = 1\n{{ range secret \"s\" }}{{ . }}\n{{ end }}", "check_cmd = \"false\"\n")
	s.addGroup("other", "a = {{ (secret \"s\").a }}\nb = 1\n{{ range secret \"s\" }}{{ . }}\n{{ end }}", "")
	p := s.start("-diff", "-listen", "127.0.0.1:0", "-wait", "0s")
	addr := addressOf(p)
	p.AwaitLog(0, `not applied`)
	p.AwaitLog(0, `written`)
	process.Await(t, "the group is applied", func() bool { return strings.Contains(seen(t, addr), "+b = 1") })
	text := p.Log() + seen(t, addr)
	for _, want := range []string{
		"checking \\\"" + s.dest("in-00-true") + "\\\"", "group=" + s.path("conf.d/in-00-true.toml"),
		s.dest("other"), `"path":"` + s.dest("in-00-true") + `"`, `Secret \"s\" in namespace \"default\"`, "+++ " + s.dest("other"), "+a = [redacted]", "+b = 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown in:\n%s", want, text)
		}
	}
}

// A secret goes into no file that other users may have open, and a new one is its
// owner's.
func TestSecretsInPlace(t *testing.T) {
	for name, test := range map[string]struct {
		mode os.FileMode // of what is there; 0 for nothing
		rest string
		want string // in the log, when it is refused
	}{
		"open":                 {0o644, "", "is open to other users"},
		"open to the group":    {0o640, "", "is open to other users"},
		"more than asked for":  {0o644, "mode = \"0640\"\n", "is open to other users"},
		"private":              {0o600, "", ""},
		"as asked for":         {0o640, "mode = \"0640\"\n", ""},
		"not there":            {0, "", ""},
		"only read by no user": {0o711, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := keeping(t, secretValues())
			s.addGroup("g", `{{ (secret "s").password }}`, "write = \"inplace\"\n"+test.rest)
			if test.mode != 0 {
				s.must(os.WriteFile(s.dest("g"), []byte("old"), test.mode))
				s.must(os.Chmod(s.dest("g"), test.mode))
			}
			printed, err := s.command("-onetime").CombinedOutput()
			got := s.read(s.dest("g"))
			if refused := test.want != ""; refused != (err != nil) || !strings.Contains(string(printed), test.want) || refused != (got == "old") {
				t.Errorf("got %v and the file %q, want %q: %s", err, got, test.want, printed)
			}
			wantNoSecret(t, "onetime", string(printed))
		})
	}
}

// What is kept of secrets that have been rotated is bounded.
func TestRotationsOfALargeSecret(t *testing.T) {
	s := newStage(t)
	s.addGroup("g", `{{ (secret "s").value }}`, "")
	s.write("objects.yaml", secretObject(t, map[string]string{"value": large(0)}))
	p := s.start("-wait", "0s", "-listen", "127.0.0.1:0")
	process.Await(t, "the first one is written", func() bool { return strings.HasPrefix(s.read(s.dest("g")), large(0)[:20]) })
	const rotations = 30 // a hundred take two minutes, and no more memory
	after := map[int]int{}
	for n := 1; n <= rotations; n++ {
		s.write("objects.yaml", secretObject(t, map[string]string{"value": large(n)}))
		process.Await(t, fmt.Sprintf("the secret %d is written", n), func() bool { return strings.HasPrefix(s.read(s.dest("g")), large(n)[:20]) })
		after[n] = residentKiB(t, p.PID())
	}
	t.Logf("resident: %d KiB after 10 rotations, %d KiB after %d", after[10], after[rotations], rotations)
	if limit := after[10] + 16<<10; after[rotations] > limit {
		t.Errorf("%d KiB are resident after %d rotations, and %d KiB after 10", after[rotations], rotations, after[10])
	}
}

// large is a secret of nearly 1 MiB.
func large(n int) string {
	return fmt.Sprintf("rotation-%06d-%s", n, strings.Repeat(fmt.Sprintf("%06d0123456789abcdefghijklmnopqrstuvwxyz", n*7919), 23000))
}

func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib := 0
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
