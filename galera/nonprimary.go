package galera

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// A NonPrimary is a node's note that its server runs and has no primary component.
type NonPrimary struct {
	// ID is of this content without Agrees. A note that says something else has another ID.
	ID string `json:"id"`

	// Position is up to where the server has rows.
	Position

	// Isolated says that the server keeps apart from all others until this node's monitor ends that.
	Isolated bool `json:"isolated,omitempty"`

	// Me is what the server is called in views. View is the last primary component that the
	// server was in, and Members are all its members.
	Me      string   `json:"me"`
	View    View     `json:"view"`
	Members []string `json:"members"`

	// Agrees is the round of the record (see [Record.round]) that the node has seen for longer than
	// a view without one of its members lasts, and in which this note was true all the time.
	Agrees string `json:"agrees,omitempty"`
}

// maxHealed is how many members the views in notes may have: each note lists them.
const maxHealed = 50

// same says whether two notes say the same of a server.
func (n NonPrimary) same(o NonPrimary) bool {
	return n.Position == o.Position && n.Isolated == o.Isolated && n.Me == o.Me && n.View == o.View && slices.Equal(n.Members, o.Members)
}

// round identifies what all nodes say. It changes with each note, each offer and each stop, and
// not with the agreement to the round itself.
func (r *Record) round() string {
	h := sha256.New()
	fmt.Fprintln(h, r.UUID, r.Generation)
	for _, name := range r.Names() {
		n := r.Nodes[name]
		id := n.Token
		if n.NonPrimary != nil {
			id = n.NonPrimary.ID
		}
		fmt.Fprintln(h, name, n.State, id)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// A lostMajority is what the record says about nodes of which none has a primary component.
type lostMajority struct {
	best  Position // the highest of all
	notes map[string]NonPrimary
}

// lostMajority collects the notes of all nodes whose servers may run. Why is not empty when one of
// them may have a primary component, or when only an administrator can decide.
func (r *Record) lostMajority() (l lostMajority, why string) {
	switch {
	case r.Bootstrap != nil:
		return l, "a decision to bootstrap stands"
	case r.Adopted:
		return l, "the cluster is older than its record, and may have other members"
	case r.PutBack:
		return l, "the record was put back to an older version"
	case r.UUID == "":
		return l, "the UUID of the cluster is not known"
	}
	l = lostMajority{Position{r.UUID, -1}, map[string]NonPrimary{}}
	for _, name := range r.Names() {
		n := r.Nodes[name]
		if n.State.mayRun() {
			if n.NonPrimary == nil {
				return l, name + " may have a primary component"
			}
			l.notes[name] = *n.NonPrimary
			if n = n.noted(); r.diverged(n) {
				return l, name + " has diverged"
			}
		}
		if !r.counts(n) {
			continue
		}
		if n.UUID != r.UUID {
			return l, name + " has data of another cluster"
		}
		l.best.Seqno = max(l.best.Seqno, n.Seqno)
	}
	for _, name := range r.Names() {
		if lost := r.Nodes[name].Lost; lost != nil && !lost.within(l.best) {
			return l, r.losing(name)
		}
	}
	return l, ""
}

// noted is the node with the data that its server has by its note.
func (n Node) noted() Node {
	n.Data, n.Position = Full, n.NonPrimary.Position
	return n
}

// leader is the node that is to make a new primary component, of servers that all have lost it, and
// all run on. It has the highest position of all nodes, and while it is isolated, no last primary
// component comes back by itself. There is none when why is not empty.
func (r *Record) leader() (name, why string) {
	l, why := r.lostMajority()
	if why != "" {
		return "", why
	}
	why = "nodes at rest have more rows"
	for _, name := range r.Names() {
		note, runs := l.notes[name]
		if !runs || note.Position != l.best {
			continue
		}
		if why = r.mayReturn(l, name); why == "" {
			return name, ""
		}
	}
	return "", why
}

// mayReturn says which of the last primary components could come back by itself while the leader is
// isolated, or nothing. Galera brings one back only when all of its members are there, none of
// them has been in a later one.
func (r *Record) mayReturn(l lostMajority, leader string) string {
	for _, name := range r.Names() {
		note, noted := l.notes[name]
		gone := false
		for _, member := range note.Members {
			owner := r.owner(l, member)
			if owner == "" {
				return fmt.Sprintf("%s was with %s, which no node of the record is", name, member)
			}
			own, runs := l.notes[owner]
			gone = gone || owner == leader && own.Me == member || !runs || own.Me != member ||
				own.View.Seqno > note.View.Seqno
		}
		if noted && !gone {
			return fmt.Sprintf("the last primary component of %s may come back", name)
		}
	}
	return ""
}

// owner is the node whose server is, or was, a member of views; empty when there is none.
func (r *Record) owner(l lostMajority, member string) (owner string) {
	for name, n := range r.Nodes {
		if l.notes[name].Me == member {
			return name
		}
		if n.Member == member {
			owner = name
		}
	}
	return owner
}

// A healStep is what a monitor does next for a server without a primary component.
type healStep string

const (
	healWait    healStep = "wait"
	healNote    healStep = "note"    // write the note
	healIsolate healStep = "isolate" // isolate the server, and write that
	healRelease healStep = "release" // end the isolation, and write that
	healAgree   healStep = "agree"   // write the agreement to the round
	healClaim   healStep = "claim"   // write that this node bootstraps, and bootstrap
)

// A healing is all that the next step depends on.
type healing struct {
	record *Record
	self   string
	own    NonPrimary // what is so now, with the ID of what this process has written last

	settled bool // the round has been seen for settleTime
	stable  bool // and for longer than a view lasts without one of its members
}

// step decides. The node's entry is this process's own, and says that its server may run.
func (h healing) step() (step healStep, why string) {
	r := h.record
	noted := r.Nodes[h.self].NonPrimary
	if noted == nil || noted.ID != h.own.ID || !noted.same(h.own) {
		return healNote, "the record does not say so"
	}
	leader, why := r.leader()
	switch {
	case leader != h.self && h.own.Isolated:
		return healRelease, cmp.Or(why, leader+" leads")
	case leader == "":
		return healWait, why
	case leader == h.self && !h.own.Isolated:
		if h.settled {
			return healIsolate, "this node has the highest position"
		}
		return healWait, "this node has the highest position"
	case leader != h.self:
		if h.stable && r.Nodes[leader].NonPrimary.Isolated && noted.Agrees != r.round() {
			return healAgree, leader + " leads"
		}
		return healWait, leader + " leads"
	}
	for name, n := range r.Nodes {
		if name != h.self && n.State.mayRun() && n.NonPrimary.Agrees != r.round() {
			return healWait, "waits for " + name + " to agree"
		}
	}
	if !h.stable { // nodes at rest, and this one itself, agree to nothing
		return healWait, "the round is new"
	}
	return healClaim, "all nodes agree"
}

// claim is a copy of the record that says: the node makes a new primary component.
func (h healing) claim() *Record {
	s := situation{record: h.record, self: h.self}
	own := s.own()
	note := own.NonPrimary
	own.Data, own.Position = Full, note.Position
	s.record = h.record.clone()
	s.record.Nodes[h.self] = own
	r := s.begin()
	own = r.Nodes[h.self]
	own.Member, own.View, own.Starts = note.Me, &note.View, h.record.Nodes[h.self].Starts // the server runs on
	r.Nodes[h.self] = own
	return r
}

// withNote is a copy of the record with the node's note.
func (r *Record) withNote(name string, note NonPrimary) *Record {
	c := r.clone()
	n := c.Nodes[name]
	n.NonPrimary, n.Token = &note, token()
	c.Nodes[name] = n
	return c
}

func (n *NonPrimary) check() error {
	if err := checkText("nonPrimary.id", n.ID); err != nil {
		return err
	}
	if n.ID == "" {
		return fmt.Errorf("field %q: it is empty", "nonPrimary.id")
	}
	if err := n.Position.check("nonPrimary."); err != nil {
		return err
	}
	if n.UUID == "" {
		return fmt.Errorf("field %q: it is empty", "nonPrimary.uuid")
	}
	if len(n.Members) > maxHealed {
		return fmt.Errorf("field %q: there are %d: want %d at most", "nonPrimary.members", len(n.Members), maxHealed)
	}
	if err := n.View.check(); err != nil {
		return fmt.Errorf("field %q: %w", "nonPrimary.view", err)
	}
	if !slices.Contains(n.Members, n.Me) {
		return fmt.Errorf("field %q: it is none of the members", "nonPrimary.me")
	}
	for _, member := range n.Members {
		if !isUUID(member) {
			return fmt.Errorf("field %q: %q is not a UUID", "nonPrimary.members", oneLine(member))
		}
	}
	return checkText("nonPrimary.agrees", n.Agrees)
}
