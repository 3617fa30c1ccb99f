//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A writer is a client that writes numbered rows through the Service all the while.
type writer struct {
	stdin io.Closer
	done  chan struct{} // closed when it has ended

	mu     sync.Mutex
	acks   []ack
	errors []string
}

// An ack is a row that was acknowledged.
type ack struct {
	number int64
	at     time.Time
}

// startWriter starts one, which is ended with the test at the latest.
func (g *galera) startWriter(t *testing.T) *writer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	cmd := g.client(ctx, "write", g.serviceAddress(t))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &writer{stdin: stdin, done: make(chan struct{})}
	go func() { // until the client ends
		w.read(stdout)
		_ = cmd.Wait() // it may have been killed
		close(w.done)
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	w.awaitWrites(t)
	return w
}

func (w *writer) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var number, at int64
		_, err := fmt.Sscanf(lines.Text(), "%d %d", &number, &at)
		w.mu.Lock()
		if err == nil {
			w.acks = append(w.acks, ack{number, time.Unix(0, at)})
		} else {
			w.errors = append(w.errors, lines.Text())
		}
		w.mu.Unlock()
	}
}

// written is what was acknowledged so far.
func (w *writer) written() []ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks[:len(w.acks):len(w.acks)]
}

// forget drops what was acknowledged behind the first n: it is to be lost.
func (w *writer) forget(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = w.acks[:n:n]
}

// failures is what went wrong so far.
func (w *writer) failures() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.errors, "\n")
}

// awaitWrites waits until rows are written now.
func (w *writer) awaitWrites(t *testing.T) {
	t.Helper()
	n := len(w.written())
	begin := time.Now()
	for len(w.written()) < n+3 {
		select {
		case <-w.done:
			t.Fatalf("the client has ended:\n%s", w.failures())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(begin) > patience {
			t.Fatalf("waited in vain: rows are written\n%s", w.failures())
		}
	}
}

// end ends the client, if it has not been.
func (w *writer) end() {
	_ = w.stdin.Close() // it may have been
	<-w.done
}

// stop ends the client once it writes, and gives what was acknowledged.
func (w *writer) stop(t *testing.T) []ack {
	t.Helper()
	w.awaitWrites(t)
	w.end()
	return w.written()
}

// longestGap is the longest time without an acknowledged row.
func longestGap(acks []ack) time.Duration {
	var longest time.Duration
	for i := 1; i < len(acks); i++ {
		longest = max(longest, acks[i].at.Sub(acks[i-1].at))
	}
	return longest.Round(time.Millisecond)
}
