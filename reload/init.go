package reload

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// An Init is the first process of a container, or the reaper of what it
// starts: it runs the caller's own program once more as its worker, and does
// nothing but pass signals on, reap, and end with the worker's code. All that
// may fail is in the worker; a global reaper beside code that waits for its
// own children would steal their exit codes.
//
// When the worker dies without a word, its child is Init's. The container goes
// down rather than leave the child unwatched: the child is stopped as the
// worker would have stopped it, and Init ends with a code that is not 0. With
// Adopt, a new worker takes the child over instead, which does not notice.
type Init struct {
	Argv  []string // of the worker
	Env   []string
	Adopt bool

	signals  chan os.Signal
	children chan os.Signal // SIGCHLD: one for any number
	notify   *os.File       // the socket on which the child says that it is ready
	notifyFD int            // its descriptor
	manager  chan<- string  // what is to be told to who runs this program
	log      *Lossy

	worker   int // process id; 0: there is none
	group    int // its process group, or that of the last one
	since    time.Time
	wire     wire             // to the worker; -1 while there is none
	far      wire             // the next worker's end
	messages chan message     // from the worker; closed when it is gone
	next     <-chan time.Time // the start of the next worker; nil: there is none to come
	backoff  Backoff

	untaken   []syscall.Signal // that were passed on, but the worker does not have
	child     orphan           // of the worker, as it said last
	suspended bool             // by a signal that was passed on, until SIGCONT
	stopping  bool             // SIGTERM or SIGINT was passed on
	ending    bool             // the worker has said how it will end
	code      int
}

// orphan is what Init knows of the worker's child, which becomes its own when
// the worker dies.
type orphan struct {
	pid     int // and its process group; 0: there is none
	stop    syscall.Signal
	grace   time.Duration // negative: no limit
	ready   bool
	restart Progress
	ended   bool // and reaped by Init; others of its group may live on
	status  syscall.WaitStatus
}

const (
	// steadyWorker is how long a worker must have run for the pause before the
	// next one to be firstPause; otherwise the pauses grow to longestPause.
	steadyWorker = 10 * time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// Run is the whole life of an init. It returns the code to end with.
func (i *Init) Run() (int, error) {
	spareThreads(initThreads)
	i.signals = make(chan os.Signal, 256)
	i.children = make(chan os.Signal, 1)
	signal.Notify(i.signals, forwardable()...) // before the worker exists: none is lost
	signal.Notify(i.children, syscall.SIGCHLD)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // not to die when nobody reads standard error
	i.backoff = Backoff{Initial: firstPause, Max: longestPause}
	i.log = NewLossy(os.Stderr)
	defer i.log.Flush(LastWords)
	if err := i.begin(); err != nil {
		return 1, err
	}
	for {
		select {
		case s := <-i.signals:
			i.forward(s.(syscall.Signal))
		case m, open := <-i.messages:
			if !open {
				i.messages = nil // the worker is about to be reaped
				continue
			}
			i.take(m)
		case <-i.children:
			if status, ended := i.reap(); ended && i.workerEnded(status) {
				return i.code, nil
			}
		case <-i.next:
			i.next = nil
			if !i.startNext() {
				i.finish()
				return i.code, nil
			}
		}
	}
}

// ErrNoProc is a /proc that does not show the processes of this PID namespace:
// nobody could tell whether a child's group is gone.
var ErrNoProc = errors.New("this process is not in /proc")

func checkProc() error {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoProc, err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("%w: it is that of another PID namespace", ErrNoProc)
	}
	return nil
}

// begin starts the first worker.
func (i *Init) begin() (err error) {
	if err := checkProc(); err != nil {
		return err
	}
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("becoming the reaper of orphans: %w", err)
		}
	}
	if i.notify, err = newNotifySocket(); err != nil {
		return err
	}
	i.notifyFD = int(i.notify.Fd())
	i.tellManager()
	if err := i.connect(); err != nil {
		return err
	}
	return i.spawn()
}

// connect makes a wire to the next worker, and sends what that has to know.
func (i *Init) connect() (err error) {
	if i.wire, i.far, err = newWire(); err != nil {
		return err
	}
	for _, s := range i.untaken {
		i.wire.send(message{what: saySignal, a: int(s)})
	}
	if i.child.ended {
		i.wire.send(message{what: sayEnded, a: int(i.child.status)})
	}
	i.messages = make(chan message)
	go i.wire.receive(i.messages) // until the worker is gone
	return nil
}

// startNext starts the next worker, or sees to another try: there may be too
// many processes for the moment, which is no reason to end the child. It is
// false when there is no time for that.
func (i *Init) startNext() bool {
	err := i.connect()
	if err == nil {
		err = i.spawn()
	}
	if err == nil {
		return true
	}
	fmt.Fprintf(i.log, "kconfd: error: %v\n", err)
	i.takeLastWords() // there are none
	if i.stopping {
		return false
	}
	i.since = time.Now()
	i.scheduleWorker()
	return true
}

// spawn starts a worker, in a process group of its own: what the terminal
// sends to a group comes once, through here. Its descriptors have the numbers
// that they have here, where those that the caller was given were taken already:
// they are the child's.
func (i *Init) spawn() error {
	defer i.far.close()
	for _, fd := range []int{int(i.far), i.notifyFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("starting the worker: handing it a descriptor: %w", err)
		}
	}
	env := append(watchdogEnvironment(i.Env), fmt.Sprintf("%s=%d", linkVariable, i.far), fmt.Sprintf("%s=%d", notifyVariable, i.notifyFD))
	if i.child.pid != 0 {
		env = append(env, fmt.Sprintf("%s=%d", adoptVariable, i.child.pid))
	}
	if i.child.ready {
		env = append(env, readyVariable+"=1")
	}
	if i.child.restart != NotRestarting {
		env = append(env, fmt.Sprintf("%s=%d", restartVariable, i.child.restart))
	}
	process, err := os.StartProcess("/proc/self/exe", i.Argv, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	i.worker, i.group, i.since = process.Pid, process.Pid, time.Now()
	_ = process.Release() // it is reaped with all others
	return nil
}

func (i *Init) forward(s syscall.Signal) {
	if s == syscall.SIGCONT {
		i.resume()
	}
	i.untaken = append(i.untaken, s)
	i.wire.send(message{what: saySignal, a: int(s)})
	switch {
	case s == syscall.SIGTERM || s == syscall.SIGINT:
		i.stopping = true
		if i.next != nil {
			i.next = time.After(0)
		}
	case isStop(s):
		i.suspended = true
		if canSuspend() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
	}
}

// resume is before SIGCONT is passed on.
func (i *Init) resume() {
	if i.child.pid == 0 {
		return
	}
	// A shell that continues its job gives the terminal to this group.
	moveTerminal(syscall.Getpgrp(), i.child.pid)
	var old siginfo
	_ = waitid(unix.P_PID, i.child.pid, &old, unix.WSTOPPED|unix.WNOHANG) // this stop is over
	i.suspended = false
}

func (i *Init) take(m message) {
	switch m.what {
	case sayTaken:
		i.untaken = i.untaken[min(1, len(i.untaken)):]
	case sayChild:
		if m.a != i.child.pid {
			i.child = orphan{pid: m.a}
		}
		i.child.stop, i.child.grace = syscall.Signal(m.b), time.Duration(m.c)
	case sayReady:
		i.child.ready = true
	case sayRestart:
		i.child.restart = Progress(m.a)
	case sayStopped:
		i.childStopped(m.a, syscall.Signal(m.b))
	case sayEnd:
		i.ending, i.code = true, m.a
	case daemon.SdNotifyReady, daemon.SdNotifyStopping, daemon.SdNotifyWatchdog:
		select {
		case i.manager <- m.what:
		default: // it has not listened for a while
		}
	}
}

// childStopped has the whole job stop with a child that the terminal stopped,
// as it would in a plain shell. Who continues the job continues the child. For
// a group that nobody could continue the kernel ignores the terminal's stops;
// here the child goes on instead.
//
// A child that somebody else has stopped stays so until he continues it, who
// knows nothing of init. Only when it has the terminal, its shell wants that back.
func (i *Init) childStopped(pid int, by syscall.Signal) {
	switch {
	case pid != i.child.pid || i.suspended || !isStopped(pid) || !hasTerminal():
	case by == syscall.SIGSTOP && terminalGroup(int(os.Stdin.Fd())) != pid:
	case canSuspend():
		_ = syscall.Kill(0, syscall.SIGSTOP) // with all others of a pipeline
	case by != syscall.SIGSTOP:
		_ = syscall.Kill(-pid, syscall.SIGCONT)
	}
}

// reap takes all that has ended, and says whether the worker has.
func (i *Init) reap() (status syscall.WaitStatus, worker bool) {
	for {
		pid := changedChild()
		if pid == 0 {
			return status, worker
		}
		// The worker comes first: its last words may be about the others, which
		// were its own while it lived.
		if i.worker != 0 && wait(i.worker, &status) && !status.Stopped() {
			i.worker, worker = 0, true
			i.takeLastWords()
			continue
		}
		var other syscall.WaitStatus
		switch {
		case !wait(pid, &other) || pid != i.child.pid:
		case other.Stopped():
			i.childStopped(pid, other.StopSignal())
		default:
			i.child.ended, i.child.status = true, other
			i.wire.send(message{what: sayEnded, a: int(other)})
		}
	}
}

// changedChild is a child of this process that has ended or been stopped and
// not been waited for, or 0.
func changedChild() int {
	var info siginfo
	if err := waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT); err != nil {
		return 0
	}
	return info.pid()
}

// wait takes the status of a child, if it has changed.
func wait(pid int, status *syscall.WaitStatus) bool {
	for {
		got, err := syscall.Wait4(pid, status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err == nil && got == pid
		}
	}
}

// takeLastWords reads what a dead worker has said.
func (i *Init) takeLastWords() {
	if i.messages != nil {
		for m := range i.messages {
			i.take(m)
		}
	}
	i.messages = nil
	i.wire.close()
	i.wire = -1
}

// workerEnded says whether Init is to end as well.
func (i *Init) workerEnded(status syscall.WaitStatus) bool {
	if !i.ending {
		i.code = exitOf(status).Status()
		if i.code == 0 {
			i.code = 1 // without a word, 0 means nothing
		}
		fmt.Fprintf(i.log, "kconfd: error: the worker ended without a word, %s\n", exitOf(status))
		i.endCommands()
	}
	if i.Adopt && !i.ending && !i.stopping {
		i.scheduleWorker()
		return false
	}
	i.finish()
	return true
}

// scheduleWorker sees to the start of the next worker, the later the sooner
// they die.
func (i *Init) scheduleWorker() {
	if time.Since(i.since) >= steadyWorker {
		i.backoff.Reset()
	}
	pause := i.backoff.Next()
	i.next = time.After(pause)
	fmt.Fprintf(i.log, "kconfd: a new worker is started in %v\n", pause.Round(time.Millisecond))
}

// endCommands ends what a worker has started and left: commands, and a child
// about which it died before it could tell. They were its own children, so they
// are Init's now, and lead a process group, or are about to leave the worker's.
// A daemon, which has left the session, is none of them.
func (i *Init) endCommands() {
	var groups []int // that have been killed, and not gone yet
	for deadline := time.Now().Add(killWait); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pids := i.commands()
		for _, pid := range pids {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // if it leads a group
			_ = syscall.Kill(pid, syscall.SIGKILL)  // a child of this process, so the id is its own
		}
		groups = slices.DeleteFunc(append(groups, pids...), func(group int) bool { return !groupLives(group) })
		if len(pids) == 0 && len(groups) == 0 {
			return
		}
		i.reap()
	}
}

func (i *Init) commands() []int {
	self, err := readStat(os.Getpid())
	if err != nil {
		return nil
	}
	pids, _ := processIDs()
	return slices.DeleteFunc(pids, func(pid int) bool {
		p, err := readStat(pid)
		ours := err == nil && p.parent == self.pid && p.session == self.session
		return !ours || pid == i.child.pid || p.group != pid && p.group != i.group
	})
}

// finish ends what is there without a worker.
func (i *Init) finish() {
	_ = i.notify.Close() // a child that goes on telling must not wait for a reader
	i.stopChild()
	moveTerminal(i.child.pid, syscall.Getpgrp())
}

// stopChild ends the child of a worker that is gone, and its group: the stop
// signal, the grace, SIGKILL.
func (i *Init) stopChild() {
	c := &i.child
	if c.pid == 0 {
		return
	}
	var limit <-chan time.Time
	if c.grace >= 0 {
		limit = time.After(c.grace)
	}
	if !c.ended {
		_ = syscall.Kill(c.pid, c.stop)
		i.reapUntil(func() bool { return c.ended }, limit)
	}
	if limit == nil {
		limit = time.After(defaultStopGrace)
	}
	_ = syscall.Kill(-c.pid, c.stop) // what it has left
	i.reapUntil(func() bool { return !groupLives(c.pid) }, limit)
}

// reapUntil kills the child's group when the limit has passed, or SIGQUIT asks
// for it.
func (i *Init) reapUntil(done func() bool, limit <-chan time.Time) {
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for !done() {
		select {
		case <-i.children:
			i.reap()
		case s := <-i.signals:
			if s == syscall.SIGQUIT {
				_ = syscall.Kill(-i.child.pid, syscall.SIGKILL)
			}
		case <-limit:
			_ = syscall.Kill(-i.child.pid, syscall.SIGKILL)
		case <-tick.C:
		}
	}
}

func exitOf(s syscall.WaitStatus) Exit {
	if s.Signaled() {
		return Exit{Signal: s.Signal()}
	}
	return Exit{Code: s.ExitStatus()}
}
