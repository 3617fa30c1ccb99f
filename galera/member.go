package galera

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// greetTimeout is how long a member has for its first message, and again for an answer to a
	// greeting of TLS.
	greetTimeout = 500 * time.Millisecond

	// unusedPort is one at which no service listens, as far as is known: see [isMember].
	unusedPort = "1"
)

// listening are those of the peers at whose port a member listens.
func listening(ctx context.Context, peers []peer) []peer {
	found := make([]bool, len(peers))
	var dials sync.WaitGroup
	for i, p := range peers {
		dials.Go(func() { found[i] = isMember(ctx, p) }) // until the timeouts
	}
	dials.Wait()
	var open []peer
	for i, p := range peers {
		if found[i] {
			open = append(open, p)
		}
	}
	return open
}

// isMember says whether a member of a Galera cluster listens there. A member sends its handshake as
// soon as it is connected to, or answers a greeting of TLS. What accepts a connection and closes it
// is none: the proxy of a service mesh, whose server is not there.
//
// What stays silent may be a server that hangs, and counts as a member: it may go on at any time.
// But where a port is accepted as well at which nothing listens, it is the proxy that accepts.
func isMember(ctx context.Context, p peer) bool {
	connection, err := dial(ctx, p)
	if err != nil {
		return false
	}
	defer connection.Close()
	spoken, silent := greets(ctx, connection)
	if !silent {
		return spoken
	}
	other, err := dial(ctx, peer{p.host, unusedPort})
	if err != nil {
		return true
	}
	other.Close()
	return false
}

func dial(ctx context.Context, p peer) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.String())
}

// greets says whether anything came from the other side, or else whether the connection is still
// open.
func greets(ctx context.Context, connection net.Conn) (spoken, silent bool) {
	stop := context.AfterFunc(ctx, func() { connection.Close() })
	defer stop()
	first := &firstByte{Conn: connection}
	if err := first.SetReadDeadline(time.Now().Add(greetTimeout)); err != nil {
		return false, false
	}
	_, err := first.Read(make([]byte, 1))
	if first.read || !errors.Is(err, os.ErrDeadlineExceeded) {
		return first.read, false
	}
	if err := first.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return false, false
	}
	// Only whether there is an answer matters, not who gives it: nothing is sent after it.
	err = tls.Client(first, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	return first.read, errors.Is(err, os.ErrDeadlineExceeded)
}

// A firstByte is a connection that knows whether anything was read from it.
type firstByte struct {
	net.Conn
	read bool
}

func (f *firstByte) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	f.read = f.read || n > 0
	return n, err
}
