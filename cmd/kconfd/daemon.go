package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	rungroup "github.com/oklog/run"

	"github.com/kconfd/kconfd/apiclient"
	"github.com/kconfd/kconfd/internal/status/web"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/state"
)

// runMain is kconfd without a subcommand: -onetime and the daemon.
func runMain(ctx context.Context, args []string, s streams) error {
	f, err := parseOrHelp(ctx, "kconfd", args, s)
	if f == nil {
		return err
	}
	f.daemon = true
	drain()
	if f.hasChild() {
		return runChild(ctx, f, s)
	}
	e, err := f.unlessSignalled(func() (*engine, error) { return f.begin(ctx, s) })
	var by *signalled
	if errors.As(err, &by) {
		return by.exit(f.onetime)
	}
	if err != nil {
		return err
	}
	if err := e.supervise(ctx, f); err != nil {
		return err
	}
	if e.successor != nil {
		apiclient.EndPlugins()
		return e.successor.become()
	}
	return nil
}

// begin prepares to keep files in step, without a child.
func (f *flags) begin(ctx context.Context, s streams) (*engine, error) {
	e, err := f.newEngine(s)
	if err != nil {
		return nil, err
	}
	if err := e.listen(); err != nil {
		return nil, err
	}
	if !f.onetime {
		e.findPod()
		if err := e.findManager(nil); err != nil {
			return nil, err
		}
	}
	e.step = stepsOf(ctx)
	if f.onetime && len(f.args) > 0 {
		if e.successor, err = e.newSuccessor(); err != nil {
			return nil, err
		}
	}
	if !f.noop {
		e.recover()
	}
	return e, nil
}

// newEngine is an engine with the configuration that the flags name.
func (f *flags) newEngine(s streams) (*engine, error) {
	redactor := &render.Redactor{}
	log := newLogger(s.err, f, redactor)
	files := steady.New(f.quiet.Min)
	configs, err := loadSteady(f, files)
	if err != nil {
		return nil, err
	}
	w, err := f.newWatcher(configs, s, log)
	if err != nil {
		return nil, err
	}
	e := newEngine(f, log, w, redactor)
	e.out, e.rereading.files = s.out, files
	if !f.hasChild() {
		e.signals = catchSignals() // before anything is begun that they should not cut off
	}
	if f.daemon && !f.noop && f.stateDir != "" {
		if e.state, err = state.Open(f.stateDir); err != nil {
			return nil, err
		}
		if e.state.Shared() {
			log.Warn("other users may write to the state directory: they can remove what is in it", "dir", f.stateDir)
		}
		e.snapshots.path = e.state.File("objects")
	}
	return e, e.configure(configs)
}

// recover finishes or undoes what an earlier kconfd was killed in.
func (e *engine) recover() {
	for _, g := range e.groups {
		if len(g.templates) > 0 {
			e.recoverGroup(g)
		}
	}
	e.sweep()
}

// strays are where ledgers about files of the group may be that belong to no
// group of that name. With a state directory, one beside the files counts only
// where no other user may write.
func (e *engine) strays(g *group) []string {
	var paths []string
	for _, target := range g.ledger.Files {
		if e.state == nil || !shared(filepath.Dir(target)) {
			paths = append(paths, ledgerBeside(target))
		}
	}
	if e.state != nil {
		documents, err := e.state.Documents()
		if err != nil {
			e.log.Warn("what is owed under another name is not looked for", "err", err)
		}
		paths = append(paths, documents...)
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(e.groups, func(other *group) bool { return other.ledger.path == path })
	})
}

func (e *engine) recoverGroup(g *group) {
	log := e.log
	if err := g.ledger.load(); err != nil {
		e.meters.refuse(sourceState)
		log.Warn("starting as if nothing were owed", "group", g.name, "err", err)
		return
	}
	if err := g.ledger.adopt(e.strays(g)); err != nil {
		e.meters.refuse(sourceState)
		log.Warn("what is owed under another name is told again after the next start", "group", g.name, "err", err)
	}
	g.applied = g.ledger.counts()
	if !g.ledger.pending() {
		if g.ledger.Applied != nil {
			g.appliedAt = g.ledger.Applied.At
		}
		return
	}
	failed := g.ledger.Failed
	owed, err := g.ledger.recover()
	g.owed = owed
	switch attrs := []any{"group", g.name, "owed", owed, "files", len(g.ledger.Olds)}; {
	case failed && owed:
		log.Info("action pending since an earlier failure", "group", g.name, "files", len(g.ledger.Olds))
	case failed: // they were removed or edited
		log.Info("files have changed since an earlier failure", attrs...)
	default:
		log.Warn("an earlier kconfd was cut off", attrs...)
	}
	if err != nil {
		log.Error("not all files could be put back", "group", g.name, "err", err)
	}
}

// listen opens what -listen names.
func (e *engine) listen() error {
	if e.flags.listen == "" {
		return nil
	}
	listener, err := web.Listen(e.flags.listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	e.listener, e.web = listener, web.New(e.log, e.meters.set)
	return nil
}

// abandoned is how old a candidate is that nobody is at work on any more.
const abandoned = 10 * time.Minute

// maxShownFiles is how many files are named in the log: another user may have
// made many in a directory of its own.
const maxShownFiles = 10

// sweep removes what a kconfd that was killed left beside the files.
func (e *engine) sweep() {
	var keep []render.Old
	for _, g := range e.groups {
		keep = append(keep, g.ledger.Olds...)
	}
	e.swept(render.SweepMirrors(abandoned))
	for _, file := range e.withLedgers(e.files()) {
		e.swept(render.Sweep(file, abandoned, keep))
	}
}

func (e *engine) swept(removed []string, err error) {
	if len(removed) > 0 {
		e.log.Info("removed what a kconfd that was killed had left", "files", removed[:min(len(removed), maxShownFiles)], "count", len(removed))
	}
	if err != nil {
		e.log.Warn("files that a kconfd that was killed had left stay", "err", err)
	}
}

// withLedgers adds the ledgers beside the files.
func (e *engine) withLedgers(files []render.File) []render.File {
	for _, g := range e.groups {
		if g.ledger.path != "" && !g.ledger.must {
			files = append(files, render.File{Dest: g.ledger.path})
		}
	}
	return files
}

// supervise runs the actors until one of them ends: a signal, the watcher, the
// loop, and with -listen the HTTP server.
func (e *engine) supervise(ctx context.Context, f *flags) error {
	var actors rungroup.Group
	unseen := func() error { return nil }
	if e.child != nil {
		e.superviseChild(ctx, &actors)
	} else {
		unseen = e.heedSignals(ctx, &actors)
	}
	{
		ctx, cancel := context.WithCancel(ctx)
		actors.Add(func() error { return e.watcher.Run(ctx) }, func(error) { cancel() })
	}
	{
		ctx, cancel := context.WithCancel(ctx)
		actors.Add(func() error { return e.run(ctx, f.onetime) }, func(error) { cancel() })
	}
	e.addEvents(ctx, &actors)
	if e.listener != nil {
		e.pages(e.web)
		e.log.Info("listening", "addr", e.listener.Addr().String())
		actors.Add(e.serve, func(error) { _ = e.web.Close() })
	}
	err := e.untilEnd(ctx, &actors)
	if e.child != nil {
		return redactError(e.child.result(), e.redactor)
	}
	if late := unseen(); late != nil {
		err = late
	}
	var by *signalled
	if errors.As(err, &by) {
		return by.exit(f.onetime)
	}
	return redactError(err, e.redactor)
}

// caught are the signals to kconfd that nobody has heeded yet.
type caught struct {
	term, hup chan os.Signal
}

func catchSignals() caught {
	c := caught{make(chan os.Signal, 1), make(chan os.Signal, 1)}
	signal.Notify(c.term, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(c.hup, syscall.SIGHUP)
	return c
}

// heedSignals adds the actor that heeds the signals that are caught. What it
// returns ends that, for what takes kconfd's place is to get its signals, and
// gives the one that came when all was done. (A daemon keeps them to its end: one
// more is no reason to break off.)
func (e *engine) heedSignals(ctx context.Context, actors *rungroup.Group) (unseen func() error) {
	term, hup := e.signals.term, e.signals.hup
	poke := make(chan struct{}, 1)
	e.hup = poke
	cancelled, cancel := context.WithCancel(ctx)
	actors.Add(func() error {
		for {
			select {
			case s := <-term:
				return &signalled{s.(syscall.Signal)}
			case <-hup:
				select {
				case poke <- struct{}{}:
				default: // one is waiting, and stands for this one too
				}
			case <-cancelled.Done():
				return cancelled.Err()
			}
		}
	}, func(error) { cancel() })
	return func() error {
		if !e.flags.onetime {
			return nil
		}
		signal.Stop(hup)
		signal.Stop(term)
		select {
		case s := <-term:
			return &signalled{s.(syscall.Signal)}
		default:
			return nil
		}
	}
}

// serve serves until the server is closed. With a child, nothing that happens
// here is a reason to end.
func (e *engine) serve() error {
	err := e.web.Serve(e.listener)
	if e.child != nil && !errors.Is(err, http.ErrServerClosed) {
		e.log.Error("no longer listening", "err", err)
		<-e.child.ended
	}
	return err
}

// untilEnd runs the actors. A template that takes minutes cannot be broken off,
// and is not waited for: once all else has been told to end and no job is at
// work, there is nothing to lose.
func (e *engine) untilEnd(ctx context.Context, actors *rungroup.Group) error {
	told := make(chan error, 1)
	ending, cancel := context.WithCancel(ctx)
	actors.Add(func() error {
		<-ending.Done()
		return nil
	}, func(err error) {
		told <- err
		cancel()
	})
	ended := make(chan error, 1)
	go func() { ended <- actors.Run() }() // or until the process ends, see above
	select {
	case err := <-ended:
		return err
	case err := <-told:
		return e.orStuck(err, ended)
	}
}

// signalled is the end by a signal.
type signalled struct {
	signal syscall.Signal
}

func (s *signalled) Error() string { return "ended by signal: " + s.signal.String() }

// exit is what the signal means: for the daemon the end it is meant to have,
// for -onetime that it was not finished.
func (s *signalled) exit(onetime bool) error {
	if onetime {
		return &codeError{128 + int(s.signal), s}
	}
	return nil
}

// findCommand looks for the command that is to be run.
func findCommand(name string) error {
	_, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &codeError{exitNotFound, fmt.Errorf("running %q: %w", name, err)}
	case err != nil:
		return &codeError{exitNotRunnable, fmt.Errorf("running %q: %w", name, err)}
	}
	return nil
}
