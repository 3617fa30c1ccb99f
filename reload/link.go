package reload

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// The environment that an [Init] gives its worker.
const (
	linkVariable    = "KCONFD_INIT_FD"       // the descriptor of the link
	notifyVariable  = "KCONFD_NOTIFY_FD"     // that of the socket for NOTIFY_SOCKET
	adoptVariable   = "KCONFD_ADOPT_PID"     // a child that runs already
	readyVariable   = "KCONFD_ADOPT_READY"   // set when that is ready
	restartVariable = "KCONFD_ADOPT_RESTART" // how far its restart has come
)

// A Link is a worker's side of what connects it with its [Init].
type Link struct {
	// Signals are what init got and passes on, and SIGTERM and SIGINT that were
	// sent to the worker itself. It is closed when init is gone. It must be read
	// all the time.
	Signals <-chan syscall.Signal
	Adopted int      // the child that an earlier worker left, or 0
	Restart Progress // of Adopted

	wire      wire
	group     int         // init's, to which the terminal belongs without a child
	ready     bool        // Adopted is
	ended     chan Exit   // of the adopted child; closed when init is gone
	suspended atomic.Bool // by a signal that init got, until SIGCONT
}

// Connect gives the link that the environment names, and takes it out of the
// environment. Without one this process is no worker, and the link is nil.
//
// From then on the worker cannot be hurt by signals that somebody sends it
// directly, but for SIGKILL, SIGQUIT and SIGSTOP: they go to init, and those
// that a whole service is sent must not count twice. Nor does it die when
// nobody reads its log any more.
func Connect() (*Link, error) {
	fd, err := numberFromEnvironment(linkVariable)
	if err != nil || fd == 0 {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	spareThreads(workerThreads)
	l := &Link{wire: wire(fd), ended: make(chan Exit, 1)}
	_, l.ready = os.LookupEnv(readyVariable)
	os.Unsetenv(readyVariable)
	if l.Adopted, err = numberFromEnvironment(adoptVariable); err != nil {
		return nil, err
	}
	restart, err := numberFromEnvironment(restartVariable)
	if err != nil {
		return nil, err
	}
	l.Restart = Progress(restart)
	if l.group, err = syscall.Getpgid(os.Getppid()); err != nil {
		return nil, fmt.Errorf("looking for init: %w", err)
	}
	direct := make(chan os.Signal, 256)
	signal.Notify(direct, slices.DeleteFunc(forwardable(), func(s os.Signal) bool { return s == syscall.SIGQUIT })...)
	signal.Notify(direct, syscall.SIGPIPE)
	signals := make(chan syscall.Signal, 256)
	l.Signals = signals
	go l.receive(direct, signals) // until init is gone
	return l, nil
}

// numberFromEnvironment takes a number out of the environment: 0 if there is
// none.
func numberFromEnvironment(name string) (int, error) {
	value := os.Getenv(name)
	os.Unsetenv(name)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("environment variable %s=%q: not a number", name, value)
	}
	return n, nil
}

func (l *Link) receive(direct <-chan os.Signal, signals chan<- syscall.Signal) {
	defer close(signals)
	defer close(l.ended)
	messages := make(chan message)
	go l.wire.receive(messages) // until init is gone
	for {
		select {
		case s := <-direct:
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				signals <- s.(syscall.Signal)
			}
		case m, open := <-messages:
			if !open {
				return
			}
			l.take(m, signals)
		}
	}
}

func (l *Link) take(m message, signals chan<- syscall.Signal) {
	switch m.what {
	case saySignal:
		s := syscall.Signal(m.a)
		if isJobControl(s) {
			l.suspended.Store(isStop(s))
		}
		signals <- s
		l.send(message{what: sayTaken})
	case sayEnded:
		l.ended <- exitOf(syscall.WaitStatus(m.a))
	}
}

// StopAdopted ends the child that an earlier worker left, if there is one and it is of
// no use to wait for how it is to be ended.
func (l *Link) StopAdopted() {
	if l.Adopted != 0 {
		stopGroup(l.Adopted, defaultStopGrace)
	}
}

// End tells init the code that this worker, and so init, will end with. It is
// the last thing to be done.
func (l *Link) End(code int) { l.send(message{what: sayEnd, a: code}) }

// child tells init which process to stop, and how, should the worker die.
func (l *Link) child(pid int, stop syscall.Signal, grace time.Duration) {
	l.send(message{sayChild, pid, int(stop), int64(grace)})
}

func (l *Link) childReady()           { l.send(message{what: sayReady}) }
func (l *Link) noChild()              { l.send(message{what: sayChild}) }
func (l *Link) restarting(p Progress) { l.send(message{what: sayRestart, a: int(p)}) }

// childStopped tells init that a signal stopped the child.
func (l *Link) childStopped(pid int, by syscall.Signal) {
	l.send(message{what: sayStopped, a: pid, b: int(by)})
}

func (l *Link) send(m message) {
	if l != nil {
		l.wire.send(m) // an init that is gone shows in Signals
	}
}

// initGroup is the process group that has the terminal when no child has it.
func (l *Link) initGroup() int {
	if l == nil {
		return syscall.Getpgrp()
	}
	return l.group
}
