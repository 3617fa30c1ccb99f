package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// How long all that kconfd is at may take to end, once it has been told to and
// there is no child any more. What takes longer hangs: a file system that is away, a program that
// gives credentials.
const (
	endPatience = 2 * time.Second
	jobPatience = 3 * time.Second // while jobs are at work: their commands need a second at most
)

// orStuck waits for the actors' end, for only a template to be still at work, or
// for the end of patience: what is half done then is finished or undone at the next start.
func (e *engine) orStuck(why error, ended <-chan error) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	var alone, idle time.Time // since when there is no child, and no job besides
	for {
		select {
		case err := <-ended:
			return err
		case now := <-look.C:
			switch {
			case e.child.alive():
				continue
			case e.rendering.Load() && e.working.Load() == 0:
				e.log.Warn("ending in the middle of a template")
				return why
			case alone.IsZero():
				alone = now
			}
			if e.working.Load() > 0 || idle.IsZero() {
				idle = now
			}
			if now.Sub(alone) > jobPatience || now.Sub(idle) > endPatience {
				e.log.Warn("ending, though something hangs")
				return why
			}
		}
	}
}

// minBeginTime is how long the start may take at least, whatever -timeout is.
const minBeginTime = 5 * time.Second

// beginTooLate is the end of the time to begin.
func (f *flags) beginTooLate() (<-chan time.Time, error) {
	limit := max(f.timeout, minBeginTime)
	return time.After(limit), &codeError{exitDeadline, fmt.Errorf("reading the configuration: not done after %s", limit)}
}

// unlessSignalled runs begin, but does not wait for it when a signal is to end kconfd, or
// its time has passed: what it reads may hang.
func (f *flags) unlessSignalled(begin func() (*engine, error)) (*engine, error) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(term)
	late, tooLate := f.beginTooLate()
	done := make(chan begun, 1)
	go func() { // until it has begun, or the process ends
		e, err := begin()
		done <- begun{e, err}
	}()
	select {
	case b := <-done:
		select {
		case s := <-term: // which nothing else may have caught yet
			return nil, &signalled{s.(syscall.Signal)}
		default:
			return b.engine, b.err
		}
	case s := <-term:
		return nil, &signalled{s.(syscall.Signal)}
	case <-late:
		return nil, tooLate
	}
}

// begun is an engine that is ready to be run, or why there is none.
type begun struct {
	engine *engine
	err    error
}

// errEndedEarly is a worker that is to end before it has begun.
var errEndedEarly = errors.New("ended before the start")
