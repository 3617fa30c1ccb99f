package galera

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A listener counts when it is the one that connections to the node's address reach.
func TestReachable(t *testing.T) {
	for name, test := range map[string]struct {
		listen, address string
		want            string
	}{
		"the address":          {"127.0.0.1:0", "127.0.0.1", ""},
		"another address":      {"127.0.0.1:0", "127.0.0.2", "the server listens at 127.0.0.1 only, and the others are told 127.0.0.2"},
		"all addresses":        {"0.0.0.0:0", "127.0.0.2", ""},
		"all of both families": {"[::]:0", "127.0.0.2", ""},
		"IPv6":                 {"[::1]:0", "::1", ""},
		"another of IPv6":      {"[::1]:0", "fd00::1", "the server listens at ::1 only, and the others are told fd00::1"},
		"a name":               {"127.0.0.1:0", "pxc-0", ""},
		"no address":           {"127.0.0.1:0", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", test.listen)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			n := Settings{Address: test.address, Port: l.Addr().(*net.TCPAddr).Port}
			got := ""
			if _, err := n.reachable(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if open, err := listens(n.Port); !open || err != nil {
				t.Errorf("listens: got %v, %v", open, err)
			}
			l.Close()
			if open, err := listens(n.Port); open || err != nil {
				t.Errorf("listens when closed: got %v, %v", open, err)
			}
		})
	}
}

// What waits to be accepted is counted.
func TestListenersCount(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	var got []listener
	for one, err := range listeners(l.Addr().(*net.TCPAddr).Port) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, one)
	}
	want := []listener{{netip.MustParseAddr("127.0.0.1"), 3}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(listener{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
