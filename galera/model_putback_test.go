package galera

import (
	"strings"
	"testing"
	"testing/synctest"
)

// Volumes that are put back to an older state do not bring back a view: the rows of a later one would be
// lost. Here the view is that of a node that was cut off before.
func TestViewOfVolumesThatWerePutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newModel(0)
		w.quiet = false
		defer w.close()
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
		w.bring(a, b, c)
		w.snapshot()
		for _, n := range []*modelNode{b, c} { // each is started once more, and is called what it was
			n.killPod()
			w.bring(n)
		}
		a.segment = 1
		w.regroup()
		if !b.write() || len(w.members()) != 2 {
			t.Fatalf("the two others do not go on:\n%s", strings.Join(w.story, "\n"))
		}
		if !w.putBack([]*modelNode{b, c}, 0) {
			t.Fatal("the volumes cannot be put back")
		}
		w.mend()
		w.bring(b, c)
		if w.fault != "" {
			t.Errorf("%s\n%s", w.fault, strings.Join(w.story, "\n"))
		}
	})
}
