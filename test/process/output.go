package process

import (
	"bytes"
	"sync"
)

// An Output collects what is written, by any number of goroutines, and can be
// read meanwhile. The zero Output is empty.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to the output. It cannot fail.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String is all that has been written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
