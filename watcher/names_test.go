package watcher

import (
	"errors"
	"strings"
	"testing"
	"text/template"
)

// What no object can be called is refused at once, with its name: awaited, it would
// be awaited for ever. Nothing is watched for it, least of all what a selector would
// make of it.
func TestNamesThatCannotBe(t *testing.T) {
	for call, name := range map[string]string{
		`endpoints "a,b"`:      `"a,b"`,
		`secret "s/x"`:         `"s/x"`,
		`configMap ".."`:       `".."`,
		`service "a b"`:        `"a b"`,
		`pod "-a"`:             `"-a"`,
		`node "A"`:             `"A"`,
		`statefulSet "a!=b"`:   `"a!=b"`,
		`configMap "kube.a-1"`: "",
	} {
		t.Run(call, func(t *testing.T) {
			w := NewOffline()
			p := newPage(w, func(r *Reader) (string, error) { return printed(r, "{{ "+call+" }}") })
			p.look()
			var incomplete *IncompleteError
			var absent *AbsentError
			awaited := errors.As(p.err, &incomplete) || errors.As(p.err, &absent)
			switch {
			case name == "" && !awaited:
				t.Errorf("got %v, want that it is awaited", p.err)
			case name == "":
			case p.err == nil || awaited || !strings.Contains(p.err.Error(), name+" is no name of an object: "):
				t.Errorf("got %v, want an error that names %s", p.err, name)
			case len(watches(w)) > 0 || len(p.reader.Dependencies()) > 0:
				t.Errorf("watched %q for %q, want nothing", watches(w), p.reader.Dependencies())
			}
		})
	}
}

// printed is what a template gives with r's functions.
func printed(r *Reader, text string) (string, error) {
	parsed, err := template.New("main").Funcs(r.Funcs()).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = parsed.Execute(&out, nil)
	return out.String(), err
}

// Printed whole, everything is its name or its address. A pointer would be another
// one at every start, and each start a change.
func TestPrintedWhole(t *testing.T) {
	t.Setenv("POD_NAME", "web-0")
	w := newManifestWorld(t)
	for _, document := range []string{
		"{apiVersion: v1, kind: Service, metadata: {name: web}}",
		"{apiVersion: v1, kind: Service, metadata: {name: api}}",
		podYAML("web-0", ""),
		podYAML("web-1", ""),
		"{apiVersion: v1, kind: Node, metadata: {name: one}}",
		"{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {replicas: 2}}",
	} {
		w.put(t, object(t, w.namespace(), document))
	}
	w.put(t, slice(w, "web", "10.0.0.1", "10.0.0.2"))
	for call, want := range map[string]string{
		`endpoints "web"`:           "[10.0.0.1 10.0.0.2]",
		`(service "web").Endpoints`: "[10.0.0.1 10.0.0.2]",
		`index (endpoints "web") 0`: "10.0.0.1",
		`services ""`:               "[api web]",
		`service "web"`:             "web",
		`pods ""`:                   "[web-0 web-1]",
		`pod "web-1"`:               "web-1",
		`nodes ""`:                  "[one]",
		`node "one"`:                "one",
		`self`:                      "web-0",
		`self.Pod`:                  "web-0",
		`statefulSet "x"`:           "x",
	} {
		t.Run(call, func(t *testing.T) {
			watcher := w.watcher(t)
			start(t, watcher)
			newPage(watcher, func(r *Reader) (string, error) { return printed(r, "{{ "+call+" }}") }).awaitGot(t, want)
		})
	}
}
