package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
	object := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "files"},
		"data": map[string]string{"main": main, "included": included},
	}
	manifest, err := json.Marshal(object)
	if err != nil {
		g.t.Fatal(err)
	}
	write(g.t, filepath.Join(g.dir, "manifests/files.json"), string(manifest))
	command := slices.Concat(g.prefix, []string{"kconfd", "-onetime", "-confdir", g.dir, "-manifests", filepath.Join(g.dir, "manifests")}, flags)
	var out bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return err == nil, out.String()
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
