package reload

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	tailSize = 8 << 10 // how much of a command's output is kept, in bytes
	lineSize = 300     // how much of a line is shown in an error, in bytes
)

// An output reads what a command writes and keeps the end of it.
type output struct {
	r     *os.File
	ended chan struct{} // closed when the last writer is gone, or another process reads
	tried chan struct{} // closed when it is known whether another process does

	mu      sync.Mutex
	buf     []byte
	dropped bool // buf is not all there was
}

// collect reads r until its last writer is gone, and closes it then.
func collect(r *os.File) *output {
	o := &output{r: r, ended: make(chan struct{}), tried: make(chan struct{})}
	// Stops when the last process that holds the other end closes it, or at handOver. That may be long
	// after the command: closing our end earlier would kill what it left in the background with SIGPIPE.
	go func() {
		defer close(o.ended)
		defer r.Close()
		for {
			_, err := io.Copy(o, r)
			if !errors.Is(err, os.ErrDeadlineExceeded) || startDrain(r) {
				return
			}
			_ = r.SetReadDeadline(time.Time{}) // it is a pipe, which has deadlines
			close(o.tried)
		}
	}()
	return o
}

// handOver has another process read what is still to come, if there can be one: a process that the
// command left in the background then outlives this one.
func (o *output) handOver() {
	if drainCommand.Load() == nil {
		return
	}
	_ = o.r.SetReadDeadline(time.Now()) // fails when it is closed, which is as good
	select {
	case <-o.ended:
	case <-o.tried:
	}
}

// Write keeps the end of all that was written. It never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	if len(p) > tailSize {
		p, o.dropped = p[len(p)-tailSize:], true
	}
	if extra := len(o.buf) + len(p) - tailSize; extra > 0 {
		o.buf, o.dropped = o.buf[:copy(o.buf, o.buf[extra:])], true
	}
	o.buf = append(o.buf, p...)
	return n, nil
}

// wait waits until all output has been read, or the limit has passed. Then a process that is left in
// the background holds the pipe, and this one reads no more.
func (o *output) wait(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-o.ended:
	case <-timer.C:
		o.handOver()
	}
}

// tail is the end of the output. It begins with a whole line when it holds one. When it does not, and only
// whole lines are wanted, it is empty.
func (o *output) tail(wholeLines bool) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := string(o.buf)
	if _, rest, found := strings.Cut(s, "\n"); o.dropped && (found || wholeLines) {
		return rest
	}
	return s
}

// lastLine is the last line that has a letter or a digit in it, fit to be shown.
func lastLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.ContainsFunc(lines[i], func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			return shorten(lines[i])
		}
	}
	return ""
}

// shorten makes one printable line of s, cut where it is too long.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	cut := len(s) > lineSize
	if cut {
		s = s[:lineSize]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if cut {
		s += "…"
	}
	return s
}
