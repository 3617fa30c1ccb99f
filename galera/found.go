package galera

import (
	"fmt"
)

// founded makes the first node of a cluster that never was.
func founded(s situation) (decision, bool) {
	r, own := s.record, s.own()
	switch {
	case r.UUID != "":
		return decision{action: wait, reason: fmt.Sprintf("the record is that of cluster %s, and nobody here has data of it: "+
			"bring them back, or delete the record to begin anew", r.UUID)}, true
	case r.loser() != "":
		return decision{action: wait, reason: fmt.Sprintf("%s: bring them back, or delete the record to begin anew", r.losing(r.loser()))}, true
	case r.Founder == "":
		return s.claim(), true
	case r.Founder != s.self:
		return decision{action: wait, reason: fmt.Sprintf("waits for %s, which founds the cluster", r.Founder)}, true
	case own.Data == NoData:
		return decision{action: found, reason: "the first of all"}, true
	}
	return decision{action: bootstrap, record: s.begin(), reason: "the first of all"}, true
}

// claim takes the role of the founder, which a node has given back whose first boot failed. A node
// that has failed less often goes first, if it is there.
func (s situation) claim() decision {
	own := s.own()
	if own.Data == Partial {
		return decision{action: wait, reason: "no node founds the cluster, and this one has no data directory to begin with: start one with an empty data directory"}
	}
	for _, name := range s.record.others(s.self) {
		if n := s.record.Nodes[name]; n.State == Offered && n.Data != Partial && n.FailedBoots < own.FailedBoots && s.waited < courtesy {
			return decision{action: wait, reason: fmt.Sprintf("lets %s found the cluster", name)}
		}
	}
	r := s.record.clone()
	r.Founder = s.self
	return decision{action: revise, record: r, reason: "this node founds the cluster: the one that was to has given that back"}
}

// givesBack is a copy of the record in which the founder has given back its role, if the node is the
// founder, has no data, and no server was ever started as the first.
func (r *Record) givesBack(name string, data Data) *Record {
	own := r.Nodes[name]
	if r.Founder != name || r.Adopted || r.UUID != "" || r.Generation > 0 || data != NoData || own.Data != NoData || own.State != Offered {
		return nil
	}
	c := r.clone()
	c.Founder = ""
	own.FailedBoots = min(own.FailedBoots+1, maxStarts)
	c.Nodes[name] = own
	return c
}

// loser is a node that lost data, or nothing. It may have served a cluster although nobody could
// note its UUID.
func (r *Record) loser() string {
	for _, name := range r.Names() {
		if r.Nodes[name].Lost != nil {
			return name
		}
	}
	return ""
}

// unnamed says for what data wait while the UUID of the cluster is not known: they may be those of
// another one, and a join would replace them.
func (r *Record) unnamed() string {
	if founder := r.founding(); founder != "" {
		return fmt.Sprintf("waits for %s, which founds a cluster, to tell its name: the data here may be another's, and a join would replace them", founder)
	}
	return "the UUID of the cluster is not known, and the data here may be another's, which a join would replace: it waits until a node is synced; " +
		"to adopt a cluster that runs without kconfd, start a node with an empty data directory first, or stop all servers and decide with kconfd galera bootstrap -from NODE -force"
}

// founding is the node that has begun a cluster of which nobody knows the UUID yet. It
// writes that as soon as it is Synced.
func (r *Record) founding() string {
	for _, name := range r.Names() {
		if r.UUID == "" && r.Nodes[name].State == Bootstrapping {
			return name
		}
	}
	return ""
}
