package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

// configure makes groups the ones at work. Those that are as before go on as
// they are. When one is bad, all stays as it is.
func (e *engine) configure(configs []groupConfig) error {
	old := map[[32]byte]*group{}
	for _, g := range e.groups {
		old[g.print] = g
	}
	var groups, added []*group
	for _, c := range configs {
		g := old[c.print]
		if g != nil && g.name == c.name {
			delete(old, c.print)
		} else {
			var err error
			if g, err = newGroup(c, e.flags.quiet, e.watcher); err != nil {
				for _, a := range added {
					a.close()
				}
				return err
			}
			g.ledger = newLedger(&g.groupConfig, e.state)
			if err := e.openGate(g, shareLease(configs, c)); err != nil {
				g.close()
				for _, a := range added {
					a.close()
				}
				return err
			}
			added = append(added, g)
		}
		groups = append(groups, g)
	}
	for _, g := range old {
		g.close()
		if g.busy && g.waiting {
			g.job.cancel(errSuperseded)
		}
		e.meters.forget(g.name)
	}
	gone := slices.AppendSeq(e.gone, maps.Values(old))
	for _, g := range gone {
		for _, a := range added {
			a.follow(g)
		}
	}
	for _, g := range added {
		if len(g.unused) > 0 {
			e.log.Info("without meaning in kconfd", "group", g.name, "keys", g.unused)
		}
	}
	if len(added) > 0 {
		for _, dir := range ignoredDirs(e.flags.confDir) {
			e.log.Warn("subdirectory of conf.d ignored", "dir", dir.path, "resource_files", dir.files)
		}
	}
	e.groups, e.gone = groups, nil
	for _, g := range gone {
		if e.follows(g) {
			continue
		}
		if g.unfinished() {
			e.gone = append(e.gone, g)
		}
		if !g.busy {
			g.giveUp()
		}
	}
	if e.child == nil {
		return nil
	}
	if err := e.child.reconfigure(e, configs); err != nil {
		return err
	}
	e.lineReplaced(time.Now())
	return nil
}

// noteEdits plans to read the configuration again, since something about it changed on disk:
// after the quiet time of what has changed.
func (e *engine) noteEdits(now time.Time) {
	r := &e.rereading
	e.config.Watch(e.configPaths()) // directories may have come or gone
	if changed := r.files.Look(); changed > 0 {
		e.rereadAfter(changed, now)
		return
	}
	// Perhaps a file that nothing reads: it does not put off what is planned.
	if at := now.Add(r.files.Quiet()); r.at.IsZero() || at.Before(r.at) {
		r.at = at
	}
}

// reconfigure reads the configuration again, because something about it changed
// on disk, or by order. A bad one is refused: what is at work stays at work.
func (e *engine) reconfigure(now time.Time, ordered bool) {
	e.config.Watch(e.configPaths()) // directories may have come or gone: before they are read
	r := &e.rereading
	r.ordered = r.ordered || ordered
	var configs []groupConfig
	wait, err := r.files.Try(func() (err error) {
		configs, err = load(e.flags, r.files)
		return err
	})
	if wait > 0 {
		e.rereadAfter(wait, now)
		return
	}
	ordered = r.ordered
	if err == nil {
		err = e.configure(configs)
	}
	e.absent = ""
	var absent *fs.PathError
	if errors.As(err, &absent) {
		e.absent = absent.Path
	}
	e.config.Watch(e.configPaths())
	e.targets.Watch(e.dests())
	e.meters.configured(err == nil)
	r.plan(err, time.Now())
	if err != nil {
		e.refuse(err, ordered)
		return
	}
	level := slog.LevelDebug
	if ordered || e.refused != "" {
		level = slog.LevelInfo
	}
	e.log.Log(context.Background(), level, "configuration read", "groups", len(e.groups))
	e.refused = ""
}

// rereadAfter waits for files that are being written.
func (e *engine) rereadAfter(wait time.Duration, now time.Time) {
	r := &e.rereading
	r.at = now.Add(wait)
	if r.warn.IsZero() {
		r.warn = r.at.Add(patience)
	}
	if now.After(r.warn) {
		r.warn = now.Add(reminder)
		e.log.Warn("configuration still changes, the one before stays", "file", r.files.Youngest(),
			"hint", "write another file and rename it")
	}
}

// A rereading is when the configuration is read again: after the quiet time of files that have
// changed, or because it could not be read.
type rereading struct {
	files   *steady.Files
	at      time.Time // zero: not
	ordered bool      // by a signal
	warn    time.Time // when to say that files do not come to rest
	backoff reload.Backoff
}

// plan plans the next attempt after one that ended with err.
func (r *rereading) plan(err error, now time.Time) {
	if !watcher.ReadFailed(err) {
		*r = rereading{files: r.files}
		return
	}
	r.ordered, r.warn = false, time.Time{}
	r.backoff.Initial, r.backoff.Max = minRereadWait, maxRereadWait
	r.at = now.Add(r.backoff.Next())
}

const (
	minRereadWait = 100 * time.Millisecond
	maxRereadWait = 10 * time.Second
)

// reread reads the configuration again, if it is time for that.
func (e *engine) reread(now time.Time) {
	if at := e.rereading.at; !at.IsZero() && !now.Before(at) {
		e.reconfigure(now, false)
	}
}

// refuse tells why the configuration on disk is not in use: once for each
// mistake, since an editor makes several events of one, and whenever somebody
// ordered to read it.
func (e *engine) refuse(err error, ordered bool) {
	if ordered || e.refused != err.Error() {
		attrs := []any{"err", err}
		if h := hint(err); h != "" {
			attrs = append(attrs, "hint", h)
		}
		e.log.Error("configuration refused, the one before stays", attrs...)
	}
	e.refused = err.Error()
}

// configPaths are the files and directories whose change may change groups.
func (e *engine) configPaths() []string {
	paths := []string{filepath.Join(e.flags.confDir, "conf.d"), filepath.Join(e.flags.confDir, "templates")}
	for _, g := range e.groups {
		paths = append(paths, g.reads...)
		for _, t := range g.templates {
			paths = append(paths, t.config.reads...)
		}
	}
	if e.absent != "" {
		paths = append(paths, e.absent)
	}
	return paths
}
