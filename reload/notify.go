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

	"golang.org/x/sys/unix"
)

// A Notifier is the socket on which a child says how it fares, as it would to
// systemd: see sd_notify(3). It is an abstract one, which needs no directory
// to be writable, and takes messages from the child's process group only.
type Notifier struct {
	log  *slog.Logger
	conn *net.UnixConn

	mu    sync.Mutex
	group int
	uid   int             // of the child
	ready func()          // nil before the first child is expected
	early []syscall.Ucred // who has said READY=1 before that
}

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
	message, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		size, controlSize, _, _, err := n.conn.ReadMsgUnix(message, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			n.log.Warn("reading a notification of the child", "err", err)
			continue
		}
		n.take(string(message[:size]), senderOf(control[:controlSize]))
	}
}

func (n *Notifier) take(message string, sender syscall.Ucred) {
	for line := range strings.Lines(message) {
		line = strings.TrimSpace(line)
		n.log.Debug("child says", "line", line)
		if line != "READY=1" {
			continue
		}
		if ready := n.takeReady(sender); ready != nil {
			ready()
		}
	}
}

// takeReady gives what is to be called.
func (n *Notifier) takeReady(sender syscall.Ucred) func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.ready == nil:
		n.early = append(n.early, sender)
	case !n.believes(sender):
		n.log.Warn("READY=1 from a process that is not of the child's group", "pid", sender.Pid)
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

// senderOf is the process that the kernel says sent a message.
func senderOf(control []byte) syscall.Ucred {
	nobody := syscall.Ucred{Uid: ^uint32(0)}
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil || len(messages) == 0 {
		return nobody
	}
	credentials, err := syscall.ParseUnixCredentials(&messages[0])
	if err != nil {
		return nobody
	}
	return *credentials
}
