package galera

import "fmt"

// standing is what a decision against a node rests on. Of one that may be running it is any
// sign of life, of another one what it has and what it lost.
func (n Node) standing() string {
	switch {
	case n.State.mayRun():
		return "write " + n.Token
	case n.Lost != nil:
		return fmt.Sprintf("%s %s, lost %s %v", n.Data, n.Position, n.Lost.Position, n.Lost.Unknown)
	}
	return fmt.Sprintf("%s %s", n.Data, n.Position)
}

// stake is what a forced decision for a node rests on. One that may be running says what it has when
// it has ended: of it the decision rests on what it has lost.
func (n Node) stake() string {
	if n.State.mayRun() {
		return n.loses()
	}
	return n.standing()
}

func (n Node) loses() string {
	if n.Lost == nil {
		return "lost nothing"
	}
	return fmt.Sprintf("lost %s %v", n.Lost.Position, n.Lost.Unknown)
}

// isAsAt says whether the node's stake is what it was.
func (n Node) isAsAt(then string) bool { return then == n.stake() || then == n.loses() }

// An objection is what speaks against a node as the first: about itself or another.
type objection struct {
	node, text string
	passes     bool // as soon as the node waits for its start
}

// unfit says why a node cannot be the first whatever a person says, or nothing.
func (r *Record) unfit(from string) string {
	n, found := r.Nodes[from]
	switch {
	case !found:
		return fmt.Sprintf("%s is not in the record", from)
	case n.State.mayRun():
		return ""
	case n.Data == NoData || n.Data == Partial:
		return fmt.Sprintf("%s has no data to begin with; to begin anew from nothing, delete the record", from)
	case n.Data == Fresh && r.UUID != "":
		return fmt.Sprintf("the data of %s never were in this cluster", from)
	case n.Data == Full && r.UUID != "" && n.UUID != r.UUID:
		return fmt.Sprintf("the data of %s are those of another cluster, %s", from, n.UUID)
	}
	return ""
}

// objections are what speaks against a node as the first, and what a person may overrule.
func (r *Record) objections(from string) []objection {
	var all []objection
	own := r.Nodes[from]
	add := func(node, format string, args ...any) {
		all = append(all, objection{node: node, text: fmt.Sprintf(format, args...)})
	}
	switch {
	case own.State.mayRun():
		all = append(all, objection{from, r.running(from), true})
	case own.State == Stopped:
		all = append(all, objection{from, fmt.Sprintf("%s does not wait to be started: start its pod first", from), true})
	}
	if own.Lost != nil {
		add(from, "%s", r.losing(from))
	}
	if r.Adopted {
		add(from, "the cluster is older than its record, and may have nodes that are not in it")
	}
	if r.PutBack {
		add(from, "the record was put back to an older version, and nodes may have more than it says")
	}
	branch, diverged := r.branch(own)
	if diverged {
		add(from, "%s has diverged: behind %d the cluster has other rows", from, branch)
	}
	for _, name := range r.others(from) {
		n := r.Nodes[name]
		switch counts := r.counts(n); {
		case n.State.mayRun():
			add(name, "%s", r.running(name))
		case n.Lost != nil && (diverged || own.Data != Full || !n.Lost.within(own.Position)):
			add(name, "%s", r.losing(name))
		case r.isPassedOver(n):
			add(name, "%s has rows up to %d, and an election before that did not know of them", name, n.Seqno)
		case counts && (own.Data != Full || n.UUID != own.UUID):
			add(name, "%s has other data: %s", name, n.Position)
		case counts && diverged:
			add(name, "%s has the cluster's rows, up to %d", name, n.Seqno)
		case counts && n.Seqno > own.Seqno:
			add(name, "%s has more: %d", name, n.Seqno)
		}
	}
	return all
}

// within says whether the data that were lost are known to be in a position's.
func (l *Lost) within(p Position) bool { return !l.Unknown && l.UUID == p.UUID && l.Seqno <= p.Seqno }

func (r *Record) running(name string) string {
	return fmt.Sprintf("%s may be running: %s", name, r.Nodes[name].since())
}

func (r *Record) losing(name string) string {
	if l := r.Nodes[name].Lost; !l.Unknown {
		return fmt.Sprintf("%s had %d, and lost it", name, l.Seqno)
	}
	return fmt.Sprintf("%s lost its data, and nobody knows how much that was", name)
}
