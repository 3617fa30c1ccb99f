package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"
)

// What is edited on disk is followed at once: templates, partials and resource
// files, in the configuration directory and outside of it.
func TestConfigurationIsFollowed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		edit    string // the file
		content string
		want    string // what live/a has then
	}{
		"template": {
			"conf/templates/a.tmpl", `the {{ (configMap "settings").colour }}` + "\n", "the blue\n",
		},
		"partial": {
			"conf/templates/_p.tmpl", "another\n", "blue\nanother\n",
		},
		"resource file": {
			"conf/conf.d/a.toml", "[[template]]\ncontents = \"contents\\n\"\ndest = \"$DIR/live/a\"\n", "contents\n",
		},
		"template elsewhere": {
			"elsewhere/b.tmpl", "edited\n", "blue\npartial\n",
		},
		"partial beside it": {
			"elsewhere/_p.tmpl", "edited\n", "blue\npartial\n",
		},
		"template with an absolute path": {
			"absolute/c.tmpl", "edited\n", "blue\npartial\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/templates/a.tmpl"] += `{{ include "_p.tmpl" . }}`
			files["conf/templates/_p.tmpl"] = "partial\n"
			files["elsewhere/b.tmpl"] = `{{ include "_p.tmpl" . }}`
			files["elsewhere/_p.tmpl"] = "elsewhere\n"
			files["absolute/c.tmpl"] = "absolute\n"
			files["conf/conf.d/c.toml"] = "[[template]]\nsrc = \"$DIR/absolute/c.tmpl\"\ndest = \"$DIR/live/c\"\n"
			d := newDir(t, files)
			k := startIn(d, "-template", d.file("elsewhere/b.tmpl")+":"+d.file("live/b"))
			d.awaitFile("live/a", "blue\npartial\n")
			d.awaitFile("live/b", "elsewhere\n")
			d.awaitFile("live/c", "absolute\n")

			d.write(test.edit, test.content)
			d.awaitFile("live/a", test.want)
			switch test.edit {
			case "elsewhere/b.tmpl", "elsewhere/_p.tmpl":
				d.awaitFile("live/b", "edited\n")
			case "absolute/c.tmpl":
				d.awaitFile("live/c", "edited\n")
			}
			k.stop()
		})
	}
}

// A resource file that comes is taken over; one that goes is let go, and its file
// stays. A group that is not concerned goes on, without a write or an action.
func TestGroupsComeAndGo(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d)
	d.awaitFile("actions", "blue\n")
	before := fingerprintOf(d.file("live/a"))

	d.write("conf/conf.d/b.yaml", "template: {contents: \"b\\n\", dest: $DIR/live/b}\n")
	d.awaitFile("live/b", "b\n")
	if err := os.Rename(d.file("conf/conf.d/b.yaml"), d.file("conf/conf.d/c.yaml")); err != nil {
		t.Fatal(err)
	}
	d.write("conf/conf.d/d.toml", "[[template]]\ncontents = \"d\\n\"\ndest = \"$DIR/live/d\"\n")
	d.awaitFile("live/d", "d\n")
	if err := os.Remove(d.file("conf/conf.d/c.yaml")); err != nil {
		t.Fatal(err)
	}
	// Another group for the file that was b's says that b and c are gone.
	d.write("conf/conf.d/e.toml", "[[template]]\ncontents = \"e\\n\"\ndest = \"$DIR/live/b\"\n")
	d.awaitFile("live/b", "e\n")

	// The first group went on all the time.
	if got := d.read("actions"); got != "blue\n" {
		t.Errorf("actions: got %q, want only the first", got)
	}
	if now := fingerprintOf(d.file("live/a")); now != before {
		t.Errorf("live/a was touched: %+v, was %+v", now, before)
	}
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\ngreen\n")
	k.stop()
	if k.count("touched by somebody else") > 0 || d.read("live/b") != "e\n" {
		t.Errorf("a group that is gone is at work: live/b has %q", d.read("live/b"))
	}
}

// A configuration that is bad is refused as a whole, and the one before goes on
// working; a good one is taken over again.
func TestBadConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, content string
		log           string
	}{
		"unknown key": {
			"conf/conf.d/a.toml", "[[template]]\nsorce = \"a.tmpl\"\n",
			`level=ERROR msg="configuration refused, the one before stays" err="reading .*a.toml: line 2, column 1: there is no key \\"template.sorce\\""`,
		},
		"template that does not parse": {
			"conf/templates/a.tmpl", "{{ range }\n",
			`level=ERROR msg="configuration refused.*a.tmpl:1`,
		},
		"unknown function": {
			"conf/templates/a.tmpl", "{{ servces }}\n",
			`level=ERROR msg="configuration refused.*there is no function .*hint="did you mean \\"services\\"\?"`,
		},
		"two for one file": {
			"conf/conf.d/b.toml", "[[template]]\ncontents = \"b\"\ndest = \"$DIR/live/a\"\n",
			`level=ERROR msg="configuration refused.*both write`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, colourFiles())
			k := startIn(d, "-listen", "127.0.0.1:0")
			d.awaitFile("actions", "blue\n")
			d.write("conf/conf.d/c.toml", "[[template]]\ncontents = \"c\\n\"\ndest = \"$DIR/live/c\"\n")
			d.awaitFile("live/c", "c\n")

			was := d.read(test.file)
			d.write(test.file, test.content)
			k.awaitLog(test.log)
			if got := k.metric("kconfd_configuration_refused"); got != "1" {
				t.Errorf("kconfd_configuration_refused: got %q, want 1", got)
			}
			d.write("objects.yaml", settings("green"))
			d.awaitFile("actions", "blue\ngreen\n")

			if was == "" {
				if err := os.Remove(d.file(test.file)); err != nil {
					t.Fatal(err)
				}
			} else {
				d.write(test.file, was)
			}
			k.awaitLog(`level=INFO msg="configuration read" groups=2`)
			if got := k.metric("kconfd_configuration_refused"); got != "0" {
				t.Errorf("kconfd_configuration_refused: got %q, want 0", got)
			}
			d.write("objects.yaml", settings("red"))
			d.awaitFile("actions", "blue\ngreen\nred\n")
			k.stop()
		})
	}
}

// A resource file that names a template that is not there yet waits for it.
func TestTemplateThatComesLater(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d)
	d.awaitFile("actions", "blue\n")
	d.write("conf/conf.d/b.toml", "[[template]]\nsrc = \"$DIR/later/b.tmpl\"\ndest = \"$DIR/live/b\"\n")
	k.awaitLog("configuration refused.*later/b.tmpl: no such file or directory")
	d.write("later/b.tmpl", "later\n")
	d.awaitFile("live/b", "later\n")
	k.stop()
}

// The directory of the resource files may be replaced, file by file: what it has in
// between is refused or taken over, and at the end it is what counts.
func TestReplacedConfiguration(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d)
	d.awaitFile("live/a", "blue\n")
	for n := range 20 {
		if err := os.RemoveAll(d.file("conf/conf.d")); err != nil {
			t.Fatal(err)
		}
		content := strconv.Itoa(n)
		d.write("conf/conf.d/new.toml", "[[template]]\ncontents = \""+content+"\"\ndest = \"$DIR/live/a\"\n")
		d.awaitFile("live/a", content)
	}
	k.stop()
}

// SIGHUP reads the configuration again, says so, and refuses a bad one as often as
// it is asked.
func TestSIGHUP(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d)
	d.awaitFile("actions", "blue\n")
	k.signal(syscall.SIGHUP)
	k.awaitLog(`level=INFO msg="configuration read" groups=1`)

	d.write("conf/conf.d/a.toml", "nonsense = 1\n")
	k.awaitLog("configuration refused")
	refusals := k.count("configuration refused")
	k.signal(syscall.SIGHUP)
	await(t, "another refusal", func() bool { return k.count("configuration refused") > refusals })
	d.write("objects.yaml", settings("green"))
	d.awaitFile("actions", "blue\ngreen\n")

	// Many at once are no harm.
	d.write("conf/conf.d/a.toml", colourFiles()["conf/conf.d/a.toml"])
	for range 50 {
		k.signal(syscall.SIGHUP)
	}
	d.write("objects.yaml", settings("red"))
	d.awaitFile("actions", "blue\ngreen\nred\n")
	k.stop()
}

// A configuration that is mounted from ConfigMaps changes by the swap of a link
// alone. The swap is followed, and a broken one refused.
func TestConfigMapMount(t *testing.T) {
	t.Parallel()
	mounts := map[string]struct {
		mount  string // where the ConfigMap is mounted
		prefix string // of its keys
	}{
		"conf.d and templates": {"conf", ""},
		// With items, keys may have paths: then conf.d itself is a link.
		"the whole of it": {"whole", "conf.d/"},
	}
	resource := func(content string) string {
		return "[[template]]\ncontents = \"" + content + "\\n\"\ndest = \"$DIR/live/a\"\n"
	}
	for name, m := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, map[string]string{"objects.yaml": "", "live/keep": ""})
			root := m.mount
			if m.prefix == "" {
				root += "/conf.d"
			}
			swap := func(version, content string) {
				d.write(root+"/.."+version+"/"+m.prefix+"a.toml", content)
				link(t, ".."+version, d.file(root+"/..data_tmp"))
				if err := os.Rename(d.file(root+"/..data_tmp"), d.file(root+"/..data")); err != nil {
					t.Fatal(err)
				}
			}
			swap("1", resource("one"))
			if m.prefix == "" {
				link(t, "..data/a.toml", d.file(root+"/a.toml"))
			} else {
				link(t, "..data/conf.d", d.file(root+"/conf.d"))
			}
			k := start(t, "-manifests", d.file("objects.yaml"), "-confdir", d.file(m.mount), "-wait", "0s")
			d.awaitFile("live/a", "one\n")

			swap("2", resource("two"))
			d.awaitFile("live/a", "two\n")
			if err := os.RemoveAll(d.file(root + "/..1")); err != nil { // as the kubelet does
				t.Fatal(err)
			}

			swap("3", "broken = yes\n")
			k.awaitLog(`configuration refused, the one before stays" err="reading .*/a.toml: line 1`)
			if got := d.read("live/a"); got != "two\n" {
				t.Errorf("live/a: got %q, want that of the last good configuration", got)
			}
			swap("4", resource("four"))
			d.awaitFile("live/a", "four\n")
			k.stop()
		})
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// A configuration directory may be a link to where it is edited.
func TestLinkedConfiguration(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml":       "",
		"live/keep":          "",
		"conf/other":         "",
		"elsewhere/d/a.toml": "[[template]]\ncontents = \"one\\n\"\ndest = \"$DIR/live/a\"\n",
	})
	link(t, "../elsewhere/d", d.file("conf/conf.d"))
	k := startIn(d)
	d.awaitFile("live/a", "one\n")
	d.write("elsewhere/d/a.toml", "[[template]]\ncontents = \"two\\n\"\ndest = \"$DIR/live/a\"\n")
	d.awaitFile("live/a", "two\n")
	k.stop()
}

// What is owed is owed also after the group was configured anew: here the command
// that failed is mended, and the file has not changed since.
func TestOwedActionOutlivesReconfiguration(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	mended := files["conf/conf.d/a.toml"]
	files["conf/conf.d/a.toml"] = mended + "retry = \"10m\"\n"
	d := newDir(t, files)
	if err := os.Mkdir(d.file("actions"), 0o755); err != nil { // the command cannot write to it
		t.Fatal(err)
	}
	k := startIn(d)
	k.awaitLog("the process could not be told")
	d.awaitFile("live/a", "blue\n")
	if err := os.Remove(d.file("actions")); err != nil {
		t.Fatal(err)
	}
	d.write("conf/conf.d/a.toml", mended)
	d.awaitFile("actions", "blue\n")
	k.stop()
}

// What is owed is owed also when the resource file was away for a while.
func TestOwedActionOutlivesItsResourceFile(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/b.toml"] = "[[template]]\nsrc = \"a.tmpl\"\ndest = \"$DIR/live/b\"\n"
	d := newDir(t, files)
	if err := os.Mkdir(d.file("actions"), 0o755); err != nil { // the command cannot write to it
		t.Fatal(err)
	}
	k := startIn(d, "-log-level", "debug")
	k.awaitLog("the process could not be told")
	config := d.read("conf/conf.d/a.toml")
	if err := os.Remove(d.file("conf/conf.d/a.toml")); err != nil {
		t.Fatal(err)
	}
	k.awaitLog("configuration read.*groups=1")
	if err := os.Remove(d.file("actions")); err != nil {
		t.Fatal(err)
	}
	d.write("conf/conf.d/a.toml", config)
	d.awaitFile("actions", "blue\n")
	k.stop()
}

// A group that takes over a file waits for the job of the one before: two of them
// never work on one file.
func TestGroupWaitsForTheOneBefore(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo began >>$DIR/actions; until test -e $DIR/go; do sleep 0.01; done; echo ended >>$DIR/actions"
`
	d := newDir(t, files)
	k := startIn(d)
	d.awaitFile("actions", "began\n")
	d.write("conf/conf.d/a.toml", `
[[template]]
contents = "new\n"
dest = "$DIR/live/a"
[reload]
action = "exec"
command = "echo new >>$DIR/actions"
`)
	k.signal(syscall.SIGHUP)
	k.awaitLog(`level=INFO msg="configuration read"`)
	if got := d.read("live/a"); got != "blue\n" {
		t.Errorf("live/a: got %q while the job before it is at work, want its", got)
	}
	d.write("go", "")
	d.awaitFile("actions", "began\nended\nnew\n")
	d.awaitFile("live/a", "new\n")
	k.stop()
}
