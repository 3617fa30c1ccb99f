package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	rungroup "github.com/oklog/run"

	"github.com/kconfd/kconfd/apiclient"
	"github.com/kconfd/kconfd/reload"
)

// runChild is kconfd with a command: as its own init at first, which runs the
// same once more as its worker.
func runChild(ctx context.Context, f *flags, s streams) error {
	link, err := reload.Connect()
	if err != nil {
		return err
	}
	if link == nil {
		code, err := (&reload.Init{Argv: os.Args, Env: os.Environ(), Adopt: f.adopt}).Run()
		return &codeError{code, err}
	}
	log := reload.NewLossy(s.err)
	s.err = log
	e, err := f.unlessToldToEnd(link, func() (*engine, error) { return newWorker(ctx, f, s, link) })
	switch {
	case err == nil:
		err = e.supervise(ctx, f)
	case errors.Is(err, errEndedEarly):
		err = nil
	}
	code := exitCode(err, log)
	apiclient.EndPlugins() // before init ends
	if e != nil || link.Adopted == 0 {
		link.End(code)
	}
	// Else a child runs that nobody has taken over. Without a word, init tries
	// again with the next worker, until what is wrong here has been put right.
	log.Flush(reload.LastWords)
	return &codeError{code: code}
}

// unlessToldToEnd runs begin, but does not wait for it when the worker is to end, or its time
// has passed: what it reads may hang. Other signals are kept for the child.
//
// A child that an earlier worker left is init's to stop then, or this worker's when
// init is gone.
func (f *flags) unlessToldToEnd(link *reload.Link, begin func() (*engine, error)) (*engine, error) {
	late, tooLate := f.beginTooLate()
	done := make(chan begun, 1)
	go func() { // until it has begun, or the process ends
		e, err := begin()
		done <- begun{e, err}
	}()
	var early []syscall.Signal
	for {
		select {
		case b := <-done:
			if b.err == nil {
				b.engine.child.early = early
			}
			return b.engine, b.err
		case s, open := <-link.Signals:
			if !open {
				link.StopAdopted()
			}
			if !open || s == syscall.SIGTERM || s == syscall.SIGINT {
				return nil, errEndedEarly
			}
			early = append(early, s)
		case <-late:
			return nil, tooLate
		}
	}
}

// newWorker prepares to supervise the command and to keep its files in step.
func newWorker(ctx context.Context, f *flags, s streams, link *reload.Link) (*engine, error) {
	e, err := f.newEngine(s)
	if err != nil {
		return nil, err
	}
	e.step = stepsOf(ctx)
	e.recover()
	notifier, err := reload.Listen(e.log)
	if err != nil {
		return nil, err
	}
	if err := e.listen(); err != nil {
		return nil, err
	}
	e.findPod()
	if err := e.findManager(link); err != nil {
		return nil, err
	}
	return e, e.newChild(reload.Launcher{Link: link, Notify: notifier})
}

// launch has a child that is not ready by notifications do without a socket
// for them.
func launch(l reload.Launcher, start func(reload.Launcher, reload.Child, func()) (reload.Process, error)) reload.Starter {
	return func(c reload.Child, ready func()) (reload.Process, error) {
		l := l
		if c.Ready != reload.ReadyByNotify {
			l.Notify = nil
		}
		return start(l, c, ready)
	}
}

// superviseChild adds the actors that a child needs: the supervisor, and the
// signals that init passes on.
func (e *engine) superviseChild(ctx context.Context, actors *rungroup.Group) {
	c := e.child
	{
		// The child has a context of its own: it outlives the one that ends
		// all else, and is ended well.
		actors.Add(func() error {
			defer close(c.ended)
			c.exit, c.err = c.supervisor.Run(context.WithoutCancel(ctx))
			return c.err
		}, func(error) { c.supervisor.Stop() })
	}
	{
		hup := make(chan struct{}, 1)
		e.hup = hup
		stop := make(chan struct{}, 1)
		actors.Add(func() error {
			<-stop // told to end, or by the interrupt of another actor
			return nil
		}, func(error) {
			select {
			case stop <- struct{}{}:
			default:
			}
		})
		go func() { // until the child has ended
			for _, s := range c.early {
				e.signal(s, hup, stop)
			}
			signals := c.link.Signals
			for {
				select {
				case s, open := <-signals:
					if !open { // init is gone, and nobody would reap
						s, signals = syscall.SIGTERM, nil
					}
					e.signal(s, hup, stop)
				case <-c.ended:
					return
				}
			}
		}()
	}
}

// signal does what a signal is for.
func (e *engine) signal(s syscall.Signal, hup, stop chan<- struct{}) {
	c := e.child
	switch {
	case s == syscall.SIGTERM || s == syscall.SIGINT:
		select {
		case stop <- struct{}{}: // and with it all the actors
		default: // once is enough: a second one does not shorten the grace
		}
	case s == syscall.SIGHUP && !c.config.Load().forwards(s):
		select {
		case hup <- struct{}{}:
		default: // one is waiting, and stands for this one too
		}
	case c.config.Load().forwards(s) || (s == syscall.SIGQUIT && c.stopping()):
		c.supervisor.Forward(s)
	}
}

// stopping says whether the child is on its way to its end, which SIGQUIT cuts
// short though it may not be passed on otherwise.
func (c *child) stopping() bool {
	state, _ := c.supervisor.State()
	return state == reload.WaitingForTurn || state == reload.Stopping || state == reload.Draining
}

// result is the end of kconfd with a child: the child's, whatever ended the
// other actors.
func (c *child) result() error {
	var start *reload.StartError
	switch {
	case errors.As(c.err, &start):
		return &codeError{start.Code, c.err}
	case c.err != nil:
		return c.err
	}
	if code := c.exit.Status(); code != 0 {
		return &codeError{code: code}
	}
	return nil
}

// alive says whether the child, if there is one, is still to be waited for.
func (c *child) alive() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
