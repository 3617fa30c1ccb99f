package galera

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// A listener is a socket that waits for connections.
type listener struct {
	address netip.Addr
	waiting int // connections that nobody has accepted yet
}

// acceptTimeout is how long connections may wait until all are accepted.
const acceptTimeout = time.Second

// accepts fails unless somebody accepts connections to the node's port and address.
//
// Nothing is connected to. The server takes a connection without a login for an
// aborted one, whatever is sent, and logs a warning for each. The kernel tells as
// much: who listens where, and how many connections wait to be accepted. A server that
// hangs is seen by the clients that it keeps waiting.
func (s Settings) accepts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	for {
		l, err := s.reachable()
		if err != nil || l.waiting == 0 {
			return err
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("connections wait at port %d and nobody accepts them: %d", s.Port, l.waiting)
		}
	}
}

// reachable is the listener to which connections to the node's address go.
func (s Settings) reachable() (listener, error) {
	address, err := netip.ParseAddr(s.Address)
	unknown := err != nil // a name may be any address
	var other *listener
	for l, err := range listeners(s.Port) {
		if err != nil {
			return listener{}, err
		}
		// What listens on all of IPv6 listens on IPv4.
		if unknown || l.address.IsUnspecified() || l.address.Unmap() == address.Unmap() {
			return l, nil
		}
		other = &l
	}
	if other == nil {
		return listener{}, fmt.Errorf("nobody listens at port %d", s.Port)
	}
	return listener{}, fmt.Errorf("the server listens at %s only, and the others are told %s", other.address, s.Address)
}

// listens says whether anybody listens at the port.
func listens(port int) (bool, error) {
	for _, err := range listeners(port) {
		return err == nil, err
	}
	return false, nil
}

// listeners yields the sockets of this network namespace that listen at the port.
// Who has found his one stops: to know that there is no other, the kernel walks
// through all connections, and their table is large where there are few as well.
func listeners(port int) iter.Seq2[listener, error] {
	return func(yield func(listener, error) bool) {
		for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
			if !readListeners(file, port, yield) {
				return
			}
		}
	}
}

// lineLength is that of a line in the table of IPv4, and less than one of IPv6. The
// kernel gives whole lines, and no more than are asked for.
const lineLength = 150

// readListeners reads a table of the kernel: under a heading lines of a number, the
// own address and port, the peer's, the state, in which 0A is listening, and the
// lengths of two queues, of which the second is that of connections to accept; all
// in hexadecimal. Those that listen come first. It says whether to go on.
func readListeners(path string, port int, yield func(listener, error) bool) bool {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // without IPv6
		return true
	}
	if err != nil {
		return yield(listener{}, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, lineLength), bufio.MaxScanTokenSize)
	lines.Scan()
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[3] != "0A" {
			return true
		}
		address, hexPort, _ := strings.Cut(fields[1], ":")
		if p, err := strconv.ParseUint(hexPort, 16, 16); err != nil || int(p) != port {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		waiting, err1 := strconv.ParseUint(queue, 16, 32)
		addr, err2 := parseKernelAddress(address)
		err := errors.Join(err1, err2)
		if err != nil {
			err = fmt.Errorf("reading %q: %w", path, err)
		}
		if !yield(listener{addr, int(waiting)}, err) {
			return false
		}
	}
	if lines.Err() != nil {
		return yield(listener{}, fmt.Errorf("reading %q: %w", path, lines.Err()))
	}
	return true
}

// parseKernelAddress reads an address that is written as numbers of 32 bits in the
// machine's byte order.
func parseKernelAddress(text string) (netip.Addr, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, fmt.Errorf("address %q: %w", text, errors.Join(err, errors.ErrUnsupported))
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.Addr{}, fmt.Errorf("address %q has %d bytes", text, len(raw))
	}
	return addr, nil
}
