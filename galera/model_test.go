package galera

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestMain adds the flags of TestModel. Each seed is another game; `make model` plays many.
func TestMain(m *testing.M) {
	flag.Uint64("model.games", 500, "how many games TestModel plays")
	flag.Uint64("model.seed", 0, "seed of its first game")
	flag.Parse()
	os.Exit(m.Run())
}

func modelFlag(name string) uint64 {
	return flag.Lookup(name).Value.(flag.Getter).Get().(uint64)
}

// TestModel plays with the code of the commands, as it is, on nodes, servers and an API
// server that are made up: crashes at any moment, orderly stops, lost volumes, lost and
// late answers, and writes. At every moment there is one primary component at the most,
// and nobody becomes the first without all that anybody was told to be written.
func TestModel(t *testing.T) {
	t.Parallel()
	games := modelFlag("model.games")
	sum := map[string]int{}
	for i := range games {
		w := newModel(modelFlag("model.seed") + i)
		w.play()
		for what, n := range w.count {
			sum[what] += n
		}
		if w.fault != "" {
			t.Fatalf("seed %d: %s\n%s", w.seed, w.fault, strings.Join(w.story, "\n"))
		}
	}
	t.Log(sum)
	if games < 100 {
		return
	}
	// A game that never gets so far would prove nothing.
	for _, what := range []string{"founded", "elected", "joined", "view came back", "alone", "write", "volume lost", "late write carried out", "answer lost", "came back", "given up", "decided", "forced", "renamed"} {
		if sum[what] < int(games/20) {
			t.Errorf("%q came about %d times in %d games", what, sum[what], games)
		}
	}
}

// A model is a whole world.
type model struct {
	seed    uint64
	random  *rand.Rand
	nodes   []*modelNode
	record  *Record
	version int
	late    []func() // writes that are carried out some time
	acked   []int    // what was written, and somebody was told so
	rows    int
	views   int
	fault   string
	story   []string
	count   map[string]int
	calm    bool // nothing goes wrong any more
	lossy   bool // volumes are lost
	manned  bool // people decide, and the API server is never away
}

// A modelNode is a volume, and perhaps a start or a server.
type modelNode struct {
	w    *model
	name string // of the host, and behind a hyphen how often it was changed
	host string
	pod  int

	// The volume.
	uuid    string
	rows    []int // what is durable
	tables  bool
	partial bool
	marker  bool
	safe    bool
	view    modelView // the last primary one, while it was not left well
	lost    bool      // one before it was lost

	generation int

	away     bool // the API server, for this node
	start    *Start
	running  bool
	primary  bool
	restored bool  // it waits for the last view to come back
	transfer int   // moves until the full transfer has ended; 0 when there is none
	pending  []int // received, and not durable
	noted    bool  // that it is synced
	patience int
}

// A modelView is a primary component.
type modelView struct {
	number  int
	members []string
}

func newModel(seed uint64) *model {
	w := &model{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}, lossy: seed%2 == 0, manned: seed%4 >= 2}
	for _, name := range []string{"a", "b", "c"} {
		w.nodes = append(w.nodes, &modelNode{w: w, name: name, host: name})
	}
	return w
}

// play plays a game up to its first fault.
func (w *model) play() {
	for range 400 {
		if w.move(); w.fault != "" {
			return
		}
	}
	w.settle()
}

// fail notes the first fault. What comes after it in the same move proves nothing.
func (w *model) fail(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
		w.tell("fault: %s", w.fault)
	}
}

func (w *model) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *model) chance(oneIn int) bool { return !w.calm && w.random.IntN(oneIn) == 0 }

func (w *model) node(name string) *modelNode {
	host, _, _ := strings.Cut(name, "-")
	return w.nodes[slices.IndexFunc(w.nodes, func(n *modelNode) bool { return n.host == host })]
}

// move lets one thing happen.
func (w *model) move() {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	switch {
	case w.chance(60):
		n.kill()
	case w.chance(200):
		for _, n := range w.nodes {
			n.kill()
		}
	case w.chance(60):
		n.stop()
	case w.chance(300):
		for _, n := range w.nodes {
			n.stop()
		}
	case w.lossy && w.chance(150):
		n.lose()
	case w.manned && w.chance(80):
		w.person(n)
	case w.manned && !w.lossy && w.chance(200):
		n.rename()
	case !w.manned && w.chance(25):
		n.away = !n.away
	case len(w.late) > 0 && w.random.IntN(10) == 0:
		w.count["late write carried out"]++
		i := w.random.IntN(len(w.late))
		late := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		late()
	case w.random.IntN(4) == 0:
		n.write()
	default:
		n.step()
	}
	w.check()
}

// The names under which people decide.
const (
	carefulPerson = "a careful person"
	forcingPerson = "a person with force"
)

// person lets a person decide that the node is to be the first, with force or without. Who uses
// force may be wrong about what runs.
func (w *model) person(n *modelNode) {
	by := carefulPerson
	if w.random.IntN(2) == 0 {
		by = forcingPerson
	}
	if w.record == nil {
		return
	}
	r, told, err := w.record.decree(n.name, by, by == forcingPerson, time.Now())
	if err != nil {
		return
	}
	w.tell("%s decides for %s, against %q", by, n.name, told)
	w.count["decided"]++
	w.version++
	w.record = r
}

// forget forgets the rows that the node does not have, when it carries out a forced decision with
// the record: that is what the person wanted.
func (w *model) forget(n *modelNode, r *Record) {
	if w.record == nil || w.record.Bootstrap == nil || w.record.Bootstrap.By != forcingPerson || len(r.Forks) == len(w.record.Forks) {
		return
	}
	w.count["forced"]++
	w.acked = slices.DeleteFunc(w.acked, func(row int) bool { return !slices.Contains(n.rows, row) })
}

// settle lets the world go on without faults. Whatever is not lost comes back then.
func (w *model) settle() {
	w.calm = true
	for _, n := range w.nodes {
		n.away = false
	}
	for range 600 {
		if w.move(); w.fault != "" {
			return
		}
	}
	if w.record == nil {
		return
	}
	for _, n := range w.nodes {
		if n.running && n.primary {
			w.count["came back"]++
			continue
		}
		// A person is needed where volumes have been lost, and nowhere else.
		lost := slices.ContainsFunc(slices.Collect(maps.Values(w.record.Nodes)), func(n Node) bool { return n.Lost != nil })
		nothing := !slices.ContainsFunc(w.nodes, func(n *modelNode) bool { return n.tables })
		if !lost && !nothing && !w.record.Adopted {
			w.fail("%s is not back, and nobody has lost anything: %+v", n.name, w.record)
		}
	}
}

// check looks for what must never be.
func (w *model) check() {
	component := map[int]bool{}
	for _, n := range w.nodes {
		if n.running && n.primary {
			component[n.view.number] = true
		}
	}
	if len(component) > 1 {
		w.fail("there are two primary components")
	}
	if w.record == nil {
		return
	}
	for name, entry := range w.record.Nodes {
		if entry.Lost != nil && !w.node(name).lost {
			w.fail("the record says that %s lost data, and it never lost a volume", name)
		}
	}
}

// members are the running nodes of the primary component.
func (w *model) members() (members []*modelNode) {
	for _, n := range w.nodes {
		if n.running && n.primary {
			members = append(members, n)
		}
	}
	return members
}

// form makes the nodes a primary component.
func (w *model) form(members []*modelNode) {
	w.views++
	v := modelView{number: w.views}
	for _, n := range members {
		v.members = append(v.members, n.name)
	}
	for _, n := range members {
		n.view, n.primary, n.restored, n.patience = v, true, false, 0
	}
}

// kill ends all of a node at once.
func (n *modelNode) kill() {
	n.start = nil
	if !n.running {
		return
	}
	n.w.tell("%s is killed with %d rows", n.name, len(n.rows))
	n.leave(false)
}

// leave ends the server.
func (n *modelNode) leave(well bool) {
	w := n.w
	was := n.primary
	view := n.view
	if well && was && n.transfer == 0 {
		n.rows, n.view = append(n.rows, n.pending...), modelView{}
	}
	n.running, n.primary, n.restored, n.pending, n.noted = false, false, false, nil, false
	if n.transfer > 0 {
		n.transfer, n.partial = 0, true
	}
	rest := w.members()
	if !was || len(rest) == 0 {
		return
	}
	if well || 2*len(rest) > len(view.members) {
		w.form(rest)
		return
	}
	for _, m := range rest { // they have lost the majority
		m.primary = false
		m.rows = append(m.rows, m.pending...)
		m.pending = nil
		if m.transfer > 0 {
			m.leave(false)
		}
	}
}

// stop ends a node in good order.
func (n *modelNode) stop() {
	n.start = nil
	if !n.running {
		return
	}
	if n.transfer > 0 || !n.primary {
		n.kill()
		return
	}
	n.w.tell("%s is stopped with %d rows", n.name, len(n.rows)+len(n.pending))
	last := len(n.w.members()) == 1
	n.leave(true)
	n.safe = last
	n.publish()
}

func (n *modelNode) publish() {
	old, err := n.get(context.Background())
	if err != nil || old == nil {
		return
	}
	l, _ := n.inspect(context.Background())
	if l.data == Full {
		_ = n.mark()
	}
	if n.w.chance(10) {
		return
	}
	command := StoppedCommand{NodeCommand: NodeCommand{Pod: n.podName(), Log: slog.New(slog.DiscardHandler)}}
	_ = command.publish(context.Background(), n, Settings{Node: n.name, Address: n.address()}, l)
}

// lose takes a volume away, with all that runs on it.
func (n *modelNode) lose() {
	if !n.tables && !n.partial {
		return
	}
	n.kill()
	n.w.count["volume lost"]++
	n.w.tell("%s loses its volume", n.name)
	n.uuid, n.rows, n.tables, n.partial, n.marker, n.safe, n.view, n.lost = "", nil, false, false, false, false, modelView{}, true
	n.generation = 0
	n.pod++
}

// rename gives a node another name, while by the record its server does not run: what may run under
// the old name, also by a write that is still on its way, is waited for until a person decides.
func (n *modelNode) rename() {
	w := n.w
	if w.record == nil || n.running || len(w.late) > 0 || w.record.Nodes[n.name].State.mayRun() || w.record.Founder == n.name && w.record.UUID == "" {
		return
	}
	if d := w.record.Bootstrap; d != nil && d.From == n.name {
		return // the others would wait for it
	}
	n.start = nil
	old := n.name
	n.pod++
	n.name = fmt.Sprintf("%s-%d", n.host, n.pod)
	for _, m := range w.nodes {
		for i, member := range m.view.members { // members of views have identities of their own
			if member == old {
				m.view.members = slices.Clone(m.view.members)
				m.view.members[i] = n.name
			}
		}
	}
	w.tell("%s is called %s from now on", old, n.name)
	n.count("renamed")
}

// write writes a row to a node. Who wrote it has it for good, and all others have got it.
func (n *modelNode) write() {
	w := n.w
	if !n.running || !n.primary || n.transfer > 0 {
		return
	}
	w.count["write"]++
	w.rows++
	for _, m := range w.members() {
		m.pending = append(m.pending, w.rows)
	}
	n.flush()
	w.acked = append(w.acked, w.rows)
}

func (n *modelNode) flush() {
	if n.transfer == 0 {
		n.rows, n.pending = append(n.rows, n.pending...), nil
	}
}

func (n *modelNode) address() string { return "10.0.0." + n.host }
func (n *modelNode) podName() string { return fmt.Sprintf("%s-%d", n.name, n.pod) }

// step lets a node go on.
func (n *modelNode) step() {
	switch {
	case n.running:
		n.serve()
	case n.start == nil:
		n.prepare()
	default:
		n.decide()
	}
}

func (n *modelNode) prepare() {
	l, _ := n.inspect(context.Background())
	n.start = &Start{
		NodeCommand: NodeCommand{Pod: n.podName(), Log: slog.New(slog.DiscardHandler)},
		settings:    Settings{Cluster: "test", Node: n.name, Address: n.address()},
		dir:         n, store: n, look: n.look, dial: n.dial, boot: n.boot, local: l,
		run: token(), attempts: map[string]decision{}, begun: time.Now(), reach: reachTimeout,
	}
}

func (n *modelNode) decide() {
	w := n.w
	s := n.start
	if w.random.IntN(4) == 0 { // time passes
		s.begun = time.Now().Add(-time.Hour)
		if !s.since.IsZero() {
			s.since = s.begun
		}
	}
	d, done, _, err := s.round(context.Background())
	switch {
	case err != nil, w.chance(30):
		n.start = nil // also between the decision and what comes of it
		return
	case !done:
		return
	}
	w.tell("%s: %s, %s, keepView %v", n.name, d.action, d.reason, d.keepView)
	if !d.keepView {
		n.view = modelView{}
	}
	if err := s.keepGeneration(d); err != nil {
		w.fail("%v", err)
	}
	n.marker, n.start, n.running, n.patience = false, nil, true, 0
	switch {
	case d.action == bootstrap:
		n.lead()
	case d.record == nil:
		w.count["alone"]++
		n.restored = d.keepView && len(n.view.members) > 0
	default:
		n.restored = d.keepView && len(n.view.members) > 0
	}
}

// lead makes the server the first, and looks whether that is right.
func (n *modelNode) lead() {
	w := n.w
	if len(w.members()) > 0 {
		w.fail("%s becomes the first while there is a primary component", n.name)
	}
	for _, row := range w.acked {
		// Where every volume was lost, the rows are, whatever is done.
		kept := slices.ContainsFunc(w.nodes, func(m *modelNode) bool { return m.tables && !m.partial && slices.Contains(m.rows, row) })
		if !slices.Contains(n.rows, row) && (kept || n.uuid != "") {
			w.fail("%s becomes the first without row %d", n.name, row)
		}
	}
	if n.uuid == "" && len(w.acked) > 0 {
		w.fail("%s founds anew, and %d rows were acknowledged before", n.name, len(w.acked))
	}
	if n.uuid == "" {
		n.uuid = fmt.Sprintf("uuid-%d", w.views)
		w.acked = nil
		w.count["founded"]++
	} else {
		w.count["elected"]++
	}
	w.form([]*modelNode{n})
}

// serve lets a server go on.
func (n *modelNode) serve() {
	w := n.w
	switch {
	case n.primary && n.transfer > 0:
		if n.transfer--; n.transfer == 0 {
			n.partial, n.tables = false, true
			n.count("joined")
		}
	case n.primary:
		n.flush()
		n.note()
	case len(w.members()) > 0:
		n.join(w.members())
	case n.restored || n.view.number > 0:
		n.comeBack()
	default:
		if n.patience++; n.patience > 6 {
			n.leave(false) // it found no cluster
		}
	}
}

func (n *modelNode) count(what string) { n.w.count[what]++ }

// join makes the server a member of a primary component.
func (n *modelNode) join(members []*modelNode) {
	donor := slices.IndexFunc(members, func(m *modelNode) bool { return m.transfer == 0 })
	if donor < 0 {
		return
	}
	from := members[donor]
	from.flush()
	full := n.uuid != from.uuid || n.partial || !n.tables || len(n.rows) > len(from.rows)
	if n.uuid == from.uuid && !n.partial && !slices.Equal(n.rows, from.rows[:min(len(n.rows), len(from.rows))]) {
		n.w.fail("%s has other rows than %s: %v and %v", n.name, from.name, n.rows, from.rows)
	}
	n.uuid, n.rows = from.uuid, slices.Clone(from.rows)
	if full {
		n.transfer, n.tables = 1+n.w.random.IntN(4), false
	} else {
		n.count("joined")
	}
	n.w.form(append(members, n))
}

// comeBack brings the last view back when all of its members run, or gives up after
// a while if the record can be reached.
func (n *modelNode) comeBack() {
	var all []*modelNode
	for _, name := range n.view.members {
		m := n.w.node(name)
		if m.running && !m.primary && m.view.number == n.view.number {
			all = append(all, m)
		}
	}
	if len(all) == len(n.view.members) {
		best := slices.MaxFunc(all, func(a, b *modelNode) int { return len(a.rows) - len(b.rows) })
		for _, m := range all {
			m.rows = slices.Clone(best.rows)
		}
		n.count("view came back")
		n.w.form(all)
		return
	}
	if n.patience++; n.patience > 12 && !n.away {
		n.count("given up")
		n.kill()
	}
}

// note notes that the server is synced.
func (n *modelNode) note() {
	if n.noted || n.w.random.IntN(3) > 0 {
		return
	}
	old, err := n.get(context.Background())
	if err != nil {
		return
	}
	r := newRecord("test")
	if old != nil {
		r = old.Record
	}
	s := stamp{n.address(), n.podName(), token(), time.Now()}
	r = r.synced(n.name, n.uuid, n.name, n.view.members, n.generation, s)
	n.generation = r.Nodes[n.name].Generation
	_, err = n.put(context.Background(), old, r)
	n.noted = err == nil
}

// look finds the servers that run.
func (n *modelNode) look(context.Context) (open []peer) {
	for _, m := range n.w.nodes {
		if m != n && m.running {
			open = append(open, peer{m.address(), "4567"})
		}
	}
	return open
}

// dial finds the servers that run at addresses.
func (n *modelNode) dial(ctx context.Context, peers []peer) []peer {
	open := n.look(ctx)
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool { return !slices.Contains(open, p) })
}

func (n *modelNode) boot(context.Context) error {
	n.tables = true
	return nil
}

func (n *modelNode) inspect(context.Context) (local, error) {
	l := local{data: NoData, marked: n.marker, safe: n.safe, view: len(n.view.members), generation: n.generation}
	switch {
	case n.partial:
		l.data = Partial
	case n.tables && n.uuid == "":
		l.data = Fresh
	case n.tables:
		l.data, l.position = Full, Position{n.uuid, int64(len(n.rows))}
	}
	return l, nil
}

func (n *modelNode) mark() error { n.marker = true; return nil }
func (n *modelNode) setGeneration(generation int) error {
	n.generation = generation
	return nil
}
func (n *modelNode) discard() error        { n.partial = true; return nil }
func (n *modelNode) allowBootstrap() error { return nil }
func (n *modelNode) remove(...string) error {
	return nil
}

var errModel = errors.New("the API server is away")

// get is that of the API server as the node sees it.
func (n *modelNode) get(context.Context) (*stored, error) {
	if n.away {
		return nil, &RequestError{"get", "test", errModel}
	}
	if n.w.record == nil {
		return nil, nil
	}
	return &stored{n.w.record.clone(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(n.w.version)}}}, nil
}

func (n *modelNode) put(_ context.Context, old *stored, r *Record) (*stored, error) {
	w := n.w
	version := "0"
	if old != nil {
		version = old.object.ResourceVersion
	}
	r = r.clone()
	carryOut := func() error {
		if version != fmt.Sprint(w.version) {
			return &RequestError{"update", "test", apierrors.NewConflict(schema.GroupResource{}, "test", errModel)}
		}
		w.forget(n, r)
		w.version++
		w.record = r
		return nil
	}
	switch {
	case n.away, w.chance(40):
		return nil, &RequestError{"update", "test", errModel}
	case w.chance(20):
		w.late = append(w.late, func() { _ = carryOut() })
		return nil, &RequestError{"update", "test", errModel}
	case w.chance(20):
		w.count["answer lost"]++
		_ = carryOut()
		return nil, &RequestError{"update", "test", errModel}
	}
	return nil, carryOut()
}
