package galera

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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

// listens fails unless somebody accepts connections to the node's port and address.
//
// Nothing is connected to. The server takes a connection without a login for an
// aborted one, whatever is sent, and logs a warning for each. The kernel tells as
// much: who listens where, and how many connections wait to be accepted. A server that
// hangs is seen by the clients that it keeps waiting.
func (n nodeFile) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	for {
		open, err := listeners(n.port)
		if err != nil {
			return err
		}
		l, err := n.reachable(open)
		if err != nil || l.waiting == 0 {
			return err
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("connections wait at port %d and nobody accepts them: %d", n.port, l.waiting)
		}
	}
}

// reachable is the listener to which connections to the node's address go.
func (n nodeFile) reachable(open []listener) (listener, error) {
	if len(open) == 0 {
		return listener{}, fmt.Errorf("nobody listens at port %d", n.port)
	}
	address, err := netip.ParseAddr(n.address)
	for _, l := range open {
		// A name may be any address; and what listens on all of IPv6 listens on IPv4.
		if err != nil || l.address.IsUnspecified() || l.address.Unmap() == address.Unmap() {
			return l, nil
		}
	}
	return listener{}, fmt.Errorf("the server listens at %s only, and the others are told %s", open[0].address, n.address)
}

// listeners are the sockets of this network namespace that listen at the port.
func listeners(port int) ([]listener, error) {
	var found []listener
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		more, err := readListeners(file, port)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // without IPv6
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// readListeners reads a table of the kernel: under a heading lines of a number, the
// own address and port, the peer's, the state, in which 0A is listening, and the
// lengths of two queues, of which the second is that of connections to accept; all
// in hexadecimal. Those that listen come first.
func readListeners(path string, port int) ([]listener, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan()
	var found []listener
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[3] != "0A" {
			break
		}
		address, hexPort, _ := strings.Cut(fields[1], ":")
		if p, err := strconv.ParseUint(hexPort, 16, 16); err != nil || int(p) != port {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		waiting, err1 := strconv.ParseUint(queue, 16, 32)
		addr, err2 := parseKernelAddress(address)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		found = append(found, listener{addr, int(waiting)})
	}
	return found, lines.Err()
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
