package galera

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/kconfd/kconfd/internal/process/tree"
)

const (
	// maxOutput is how much of what a program writes is kept, in bytes. The longest
	// text that is read, the server's help, has 150 KB.
	maxOutput = 4 << 20

	// outputWait bounds the wait for the end of the output of a program that has
	// ended.
	outputWait = time.Second
)

// runProgram runs a program until it ends or ctx does. What it has started ends
// with it, and it ends with this process.
func runProgram(ctx context.Context, cmd *exec.Cmd) error {
	cmd.WaitDelay = outputWait
	return tree.Run(ctx, cmd)
}

// startProgram is runProgram up to the start.
func startProgram(cmd *exec.Cmd) (*tree.Process, error) {
	cmd.WaitDelay = outputWait
	return tree.Start(tree.Bind(cmd))
}

// A tail keeps the end of what is written into it.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxOutput { // not for each write
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutput:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.kept[max(0, len(t.kept)-maxOutput):]) }

// A limited keeps all that is written into it, which must not be too much.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("it writes more than %d bytes", maxOutput)
	}
	return l.Buffer.Write(p)
}
