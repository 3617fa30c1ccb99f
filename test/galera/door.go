package galera

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// A Door lets a node reach a port of the test's own network at 127.0.0.1, where the node
// has it at 127.0.0.1 too.
type Door struct {
	address  string
	node     *Node
	mu       sync.Mutex
	listener net.Listener // nil while it is shut
	open     []net.Conn
}

// Door makes one that is open until the test ends.
func (n *Node) Door(t testing.TB, port int) *Door {
	t.Helper()
	d := &Door{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), node: n}
	n.doors = append(n.doors, d)
	d.Open(t)
	return d
}

// Open opens a door that was shut.
func (d *Door) Open(t testing.TB) {
	t.Helper()
	var listener net.Listener
	err := d.node.network.in(func() (err error) {
		listener, err = net.Listen("tcp", d.address)
		return err
	})
	if err != nil {
		t.Fatalf("node %q: %v", d.node.Name, err)
	}
	d.mu.Lock()
	d.listener = listener
	d.mu.Unlock()
	go func() { // until the listener is closed
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			d.pass(from, listener)
		}
	}()
}

// pass passes a connection on, unless the door has been shut in the meantime.
func (d *Door) pass(from net.Conn, listener net.Listener) {
	to, err := net.Dial("tcp", d.address)
	if err != nil {
		from.Close()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != listener {
		from.Close()
		to.Close()
		return
	}
	d.open = append(d.open, from, to)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() { // until one of the two is closed
			_, _ = io.Copy(way[1], way[0])
			way[0].Close()
			way[1].Close()
		}()
	}
}

// Shut ends all connections and refuses new ones.
func (d *Door) Shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return
	}
	d.listener.Close()
	d.listener = nil
	for _, c := range d.open {
		c.Close()
	}
	d.open = nil
}
