package main

import (
	"net/http"
	"os"
	"testing"
)

// testStartInOutage: a start while the API server is away goes on with the
// objects last seen, says that they may be old, and takes the new ones when it is
// back. A guard that wants fresh data does not let old ones pass.
func testStartInOutage(t *testing.T, w world) {
	line, kubeconfig := newWire(w)
	w.kubeconfig = kubeconfig
	line.connect()
	w.members("web", "10.0.0.1")
	w.secret("db", "s3cret")
	w.write("conf/conf.d/web.toml", nodes("web", ""))
	w.write("conf/conf.d/db.toml", "[[template]]\ncontents = '{{ (secret \"db\").value }}'\ndest = \"$DIR/live/db\"\n")
	w.write("conf/conf.d/fresh.toml", "[[guard]]\nendpoints = \"web\"\nfresh = true\n"+
		"[[template]]\ncontents = '{{ range endpoints \"web\" }}{{ .Address }} {{ end }}'\ndest = \"$DIR/live/fresh\"\n")
	k := w.start("-state-dir", w.file("state"))
	w.awaitFile("live/fresh", "10.0.0.1 ")
	await(t, "the objects are kept", func() bool { return w.read("state/objects") != "" })
	if info, err := os.Stat(w.file("state/objects")); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v (%v), want it for the owner only", info.Mode(), err)
	}
	k.stop()
	line.cut()
	for _, name := range []string{"web", "db", "fresh"} {
		if err := os.Remove(w.file("live/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	w.members("web", "10.0.0.2")

	k = w.start("-state-dir", w.file("state"), "-timeout", "300ms")
	w.awaitFile("live/web", "10.0.0.1 ")
	w.awaitFile("live/db", "s3cret")
	k.awaitLog("what was read may be out of date")
	k.awaitLog(`render held.*from a snapshot`)
	if got := w.read("live/fresh"); got != "" {
		t.Errorf("the guard let old data pass: %q", got)
	}
	line.connect()
	w.awaitFile("live/web", "10.0.0.2 ")
	w.awaitFile("live/fresh", "10.0.0.2 ")
	k.awaitLog("what was read is up to date again")
	k.stop()
}

// testOlderSnapshot: a start while the API server is away leaves files alone that
// came of newer objects than those last kept, and their process too.
func testOlderSnapshot(t *testing.T, w world) {
	line, kubeconfig := newWire(w)
	w.kubeconfig = kubeconfig
	line.connect()
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", "[reload]\naction = \"exec\"\ncommand = \"cat $DIR/live/web >>$DIR/actions; echo >>$DIR/actions\"\n"))
	k := w.start("-state-dir", w.file("state"))
	await(t, "the objects are kept", func() bool { return w.read("state/objects") != "" })
	w.members("web", "10.0.0.2")
	await(t, "it is told", func() bool { return k.count("msg=told") == 2 })
	k.stop() // before they are kept again
	line.cut()

	k = w.start("-state-dir", w.file("state"), "-timeout", "300ms")
	k.awaitLog("render held, the last files stay.*the objects last seen are from .*, and the files may be newer")
	line.connect()
	await(t, "it is in order", func() bool { code, _ := k.get("/readyz"); return code == http.StatusOK })
	w.members("web", "10.0.0.3")
	w.awaitFile("actions", "10.0.0.1 \n10.0.0.2 \n10.0.0.3 \n")
	k.stop()
}

// testOutage: while the API server is away the files stay, and what changed
// meanwhile is there soon after it is back.
func testOutage(t *testing.T, w world) {
	line, kubeconfig := newWire(w)
	w.kubeconfig = kubeconfig
	line.connect()
	w.members("web", "10.0.0.1")
	w.write("conf/conf.d/web.toml", nodes("web", "")+"[[guard]]\nendpoints = \"web\"\nfresh = true\n")
	k := w.start()
	w.awaitFile("live/web", "10.0.0.1 ")
	line.cut()
	w.members("web", "10.0.0.2")
	k.awaitLog("what was read may be out of date")
	if got := w.read("live/web"); got != "10.0.0.1 " {
		t.Errorf("got %q in the outage", got)
	}
	line.connect()
	w.awaitFile("live/web", "10.0.0.2 ")
	k.awaitLog("what was read is up to date again")
	k.stop()
}
