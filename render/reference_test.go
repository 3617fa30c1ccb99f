package render

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/docs"
)

// The functions in the reference are those that there are.
func TestReferenceNamesTheFunctions(t *testing.T) {
	section, err := docs.Section("../docs/reference.md", "### kconfd's own")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range docs.Rows(section) {
		documented = append(documented, docs.Names(row[0])...)
	}
	existing := slices.Concat([]string{"include", "tpl"}, slices.Collect(maps.Keys(helm())), slices.Collect(maps.Keys(guards(nil))),
		slices.Collect(maps.Keys(durations())), slices.Collect(maps.Keys(confds())), slices.Collect(maps.Keys(sameAs())))
	slices.Sort(documented)
	slices.Sort(existing)
	if diff := cmp.Diff(documented, existing); diff != "" {
		t.Errorf("-reference +code:\n%s", diff)
	}
}
