package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A wire is the way to an API server, which can be cut, slow, and silent. Its
// address stays the same.
type wire struct {
	t       *testing.T
	address string
	to      string

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	open     map[net.Conn]bool
	delay    time.Duration // of each chunk
	silent   bool          // nothing comes through, and nobody is told
}

// newWire is a wire that is not connected yet, and the kubeconfig that goes by it.
func newWire(w world) (*wire, string) {
	w.t.Helper()
	address := lastingAddress()
	to := strings.TrimPrefix(w.server.URL(), "https://")
	text, err := os.ReadFile(w.kubeconfig)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("kubeconfig", strings.ReplaceAll(string(text), to, address))
	l := &wire{t: w.t, address: address, to: to, open: map[net.Conn]bool{}}
	w.t.Cleanup(l.cut)
	return l, w.file("kubeconfig")
}

// lastingAddress is one to listen at again and again: where nobody listens, the kernel gives
// ports from 32768 on to connections.
func lastingAddress() string {
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
}

// connect makes the way good.
func (l *wire) connect() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.listener = listener
	go l.accept(listener) // until it is cut
}

func (l *wire) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			near.Close()
			continue
		}
		l.mu.Lock()
		if l.listener != listener { // it was cut in between
			near.Close()
			far.Close()
		}
		l.open[near], l.open[far] = true, true
		l.mu.Unlock()
		go l.copy(near, far) // until one side ends
		go l.copy(far, near)
	}
}

func (l *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	chunk := make([]byte, 32<<10)
	for {
		n, err := from.Read(chunk)
		l.wait()
		if n > 0 {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait is how long a chunk is on its way.
func (l *wire) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for sent := time.Now(); l.silent || time.Since(sent) < l.delay; {
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		l.mu.Lock()
	}
}

// cut breaks all connections, and refuses new ones.
func (l *wire) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return
	}
	l.listener.Close()
	l.listener = nil
	for conn := range l.open {
		conn.Close()
	}
	clear(l.open)
}

// slow delays all that goes over the wire.
func (l *wire) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// mute has nothing come through, or all that has been kept.
func (l *wire) mute(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = silent
}
