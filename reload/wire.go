package reload

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// A wire is one end of the socket between init and worker. It keeps messages
// apart and in order, and holds some hundred that are not read yet.
type wire int

// A message goes over a wire, one a packet.
type message struct {
	what string
	a, b int
	c    int64
}

const (
	saySignal  = "signal"  // init → worker: init got signal a
	sayTaken   = "taken"   // worker → init: it has the next of the signals that init sent
	sayEnded   = "ended"   // init → worker: its adopted child has ended, with wait status a
	sayChild   = "child"   // worker → init: a is its child, to be stopped with signal b and grace c in ns; a = 0: there is none
	sayReady   = "ready"   // worker → init: its child is ready
	sayRestart = "restart" // worker → init: the restart of its child has come as far as a
	sayStopped = "stopped" // worker → init: its child a was stopped by signal b
	sayEnd     = "end"     // worker → init: it will end with code a
	// worker → init: what is to be told to the service manager, in the words of sd_notify(3)
)

// newWire gives both ends of a wire. No other process inherits them.
func newWire() (near, far wire, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("making a link between init and worker: %w", err)
	}
	return wire(fds[0]), wire(fds[1]), nil
}

// send never waits: an init that does could not reap. It fails when the other
// end is gone, or has not read for hundreds of messages.
func (w wire) send(m message) {
	packet := fmt.Appendf(nil, "%s %d %d %d", m.what, m.a, m.b, m.c)
	_, _ = unix.SendmsgN(int(w), packet, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// receive reads messages until the other end is gone, and closes to then.
func (w wire) receive(to chan<- message) {
	defer close(to)
	packet := make([]byte, 128)
	for {
		n, err := unix.Read(int(w), packet)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		var m message
		if _, err := fmt.Sscanf(string(packet[:n]), "%s %d %d %d", &m.what, &m.a, &m.b, &m.c); err == nil {
			to <- m
		}
	}
}

func (w wire) close() { _ = unix.Close(int(w)) }
