package reload

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A Lossy writes messages in the background, in order, so that nobody who has
// something to say is held up by a pipe that is full because nobody reads it: a
// stop signal must not wait for a log. When too many messages wait, new ones
// are dropped, and their number is told once there is room again.
type Lossy struct {
	to      io.Writer
	waiting chan func()
	dropped atomic.Int64
}

const (
	// lossyRoom is how many messages may wait.
	lossyRoom = 256

	// LastWords is how long a process that is about to end waits for its last
	// messages to be written.
	LastWords = 50 * time.Millisecond
)

// NewLossy makes a Lossy that writes to w as long as the process lives.
func NewLossy(w io.Writer) *Lossy {
	l := &Lossy{to: w, waiting: make(chan func(), lossyRoom)}
	go func() { // as long as the process
		for do := range l.waiting {
			do()
		}
	}()
	return l
}

// Write takes a message. It never waits and never fails.
func (l *Lossy) Write(message []byte) (int, error) {
	message, size := bytes.Clone(message), len(message)
	select {
	case l.waiting <- func() { l.write(message) }:
	default:
		l.dropped.Add(1)
	}
	return size, nil
}

func (l *Lossy) write(message []byte) {
	_, _ = l.to.Write(message) // who could be told?
	if n := l.dropped.Swap(0); n > 0 {
		fmt.Fprintf(l.to, "kconfd: %d messages are lost, for nobody has read them\n", n)
	}
}

// Flush waits until all that was taken before is written, for so long at most.
func (l *Lossy) Flush(limit time.Duration) {
	deadline := time.After(limit)
	written := make(chan struct{})
	select {
	case l.waiting <- func() { close(written) }:
	case <-deadline:
		return
	}
	select {
	case <-written:
	case <-deadline:
	}
}
