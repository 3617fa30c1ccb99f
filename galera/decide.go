package galera

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// An action is what comes of a decision.
type action string

const (
	wait      action = "wait"      // and decide again when something has changed
	refuse    action = "refuse"    // waiting does not help
	revise    action = "revise"    // write the record, and decide again
	found     action = "found"     // make the first data directory, and decide again
	bootstrap action = "bootstrap" // write the record, and start as the first
	join      action = "join"      // write the record, and start with the others
)

// courtesy is how long a node lets another one with the same data go first, so that
// as a rule the same one does.
const courtesy = 2 * time.Second

// keptElections is how many the record remembers: a ConfigMap has an end.
const keptElections = 100

// A situation is all that a decision depends on. The node's own entry is an offer.
type situation struct {
	record *Record
	self   string

	// listening are addresses in the option file at which somebody listens who may
	// have a cluster: see candidates.
	listening []string

	// contrary are addresses in the option file at which somebody listens although by the
	// record no server runs there.
	contrary []string

	// anyone are addresses in the option file and, for a decision about this node, in the record
	// at which somebody listens, whatever the record says of it.
	anyone []string

	view   int           // how many members the node's last view had; 0 when that was left well
	waited time.Duration // since the offer
}

// A decision says what to do and why.
type decision struct {
	action action
	reason string  // for people
	record *Record // to be written before the action; nil for none

	token    string // under which the record was written
	keepView bool   // of join: the last view may come back by itself
	discard  bool   // of join: what the node has is not of the cluster's history
}

// decide decides for the node whose offer is in the record.
//
// A node becomes the first of its cluster only when no server runs, of any node in the
// record, and when nobody has, or had and lost, what it does not have. Whoever may run
// is not asked: the record says so until he himself has said otherwise. A person
// may overrule that, by a decree.
func decide(s situation) decision {
	for _, consider := range []func(situation) (decision, bool){foreign, decreed, joined, elected} {
		if d, ok := consider(s); ok {
			return d
		}
	}
	return decision{action: wait, reason: "nothing is decided"}
}

func (s situation) own() Node { return s.record.Nodes[s.self] }

// change is a copy of the record with the node in a state in which its server runs.
func (s situation) change(state State) *Record {
	r := s.record.clone()
	own := s.own()
	own.State, own.Generation, own.NonPrimary, own.Waits = state, r.Generation, nil, ""
	own.Starts++
	r.Nodes[s.self] = own
	return r
}

// foreign refuses data of another cluster, and those of a history that ended unknown to the
// record.
func foreign(s situation) (decision, bool) {
	own := s.own()
	switch {
	case own.Data != Full || s.record.UUID == "":
		return decision{}, false
	case own.UUID != s.record.UUID:
		return decision{action: refuse, reason: fmt.Sprintf(
			"the data directory is that of the cluster %s, and the record is that of %s: neither joining nor founding is right",
			own.UUID, s.record.UUID)}, true
	case s.record.isPassedOver(own) && !s.forced():
		return decision{action: refuse, reason: fmt.Sprintf(
			"the data go on to %d, and the cluster was begun anew before that without them, by an old record or past kconfd: "+
				"nobody else has what is here; save it, and empty the data directory", own.Seqno)}, true
	}
	return decision{}, false
}

// forced says whether a person has decided with force that the node is to be the first.
func (s situation) forced() bool {
	d := s.record.Bootstrap
	return d != nil && d.Force && d.From == s.self
}

// decreed carries out a person's decision, if it is still one about what is.
func decreed(s situation) (decision, bool) {
	d := s.record.Bootstrap
	if d == nil {
		return decision{}, false
	}
	// One that only joins by the record may be Synced by now, and unable to say so.
	if d.From == s.self && len(s.anyone) > 0 {
		return s.void(fmt.Sprintf("a server listens at %s: stop that first", strings.Join(s.anyone, ", "))), true
	}
	if fault := s.record.faultOf(d); fault != "" {
		return s.void(fault), true
	}
	if d.From != s.self {
		if j, ok := joined(s); ok && j.action == join {
			return j, true
		}
		return decision{action: wait, reason: fmt.Sprintf("waits for %s, which was decided to be the first", d.From)}, true
	}
	r := s.begin()
	r.Bootstrap, r.Adopted = nil, false
	for _, name := range r.others(s.self) {
		n := r.Nodes[name]
		n.Lost = nil
		r.Nodes[name] = n
		if n.State.mayRun() {
			r.overrule(name)
		}
	}
	if own := s.own(); own.Data == Full {
		branch, _ := s.record.branch(own)
		r.Forks = append(r.Forks, Fork{r.Generation, branch})
	}
	return decision{action: bootstrap, reason: fmt.Sprintf("decided by %s at %s", d.By, d.At.UTC().Format(time.RFC3339)), record: r}, true
}

// overrule removes the entry of a node that may be running: it comes back as one that is not known. Of
// which history its data are stays, since a transfer may have removed that from beside them.
func (r *Record) overrule(name string) {
	if r.Overruled == nil {
		r.Overruled = map[string]int{}
	}
	if n := r.Nodes[name]; n.Generation > 0 {
		r.Overruled[name] = n.Generation
	}
	delete(r.Nodes, name)
}

func (s situation) void(fault string) decision {
	r := s.record.clone()
	r.Bootstrap = nil
	return decision{action: revise, record: r, reason: fmt.Sprintf("the decision that %s is to be the first is void: %s", s.record.Bootstrap.From, fault)}
}

// faultOf says why a decree is void, or nothing.
func (r *Record) faultOf(d *Decree) string {
	if _, found := r.Nodes[d.From]; !found {
		return "it is not in the record any more"
	}
	if fatal := r.unfit(d.From); r.Nodes[d.From].State == Offered && fatal != "" {
		return fatal
	}
	if then, noted := d.Over[d.From]; noted && !r.Nodes[d.From].isAsAt(then) {
		return fmt.Sprintf("%s has or lost something else than at the decision", d.From)
	}
	for _, o := range r.objections(d.From) {
		if o.node == d.From && (d.Force || o.passes) || d.Force && d.Over[o.node] == r.Nodes[o.node].standing() {
			continue
		}
		return o.text
	}
	return ""
}

// begin is a copy of the record with the node as the first of its cluster.
func (s situation) begin() *Record {
	r := s.change(Bootstrapping)
	r.Generation++
	if r.PutBack {
		r.PutBack, r.ID = false, "" // what data directories remember is settled by the decision
	}
	own := r.Nodes[s.self]
	own.Generation, own.Lost, own.Member = r.Generation, nil, ""
	r.Nodes[s.self] = own
	if own.Data == Full {
		r.UUID = own.UUID
	}
	return r
}

// counts says whether a node has data of the cluster's history.
func (r *Record) counts(n Node) bool { return n.Data == Full && !r.diverged(n) }

// diverged says whether a node has what was left behind by a person's decision, or by an
// election that went by a record that was wrong.
func (r *Record) diverged(n Node) bool {
	_, diverged := r.branch(n)
	return diverged
}

// branch is up to where the rows of a node with data are those of the cluster: its position, or
// the lowest of the forks that it is behind.
func (r *Record) branch(n Node) (seqno int64, diverged bool) {
	seqno = n.Seqno
	for _, f := range slices.Concat(r.Forks, r.Elections) {
		if n.Data == Full && behind([]Fork{f}, n) {
			seqno, diverged = min(seqno, f.Seqno), true
		}
	}
	return seqno, diverged
}

// behind says whether a node has, from before one of the forks, what is behind it.
func behind(forks []Fork, n Node) bool {
	return slices.ContainsFunc(forks, func(f Fork) bool { return n.Generation < f.Generation && n.Seqno > f.Seqno })
}

// isPassedOver says whether a node has rows that an election by a wrong record did not know of, and
// that no operator has given up. Acknowledged ones may be among them.
func (r *Record) isPassedOver(n Node) bool {
	return n.Data == Full && !n.State.mayRun() && behind(r.Elections, n) && !behind(r.Forks, n)
}

// since tells the state and from when on.
func (n Node) since() string {
	return fmt.Sprintf("%s since %s", n.State, n.At.UTC().Format(time.RFC3339))
}

// joined joins where somebody else is.
func joined(s situation) (decision, bool) {
	if len(s.listening) == 0 || !s.record.Adopted && len(s.running()) == 0 {
		return decision{}, false
	}
	own := s.own()
	if own.Data == Fresh {
		return decision{action: refuse, reason: "the data directory holds data that never were in a cluster, and a join would replace them: move them away"}, true
	}
	if own.Data == Full && s.record.UUID == "" {
		return decision{action: wait, reason: s.record.unnamed()}, true
	}
	if s.record.PutBack { // its generation may be older than that of those who listen
		return decision{action: wait, reason: fmt.Sprintf("%s listens, and the record was put back to an older version: %s",
			strings.Join(s.listening, ", "), wayOut)}, true
	}
	d := decision{action: join, record: s.change(Joining), reason: "listening: " + strings.Join(s.listening, ", ")}
	if d.discard = s.record.diverged(own); d.discard {
		own := d.record.Nodes[s.self]
		own.Data, own.Position = Partial, Position{} // what it gives up is not lost later
		d.record.Nodes[s.self] = own
	}
	// A last view is that of the cluster as long as nobody was made the first since.
	// One of a single node is not kept: it would come back without asking anybody. Nor is one of a volume
	// that was put back: it may be older than rows that are lost.
	d.keepView = s.view > 1 && own.Data == Full && own.Lost == nil && own.Generation == s.record.Generation && !s.record.Adopted && !d.discard
	if lost := s.lost(); !d.keepView && lost != "" { // a majority is restored without those that wait for it
		return decision{action: wait, reason: "waits for a primary component, which is lost: " + lost}, true
	}
	return d, true
}

// lost are the nodes that listen, when all of them say that they have lost their primary component;
// empty otherwise.
func (s situation) lost() string {
	var lost []string
	for _, address := range s.listening {
		host, _, _ := net.SplitHostPort(address)
		_, has := s.record.at(peer{host: host}, s.self, func(n Node) bool { return n.State.mayRun() && n.NonPrimary != nil })
		if !has {
			return ""
		}
		lost = append(lost, address)
	}
	return strings.Join(lost, ", ")
}

// running are the other nodes whose servers may run.
func (s situation) running() []string {
	return slices.DeleteFunc(s.record.others(s.self), func(name string) bool { return !s.record.Nodes[name].State.mayRun() })
}

// elected makes the node the first when nobody runs and nobody has more.
func elected(s situation) (decision, bool) {
	r, own := s.record, s.own()
	waits := func(format string, args ...any) (decision, bool) {
		return decision{action: wait, reason: fmt.Sprintf(format, args...)}, true
	}
	if running := s.running(); len(running) > 0 {
		var texts []string
		for _, name := range running {
			text := fmt.Sprintf("%s, which may be running: %s", name, r.Nodes[name].since())
			if waits := r.Nodes[name].Waits; waits != "" {
				text += ", and says that it " + waits
			}
			texts = append(texts, text)
		}
		return waits("waits for %s", strings.Join(texts, "; and for "))
	}
	switch {
	case len(s.contrary) > 0:
		return waits("a server listens at %s, and by the record none runs there: the record is an old one, or kconfd has not started the server; "+
			"stop it first", strings.Join(s.contrary, ", "))
	case r.PutBack:
		return waits("the record was put back to an older version, and nodes may have more than it says: %s", wayOut)
	case r.Adopted:
		return waits("the cluster is older than its record, and nobody listens: start a server that is not in it, or decide with kconfd galera bootstrap -from NODE -force")
	case len(s.listening) > 0:
		return waits("a server that is not in the record listens at %s: stop it first, or if it is garbd, take it out of wsrep_cluster_address", strings.Join(s.listening, ", "))
	}
	best, ok := r.best()
	if !ok {
		return founded(s)
	}
	for _, name := range r.Names() {
		n := r.Nodes[name]
		switch {
		case r.isPassedOver(n):
			return waits("%s has rows up to %d, and an election before that did not know of them: the record was wrong; "+
				"decide with kconfd galera bootstrap -from NODE -force", name, n.Seqno)
		case r.counts(n) && n.UUID != best.UUID:
			return waits("the data are of two clusters: %s; decide with kconfd galera bootstrap -from NODE", r.uuids())
		case n.Lost != nil && !n.Lost.within(best):
			return waits("%s: decide with kconfd galera bootstrap -from NODE", r.losing(name))
		}
	}
	first := r.first(best)
	switch {
	case !r.counts(own) || own.Position != best:
		return waits("waits for %s, which has more: %s", strings.Join(r.holders(best), " or "), best)
	case first != s.self && s.waited < courtesy:
		return waits("lets %s go first", first)
	}
	r = s.begin()
	r.Elections = append(r.Elections, Fork{r.Generation, best.Seqno})
	r.Elections = r.Elections[max(0, len(r.Elections)-keptElections):]
	return decision{action: bootstrap, record: r, reason: fmt.Sprintf("no server runs, and nobody has more than %s", best)}, true
}

// best is the highest position of all, and whether there is one.
func (r *Record) best() (best Position, found bool) {
	for _, name := range r.Names() {
		if n := r.Nodes[name]; r.counts(n) && (!found || n.Seqno > best.Seqno) {
			best, found = n.Position, true
		}
	}
	return best, found
}

// holders are the nodes that have a position.
func (r *Record) holders(p Position) []string {
	return slices.DeleteFunc(r.Names(), func(name string) bool { return !r.counts(r.Nodes[name]) || r.Nodes[name].Position != p })
}

// first is who goes first of those that have a position and are about to start:
// who left last, or else the one whose name comes first.
func (r *Record) first(p Position) string {
	holders := slices.DeleteFunc(r.holders(p), func(name string) bool { return r.Nodes[name].State != Offered })
	slices.SortStableFunc(holders, func(a, b string) int { return cmp.Compare(safety(r.Nodes[b]), safety(r.Nodes[a])) })
	if len(holders) == 0 {
		return ""
	}
	return holders[0]
}

func safety(n Node) int {
	if n.SafeToBootstrap {
		return 1
	}
	return 0
}

// uuids lists which node has data of which cluster.
func (r *Record) uuids() string {
	var texts []string
	for _, name := range r.Names() {
		if n := r.Nodes[name]; n.Data == Full {
			texts = append(texts, fmt.Sprintf("%s has %s", name, n.Position))
		}
	}
	return strings.Join(texts, ", ")
}

// candidates are those of the peers that may have a cluster: not the nodes that only
// want to join one, since those would wait for each other.
func (r *Record) candidates(self string, peers []peer) []peer {
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		known, has := r.at(p, self, func(n Node) bool { return n.State.mayRun() && n.State != Joining })
		return known && !has
	})
}

// contrary are those of the peers at which no server runs by the record. That one listens there
// all the same is seen when the record was put back to an older state, say with all of a
// Kubernetes.
func (r *Record) contrary(self string, peers []peer) []peer {
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		known, runs := r.at(p, self, func(n Node) bool { return n.State.mayRun() })
		return !known || runs
	})
}

// peers are the addresses that the record has of the other nodes.
func (r *Record) peers(self string) (all []peer) {
	for _, name := range r.others(self) {
		if address := r.Nodes[name].Address; address != "" {
			all = append(all, peer{address, defaultPort})
		}
	}
	return all
}

// at says whether a peer's address is that of nodes, and whether one of the others is so.
func (r *Record) at(p peer, self string, so func(Node) bool) (known, is bool) {
	for name, n := range r.Nodes {
		if n.Address == p.host {
			known = true
			is = is || name != self && so(n)
		}
	}
	return known, is
}
