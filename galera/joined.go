package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
)

const (
	// watchEvery is how often the server's status file is looked at.
	watchEvery = 500 * time.Millisecond

	// recheckEvery is how often the record is looked at while all is well.
	recheckEvery = 30 * time.Second

	// askEvery is how often the others are looked for, and the API server is, while
	// the server may be alone.
	askEvery = 5 * time.Second

	// defaultWithoutPrimary is how long a server may be without a cluster.
	defaultWithoutPrimary = time.Minute
)

// A liveDir is the data directory of a server that may run: what it has written there, and its
// processes.
type liveDir interface {
	status(context.Context, Settings) (status, error)
	grastate() (grastate, error)
	lastView() (me string, members []string)
	primaryView() *View
	inPrimary(Settings) bool
	lastPrimary() (me string, members []string, v *View, err error)
	generation() (int, error)
	setGeneration(int) error
	memory() (memory, error)
	remember(memory) error
	transfer(Settings) (transfer, error)
	processes() (pids []int, err error)
	kill(pid int) error
}

func (d dataDir) status(ctx context.Context, s Settings) (status, error) { return s.readStatus(ctx) }

func (d dataDir) processes() (pids []int, err error) { return serversIn(d.path) }

// kill kills a process of the server. One that has ended already is no error.
func (d dataDir) kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// A Joined stays beside a server.
type Joined struct {
	NodeCommand

	// WithoutPrimary is how long the server may go without being part of a primary
	// component before it is killed, so that it is started anew; 0 means a minute.
	WithoutPrimary time.Duration

	settings Settings
	dir      liveDir
	store    records
	seen     seenRecord
	alone    lonelyTime
	donor    donorWatch

	generation int    // of the data, as it is or was written beside them; 0 when it is not known
	memory     memory // likewise

	silent  bool   // whether the server says nothing of how it stands
	failure string // that was logged last

	healer healer
	open   func(context.Context) (healSession, error)
	dial   func(context.Context, []peer) []peer // that listen, of those
}

// A seenRecord is what a monitor has seen of the record, or has written into it.
type seenRecord struct {
	recorded bool      // that the server is Synced
	checked  time.Time // when the record was last seen to say so, or asked
	record   General   // as it was written
	known    *Record   // the last whole one that was read or written; nil before
	views    viewNote
	view     []string // the members of the cluster, when the record was last looked at
}

// A lonelyTime is how long a server has been without a primary component, and what was looked for
// meanwhile.
type lonelyTime struct {
	since   time.Time // zero when it is well; it may also be stuck
	synced  time.Time // when the server was last seen to be
	reached time.Time // when the API server was last asked for
}

// Run notes in the record that the server is Synced as soon as it is, and goes on
// watching. It notes that again when the record does not say so any more: somebody
// deleted it, or put an old one in its place. It returns when ctx ends, with ctx's cause.
//
// A server that has had no primary component for too long is killed, when the API
// server can be reached: its next start goes by the record, and so does that of all
// others to which the same happened. Galera by itself comes back from the loss of its
// majority only when each of the last members does. So is one that has been stuck after a transfer for
// as long.
func (j *Joined) Run(ctx context.Context) (err error) {
	if j.settings, err = j.read(); err != nil {
		return err
	}
	if j.store, err = j.Store(j.settings.Cluster); err != nil {
		return err
	}
	j.dir, j.open, j.dial = dataDir{j.settings.DataDir, j.Server, j.File}, j.settings.openHealSession, listening
	if j.WithoutPrimary == 0 {
		j.WithoutPrimary = defaultWithoutPrimary
	}
	j.recall(ctx)
	for {
		err := j.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil, outdated(err):
			j.failure = ""
		case j.failure != err.Error():
			j.failure = err.Error()
			j.Log.Warn("the record is not up to date", "err", err)
		}
		wait := watchEvery
		if err != nil && !outdated(err) {
			wait = 4 * watchEvery
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}

// look looks at the server once.
func (j *Joined) look(ctx context.Context) error {
	state := j.state(ctx)
	if state == stateSynced {
		j.alone.synced = time.Now().Truncate(time.Second)
	}
	if err := j.measure(ctx, state); err != nil {
		return err
	}
	j.heal(ctx, state)
	switch {
	case state == stateSynced && !j.seen.recorded:
		if err := j.keepHistory(); err != nil {
			return err
		}
		return j.note(ctx)
	case j.seen.recorded && state.isPrimary() && j.seen.views.due(j.dir):
		return j.noteView(ctx)
	case state == stateSynced && (time.Since(j.seen.checked) >= recheckEvery || time.Since(j.seen.checked) >= askEvery && j.hasNewView()):
		return j.recheck(ctx)
	case state == stateBroken:
		return j.giveUp(ctx, "has broken off a transfer")
	case state == stateStuck && time.Since(j.alone.since) >= j.WithoutPrimary:
		return j.giveUp(ctx, "could not tell the end of a transfer that it gave")
	case !j.alone.since.IsZero() && time.Since(j.alone.since) >= j.WithoutPrimary:
		return j.giveUp(ctx, "has no primary component")
	}
	return nil
}

// measure takes the time for which the server is lonely. As long as the API server is away it
// does not count: what cuts a node off from that cuts it off from the others, and they
// find each other again by themselves when it is over. The record that is read for that is corrected
// where it does not say that the server may run.
func (j *Joined) measure(ctx context.Context, state serverState) error {
	switch {
	case !j.isLonely(ctx, state):
		j.alone.since = time.Time{}
	case j.alone.since.IsZero():
		j.alone.since, j.alone.reached = time.Now(), time.Now()
	case time.Since(j.alone.reached) >= askEvery:
		old, err := j.store.get(ctx)
		j.alone.reached = time.Now()
		if err != nil {
			j.alone.since = j.alone.reached
			return fmt.Errorf("the server has no primary component: %w", err)
		}
		return j.restate(ctx, old)
	}
	return nil
}

// isLonely says whether the server has no primary component, and does not get one by
// itself: it waits for one, or for a transfer that nobody gives, or it was thrown out, or it is
// stuck. One that is starting or ending is disconnected as well, and has no port open.
func (j *Joined) isLonely(ctx context.Context, state serverState) bool {
	if state != stateReceiving {
		j.donor = donorWatch{}
	}
	switch state {
	case stateBroken, stateStuck, stateConnected:
		return true
	case stateDisconnected:
		return j.serves()
	case stateReceiving:
		return !j.hasDonor(ctx)
	}
	return false
}

// serves says whether the server's port is open. It is not connected to, since the server
// would log that.
func (j *Joined) serves() bool {
	open, err := listens(j.settings.Port)
	return open && err == nil
}

// state is the server's. Of one that says nothing itself, neither in a status file nor by [Notify],
// it is Synced or not known: see [dataDir.inPrimary]. It is never killed then.
func (j *Joined) state(ctx context.Context) serverState {
	s, err := j.dir.status(ctx, j.settings)
	j.silent = j.settings.StatusFile == "" && !s.notified
	if !j.silent {
		if err != nil {
			return stateUnknown
		}
		if s.State == stateJoined && !s.unsaid.IsZero() && !s.unsaid.Before(j.alone.synced) {
			return stateStuck
		}
		if s.isReceiving() {
			return stateReceiving
		}
		return s.State
	}
	state, err := j.dir.grastate()
	if err != nil || state.position.UUID == "" {
		return stateUnknown
	}
	if !j.serves() || !j.dir.inPrimary(j.settings) {
		return stateUnknown
	}
	return stateSynced
}

// note writes that the node is synced.
func (j *Joined) note(ctx context.Context) error {
	old, err := j.store.get(ctx)
	if err != nil {
		return err
	}
	return j.write(ctx, old)
}

// write writes that the node is synced in place of what was read.
func (j *Joined) write(ctx context.Context, old *stored) error {
	state, err := j.dir.grastate()
	if err != nil || state.position.UUID == "" {
		return err // it is just being written
	}
	r := j.base(old)
	uuid := state.position.UUID
	if r.UUID != "" && r.UUID != uuid {
		return fmt.Errorf("the server is in cluster %s, and the record is that of %s: one of them is wrong", uuid, r.UUID)
	}
	s := stamp{j.settings.Address, j.Pod, token(), time.Now().UTC()}
	me, view := j.dir.lastView()
	if r, err = j.syncedIn(r, uuid, me, view, s); err != nil {
		return err
	}
	now := j.dir.primaryView()
	r = r.viewed(j.settings.Node, now)
	written, err := j.store.put(ctx, old, r)
	if err != nil {
		return err
	}
	if written != nil {
		r = written.Record
	}
	j.seen.views.noted = now
	j.seen.recorded, j.seen.checked, j.seen.record, j.seen.known, j.seen.view = true, time.Now(), r.General, r, view
	if err := j.remember(r); err != nil {
		return err
	}
	j.Log.Info("the node is synced", "node", j.settings.Node, "cluster", uuid)
	return nil
}

// base is the record as it was read, with what is remembered of it where it was deleted, or put back
// to an older version.
func (j *Joined) base(old *stored) *Record {
	switch {
	case old == nil && j.seen.known == nil:
		r := newRecord(j.settings.Cluster)
		r.Adopted, r.Since, r.Generation = true, time.Now().UTC(), j.generation
		return r
	case old == nil:
		return j.settled(j.seen.known.recalled())
	case !old.follows(j.seen.known):
		return j.settled(old.merged(j.seen.known))
	}
	return j.settled(old.Record)
}

// hasNewView says whether members have come or gone since the record was last looked at. What they
// have written into it is read soon then: what is remembered stays whole.
func (j *Joined) hasNewView() bool {
	_, view := j.dir.lastView()
	return !slices.Equal(view, j.seen.view)
}

// syncedIn is the record with the node Synced. The generation of its data is written beside them
// when it has changed, or a transfer has removed it.
func (j *Joined) syncedIn(r *Record, uuid, me string, view []string, s stamp) (*Record, error) {
	written, err := j.dir.generation()
	if err != nil {
		return nil, err
	}
	if written > 0 {
		j.generation = written
	}
	r = r.synced(j.settings.Node, uuid, me, view, j.generation, s)
	own := r.Nodes[j.settings.Node]
	if j.generation = own.Generation; j.memory.Node == j.settings.Node {
		own.Starts = max(own.Starts, j.memory.Starts)
		r.Nodes[j.settings.Node] = own
	}
	if j.generation == written {
		return r, nil
	}
	return r, j.dir.setGeneration(j.generation)
}

// remember writes beside the data what they are to remember of the record, where a transfer has
// removed it or the record has changed.
func (j *Joined) remember(r *Record) error {
	starts := r.Nodes[j.settings.Node].Starts
	m := memory{Record: r.ID, Node: j.settings.Node, Writes: r.Writes, Starts: starts, Next: starts}
	if err := j.dir.remember(m); err != nil {
		return fmt.Errorf("writing what the data directory %q remembers: %w", j.settings.DataDir, err)
	}
	j.memory = m
	return nil
}

// recheck looks whether the record still says that the server may run. An API server that is
// away now is asked again later.
func (j *Joined) recheck(ctx context.Context) error {
	j.seen.checked = time.Now()
	old, err := j.store.get(ctx)
	_, view := j.dir.lastView()
	switch {
	case transient(err):
		return nil
	case err != nil:
		return err
	case old != nil && old.Generation > j.seen.record.Generation && old.newestIn(view) < old.Generation:
		return errors.New("by the record another node was made the first of its cluster while this server ran: there may be two clusters")
	}
	corrects := old != nil && (old.PutBack && old.hasAll(view) || old.newestIn(view) > old.Nodes[j.settings.Node].Generation)
	if old != nil && old.follows(j.seen.known) && old.says(j.settings.Node, j.Pod) && !j.outlives(old.Bootstrap) && !corrects {
		j.seen.views.noted, j.seen.known, j.seen.view = old.Nodes[j.settings.Node].View, old.Record, view
		return nil
	}
	// It was read before: who says now that the server has ended, says it in place of a newer one.
	if pids, err := j.dir.processes(); err != nil || len(pids) == 0 {
		return err
	}
	if old != nil && j.outlives(old.Bootstrap) {
		j.Log.Warn("the decision is void: there is a cluster, which this server is in", "first", old.Bootstrap.From, "by", old.Bootstrap.By)
	} else {
		j.Log.Warn("the record was deleted, or an old one was put back: it is written again from what this monitor remembers")
	}
	return j.write(ctx, old)
}

// outlives says whether a decision was made about a cluster that this Synced server is in.
// It must not be left for the day when that node is started and cut off. Without a status
// file nobody knows that the server has a cluster.
func (j *Joined) outlives(d *Decree) bool { return d != nil && !j.silent }

// giveUp kills the server, if its next start can go by the record.
func (j *Joined) giveUp(ctx context.Context, fault string) error {
	if _, err := j.store.get(ctx); err != nil {
		return err
	}
	if !j.isLonely(ctx, j.state(ctx)) {
		return nil // it is back, and the others would miss it
	}
	pids, err := j.dir.processes()
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return fmt.Errorf("the server %s, and is not killed: no process of it is in sight, which runs in %q", fault, j.settings.DataDir)
	}
	j.Log.Warn("the server "+fault+", and is started anew by the record", "for", time.Since(j.alone.since).Round(time.Second), "pids", pids)
	for _, pid := range pids {
		if err := j.dir.kill(pid); err != nil {
			return fmt.Errorf("killing the server, process %d: %w", pid, err)
		}
	}
	j.alone.since = time.Now()
	return nil
}

// serversIn are the processes of a server that has the data directory: its working
// directory is that very one. One of the same path, in another container that shares the
// process namespace, is another's.
func serversIn(dir string) (pids []int, err error) {
	own, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
		if name := strings.TrimSpace(string(comm)); name != "mariadbd" && name != "mysqld" {
			continue
		}
		cwd, err := workingDir(filepath.Dir(link))
		if err != nil || !os.SameFile(cwd, own) {
			continue // it is another's, or has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link))) // a number, see the pattern
		pids = append(pids, pid)
	}
	return pids, err
}

// workingDir is that of the process with this directory in /proc. Root without CAP_SYS_PTRACE, as in
// most containers, may see it with the rights of the process's user only.
func workingDir(process string) (dir fs.FileInfo, err error) {
	link := filepath.Join(process, "cwd")
	if dir, err = os.Stat(link); !errors.Is(err, fs.ErrPermission) || os.Geteuid() != 0 {
		return dir, err
	}
	info, err := os.Stat(process)
	if err != nil {
		return nil, err
	}
	owner := info.Sys().(*syscall.Stat_t) // which Linux gives for all files
	err = safefs.As(int(owner.Uid), int(owner.Gid), func() error {
		dir, err = os.Stat(link)
		return err
	})
	return dir, err
}
