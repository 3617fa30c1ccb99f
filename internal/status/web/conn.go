package web

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A conn is a client's connection. All methods may be called at any time. A nil
// conn can be evicted.
type conn struct {
	*net.TCPConn
	server *Server
	client netip.Addr

	begun    atomic.Bool  // a byte of a request has come
	handling atomic.Bool  // a handler is at work, or its answer is being sent
	writing  atomic.Bool  // a write waits for the client
	progress atomic.Int64 // when a byte was last read or written, in nanoseconds
	slow     atomic.Bool  // it was, and is counted
	draining atomic.Bool  // it is closed, but for what is left to send
	closed   atomic.Bool
}

func newConn(c *net.TCPConn, s *Server) *conn {
	made := &conn{TCPConn: c, server: s}
	if address, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		made.client = address.AddrPort().Addr().Unmap()
	}
	made.moved()
	return made
}

func (c *conn) moved() { c.progress.Store(time.Now().UnixNano()) }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		c.begun.Store(true)
		c.moved()
	}
	// While a handler is at work, net/http ends its own reads by a deadline.
	if errors.Is(err, os.ErrDeadlineExceeded) && c.begun.Load() && !c.handling.Load() {
		c.late()
	}
	return n, err
}

// late notes that the client has taken too long.
func (c *conn) late() {
	if !c.slow.Swap(true) {
		c.server.metrics.slow.Inc()
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if !c.handling.Load() {
		return c.writeRaw(p)
	}
	c.writing.Store(true)
	defer c.writing.Store(false)
	n, err := c.TCPConn.Write(p)
	if n > 0 {
		c.moved()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.late()
		_ = c.SetLinger(0) // what it did not read is dropped
	}
	return n, err
}

// writeRaw writes what net/http says about something that is no request, and adds
// the headers of every answer.
func (c *conn) writeRaw(p []byte) (int, error) {
	line, rest, found := bytes.Cut(p, []byte("\r\n"))
	version, status, _ := bytes.Cut(line, []byte(" "))
	if !found || !bytes.HasPrefix(version, []byte("HTTP/")) || len(status) < 3 {
		return c.TCPConn.Write(p)
	}
	c.server.metrics.reject(string(status[:3]))
	var answer bytes.Buffer
	answer.Write(line)
	answer.WriteString("\r\n")
	_ = safeHeaders().WriteSubset(&answer, map[string]bool{contentType: bytes.Contains(rest, []byte(contentType))}) // to memory
	answer.Write(rest)
	if _, err := c.TCPConn.Write(answer.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// evict closes the connection at once, with all that it has not read.
func (c *conn) evict() {
	if c == nil || c.closed.Load() {
		return
	}
	c.server.metrics.evicted.Inc()
	_ = c.SetLinger(0)
	_ = c.drop()
}

// Close ends the connection. What the client has not read yet is left to it for a
// while, in which the connection still counts: the kernel would else keep that for any
// number of them.
func (c *conn) Close() error {
	if c.draining.Swap(true) || c.unsent() == 0 {
		return c.drop()
	}
	c.handling.Store(false) // it is the first to make room
	_ = c.CloseWrite()      // it may be closed already
	_ = c.SetDeadline(time.Now().Add(drainTimeout))
	go func() { // until the client closes its end, or the deadline
		_, _ = io.Copy(io.Discard, c.TCPConn)
		_ = c.SetLinger(0)
		_ = c.drop()
	}()
	return nil
}

// drop closes the connection, whatever is left to send.
func (c *conn) drop() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.server.connections.remove(c)
	return c.TCPConn.Close()
}

// unsent is how many bytes the client's kernel has not taken yet.
func (c *conn) unsent() (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }) // 0 when it is closed
	return n
}

// rank is how readily the connection makes room: one without a request first, then
// one that does not read, then any other, and last one that is in its grace.
func (c *conn) rank(now time.Time) int {
	switch {
	case c.still(now) < grace:
		return 3
	case !c.handling.Load():
		return 0
	case c.writing.Load():
		return 1
	}
	return 2
}

// still is how long nothing has been read or written.
func (c *conn) still(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, c.progress.Load()))
}
