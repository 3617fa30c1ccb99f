package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Two templates for one file are refused whatever they call it: it would be written
// in turns for ever.
func TestTwoNamesOfOneFile(t *testing.T) {
	d := newDir(t, map[string]string{"live/a": "old\n", "live/deep/keep": "", "objects.yaml": settings("blue")})
	t.Chdir(d.path)
	for link, to := range map[string]string{"link": "live/a", "dir": "live", "new": "live/b", "live/up": d.file("live/a")} {
		if err := os.Symlink(to, d.file(link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		one, other string
		differ     bool
	}{
		"the same":                        {"live/a", "live/a", false},
		"relative and absolute":           {"live/a", "$DIR/live/a", false},
		"not clean":                       {"live/a", "./live/deep/../a", false},
		"a link and what it points to":    {"link", "live/a", false},
		"two links":                       {"link", "live/up", false},
		"through a link of the directory": {"$DIR/dir/a", "live/a", false},
		"a link to no file yet":           {"new", "$DIR/live/b", false},
		"two files":                       {"live/a", "live/b", true},
		"one name in two directories":     {"live/a", "live/deep/a", true},
	} {
		t.Run(name, func(t *testing.T) {
			for file, dest := range map[string]string{"one": test.one, "other": test.other} {
				d.write("conf/conf.d/"+file+".toml", "[[template]]\ncontents = 'new'\ndest = \""+dest+"\"\n")
			}
			before, err := look(d.file("live"))
			if err != nil {
				t.Fatal(err)
			}
			_, log, code := onetime(d, "-noop")
			if test.differ {
				if code != 0 {
					t.Errorf("got exit code %d: %s", code, log)
				}
				return
			}
			if code != 1 || !strings.Contains(log, "one.toml: template 1 (line 3) and ") || !strings.Contains(log, " both write ") {
				t.Errorf("got exit code %d, want 1 for two that write one file: %s", code, log)
			}
			now, err := look(d.file("live"))
			if err != nil || fmt.Sprint(now) != fmt.Sprint(before) {
				t.Errorf("a file was touched: %v, was %v (%v)", now, before, err)
			}
		})
	}
}

// A partial that is not there is found when the configuration is read, also where no
// branch that is taken needs it: lint says so, and a daemon keeps what it has.
func TestMissingPartial(t *testing.T) {
	t.Parallel()
	for _, action := range []string{`include "_nope" .`, `template "_nope" .`} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			bad := "{{ if false }}{{ " + action + " }}{{ end }}" + `{{ (configMap "settings").colour }} anew` + "\n"
			d := newDir(t, colourFiles())
			k := startIn(d)
			d.awaitFile("live/a", "blue\n")
			d.write("conf/templates/a.tmpl", bad)
			k.awaitLog(`level=ERROR msg="configuration refused, the one before stays" .*there is no template \\"_nope\\"`)

			out, err := exec.Command("kconfd", "lint", "-confdir", d.file("conf")).CombinedOutput()
			if err == nil || !strings.Contains(string(out), `there is no template "_nope"`) {
				t.Errorf("lint: got %v: %s", err, out)
			}

			d.write("objects.yaml", settings("green"))
			d.awaitFile("live/a", "green\n") // by the template from before
			d.write("conf/templates/_more.tmpl", `{{ define "_nope" }}{{ end }}`)
			d.awaitFile("live/a", "green anew\n")
			k.stop()
		})
	}
}

// A command that cannot be run is found before anything is written.
func TestCommandThatIsNotThere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command string
		want    int
	}{
		"not in PATH":    {"kconfd-test-no-such-command", 127},
		"no such file":   {"$DIR/nothing", 127},
		"not executable": {"$DIR/objects.yaml", 126},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, colourFiles())
			before, err := look(d.path)
			if err != nil {
				t.Fatal(err)
			}
			_, log, code := onetime(d, "--", strings.ReplaceAll(test.command, "$DIR", d.path))
			if code != test.want || !strings.Contains(log, filepath.Base(test.command)) {
				t.Errorf("got exit code %d, want %d with its name: %s", code, test.want, log)
			}
			now, err := look(d.path)
			if err != nil || fmt.Sprint(now) != fmt.Sprint(before) {
				t.Errorf("something was written: %v, was %v (%v)", now, before, err)
			}
		})
	}
}

// With manifests, too, what names no namespace is of the pod's own.
func TestNamespaceOfManifests(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env   string
		flags []string
		want  string
	}{
		"none":              {"", nil, "default"},
		"the pod's":         {"shop", nil, "shop"},
		"a flag goes first": {"shop", []string{"-namespace", "prod"}, "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := ""
			for _, namespace := range []string{"default", "shop", "prod"} {
				objects += "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: " + namespace + "}, data: {colour: " + namespace + "}}\n"
			}
			d := newDir(t, map[string]string{"objects.yaml": objects, "a.tmpl": `{{ (configMap "settings").colour }}`})
			cmd := exec.Command("kconfd", append([]string{"render", "-manifests", d.file("objects.yaml"), "-template", d.file("a.tmpl") + ":a"}, test.flags...)...)
			cmd.Env = append(os.Environ(), "POD_NAMESPACE="+test.env)
			got, err := cmd.Output()
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// The gauge is 1 when all that the data asks for is live and told, and 0 while not,
// for any reason; a group that is gone has none.
func TestGroupAppliedMetric(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string // at first
		log   string            // when it has come to be not applied
	}{
		"held":    {map[string]string{"objects.yaml": settings("grey")}, `msg="render held`},
		"waiting": {map[string]string{"objects.yaml": ""}, `msg="waiting for data`},
		"failed":  {map[string]string{"conf/conf.d/a.toml": "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/a\"\ncheck_cmd = \"test -e $DIR/go\"\n[reload]\naction = \"none\"\nretry = \"50ms:100ms\"\n"}, `msg="not applied"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/templates/a.tmpl"] = `{{ $c := (configMap "settings").colour }}{{ if eq $c "grey" }}{{ fail "no grey" }}{{ end }}{{ $c }}` + "\n"
			for file, content := range test.files {
				files[file] = content
			}
			d := newDir(t, files)
			k := startIn(d, "-listen", "127.0.0.1:0")
			gauge := fmt.Sprintf("kconfd_group_applied{group=%q}", d.file("conf/conf.d/a.toml"))
			k.awaitLog(test.log)
			if got := k.metric(gauge); got != "0" {
				t.Errorf("got %q, want 0 for what is not applied", got)
			}
			d.write("go", "")
			d.write("objects.yaml", settings("green"))
			d.awaitFile("live/a", "green\n")
			await(t, "the gauge is 1", func() bool { return k.metric(gauge) == "1" })

			d.write("objects.yaml", settings("grey")) // held, though something is live
			await(t, "the gauge is 0", func() bool { return k.metric(gauge) == "0" })

			d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/b\"\n")
			if err := os.Remove(d.file("conf/conf.d/a.toml")); err != nil {
				t.Fatal(err)
			}
			await(t, "the gauge is gone", func() bool { return k.metric(gauge) == "" })
			k.stop()
		})
	}
}

// A group that goes while its job runs leaves no gauge behind when that ends.
func TestGroupAppliedMetricOfAGroupThatWent(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo >$DIR/acting; until test -e $DIR/go; do sleep 0.01; done"
`
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	await(t, "the action runs", func() bool { return d.read("acting") != "" })
	d.write("conf/conf.d/b.toml", "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/b\"\n")
	if err := os.Remove(d.file("conf/conf.d/a.toml")); err != nil {
		t.Fatal(err)
	}
	d.awaitFile("live/b", "x")
	k.signal(syscall.SIGHUP)
	k.awaitLog(`msg="configuration read" groups=1`)
	d.write("go", "")
	group := d.file("conf/conf.d/a.toml")
	await(t, "the job is over", func() bool {
		return k.metric(fmt.Sprintf("kconfd_applies_total{group=%q,outcome=%q}", group, "applied")) == "1"
	})
	await(t, "the other group is applied", func() bool {
		return k.metric(fmt.Sprintf("kconfd_group_applied{group=%q}", d.file("conf/conf.d/b.toml"))) == "1"
	})
	if got := k.metric(fmt.Sprintf("kconfd_group_applied{group=%q}", group)); got != "" {
		t.Errorf("got %q, want none for a group that is gone", got)
	}
	k.stop()
}
