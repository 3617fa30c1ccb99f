package watcher

import (
	"fmt"
	"testing"
)

func namesOf[T fmt.Stringer](list []T) []string {
	var names []string
	for _, o := range list {
		names = append(names, o.String())
	}
	return names
}

// What a selector selects follows its objects: they come, change their labels and their
// data, and go. Numbers in names are in order.
func TestSelectedData(t *testing.T) {
	inBothWorlds(t, map[string]func(*testing.T, world){
		"ConfigMaps": func(t *testing.T, w world) {
			testSelected(t, w, "ConfigMap", func(r *Reader, selector string) ([]string, error) {
				list, err := r.configMaps(selector)
				return contentsOf(list, func(c *ConfigMap) map[string]string { return c.Data }), err
			})
		},
		"Secrets": func(t *testing.T, w world) {
			testSelected(t, w, "Secret", func(r *Reader, selector string) ([]string, error) {
				list, err := r.secretsOf(selector)
				if err == nil && !r.private {
					t.Error("it is not noted that a Secret was asked for")
				}
				for _, s := range list {
					if r.standIn == nil && !r.secrets[s.Data["a"]] {
						t.Errorf("the value of Secret %s is not noted as secret", s)
					}
				}
				return contentsOf(list, func(s *Secret) map[string]string { return s.Data }), err
			})
		},
	})
}

func contentsOf[T fmt.Stringer](list []T, data func(T) map[string]string) []string {
	var all []string
	for _, o := range list {
		all = append(all, o.String()+"="+data(o)["a"])
	}
	return all
}

func testSelected(t *testing.T, w world, kind string, read func(*Reader, string) ([]string, error)) {
	field := map[string]string{"ConfigMap": "data", "Secret": "stringData"}[kind]
	put := func(name, label, value string) {
		w.put(t, object(t, w.namespace(), fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: %s, labels: {of: %s}}, %s: {a: %q}}", kind, name, label, field, value)))
	}
	put("x-10", "web", "ten")
	put("x-2", "web", "two")
	put("zz", "other", "why")
	watcher := w.watcher(t)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) ([]string, error) { return read(r, "of=web") })
	p.awaitGot(t, []string{"x-2=two", "x-10=ten"})
	put("zz", "web", "why")
	p.awaitGot(t, []string{"x-2=two", "x-10=ten", "zz=why"})
	put("x-2", "web", "deux")
	p.awaitGot(t, []string{"x-2=deux", "x-10=ten", "zz=why"})
	put("x-2", "other", "deux")
	p.awaitGot(t, []string{"x-10=ten", "zz=why"})
	w.remove(t, object(t, w.namespace(), fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: x-10}}", kind)))
	p.awaitGot(t, []string{"zz=why"})

	none := newPage(watcher, func(r *Reader) ([]string, error) { return read(r, "of=nothing") })
	none.awaitGot(t, nil)
	bad := newPage(watcher, func(r *Reader) ([]string, error) { return read(r, "of in web") })
	bad.awaitErr(t, `label selector "of in web": `)
}

// A Secret by its name and all Secrets are two watches, in whatever order they are
// listed, each with what it is for.
func TestSelectedBesideNamed(t *testing.T) {
	w := ofManifests(t, twoSecrets)
	read := func(r *Reader) ([]string, error) {
		all, err := r.secretsOf("")
		if err != nil {
			return nil, err
		}
		one, err := r.secret("one")
		return append(namesOf(all), one["a"]), err
	}
	newPage(w, func(r *Reader) ([]string, error) { all, err := r.secretsOf(""); return namesOf(all), err }).awaitGot(t, []string{"one", "two"})
	newPage(w, read).awaitGot(t, []string{"one", "two", "s3cret"})
	awaitWatches(t, w, `all Secrets in namespace "default"`, `Secret "one" in namespace "default"`)
}
