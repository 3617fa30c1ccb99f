package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// withoutAdmin is a command that runs another one without the right to mount.
var withoutAdmin = []string{"setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"}

// An including is a file that includes another one, both of one group. @ stands for the directory of the
// files, OK for what makes them fit to each other.
type including struct {
	check          string
	main, included string // names
	mainGood       string
	includedGood   string
	mainBad        string
	includedBad    string
}

const nginxMain = "pid @/pid;\nerror_log stderr;\nevents {}\nhttp {\n  access_log off;\n  include %s;\n  server { listen 127.0.0.1:8081; location / { proxy_pass http://OK; } }\n}\n"

func nginxIncluding(check, include, included string) including {
	return including{
		check: check, main: "nginx.conf", included: included,
		mainGood: fmt.Sprintf(nginxMain, include), mainBad: "nonsense;\n" + fmt.Sprintf(nginxMain, include),
		includedGood: "upstream OK { server 127.0.0.1:9; }\n", includedBad: "upstream OK { nonsense 127.0.0.1:9; }\n",
	}
}

const (
	haproxyGlobal = "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n"
	haproxyMain   = haproxyGlobal + "frontend f\n  bind 127.0.0.1:8082\n  default_backend OK\n"
	haproxyList   = haproxyGlobal + "listen OK\n  bind 127.0.0.1:8083\n  acl known src -f %s\n  server s 127.0.0.1:9\n"
)

func haproxyFiles(check string) including {
	return including{
		check: check, main: "conf.d/main.cfg", included: "conf.d/other.cfg",
		mainGood: haproxyMain, mainBad: haproxyMain + "  nonsense\n",
		includedGood: "backend OK\n  server s 127.0.0.1:9\n", includedBad: "backend OK\n  nonsense\n",
	}
}

// The word OK is in the list too, so that the files change together.
func haproxyIncluding(check, list string) including {
	return including{
		check: check, main: "haproxy.cfg", included: "lists/known.lst",
		mainGood: fmt.Sprintf(haproxyList, list), mainBad: fmt.Sprintf(haproxyList, list) + "  nonsense\n",
		includedGood: "# OK\n127.0.0.1\n", includedBad: "# OK\nnonsense\n",
	}
}

// A includes B: what is checked are the candidates of both, whichever of them changes, and whatever is
// live: nothing, what is good, or what is bad.
func TestIncludes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		including
		needsMount bool // or the check cannot see the candidate of the included file
	}{
		"nginx staged relative":        {nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "upstream.conf", "upstream.conf"), true},
		"nginx staged absolute":        {nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "@/upstream.conf", "upstream.conf"), true},
		"nginx staged absolute, glob":  {nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "@/up.d/*.conf", "up.d/a.conf"), true},
		"nginx live name":              {nginxIncluding(`nginx -t -c @/nginx.conf`, "@/upstream.conf", "upstream.conf"), true},
		"nginx dir absolute":           {nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "@/upstream.conf", "upstream.conf"), true},
		"nginx dir relative":           {nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "upstream.conf", "upstream.conf"), false},
		"nginx dir relative, glob":     {nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "up.d/*.conf", "up.d/a.conf"), false},
		"nginx prefix":                 {nginxIncluding(`nginx -t -p {{.dir}} -c nginx.conf`, "up.d/*.conf", "up.d/a.conf"), false},
		"haproxy files":                {haproxyFiles(`haproxy -c -f {{.dir}}/main.cfg -f {{.dir}}/other.cfg`), false},
		"haproxy directory of files":   {haproxyFiles(`haproxy -c -f {{.dir}}`), false},
		"haproxy working directory":    {haproxyFiles(`haproxy -c -C {{.dir}} -f main.cfg -f other.cfg`), false},
		"haproxy live names":           {haproxyFiles(`haproxy -c -f @/conf.d/main.cfg -f @/conf.d/other.cfg`), true},
		"haproxy live directory":       {haproxyFiles(`haproxy -c -f @/conf.d`), true},
		"haproxy list staged absolute": {haproxyIncluding(`haproxy -c -f {{staged "@/haproxy.cfg"}}`, "@/lists/known.lst"), true},
		"haproxy list dir relative":    {haproxyIncluding(`haproxy -c -C {{.dir}} -f haproxy.cfg`, "lists/known.lst"), false},
	}
	for name, test := range tests {
		for _, mount := range []bool{true, false} {
			if test.needsMount && !mount {
				continue
			}
			for _, includedFirst := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, mount %t, included first %t", name, mount, includedFirst), func(t *testing.T) {
					t.Parallel()
					g := newIncludes(t, test.including, includedFirst)
					if !mount {
						g.prefix = withoutAdmin
					}
					g.tryAll()
				})
			}
		}
	}
}

// includes is a group in a directory of its own.
type includes struct {
	t      *testing.T
	dir    string // of all
	live   string // of the files
	prefix []string
	including
}

func newIncludes(t *testing.T, test including, includedFirst bool) *includes {
	t.Helper()
	dir := t.TempDir()
	g := &includes{t: t, dir: dir, live: filepath.Join(dir, "live"), including: test}
	names := []string{test.main, test.included}
	templates := []string{
		fmt.Sprintf("[[template]]\ncontents = '{{ (configMap \"files\").main }}'\ndest = %q\nmkdir = \"0755\"\n", filepath.Join(g.live, test.main)),
		fmt.Sprintf("[[template]]\ncontents = '{{ (configMap \"files\").included }}'\ndest = %q\nmkdir = \"0755\"\n", filepath.Join(g.live, test.included)),
	}
	if includedFirst {
		slices.Reverse(templates)
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(g.live, name)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "conf.d/group.toml"), fmt.Sprintf("check_cmd = '''%s'''\n%s\n", g.place(test.check), strings.Join(templates, "\n")))
	return g
}

func (g *includes) place(text string) string { return strings.ReplaceAll(text, "@", g.live) }

// render has kconfd render these files, and gives whether they are live then, and its log.
func (g *includes) render(main, included string, flags ...string) (written bool, log string) {
	g.t.Helper()
	g.manifest(main, included)
	command := slices.Concat(g.prefix, []string{"kconfd", "-onetime", "-confdir", g.dir, "-manifests", filepath.Join(g.dir, "manifests")}, flags)
	var out bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return err == nil, out.String()
}

// manifest makes these the texts of the files.
func (g *includes) manifest(main, included string) {
	g.t.Helper()
	object := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "files"},
		"data": map[string]string{"main": main, "included": included},
	}
	manifest, err := json.Marshal(object)
	if err != nil {
		g.t.Fatal(err)
	}
	write(g.t, filepath.Join(g.dir, "manifests/files.json"), string(manifest))
}

func (g *includes) read() (main, included string) {
	a, _ := os.ReadFile(filepath.Join(g.live, g.main)) // empty where there is none
	b, _ := os.ReadFile(filepath.Join(g.live, g.included))
	return string(a), string(b)
}

// try renders and demands that the files are accepted or refused, that they are live or what was live
// stays, and that nothing else is left.
func (g *includes) try(what string, accepted bool, main, included string) {
	g.t.Helper()
	main, included = g.place(main), g.place(included)
	wantMain, wantIncluded := g.read()
	if accepted {
		wantMain, wantIncluded = main, included
	}
	got, log := g.render(main, included)
	if got != accepted {
		g.t.Errorf("%s: accepted %t, want %t:\n%s", what, got, accepted, log)
	}
	if gotMain, gotIncluded := g.read(); gotMain != wantMain || gotIncluded != wantIncluded {
		g.t.Errorf("%s: the files are %q and %q, want %q and %q", what, gotMain, gotIncluded, wantMain, wantIncluded)
	}
	for _, name := range []string{g.main, g.included} {
		entries, err := os.ReadDir(filepath.Dir(filepath.Join(g.live, name)))
		if err != nil {
			g.t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				g.t.Errorf("%s: %q is left", what, e.Name())
			}
		}
	}
}

func (g *includes) tryAll() {
	g.t.Helper()
	word := func(text, word string) string { return strings.ReplaceAll(text, "OK", word) }
	good := func(name string) (main, included string) { return word(g.mainGood, name), word(g.includedGood, name) }
	main, included := good("one")
	g.try("a bad one and nothing is live", false, main, word(g.includedBad, "one"))
	g.try("nothing is live", true, main, included)
	g.try("the included one is bad", false, main, word(g.includedBad, "one"))
	g.try("the main one is bad", false, word(g.mainBad, "one"), included)
	main, included = good("two")
	g.try("both change", true, main, included)
	write(g.t, filepath.Join(g.live, g.included), g.place(word(g.includedBad, "two")))
	g.try("the included one that is live is bad", true, main, included)
	write(g.t, filepath.Join(g.live, g.main), g.place(word(g.mainBad, "two")))
	g.try("the main one that is live is bad", true, main, included)
	if err := os.Remove(filepath.Join(g.live, g.included)); err != nil {
		g.t.Fatal(err)
	}
	g.try("the included one is missing, and bad", false, main, word(g.includedBad, "two"))
	g.try("the included one is missing", true, main, included)
}

// Where kconfd may not mount, the check follows an absolute include to the live file. kconfd says so,
// once, and names the way out of what comes of it.
func TestUnseenInclude(t *testing.T) {
	t.Parallel()
	tests := map[string]including{
		"nginx, the directory": nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "@/upstream.conf", "upstream.conf"),
		"nginx, absolute":      nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "@/upstream.conf", "upstream.conf"),
		"nginx, relative":      nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "upstream.conf", "upstream.conf"),
		"nginx, a pattern":     nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "@/up.d/*.conf", "up.d/a.conf"),
		"haproxy, a list":      haproxyIncluding(`haproxy -c -f {{.dir}}/haproxy.cfg`, "@/lists/known.lst"),
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newIncludes(t, test, false)
			g.prefix = withoutAdmin
			main, good, bad := g.place(test.mainGood), test.includedGood, test.includedBad
			write(t, filepath.Join(g.live, test.main), main)
			write(t, filepath.Join(g.live, test.included), good)
			included := filepath.Join(g.live, test.included)

			written, log := g.render(main, bad)
			g.wantWords(log, "check cannot see candidate", included, "unshare: operation not permitted", "verify_cmd")
			if n := strings.Count(log, "check cannot see candidate"); n != 1 || !written {
				t.Errorf("a bad one: written %t with %d warnings, want true with 1:\n%s", written, n, log)
			}
			written, log = g.render(main, good)
			if written {
				t.Errorf("a good one after a bad one is written: the test does not test what it should:\n%s", log)
			}
			g.wantWords(log, "the live files fail this check too", "reads the live "+included, "kconfd -onetime -sync-only", "verify_cmd")
			for _, flags := range [][]string{{"-sync-only"}, nil} {
				if written, log := g.render(main, good, flags...); !written {
					t.Errorf("the way out, with %q: not written:\n%s", flags, log)
				}
			}
			if _, got := g.read(); got != good {
				t.Errorf("the way out: %q is live, want %q", got, good)
			}
		})
	}
}

// lint says which file a check cannot see, where kconfd may not mount and nothing else finds what is bad.
func TestUnseenIncludeLint(t *testing.T) {
	t.Parallel()
	lint := func(g *includes) string {
		g.t.Helper()
		command := slices.Concat(g.prefix, []string{"kconfd", "lint", "-confdir", g.dir})
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			g.t.Fatal(err)
		}
		return string(out)
	}
	test := nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "@/upstream.conf", "upstream.conf")
	g := newIncludes(t, test, false)
	path := filepath.Join(g.dir, "conf.d/group.toml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const about = "cannot see its candidate"
	config = bytes.Replace(config, []byte(`'{{ (configMap "files").main }}'`), []byte("'''\n"+g.place(test.mainGood)+"'''"), 1)
	write(t, path, string(config))
	if got := lint(g); strings.Contains(got, about) {
		t.Errorf("where it may mount:\n%s", got)
	}
	g.prefix = withoutAdmin
	got := lint(g)
	g.wantWords(got, about, filepath.Join(g.live, "upstream.conf"), "verify_cmd", "group.toml:1:1: warning")
	if n := strings.Count(got, about); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, got)
	}
	write(t, path, string(config)+"\n[reload]\naction = \"none\"\nverify_cmd = \"true\"\n")
	if got := lint(g); strings.Contains(got, about) {
		t.Errorf("with verify_cmd:\n%s", got)
	}
}

func (g *includes) wantWords(text string, words ...string) {
	g.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			g.t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// A neighbour that another hand has broken holds a good render: that is said, with the way out.
func TestBadNeighbour(t *testing.T) {
	t.Parallel()
	test := nginxIncluding(`nginx -t -c {{.dir}}/nginx.conf`, "up.d/*.conf", "up.d/a.conf")
	g := newIncludes(t, test, false)
	main, included := g.place(test.mainGood), test.includedGood
	g.try("all is good", true, main, included)
	neighbour := filepath.Join(g.live, "up.d/b.conf")
	write(t, neighbour, "nonsense;\n")
	written, log := g.render(main, included+"# more\n")
	if written {
		t.Error("it is written")
	}
	g.wantWords(log, "the live files fail this check too", "outside of the group", "kconfd -onetime -sync-only")
	if err := os.Remove(neighbour); err != nil {
		t.Fatal(err)
	}
	g.try("the neighbour is gone", true, main, included+"# more\n")
}

// What a check sees is seen by nothing else. When kconfd is killed while it runs, the live files are what
// they were, nothing stays mounted, and the next kconfd removes the directory of the check.
func TestKilledInCheck(t *testing.T) {
	t.Parallel()
	const check = `cd @/..; mkfifo go; echo {{.dir}} $$ >checking.new; mv checking.new checking; read x <go`
	g := newIncludes(t, nginxIncluding(check, "upstream.conf", "upstream.conf"), false)
	write(t, filepath.Join(g.live, g.main), "old main")
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	g.manifest("new main", "new included")
	k := start(t, nil, "kconfd", "-confdir", g.dir, "-manifests", filepath.Join(g.dir, "manifests"))
	var dir string
	var pid int
	process.Await(t, "the check runs", func() bool {
		content, _ := os.ReadFile(filepath.Join(g.dir, "checking")) // empty where it is not there yet
		n, _ := fmt.Sscan(string(content), &dir, &pid)
		return n == 2
	})
	inside := func(name string) string {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", pid, name))
		if err != nil {
			t.Error(err)
		}
		return string(content)
	}
	for name, want := range map[string]string{g.main: "new main", g.included: "new included"} {
		for _, at := range []string{g.live, dir} {
			if got := inside(filepath.Join(at, name)); got != want {
				t.Errorf("%s of the check: got %q, want %q", filepath.Join(at, name), got, want)
			}
		}
	}
	unchanged := func(when string) {
		t.Helper()
		if main, included := g.read(); main != "old main" || included != "" {
			t.Errorf("%s: the live files are %q and %q", when, main, included)
		}
		after, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(after), g.live) || strings.Count(string(after), "\n") != strings.Count(string(before), "\n") {
			t.Errorf("%s: mounted\n%s\nwant\n%s", when, after, before)
		}
		own, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", k.PID()))
		if err == nil && len(own) > 0 && strings.Contains(string(own), g.live) {
			t.Errorf("%s: kconfd has mounted\n%s", when, own)
		}
	}
	unchanged("while it runs")
	k.Signal(syscall.SIGKILL)
	k.Wait()
	unchanged("after kconfd was killed")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	mirror := dir[:strings.Index(dir, g.live)]
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(mirror, long, long); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "conf.d/group.toml"), "[[template]]\ncontents = 'x'\ndest = '"+filepath.Join(g.live, "x")+"'\n")
	if written, log := g.render("", ""); !written {
		t.Error(log)
	}
	if _, err := os.Stat(mirror); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of the check is left: %v", err)
	}
}

// A daemon says once what a check cannot see, however often the files change.
func TestUnseenIncludeOnce(t *testing.T) {
	t.Parallel()
	test := nginxIncluding(`nginx -t -c {{staged "@/nginx.conf"}}`, "@/upstream.conf", "upstream.conf")
	g := newIncludes(t, test, false)
	main := g.place(test.mainGood)
	write(t, filepath.Join(g.live, test.main), main)
	write(t, filepath.Join(g.live, test.included), test.includedGood)
	g.manifest(main, test.includedGood+"# 0\n")
	k := start(t, nil, slices.Concat(withoutAdmin, []string{"kconfd", "-confdir", g.dir, "-manifests", filepath.Join(g.dir, "manifests")})...)
	mark := k.AwaitLog(0, "msg=written file="+regexp.QuoteMeta(filepath.Join(g.live, test.included)))
	for i := range 3 {
		g.manifest(main, fmt.Sprintf("%s# %d\n", test.includedGood, i+1))
		mark = k.AwaitLog(mark, "msg=written file="+regexp.QuoteMeta(filepath.Join(g.live, test.included)))
	}
	k.Stop(syscall.SIGTERM)
	if n := strings.Count(k.Log(), "check cannot see candidate"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, k.Log())
	}
}
