package galera

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// size is how much of a ConfigMap a record takes.
func size(t *testing.T, r *Record) int {
	t.Helper()
	data := map[string]string{}
	if err := r.into(data); err != nil {
		t.Fatal(err)
	}
	return sizeOf(data)
}

// A hundred nodes that all complain at the greatest length, and wait for each other, leave half of the ConfigMap free,
// whatever characters the complaints are of.
func TestRecordOfManyNodes(t *testing.T) {
	t.Parallel()
	for _, character := range []string{"x", "<", "\"", "\\", "ü", "\u2028"} {
		r := newRecord("test")
		r.UUID, r.Generation = oneUUID, 1
		for i := range 100 {
			n := at(Joining, 1<<40)
			n.Address, n.Pod, n.Token, n.At = "fd00:10:244:1::1234", strings.Repeat("p", 100), token(), time.Now().UTC()
			n.Member, n.View = oneUUID, &View{oneUUID, 1 << 40, 100}
			n.Waits = cut("is not started: " + strings.Repeat(character, maxNote/len(character)))
			n.Lost = &Lost{Position: n.Position, Unknown: true}
			r.Nodes[fmt.Sprintf("pxc-of-a-large-cluster-node-%d", i)] = n
		}
		if got := size(t, r); got > maxRecord/2 {
			t.Errorf("complaints of %q: got %d bytes, want %d at most", character, got, maxRecord/2)
		}
		for _, name := range r.Names() {
			offered := r.clone()
			own := offered.Nodes[name]
			own.State = Offered
			offered.Nodes[name] = own
			n := r.Nodes[name]
			n.Waits = cut(decide(situation{record: offered, self: name}).reason)
			r.Nodes[name] = n
		}
		if got := size(t, r); got > maxRecord/2 {
			t.Errorf("%q, each waiting for all: got %d bytes, want %d at most", character, got, maxRecord/2)
		}
	}
}

// A record that no ConfigMap holds is an error that says what to do, and is not sent. What else is in
// the ConfigMap counts.
func TestRecordTooLarge(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": at(Offered, 3), "b": at(Stopped, 3)})
	data := map[string]string{"another's": strings.Repeat("x", maxRecord-100)}
	err := r.into(data)
	for _, want := range []string{"1048576 bytes", `"node.NAME"`, "does not exist any more"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if _, found := data[clusterKey]; found {
		t.Error("the data were changed")
	}
}
