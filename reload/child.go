package reload

import (
	"cmp"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// A Child is how a supervised process is run and ended. The zero value of
// everything but Argv is what most programs want.
type Child struct {
	Argv []string
	Env  []string // all of it, KEY=VALUE

	// Refused is why Argv and Env are those of before, and not what is asked for; nil when they are.
	Refused error `json:"-"`

	Dir  string   // empty means the supervisor's
	User *Account // nil means the supervisor's own

	NoNewPrivs bool // see NoNewPrivileges

	StopSignal      syscall.Signal // 0 means SIGTERM
	StopGrace       time.Duration  // from the stop signal to SIGKILL; 0 means 10 s, negative for ever
	StopBeforeReady BeforeReady
	PreStop         *Command      // to be waited for before the stop signal: retried until it succeeds
	PreStopTimeout  time.Duration // after which it is stopped all the same; 0 means 30 s

	// StopTurn is acquired before an instance that runs is ended, and released when PostStop has
	// ended; nil means that it is ended without regard to others.
	StopTurn Turn `json:"-"`

	PreStart  *Command // before every start; one that fails keeps the child from being started
	PostStart *Command // after every start; one that fails is logged
	PostStop  *Command // when all of an instance is gone, before what follows; one that fails is logged

	Ready        Readiness
	ReadyCmd     *Command      // for ReadyByCommand: retried until it succeeds
	ReadyTimeout time.Duration // alive but not ready for so long, it is killed; 0 means never

	Restart RestartPolicy
	Backoff Backoff // between restarts after an exit that nobody asked for
}

// hasCompanion says whether PostStart stays beside the child for as long as that runs.
func (c Child) hasCompanion() bool { return c.PostStart != nil && c.PostStart.Timeout < 0 }

// BeforeReady is what a stop does to a child that is not ready yet.
type BeforeReady string

// What a stop does before the child is ready. A database that is still
// joining may take SIGTERM for good, and never end.
const (
	StopAlways BeforeReady = ""     // the same as later
	StopKills  BeforeReady = "kill" // SIGKILL at once
	StopWaits  BeforeReady = "wait" // until it is ready, within the grace
)

// Readiness is how a child is known to be ready.
type Readiness string

// How a child is known to be ready.
const (
	ReadyAtOnce    Readiness = ""        // as soon as it has been started
	ReadyByNotify  Readiness = "notify"  // by READY=1 on NOTIFY_SOCKET, see sd_notify(3)
	ReadyByCommand Readiness = "command" // when ReadyCmd succeeds
)

// RestartPolicy says what follows an exit that nobody asked for.
type RestartPolicy string

// The policies. Never is the default: the exit is passed on, and what follows
// is left to whoever runs the supervisor.
const (
	RestartNever     RestartPolicy = "never"
	RestartOnFailure RestartPolicy = "on-failure"
	RestartAlways    RestartPolicy = "always"
)

// An Exit is how a process ended.
type Exit struct {
	Code   int            // when it exited by itself
	Signal syscall.Signal // that ended it, or 0
}

// Status is the exit code that a shell gives it: 128+n for a signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "ended by signal " + SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

const (
	defaultStopGrace      = 10 * time.Second
	defaultPreStopTimeout = 30 * time.Second

	// pollPause is between two tries of a command that is waited for.
	pollPause = time.Second

	// handleWait is how long a child that has just been started may take to
	// install its signal handlers; handlePoll is how often it is looked at.
	handleWait = time.Second
	handlePoll = 10 * time.Millisecond

	// steadyAfter is how long a child must have run for its next restart to
	// begin the back-off anew.
	steadyAfter = 10 * time.Second
)

// Validate reports the first setting that makes no sense, by the name it has
// in configuration files.
func (c Child) Validate() error {
	switch {
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return errors.New("there is no command")
	case c.StopBeforeReady != StopAlways && c.StopBeforeReady != StopKills && c.StopBeforeReady != StopWaits:
		return fmt.Errorf("stop_before_ready: want kill or wait, not %q", c.StopBeforeReady)
	case c.StopBeforeReady != StopAlways && c.Ready == ReadyAtOnce:
		return errors.New("stop_before_ready without ready: nothing tells when the child is ready")
	case c.Ready != ReadyAtOnce && c.Ready != ReadyByNotify && c.Ready != ReadyByCommand:
		return fmt.Errorf("ready: want notify or a ready_cmd, not %q", c.Ready)
	case (c.Ready == ReadyByCommand) != (c.ReadyCmd != nil):
		return errors.New("ready_cmd goes with ready = \"command\"")
	case c.ReadyTimeout < 0:
		return errors.New("ready_timeout: negative")
	case c.ReadyTimeout > 0 && c.Ready == ReadyAtOnce:
		return errors.New("ready_timeout without ready: nothing tells when the child is ready")
	case c.Restart != "" && c.Restart != RestartNever && c.Restart != RestartOnFailure && c.Restart != RestartAlways:
		return fmt.Errorf("restart: want never, on-failure or always, not %q", c.Restart)
	}
	return nil
}

func (c Child) stopSignal() syscall.Signal {
	if c.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return c.StopSignal
}

// grace is StopGrace with its default; negative for no limit.
func (c Child) grace() time.Duration { return cmp.Or(c.StopGrace, defaultStopGrace) }

// preStopTimeout is PreStopTimeout with its default.
func (c Child) preStopTimeout() time.Duration { return cmp.Or(c.PreStopTimeout, defaultPreStopTimeout) }

// restarts says whether the policy starts it again after such an exit.
func (c Child) restarts(e Exit) bool {
	switch c.Restart {
	case RestartAlways:
		return true
	case RestartOnFailure:
		return e.Status() != 0
	}
	return false
}
