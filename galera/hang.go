package galera

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/internal/safefs"
)

const (
	// sightingName is the file beside the local socket in which probes keep what they have seen.
	sightingName = "kconfd-probe.json"

	// loginTimeout is how long a login and a statement may take. A server under load
	// needs milliseconds. Three probes in a row that wait for it take less than 10 s.
	loginTimeout = 2 * time.Second

	// For how long a server is stopped, runs no thread, or has a thread blocked, before it is not
	// ready. The idle threads of a server run each second; a debugger stops it for moments; a slow
	// disk needs seconds for one write.
	stoppedLimit  = time.Second
	noThreadLimit = 3 * time.Second
	blockedLimit  = 5 * time.Second

	// progressEvery is how often a probe that must wait for progress looks for it.
	progressEvery = 100 * time.Millisecond
)

// A hang is why a server does not go on. The zero value is one that does, as far as anybody can see.
type hang struct {
	lasted time.Duration
	limit  time.Duration // how long it must last until the server is not ready
	why    string

	counts bool // against a server's life: not when it may never have begun to answer
}

func (h hang) String() string { return fmt.Sprintf("%s, for %v", h.why, h.lasted.Round(time.Second)) }

// worst is of two the one that has lasted longer beyond its limit.
func worst(a, b hang) hang {
	if b.lasted-b.limit > a.lasted-a.limit || a.why == "" {
		return b
	}
	return a
}

// An inspection looks at one server. Probes are programs that end at once, so the file has what
// the ones before have seen.
type inspection struct {
	settings Settings
	seen     sighting
	kept     error  // why the file cannot be written, without which no login is tried
	note     string // what is not looked at, and why, when that is new
}

// examine looks whether the server goes on. It waits for up to noThreadLimit for a sign of that, or
// loginTimeout where it logs in. Whether to log in is the caller's choice: a server that starts does not
// answer yet.
func (s Settings) examine(ctx context.Context, login bool) (hang, string, error) {
	e := &inspection{settings: s}
	if err := e.open(); err != nil {
		return hang{}, "", err
	}
	h, err := e.look(ctx)
	if err == nil && h.why == "" && login {
		h, err = e.logIn(ctx)
	}
	if err != nil {
		return hang{}, "", err
	}
	if e.seen.Server != noServer && e.kept == nil {
		e.kept = e.save() // without it, a hang is seen by this probe alone
	}
	return h, e.note, nil
}

// open finds the server, and what was seen of it.
func (e *inspection) open() error {
	content, err := readIn(e.path(), e.settings.File, maxStateFile)
	if err == nil && e.isOurs() {
		_ = json.Unmarshal(content, &e.seen) // a damaged file is one of another server
	}
	boot := bootID()
	p := e.seen.Process
	if p == nil || !p.lives() || e.seen.Server != p.id(boot) { // else it need not be looked for
		if err := e.find(boot); err != nil {
			return err
		}
	}
	if e.seen.Server != noServer {
		e.kept = e.save()
	}
	return nil
}

// isOurs says whether a probe has made the file. Where others may write beside the socket, as in /tmp,
// one that another user has left there could name any process.
func (e *inspection) isOurs() bool {
	var file unix.Stat_t
	a, err := accountIn(filepath.Dir(e.path()), e.settings.File)
	if err != nil || unix.Lstat(e.path(), &file) != nil {
		return false
	}
	return int(file.Uid) == cmp.Or(a.uid, os.Geteuid())
}

// noServer is that of a data directory without a server in sight, and without a socket.
const noServer = "none"

// find looks for the server that has the data directory, and forgets what was seen of another one. It is known by its
// process, or where that is not in sight, by the socket that it made when it started.
func (e *inspection) find(boot string) error {
	pids, err := serversIn(e.settings.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var servers []process
	for _, pid := range pids {
		if p, err := readProcess(pid); err == nil {
			servers = append(servers, p.process)
		}
	}
	now := sighting{Server: noServer}
	var socket unix.Stat_t
	switch {
	case len(servers) > 0: // besides it there may be one that reads the position, for a moment
		p := slices.MinFunc(servers, func(a, b process) int { return cmp.Compare(a.Start, b.Start) })
		now = sighting{Server: p.id(boot), Process: &p}
	case unix.Lstat(e.settings.Socket, &socket) == nil:
		now.Server = fmt.Sprintf("%s socket %d of %d", boot, socket.Ino, socket.Ctim.Nano())
	}
	if e.seen.Server != now.Server {
		e.seen = now
	}
	if p := e.seen.Process; now.Process != nil || p != nil && !p.lives() {
		e.seen.Process = now.Process
	}
	return nil
}

// id names the process among all that there were since the machine was installed.
func (p process) id(boot string) string {
	return fmt.Sprintf("%s process %d started at %d", boot, p.PID, p.Start)
}

// bootID names the time since the machine's start; it is empty where it is hidden.
func bootID() string {
	content, _ := safefs.ReadFile("/proc/sys/kernel/random/boot_id", maxStateFile)
	return oneLine(string(content))
}

func (e *inspection) path() string {
	return filepath.Join(filepath.Dir(e.settings.Socket), sightingName)
}

// save writes the file, with the rights of the directory's owner.
func (e *inspection) save() error {
	content, err := json.Marshal(e.seen)
	if err != nil {
		return err
	}
	a, err := accountIn(filepath.Dir(e.path()), e.settings.File)
	if err != nil {
		return err
	}
	return a.do(func() error { return replace(e.path(), content) })
}

// look looks at the server's threads, until one has run since the last look or none has for too long.
// A login before that could be one more that a hung server finds later, and logs as aborted.
func (e *inspection) look(ctx context.Context) (hang, error) {
	for e.seen.Process != nil {
		now, err := sinceBoot()
		if err != nil {
			return hang{}, err
		}
		p, err := readProgress(e.seen.Process.PID)
		if err != nil {
			return hang{}, nil // it has ended
		}
		e.seen = e.seen.see(p, now)
		h := e.judge(p, now)
		if h.why == "" || h.lasted >= h.limit {
			return h, nil
		}
		if pause(ctx, progressEvery) != nil {
			return h, nil
		}
	}
	return hang{}, nil
}

func (e *inspection) judge(p progress, now time.Duration) (h hang) {
	if p.unknown {
		return hang{} // only a login can tell
	}
	if e.seen.Ran < now { // with a count of before
		h = hang{now - e.seen.Ran, noThreadLimit, "no thread of the server runs", true}
		if p.stopped {
			h.limit, h.why = stoppedLimit, "the server is stopped by a signal or a debugger"
		}
	} else if p.stopped {
		h = hang{0, stoppedLimit, "the server is stopped by a signal or a debugger", true}
	}
	if since, found := e.seen.blockedSince(); found && now-since >= blockedLimit {
		h = worst(h, hang{now - since, blockedLimit, "a thread of the server is blocked in the kernel, as by a disk that does not answer", true})
	}
	return h
}

// logIn logs in at the local socket, and runs a statement that needs nothing. Any answer is one.
func (e *inspection) logIn(ctx context.Context) (hang, error) {
	switch {
	case e.kept != nil:
		e.note = fmt.Sprintf("no login is tried, since what comes of it cannot be kept: %v", e.kept)
		return hang{}, nil
	case e.seen.Refused:
		return hang{}, nil
	}
	begun, err := sinceBoot()
	if err != nil {
		return hang{}, err
	}
	limited, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	pid, err := e.settings.answers(limited)
	if p, err := readProcess(pid); err == nil && e.seen.Process == nil {
		e.seen.Process = &p.process // whose working directory this user may not see
	}
	answer := (*serverError)(nil)
	switch {
	case errors.As(err, &answer) && answer.refused():
		e.note = fmt.Sprintf("only its threads are looked at from now on, since logins are refused: %v", err)
		e.seen = e.seen.login(begun, true, true)
		return hang{}, nil
	case err == nil, answer != nil:
		e.seen = e.seen.login(begun, true, false)
		return hang{}, nil
	case !unanswered(err) || ctx.Err() != nil:
		e.note = fmt.Sprintf("no login is possible: %v", err)
		return hang{}, nil
	}
	e.seen = e.seen.login(begun, false, false)
	now, err := sinceBoot()
	return hang{now - e.seen.Unanswered, 0, "the server does not answer a login", e.seen.Answered != 0}, err
}

// unanswered says whether the server has taken, or keeps waiting, a connection without an answer.
func unanswered(err error) bool {
	for _, without := range []error{os.ErrDeadlineExceeded, context.DeadlineExceeded, syscall.EAGAIN, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, without) {
			return true
		}
	}
	return false
}

// answers fails unless the server lets its own user in and runs a statement. It returns the server's process where that
// is in sight, else 0.
func (s Settings) answers(ctx context.Context) (pid int, err error) {
	in, err := s.login(ctx)
	if err != nil {
		return 0, err
	}
	defer in.close()
	_, err = in.query("DO 1")
	return in.server(), err
}
