package galera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A modelProcess is a command of kconfd at work. It pauses before each request to the API server, each look
// at ports and each change of the data directory, until a choice of the game lets it go on. A process
// that is not let go on is a paused one, and it can be killed at any pause.
type modelProcess struct {
	node *modelNode
	kind string
	at   string // what it does next

	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	busy  bool
	over  bool
}

// An outcome is what comes of a write.
type outcome int

const (
	done       outcome = iota
	lost               // it does not reach the API server
	answerLost         // it is carried out, and the writer does not learn it
	delayed            // it is carried out at some later time, if that can be by then
)

// atRest is the pause between two rounds, in which a real process sleeps.
const atRest = "waits"

var errKilled = errors.New("the process is killed")

// spawn makes a process that has not begun.
func (n *modelNode) spawn(kind string, body func()) *modelProcess {
	p := &modelProcess{node: n, kind: kind, at: "begins"}
	p.next, p.stop = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		defer func() {
			if e := recover(); e != nil && e != any(errKilled) {
				panic(e)
			}
		}()
		body()
	})
	return p
}

// step lets the process go on to its next pause, and says whether it is there.
func (p *modelProcess) step() bool {
	if p == nil || p.over || p.busy {
		return false
	}
	w := p.node.w
	before := w.current
	w.current, p.busy = p, true
	_, more := p.next()
	w.current, p.busy = before, false
	if !more || p.over {
		p.over = true
		p.stop()
	}
	return !p.over
}

// round lets the process go on until it sleeps or has ended.
func (p *modelProcess) round() {
	for range 200 {
		if !p.step() || p.at == atRest {
			return
		}
	}
	p.node.w.fail("%s of %s does not come to rest", p.kind, p.node.name)
}

// end kills the process.
func (p *modelProcess) end() {
	if p == nil || p.over {
		return
	}
	p.over = true
	if !p.busy { // otherwise it ends at its next pause
		p.stop()
	}
}

// alive says whether there is the process.
func (p *modelProcess) alive() bool { return p != nil && !p.over }

// pause stops the process that is at work before it does something. Without one, as in a test of a single
// function, nothing is paused.
func (w *model) pause(at string) {
	p := w.current
	if p == nil || p.node.decided && w.theme.has(twins) { // see theme
		return
	}
	if p.over {
		panic(errKilled)
	}
	p.at = at
	if !p.yield(struct{}{}) || p.over {
		panic(errKilled)
	}
}

// runStart runs `kconfd galera start` and the server behind it.
func (n *modelNode) runStart() {
	w := n.w
	ctx := context.Background()
	n.monitor.end()
	err := n.prepare()
	s := n.start
	var d decision
	if err == nil {
		d, err = n.decide(s)
	}
	if err != nil {
		w.tell("  %s: the start fails: %v", n.name, err)
		n.checkRefusal(err)
		s.complain(ctx, err)
		return
	}
	w.tell("  %s: %s because %q, keepView %v, discard %v", n.name, d.action, d.reason, d.keepView, d.discard)
	n.decided = true
	var args bytes.Buffer
	s.Out = &args
	if err := s.carryOut(d); err != nil {
		w.fail("%s: carrying out the start: %v", n.name, err)
	}
	w.pause("the server's start")
	n.launch(args.String(), d)
}

// prepare makes what Start.prepare makes.
func (n *modelNode) prepare() error {
	n.decided = false
	n.start = &Start{
		NodeCommand: NodeCommand{Pod: n.podName(), Log: slog.New(slog.DiscardHandler)},
		settings:    n.settings(), dir: n, store: n, look: n.look, dial: n.dial, boot: n.boot,
		run: token(), attempts: map[string]decision{}, begun: time.Now(), reach: reachTimeout,
	}
	l, err := n.inspect(context.Background())
	n.start.local = l
	return err
}

// decide is Start.decide, which sleeps where this one pauses.
func (n *modelNode) decide(s *Start) (decision, error) {
	s.begun = time.Now()
	for {
		d, done, _, err := s.round(context.Background())
		if done && err == nil && !s.confirm(context.Background(), d) {
			continue
		}
		if done || err != nil {
			if done && d.record == nil {
				n.count("alone")
			}
			return d, err
		}
		n.w.pause(atRest)
	}
}

// runStopped runs `kconfd galera stopped`.
func (n *modelNode) runStopped() {
	ctx := context.Background()
	n.monitor.end()
	old, err := n.get(ctx)
	if err != nil || old == nil {
		return
	}
	l, err := n.inspect(ctx)
	if err != nil {
		return
	}
	if l.data == Full {
		_ = n.mark()
	}
	if own := old.Nodes[n.name]; own.Pod == n.podName() {
		_ = keepHistory(n, &l, n.name, own)
	}
	command := StoppedCommand{NodeCommand: NodeCommand{Pod: n.podName(), Log: slog.New(slog.DiscardHandler)}}
	err = command.publish(ctx, n, n.settings(), l)
	n.w.tell("  %s: stopped is noted: %v", n.name, err)
}

// runMonitor runs `kconfd galera joined`.
func (n *modelNode) runMonitor() {
	ctx := context.Background()
	j := &Joined{
		NodeCommand: NodeCommand{Pod: n.podName(), Log: slog.New(slog.DiscardHandler)}, WithoutPrimary: time.Minute,
		settings: n.settings(), dir: n, store: n, open: n.openSession, dial: n.dial,
	}
	for _, m := range n.w.nodes {
		j.settings.Peers = append(j.settings.Peers, m.addr)
	}
	j.recall(ctx)
	for {
		if err := j.look(ctx); err != nil {
			n.w.tell("  %s: the monitor: %v", n.name, err)
		}
		n.w.pause(atRest)
	}
}

// look finds the servers that listen, of all other addresses.
func (n *modelNode) look(context.Context) (open []peer) {
	n.w.pause("the look at ports")
	for _, m := range n.w.nodes {
		if m != n && n.reachesPort(m.addr) {
			open = append(open, peer{m.addr, defaultPort})
		}
	}
	for _, address := range n.w.strangers {
		if p := (peer{address, defaultPort}); address != n.addr && !slices.Contains(open, p) {
			open = append(open, p)
		}
	}
	return open
}

// dial finds the servers that listen at addresses.
func (n *modelNode) dial(_ context.Context, peers []peer) []peer {
	n.w.pause("the look at ports")
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool { return !n.reachesPort(p.host) })
}

// reachesPort says whether a connection to the port of members comes about. The kernel makes it for a server
// that is paused as well.
func (n *modelNode) reachesPort(address string) bool {
	return slices.Contains(n.w.strangers, address) || n.w.any(func(m *modelNode) bool {
		return m.addr == address && m.server != nil && m.server.open && m.segment == n.segment
	})
}

// The data directory, as a disk and a liveDir.

var errUnsound = errors.New("the server does not say its position")

func (n *modelNode) boot(context.Context) error {
	n.w.pause("the first data directory")
	if n.early {
		n.early = false
		n.count("first boot failed")
		return errors.New("the first boot fails")
	}
	n.tables = true
	return nil
}

func (n *modelNode) inspect(context.Context) (local, error) {
	n.w.pause("the look at the volume")
	l := local{data: NoData, marked: n.marker, safe: n.safe, view: len(n.view.members), generation: n.modelVolume.generation, memory: n.memo}
	switch {
	case n.partial:
		l.data = Partial
	case n.tables && n.uuid == "":
		l.data = Fresh
	case n.tables && n.unsound:
		return local{}, errUnsound
	case n.tables:
		l.data, l.position = Full, Position{n.uuid, int64(len(n.rows))}
	}
	return l, nil
}

func (n *modelNode) mark() error {
	n.w.pause("the marker")
	n.marker = true
	return nil
}

func (n *modelNode) setGeneration(generation int) error {
	n.w.pause("the generation beside the data")
	n.modelVolume.generation, n.unnoted = generation, n.unnoted && generation == 0
	return nil
}

func (n *modelNode) discard() error {
	n.w.pause("the discarding of the data")
	n.checkGivenUp()
	n.partial = true
	return nil
}

func (n *modelNode) allowBootstrap() error { n.safe = true; return nil }

func (n *modelNode) remove(names ...string) error {
	n.w.pause("the removal of files")
	if slices.Contains(names, markerName) {
		n.marker = false
	}
	if slices.Contains(names, gvwstateName) {
		n.view = modelView{}
	}
	return nil
}

func (n *modelNode) generation() (int, error) { return n.modelVolume.generation, nil }
func (n *modelNode) memory() (memory, error)  { return n.memo, nil }

func (n *modelNode) remember(m memory) error {
	n.w.pause("the memory beside the data")
	n.memo = m
	return nil
}

func (n *modelNode) grastate() (grastate, error) {
	if n.partial || n.uuid == "" {
		return grastate{found: n.partial, none: true}, nil
	}
	return grastate{found: true, position: Position{n.uuid, -1}}, nil
}

func (n *modelNode) lastView() (me string, members []string) { return n.view.me, n.view.members }

func (n *modelNode) primaryView() *View {
	if n.view.number == 0 {
		return nil
	}
	return &View{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n.view.number), Seqno: int64(n.view.number), Members: len(n.view.members)}
}

func (n *modelNode) lastPrimary() (me string, members []string, v *View, err error) {
	return n.view.me, n.view.members, n.primaryView(), nil
}

func (n *modelNode) status(context.Context, Settings) (status, error) {
	if n.server == nil || !n.server.open {
		return status{}, errors.New("there is no server")
	}
	now := status{State: n.server.state(), written: time.Now(), unsaid: n.server.unsaid}
	if now.State == stateJoining {
		now.Comment = "Receiving state transfer"
	}
	return now, nil
}

func (n *modelNode) transfer(Settings) (t transfer, err error) {
	s := n.server
	switch {
	case s == nil || s.transfer == 0:
	case s.connected:
		t.connected, t.idle = true, time.Since(s.received)
	default:
		t.listens = !s.primary
	}
	return t, nil
}

func (n *modelNode) processes() (pids []int, err error) {
	if n.server != nil {
		pids = []int{1000 + n.index}
	}
	return pids, nil
}

func (n *modelNode) kill(int) error {
	n.w.pause("the kill of the server")
	if n.server != nil {
		n.count("given up")
		n.w.tell("  %s: the monitor kills the server", n.name)
		n.endServer(false)
	}
	return nil
}

// The record, as the node sees the API server.

var errModel = errors.New("the API server is away")

// get gives the record itself: nobody changes one that was read or written.
func (n *modelNode) get(context.Context) (*stored, error) {
	n.w.pause("the read of the record")
	if n.away {
		return nil, &RequestError{"get", "test", errModel}
	}
	if n.w.record == nil {
		return nil, nil
	}
	return &stored{n.w.record, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(n.w.version)}}}, nil
}

func (n *modelNode) put(_ context.Context, old *stored, r *Record) (*stored, error) {
	w := n.w
	what := w.difference(old, r, n.name)
	version := "0"
	if old != nil {
		version = old.object.ResourceVersion
	}
	w.pause("the write of " + what)
	outcome := n.outcome
	n.outcome = done
	failed := func(err error) (*stored, error) { return nil, &RequestError{"update", "test", err} }
	if err := r.check(); err != nil {
		w.fail("%s writes a record that is not valid: %v", n.name, err)
	}
	r = r.counted(old)
	name, had := n.name, n.copy()
	carryOut := func() error {
		if current := fmt.Sprint(w.version); version != current && (old != nil || w.record != nil) {
			return &RequestError{"update", "test", apierrors.NewConflict(schema.GroupResource{}, "test", errModel)}
		}
		w.tell("  %s: writes %s", n.name, what)
		w.forget(name, had, r)
		w.store(r)
		w.checkWrite(n, r)
		return nil
	}
	switch {
	case n.away, outcome == lost:
		return failed(errModel)
	case outcome == delayed:
		w.late = append(w.late, lateWrite{n.name, what, carryOut})
		return failed(errModel)
	case outcome == answerLost:
		n.count("answer lost")
		_ = carryOut()
		return failed(errModel)
	}
	if err := carryOut(); err != nil {
		return nil, err
	}
	return &stored{r, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(w.version)}}}, nil
}

// store makes a record the newest version.
func (w *model) store(r *Record) {
	if w.record != nil {
		w.past = append(w.past[max(0, len(w.past)-30):], w.record)
	}
	w.record = r
	if r != nil {
		w.generation, w.forks = max(w.generation, r.Generation), max(w.forks, len(r.Forks))
	}
	w.version++
}

// difference is what a write says of its node, for people.
func (w *model) difference(old *stored, r *Record, name string) string {
	if w.quiet {
		return "the record"
	}
	var parts []string
	own := r.Nodes[name]
	parts = append(parts, fmt.Sprintf("%s %s %d of generation %d", own.State, own.Data, own.Seqno, own.Generation))
	if own.Lost != nil {
		parts = append(parts, fmt.Sprintf("lost %d, unknown %v", own.Lost.Seqno, own.Lost.Unknown))
	}
	if own.Waits != "" {
		parts = append(parts, "it "+own.Waits)
	}
	if old == nil || old.Generation != r.Generation {
		parts = append(parts, fmt.Sprintf("generation %d, forks %v, elections %v, adopted %v", r.Generation, r.Forks, r.Elections, r.Adopted))
	}
	if old != nil && old.Bootstrap != nil && r.Bootstrap == nil {
		parts = append(parts, "no decision any more")
	}
	return strings.Join(parts, "; ")
}
