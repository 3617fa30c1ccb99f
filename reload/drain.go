package reload

import (
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
)

// drainFD is the descriptor from which [Drain] reads.
const drainFD = 3

// drainCommand is how a process is started that drains; nil when there is none.
var drainCommand atomic.Pointer[[]string]

// DrainWith names the program that reads what is left to be read of a command's output: a process
// that a command leaves in the background holds the pipe, and would die of SIGPIPE at its next line
// once the reader is gone. So the reader is a process that ends with the last writer, not with this
// one. The program calls [Drain]. Without one, this process goes on reading.
func DrainWith(argv ...string) { drainCommand.Store(&argv) }

// Drain reads from descriptor 3 until the last writer is gone, and keeps nothing.
func Drain() error {
	file := os.NewFile(drainFD, "output")
	_, err := io.Copy(io.Discard, file)
	return err
}

// startDrain starts a process that reads r to its end, in a session of its own: what ends this
// process's group or commands is not for it.
func startDrain(r *os.File) bool {
	argv := drainCommand.Load()
	if argv == nil {
		return false
	}
	cmd := exec.Command((*argv)[0], (*argv)[1:]...)
	cmd.Args[0] = "kconfd"
	cmd.Dir = "/"                  // no file system is kept busy
	cmd.Env = []string{"GOGC=10"}  // and no secret is kept
	cmd.ExtraFiles = []*os.File{r} // drainFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return false
	}
	go func() { _ = cmd.Wait() }() // until the last writer is gone
	return true
}
