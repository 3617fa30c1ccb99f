package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// While a command is not started because data is missing, the log says just that, and
// again when the timeout has passed.
func TestCommandNotStartedIsSaid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ template, message, reason string }{
		"data":   {`{{ (configMap "setings").colour }}`, "waiting for data", `ConfigMap \\"setings\\" in namespace \\"default\\" does not exist; the nearest name is \\"settings\\"`},
		"a hold": {`{{ endpoints "web" | atLeast 1 }}`, "render held", `want at least 1, have 0: endpoints of service \\"web\\" in namespace \\"default\\"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/templates/a.tmpl"] = test.template
			d := newDir(t, files)
			k := startIn(d, "-timeout", "5s", "--", "onsignal", "TERM:0=true")
			k.awaitLog(`level=WARN msg="command not started, ` + test.message + `" group=\S+ err=".*` + test.reason + `".* command=onsignal`)
			k.awaitLog(`level=WARN msg="command not started, timeout passed" command=onsignal timeout=5s group=\S+ err=".*` + test.reason + `"`)
		})
	}
}

// What a failed check has printed is shown whole, and failures with other output are
// other failures.
func TestWholeOutput(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "echo first of $(cat {{.src}}); echo second; false"
`
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	await(t, "the output is on /readyz", func() bool {
		code, text := k.get("/readyz")
		return code == 503 && strings.Contains(text, ": second\n  first of blue\n  second\n")
	})
	k.awaitLog(`level=ERROR msg="not applied".* output="first of blue\\nsecond"`)
	d.write("objects.yaml", settings("green"))
	k.awaitLog(`level=ERROR msg="not applied".* output="first of green\\nsecond"`)
	await(t, "both failures are among the changes", func() bool {
		reasons := fmt.Sprint(k.status().Changes)
		return strings.Contains(reasons, ": second\nfirst of blue\nsecond") && strings.Contains(reasons, ": second\nfirst of green\nsecond")
	})
}

// A list that is empty for a moment, as at a start while objects arrive, is not worth a
// line. One that stays so gets its line without another change.
func TestEmptyListIsSaidAfterAWhile(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/templates/a.tmpl"] = `{{ len (endpoints "wbe") }}` + "\n"
	d := newDir(t, files)
	began := time.Now()
	k := startIn(d)
	k.awaitLog(`level=WARN msg="list is empty" group=\S+ list="endpoints of service \\"wbe\\" in namespace \\"default\\""`)
	if after := time.Since(began); after < patience {
		t.Errorf("said after %v, want %v at least", after, patience)
	}
}
