package galera

import (
	"context"
	"errors"
	"flag"
	"testing"
)

// majorityGame is in the seeds of games that begin with a whole cluster, and in which servers lose
// each other.
const majorityGame = 1 << 40

// majorityWeights are what such games have more of, or less.
var majorityWeights = map[string]int{
	"kconfd goes on until it waits":                      120,
	"kconfd takes one step":                              60,
	"the monitor goes on until it waits":                 250,
	"the monitor takes one step":                         250,
	"the network between the servers changes":            50,
	"the network is whole again":                         15,
	"all monitors go on, and some seconds pass":          150,
	"time passes":                                        10,
	"the last view is sent":                              60,
	"a view comes back without one member":               60,
	"a view is installed":                                500,
	"the pod is killed":                                  4,
	"the server is killed":                               4,
	"the server is stopped":                              6,
	"kconfd is killed":                                   2,
	"all pods are killed":                                1,
	"all servers are stopped":                            1,
	"the write does not reach the API server":            60,
	"the answer to the write is lost":                    60,
	"the write is late":                                  120,
	"the API server goes away, or is back, for the node": 20,
}

// TestModelMajority plays games in which the primary component is lost again and again.
func TestModelMajority(t *testing.T) {
	t.Parallel()
	s := newSeries(majorityGame)
	s.run(t)
	games := int(s.end - s.first)
	if t.Failed() || games < 400 || modelFlag("model.nodes") > 0 || flag.Lookup("model.theme").Value.String() != "" {
		return
	}
	for what, per := range map[string]int{"healed": 8, "view came back": 3, "view installed alone": 20, "given up": 3, "late write carried out": 40} {
		if s.sum[what] < games/per {
			t.Errorf("%q came about %d times in %d games, want %d or more", what, s.sum[what], games, games/per)
		}
	}
}

// A modelSession is a login at a server, of a process.
type modelSession struct {
	n       *modelNode
	server  *modelServer
	process *modelProcess
	closed  bool
}

var errGone = errors.New("the server is gone, or does not answer")

// openSession logs in at the node's server. It answers as soon as it has once had a primary component.
func (n *modelNode) openSession(context.Context) (healSession, error) {
	n.w.pause("the login")
	s := n.server
	switch {
	case s == nil || s.paused:
		return nil, errGone
	case !s.member || s.transfer > 0:
		return nil, errNotServing
	}
	return &modelSession{n, s, n.w.current, false}, nil
}

// lives says whether the session is still there.
func (m *modelSession) lives() bool {
	return m != nil && !m.closed && m.process.alive() && m.n.server == m.server
}

// ask runs a statement, after a pause of the process.
func (m *modelSession) ask(what string) error {
	m.n.w.pause(what)
	if !m.lives() || m.server.paused {
		return errGone
	}
	return nil
}

func (m *modelSession) component(context.Context) (primary bool, p Position, err error) {
	if err := m.ask("the question for the component"); err != nil {
		return false, p, err
	}
	return m.server.primary, Position{m.n.uuid, int64(len(m.n.rows) + len(m.server.pending))}, nil
}

func (m *modelSession) isolate(_ context.Context, on bool) error {
	if err := m.ask("the isolation"); err != nil {
		return err
	}
	if m.server.lock.lives() && m.server.lock != m {
		return errors.New("another session leads")
	}
	m.server.lock, m.server.isolated = m, on
	m.n.w.tell("  %s: isolated %v", m.n.name, on)
	m.n.w.regroup()
	return nil
}

func (m *modelSession) bootstrap(_ context.Context, p Position) error {
	if err := m.ask("the bootstrap"); err != nil {
		return err
	}
	n, w := m.n, m.n.w
	if m.server.lock != m || m.server.primary || int64(len(n.rows)) != p.Seqno {
		return errors.New("the server has a primary component, or another position")
	}
	n.checkFirst()
	n.count("healed")
	w.cluster = n.copy()
	w.tell("  %s: MAKES A NEW PRIMARY COMPONENT with %d rows", n.name, len(n.rows))
	// All that are connected with it are in it.
	members := []*modelNode{n}
	for _, o := range w.nodes {
		if o != n && o.server != nil && o.server.open && connected(n, o) {
			members = append(members, o)
		}
	}
	if len(members) > 1 {
		w.fail("%s bootstraps while it is connected", n.name)
	}
	w.form(members)
	return nil
}

func (m *modelSession) close() { m.closed = true }

// leftOut lets the last view come back at all members but the node, which is cut off at that moment, as
// the others may be from the API server.
func (n *modelNode) leftOut(arg int) bool {
	w := n.w
	if w.forced || !n.send() {
		return false
	}
	last := len(w.installs) - 1
	for _, m := range w.nodes {
		if m != n {
			m.install(last)
			m.away = m.away || w.theme.has(outages) && arg%2 == 1 && m.server != nil && m.server.settling
		}
	}
	w.installs = w.installs[:last]
	n.segment = (n.segment + 1) % 3
	w.regroup()
	n.count("left out")
	return true
}

// heal lets all monitors go on, so that a lost majority is restored before the monitors give up.
func (w *model) heal() bool {
	if !w.any(func(n *modelNode) bool { return n.server != nil && !n.server.primary && n.server.member }) {
		return false
	}
	for _, n := range w.nodes {
		n.monitor.round()
	}
	w.pass(4 * defaultSuspect / 5)
	return true
}
