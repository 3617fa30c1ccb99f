package galera

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	// reachTimeout is how long the API server is asked for before a start without it.
	reachTimeout = 10 * time.Second

	// lookEvery is how often the record and the peers are looked at while a start waits.
	lookEvery = 500 * time.Millisecond

	// conflictPause is how long at most somebody waits who has read a record that was
	// written at the same time.
	conflictPause = 50 * time.Millisecond
)

// A disk is the data directory of a server that does not run.
type disk interface {
	inspect(context.Context) (local, error)
	mark() error
	discard() error
	allowBootstrap() error
	remove(names ...string) error
	setGeneration(int) error
	remember(memory) error
	restoreState(Position) error
}

// records is where the record is kept: a [Store].
type records interface {
	get(context.Context) (*stored, error)
	put(ctx context.Context, old *stored, r *Record) (*stored, error)
}

// A NodeCommand is what the commands beside a server work with.
type NodeCommand struct {
	File   string // the server's option file
	Server string // program; empty means mariadbd, or else mysqld
	Pod    string // who this is, for as long as the data directory is mounted
	Log    *slog.Logger

	// Store gives the record of the cluster of that wsrep_cluster_name.
	Store func(cluster string) (*Store, error)
}

// A Start decides how a server is started.
type Start struct {
	NodeCommand
	Out      io.Writer                   // for lines of a pre_start command
	LastExit string                      // code of the server's last end, if there was one
	Lookup   func(string) (string, bool) // environment, for a first boot

	settings Settings
	dir      disk
	store    records
	look     func(context.Context) []peer // those who listen, of the option file

	// dial gives those of the peers at which somebody listens.
	dial func(context.Context, []peer) []peer

	boot     func(context.Context) error // the first
	local    local
	run      string // begins the tokens of this start
	offer    string // the token of the offer
	begun    time.Time
	reach    time.Duration       // how long the API server is asked for
	since    time.Time           // when the offer was first seen in the record
	attempts map[string]decision // by the token under which they were written
	memory   memory              // of the last attempt, for the data directory
	twin     bool                // another pod of this node was still there
	said     string              // the last reason that was logged
}

// Run decides, which takes as long as it takes: until it is certain that the server
// may be started, and how. It writes the arguments of this one start to Out. When ctx
// ends, so does Run, with ctx's cause.
//
// An error means that the server must not be started: something is wrong that waiting
// does not put right, or ctx has ended.
func (s *Start) Run(ctx context.Context) error {
	err := s.start(ctx)
	if err != nil && ctx.Err() == nil {
		s.complain(ctx, err)
	}
	return err
}

func (s *Start) start(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// finish decides until a decision stands at the moment in which it is carried out.
func (s *Start) finish(ctx context.Context) error {
	for {
		d, err := s.decide(ctx)
		if err != nil {
			return err
		}
		if !s.confirm(ctx, d) {
			continue
		}
		s.Log.Info("the server is started", "as", d.action, "data", s.local.data, "position", s.local.position, "because", d.reason)
		return s.carryOut(d)
	}
}

// prepare looks at how the last start went, and at what there is.
func (s *Start) prepare(ctx context.Context) (err error) {
	if s.settings, err = s.read(); err != nil {
		return err
	}
	if len(s.settings.Peers) == 0 {
		return fmt.Errorf("reading %q: %w", s.File, errNoSettings)
	}
	if err := checkNodeAddress(s.settings.Address); err != nil {
		return fmt.Errorf("reading %q: %w", s.File, err)
	}
	store, err := s.Store(s.settings.Cluster)
	if err != nil {
		return err
	}
	s.store = store
	boot := FirstBoot{DataDir: s.settings.DataDir, DefaultsFile: s.File, Server: s.Server, Environment: s.Lookup}
	s.look, s.dial, s.boot, s.reach = s.listening, listening, boot.Run, reachTimeout
	s.run, s.attempts = token(), map[string]decision{}
	s.dir = dataDir{s.settings.DataDir, s.Server, s.File}
	if err := s.judge(ctx); err != nil {
		return err
	}
	long := time.AfterFunc(5*time.Second, func() {
		s.Log.Info("the server is asked for the position of its data, which takes as long as its recovery", "datadir", s.settings.DataDir)
	})
	defer long.Stop()
	s.local, err = s.dir.inspect(ctx)
	return err
}

// judge looks at the option file again after an end that may be its fault: what the
// server finds out late costs the others a state transfer each time.
func (s *Start) judge(ctx context.Context) error {
	meaning, suspect := meaningOf(s.LastExit)
	if meaning != "" {
		s.Log.Info("the server has ended before", "code", s.LastExit, "meaning", meaning)
	}
	if !suspect {
		return nil
	}
	return Check{File: s.File, Server: s.Server}.Run(ctx)
}

// meaningOf says what an exit code of the server means, and whether the option file
// may be to blame.
func meaningOf(code string) (meaning string, suspect bool) {
	switch code {
	case "", "0":
		return "", false
	case "1":
		return "it found no cluster, or could not start", false
	case "2", "7", "9", "13":
		return "it refused an option", true
	case "134":
		return "it gave up after it had joined", true
	case "137":
		return "it was killed", false
	case "139", "135":
		return "it crashed", false
	}
	return "it is not known", false
}

// decide waits until it is decided.
func (s *Start) decide(ctx context.Context) (decision, error) {
	s.begun = time.Now()
	for {
		d, done, pause, err := s.round(ctx)
		if done || err != nil {
			return d, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// round tries once, and says whether it is decided, and if not, when to try again.
func (s *Start) round(ctx context.Context) (d decision, done bool, pause time.Duration, err error) {
	d, err = s.try(ctx)
	switch {
	case ctx.Err() != nil:
		return d, false, 0, fmt.Errorf("waiting for the start: %w", context.Cause(ctx))
	case outdated(err):
		return d, false, rand.N(conflictPause), nil
	case transient(err) && s.mayStartAlone() && time.Since(s.begun) >= s.reach:
		s.Log.Warn("the API server is away", "err", err)
		return aloneDecision(), true, 0, nil
	case transient(err):
		s.say(slog.LevelWarn, "waits for the API server: "+err.Error())
		return d, false, lookEvery, nil
	case err != nil:
		return d, false, 0, err
	case d.action == wait:
		return d, false, lookEvery, nil
	}
	return d, d.action == join || d.action == bootstrap, 0, nil
}

// mayStartAlone says whether the server may be started without the record: with
// data, when the record says that it may run. Data that the record has never started may be those
// of another cluster, and a join would replace them. It joins then, or brings back the last
// view together with all who were in it. From a view of its own it would come back
// without anybody, also when the others have gone on. And where another pod of the
// node was seen, that is the server that may run.
func (s *Start) mayStartAlone() bool {
	return s.local.data == Full && s.local.memory.Record != "" && !s.local.marked && s.local.view != 1 && !s.twin
}

func aloneDecision() decision {
	return decision{action: join, keepView: true, reason: "the record says that this server may run, or did not say otherwise when it was last seen"}
}

// try looks at the record once, and takes one step. The actions join and bootstrap are
// decided and written then.
func (s *Start) try(ctx context.Context) (decision, error) {
	old, err := s.store.get(ctx)
	switch {
	case err != nil:
		return decision{}, err
	case old == nil:
		return s.create(ctx)
	}
	if fault := old.older(s.settings.Node, s.local); fault != "" && !s.mayBelieve(old.Record) {
		return s.distrust(ctx, old, fault)
	}
	own, known := old.Nodes[s.settings.Node]
	if d, ok := s.attempts[own.Token]; ok && own.State.mayRun() {
		return d, nil // the answer to the write was lost
	}
	if own.Token != s.offer || own.State != Offered || own.Data != s.local.data || own.Position != s.local.position {
		// The last two differ in an entry that was edited by hand.
		return s.makeOffer(ctx, old, own, known)
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	open := s.look(ctx)
	d := decide(situation{
		record: old.Record, self: s.settings.Node, view: s.local.view, waited: time.Since(s.since),
		listening: texts(old.candidates(s.settings.Node, open)), contrary: texts(old.contrary(s.settings.Node, open)),
		anyone: texts(s.anyone(ctx, old.Record, open)),
	})
	return s.step(ctx, old, d)
}

// listening are the peers who listen, by the option file as it is now.
func (s *Start) listening(ctx context.Context) []peer {
	if live, err := ReadSettings(s.File); err == nil {
		s.settings.Peers = live.Peers
	}
	return s.dial(ctx, s.settings.peers(ctx))
}

// anyone are the peers who listen, and where this node is decided to be the first, the others who
// listen at their addresses in the record as well: the option file may not have them any more.
func (s *Start) anyone(ctx context.Context, r *Record, open []peer) []peer {
	if d := r.Bootstrap; d == nil || d.From != s.settings.Node {
		return open
	}
	unseen := slices.DeleteFunc(s.settings.elsewhere(r.peers(s.settings.Node)), func(p peer) bool { return slices.Contains(open, p) })
	return slices.Concat(open, s.dial(ctx, unseen))
}

// step does what was decided.
func (s *Start) step(ctx context.Context, old *stored, d decision) (decision, error) {
	switch d.action {
	case refuse:
		return d, fmt.Errorf("%w: %s", errRefused, d.reason)
	case wait:
		s.say(slog.LevelInfo, d.reason)
		return d, s.note(ctx, old, d.reason)
	case revise:
		s.say(slog.LevelWarn, d.reason)
		_, err := s.store.put(ctx, old, d.record)
		return d, err
	case found:
		return d, s.firstBoot(ctx)
	}
	if err := s.beforeTransfer(d); err != nil {
		return d, err
	}
	own := d.record.Nodes[s.settings.Node]
	s.memory = memory{Record: old.ID, Node: s.settings.Node, Writes: old.Writes, Starts: old.Nodes[s.settings.Node].Starts, Next: own.Starts}
	if err := s.dir.remember(s.memory); err != nil {
		return d, fmt.Errorf("writing what the data directory %q remembers: %w", s.settings.DataDir, err)
	}
	d.token = s.token()
	s.attempts[d.token] = d
	_, err := s.store.put(ctx, old, d.record.with(s.settings.Node, own, s.stamp(d.token)))
	return d, err
}

var errRefused = errors.New("not started")

// token is one that no other write has.
func token() string { return cryptorand.Text() }

// token is one that no other write has, and that this start is known by.
func (s *Start) token() string { return s.run + token()[:6] }

func (s *Start) stamp(token string) stamp {
	return stamp{s.settings.Address, s.Pod, token, time.Now().UTC()}
}

// create makes the record: as the founder of a cluster, or of one that was there before.
func (s *Start) create(ctx context.Context) (decision, error) {
	if err := s.mark(); err != nil {
		return decision{}, err
	}
	r := newRecord(s.settings.Cluster)
	r.Since = time.Now().UTC()
	there := texts(s.look(ctx))
	r.Adopted = s.local.data != NoData || len(there) > 0
	if !r.Adopted {
		r.Founder = s.settings.Node
	}
	s.offer = s.token()
	_, err := s.store.put(ctx, nil, r.resting(s.settings.Node, Offered, s.local, s.stamp(s.offer)))
	if err == nil {
		s.Log.Info("the record of the cluster is made", "founder", r.Founder, "adopted", r.Adopted, "listening", there)
	}
	return decision{action: revise}, err
}

// makeOffer says in the record that the server does not run, and what it has.
func (s *Start) makeOffer(ctx context.Context, old *stored, own Node, known bool) (decision, error) {
	ours := strings.HasPrefix(own.Token, s.run)
	if known && !ours && !s.since.IsZero() {
		return decision{}, fmt.Errorf("%w: another process, in pod %q, starts node %q too", errRefused, own.Pod, s.settings.Node)
	}
	s.twin = known && !ours && own.State.mayRun() && own.Pod != s.Pod && s.stillThere(ctx, old.Record, own)
	if s.twin {
		d := decision{action: wait, reason: fmt.Sprintf("waits for the end of another pod of this node, %s at %s", own.Pod, own.Address)}
		s.say(slog.LevelWarn, d.reason)
		return d, nil
	}
	if err := s.mark(); err != nil {
		return decision{}, err
	}
	entry, _ := old.before(s.settings.Node)
	if err := keepHistory(s.dir, &s.local, s.settings.Node, entry); err != nil {
		return decision{}, err
	}
	before := old.Record
	if known && own.Token == s.offer {
		// A monitor has corrected the record, and made of this very offer an entry that may be
		// running. No server has run since.
		own.State = Offered
		before = before.clone()
		before.Nodes[s.settings.Node] = own
	}
	s.offer = s.token()
	_, err := s.store.put(ctx, old, before.resting(s.settings.Node, Offered, s.local, s.stamp(s.offer)))
	return decision{action: revise}, err
}

// stillThere says whether somebody listens where the node was before, who is none of
// the other nodes.
func (s *Start) stillThere(ctx context.Context, r *Record, own Node) bool {
	for _, name := range r.others(s.settings.Node) {
		if r.Nodes[name].Address == own.Address {
			return false
		}
	}
	return own.Address != "" && own.Address != s.settings.Address && len(s.dial(ctx, []peer{{own.Address, defaultPort}})) > 0
}

// mark leaves the marker before the record can say that the server does not run.
func (s *Start) mark() error {
	if s.local.data != Full || s.local.marked {
		return nil
	}
	if err := s.dir.mark(); err != nil {
		return fmt.Errorf("marking %q: %w", s.settings.DataDir, err)
	}
	s.local.marked = true
	return nil
}

// firstBoot makes the data directory. What is in it then has to be offered anew.
func (s *Start) firstBoot(ctx context.Context) error {
	s.Log.Info("the first data directory is made", "datadir", s.settings.DataDir)
	if err := s.boot(ctx); err != nil {
		return fmt.Errorf("making the first data directory: %w", err)
	}
	local, err := s.dir.inspect(ctx)
	if err == nil && local.data == NoData {
		err = fmt.Errorf("making the first data directory: there is no database in %q", s.settings.DataDir)
	}
	s.local, s.offer = local, ""
	return err
}
