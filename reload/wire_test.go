package reload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The last words of a worker arrive, though it left signals unread: its exit code
// is among them, and that there is no child to be stopped any more.
func TestLastWords(t *testing.T) {
	near, far, err := newWire()
	fatal(t, err)
	defer near.close()
	near.send(message{what: saySignal, a: 10})
	want := []message{{what: sayChild}, {what: sayEnd, a: 3}}
	for _, m := range want {
		far.send(m)
	}
	far.close()
	messages := make(chan message)
	go near.receive(messages) // until the other end is gone, which it is
	var got []message
	for m := range messages {
		got = append(got, m)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(message{})); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
