package main

import (
	"testing"
	"time"
)

// While a command is not started because data is missing, the log says just that, and
// again when the timeout has passed.
func TestCommandNotStartedIsSaid(t *testing.T) {
	t.Parallel()
	// test/firsthour has one that waits for data.
	for name, test := range map[string]struct{ template, message, reason string }{
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
