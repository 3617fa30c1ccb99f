package reload

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A Manager is what runs this program and has asked, by NOTIFY_SOCKET in the
// environment, to be told how it fares: systemd, or podman with
// --sdnotify=container. See sd_notify(3). Without one, and for a nil Manager,
// telling does nothing.
type Manager struct {
	say      func(state string)
	watchdog time.Duration
}

// FindManager reads the environment. A worker tells through init, link, since
// managers listen to the process that they started. Link may be nil.
//
// A manager's watchdog counts for the process that WATCHDOG_PID names.
func FindManager(link *Link, log *slog.Logger) (*Manager, error) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, fmt.Errorf("reading the watchdog's time from the environment: %w", err)
	}
	m := &Manager{watchdog: watchdog, say: func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("the service manager cannot be told", "state", state, "err", err)
		}
	}}
	if link != nil {
		m.say = func(state string) { link.send(message{what: state}) }
	}
	return m, nil
}

// Watchdog is how long the manager may hear nothing before it takes this
// program for dead; 0 means for ever.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Ready tells that the program does its work.
func (m *Manager) Ready() { m.tell(daemon.SdNotifyReady) }

// Stopping tells that the program is about to end.
func (m *Manager) Stopping() { m.tell(daemon.SdNotifyStopping) }

// Alive keeps the watchdog quiet.
func (m *Manager) Alive() { m.tell(daemon.SdNotifyWatchdog) }

func (m *Manager) tell(state string) {
	if m != nil {
		m.say(state)
	}
}

// tellManager begins to pass on what workers say to the manager. A manager
// that does not listen must not keep init from reaping.
func (i *Init) tellManager() {
	states := make(chan string, 16)
	i.manager = states
	go func() { // as long as the process
		for state := range states {
			_, _ = daemon.SdNotify(false, state) // nobody would be helped by knowing
		}
	}()
}

// watchdogEnvironment makes init's watchdog that of its worker, which does not
// have init's process id.
func watchdogEnvironment(env []string) []string {
	pid := "WATCHDOG_PID=" + strconv.Itoa(os.Getpid())
	passed := make([]string, 0, len(env))
	for _, e := range env {
		if e != pid {
			passed = append(passed, e)
		}
	}
	return passed
}
