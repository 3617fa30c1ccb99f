package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// MaxConnections are held at a time, where there are descriptors for four times
	// as many.
	MaxConnections = 64
	// minConnections are held however few descriptors there are.
	minConnections = 4
	// grace is how long a connection has to go on before it may have to make room for
	// the next one.
	grace = 20 * time.Millisecond

	// sendBuffer and receiveBuffer are what the kernel may hold for a connection, in
	// bytes. It takes twice as much for its own records.
	sendBuffer    = 16 << 10
	receiveBuffer = 16 << 10
)

// Listen opens a TCP address, as HOST:PORT or :PORT. What is accepted there has small
// buffers in the kernel.
func Listen(address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = setBuffers(int(fd)) })
		return errors.Join(err, failed)
	}}
	return config.Listen(context.Background(), "tcp", address)
}

// setBuffers sets what accepted connections have from their listener.
func setBuffers(fd int) error {
	for _, option := range []struct {
		name                string
		level, key, setting int
	}{
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer},
		{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer},
		// What is left to send when a connection is closed takes memory no longer than that.
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(2 * writeTimeout / time.Millisecond)},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.key, option.setting); err != nil {
			return fmt.Errorf("setting %s: %w", option.name, err)
		}
	}
	return nil
}

// connectionLimit leaves three quarters of the descriptors to kconfd's work.
func connectionLimit() int {
	var descriptors syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &descriptors); err != nil {
		return minConnections
	}
	return int(max(minConnections, min(MaxConnections, descriptors.Cur/4)))
}

// connections are those that are open, no more than limit.
type connections struct {
	limit int

	mu   sync.Mutex
	open map[*conn]bool
}

func (p *connections) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

func (p *connections) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// add adds a connection, and closes another one if there are too many. The one that
// is closed has had its grace, or closing is closed.
func (p *connections) add(c *conn, closing <-chan struct{}) {
	if victim := p.next(); victim != nil {
		if wait := grace - victim.still(time.Now()); wait > 0 {
			pause(wait, closing)
		}
	}
	p.mu.Lock()
	var victim *conn
	if len(p.open) >= p.limit {
		victim = p.least()
		delete(p.open, victim)
	}
	p.open[c] = true
	p.mu.Unlock()
	victim.evict()
}

// drop closes all.
func (p *connections) drop() {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	for _, c := range all {
		_ = c.drop()
	}
}

// next is the connection that would have to make room, nil when there is room.
func (p *connections) next() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) < p.limit {
		return nil
	}
	return p.least()
}

// evict closes the connection that is missed least, if there is any.
func (p *connections) evict() {
	p.mu.Lock()
	victim := p.least()
	p.mu.Unlock()
	victim.evict()
}

// least is the connection that is missed least: of the client that has the most of
// them, the one with the lowest rank that has been still for the longest time. It is
// nil when none is open.
func (p *connections) least() *conn {
	of := map[netip.Addr]int{}
	for c := range p.open {
		of[c.client]++
	}
	now := time.Now()
	var least *conn
	for c := range p.open {
		if least == nil || cmp.Or(
			cmp.Compare(of[c.client], of[least.client]),
			cmp.Compare(least.rank(now), c.rank(now)),
			cmp.Compare(c.still(now), least.still(now)),
		) > 0 {
			least = c
		}
	}
	return least
}

// A listener accepts connections for a server, whatever happens, until it is closed.
type listener struct {
	net.Listener
	server *Server
	warned time.Time
}

const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
	// warnPause is how often failures to accept are logged.
	warnPause = time.Minute
)

// Accept returns the next connection. The error says that there will be none any more.
// What can pass is tried again, after pauses that become longer.
func (l *listener) Accept() (net.Conn, error) {
	for wait := minPause; ; wait = min(2*wait, maxPause) {
		accepted, err := l.Listener.Accept()
		if err == nil {
			c := newConn(accepted.(*net.TCPConn), l.server)
			l.server.connections.add(c, l.server.closing)
			return c, nil
		}
		if ended(err) {
			return nil, err
		}
		l.failed(err)
		pause(wait, l.server.closing)
	}
}

// ended says whether the listener itself does not work any more. Everything else
// accept(2) says is about one connection, or about what the machine is short of.
func ended(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.ENOTSOCK)
}

// failed counts a failure. Where descriptors are what is missing, one is given back.
func (l *listener) failed(err error) {
	l.server.metrics.acceptErrors.Inc()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		l.server.connections.evict()
	}
	if now := time.Now(); now.Sub(l.warned) > warnPause {
		l.warned = now
		l.server.log.Warn("accepting a connection failed", slog.Any("err", err))
	}
}

// pause waits for a while, or until closing is closed.
func pause(d time.Duration, closing <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing:
	}
}
