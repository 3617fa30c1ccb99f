package reload

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A Notifier is the socket on which a child says how it fares, as it would to
// systemd: see sd_notify(3). It is an abstract one, which needs no directory
// to be writable, and takes messages from the child's process group only.
//
// Every process of the network namespace can find the socket and write to it.
// So messages are read at a limited rate, other users' are dropped unread, and
// what is dropped is in the log once a minute.
type Notifier struct {
	log     *slog.Logger
	conn    *net.UnixConn
	dropped droppedMessages // of the goroutine that receives

	mu    sync.Mutex
	group int
	uid   int             // of the child
	ready func()          // nil before the first child is expected
	early []syscall.Ucred // who has said READY=1 before that
}

const (
	// maxNotification is the size in bytes of the longest message that is taken.
	maxNotification = 4096
	// maxShownLine is how many bytes of a line are shown.
	maxShownLine = 200
	// maxEarly is how many messages are kept from before the first child.
	maxEarly = 16
	// notifyBurst messages are read at once, then one each notifyPause.
	notifyBurst = 64
	notifyPause = 2 * time.Millisecond
	// droppedPause is between two messages in the log about what is dropped.
	droppedPause = time.Minute
)

// newNotifySocket makes a socket with an abstract name. The kernel says of each
// message who sent it.
func newNotifySocket() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket for notifications: %w", err)
	}
	file := os.NewFile(uintptr(fd), "notifications")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@kconfd-" + rand.Text()})
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("making a socket for notifications: %w", err)
	}
	return file, nil
}

// Listen opens a notifier. A worker gets that of its [Init], which stays the
// same from one worker to the next. Close it.
func Listen(log *slog.Logger) (*Notifier, error) {
	file, err := notifySocket()
	if err != nil {
		return nil, err
	}
	defer file.Close() // conn has a copy
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("listening for notifications: %w", err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("listening for notifications: not a Unix socket")
	}
	n := &Notifier{log: log, conn: socket}
	go n.receive() // until Close
	return n, nil
}

// notifySocket is the one that init gave, or a new one.
func notifySocket() (*os.File, error) {
	fd, err := numberFromEnvironment(notifyVariable)
	if err != nil {
		return nil, err
	}
	if fd == 0 {
		return newNotifySocket()
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "notifications"), nil
}

// Address is for NOTIFY_SOCKET.
func (n *Notifier) Address() string { return n.conn.LocalAddr().String() }

// Close ends the listening.
func (n *Notifier) Close() error { return n.conn.Close() }

// expect has ready called when a process of the group that start makes says
// READY=1. What it says before start has returned is kept until then; a child
// that is only taken over may have said it before any of this.
func (n *Notifier) expect(c Child, start func() (group int, err error), ready func()) (err error) {
	if n == nil {
		_, err = start()
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.group, err = start()
	n.uid, n.ready = os.Getuid(), ready
	if c.User != nil {
		n.uid = c.User.UID
	}
	if slices.ContainsFunc(n.early, n.believes) {
		ready()
	}
	n.early = nil
	return err
}

func (n *Notifier) receive() {
	message, control := make([]byte, maxNotification+1), make([]byte, 4096)
	var pace pacer
	for {
		size, controlSize, flags, _, err := n.conn.ReadMsgUnix(message, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		pace.wait()
		if err != nil {
			n.drop("it cannot be read: "+err.Error(), syscall.Ucred{})
			continue
		}
		sender := senderOf(control[:controlSize])
		switch {
		case !n.ofItsUser(sender):
			n.drop("it is of another user", sender)
		case size > maxNotification || flags&unix.MSG_TRUNC != 0:
			n.drop(fmt.Sprintf("it has more than %d bytes", maxNotification), sender)
		default:
			n.take(string(message[:size]), sender)
		}
	}
}

// A pacer keeps a flood from taking up the processor: after a burst, it waits
// between messages. A pause in the flood allows another burst.
type pacer struct {
	count int
	since time.Time // of the burst
}

func (p *pacer) wait() {
	now := time.Now()
	if now.Sub(p.since) > time.Second {
		p.count, p.since = 0, now
	}
	if p.count++; p.count > notifyBurst {
		time.Sleep(notifyPause)
	}
}

// droppedMessages are those that have not been in the log.
type droppedMessages struct {
	count int
	said  time.Time // when the log had the last
}

// drop notes that a message is not taken.
func (n *Notifier) drop(why string, sender syscall.Ucred) {
	d := &n.dropped
	d.count++
	if time.Since(d.said) < droppedPause {
		return
	}
	n.log.Warn("notification ignored", "why", why, "pid", sender.Pid, "uid", sender.Uid, "count", d.count)
	d.count, d.said = 0, time.Now()
}

// ofItsUser says whether the sender is the child's user, the one that the child
// has changed to, or kconfd's own.
func (n *Notifier) ofItsUser(sender syscall.Ucred) bool {
	n.mu.Lock()
	group, uid, before := n.group, n.uid, n.ready == nil
	n.mu.Unlock()
	if before || int(sender.Uid) == uid || int(sender.Uid) == os.Geteuid() {
		return true // or it is to be seen when there is a child
	}
	leader, err := realUID(group)
	return err == nil && int(sender.Uid) == leader
}

// take takes the lines of a message. There is one mostly, and never a reason for
// many.
func (n *Notifier) take(message string, sender syscall.Ucred) {
	n.log.Debug("child says", "message", printable(message))
	for line := range strings.Lines(message) {
		if strings.TrimSpace(line) != "READY=1" {
			continue
		}
		if ready := n.takeReady(sender); ready != nil {
			ready()
		}
		return // once is enough
	}
}

// printable is the beginning of a text that may be anything, on one line.
func printable(text string) string {
	cut := text[:min(len(text), maxShownLine)]
	shown := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(cut))
	if len(cut) < len(text) {
		shown += "…"
	}
	return shown
}

// takeReady gives what is to be called.
func (n *Notifier) takeReady(sender syscall.Ucred) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.ready == nil && len(n.early) < maxEarly && !slices.Contains(n.early, sender):
		n.early = append(n.early, sender)
	case n.ready == nil:
	case !n.believes(sender):
		n.drop("READY=1 from a process that is not of the child's group", sender)
	default:
		return n.ready
	}
	return nil
}

// believes says whether a message is the child's: it comes from its group, or
// from a process of its user that has ended since, as a helper of a shell
// script does.
func (n *Notifier) believes(sender syscall.Ucred) bool {
	group, err := syscall.Getpgid(int(sender.Pid))
	if err != nil {
		return int(sender.Uid) == n.uid || sender.Uid == 0
	}
	return group == n.group
}

// senderOf is the process that the kernel says sent a message. Descriptors that
// came with it are closed.
func senderOf(control []byte) syscall.Ucred {
	sender := syscall.Ucred{Uid: ^uint32(0)} // nobody
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return sender
	}
	for _, m := range messages {
		if descriptors, err := syscall.ParseUnixRights(&m); err == nil {
			for _, fd := range descriptors {
				_ = syscall.Close(fd)
			}
			continue
		}
		if credentials, err := syscall.ParseUnixCredentials(&m); err == nil {
			sender = *credentials
		}
	}
	return sender
}
