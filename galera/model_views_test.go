package galera

import (
	"slices"
	"time"
)

// comeBack brings back the newest view that is among the servers in reach, when all of its members are.
func (n *modelNode) comeBack() bool {
	all := n.returning()
	if all == nil {
		return false
	}
	n.w.reassemble(all)
	n.count("view came back")
	return true
}

// returning are the members of the newest view that is among the servers in reach, when all of its
// members are.
func (n *modelNode) returning() []*modelNode {
	w := n.w
	var reach, all []*modelNode
	newest := 0
	for _, m := range w.nodes {
		if m.server != nil && m.server.open && m.server.transfer == 0 && connected(n, m) {
			reach = append(reach, m)
			newest = max(newest, m.server.view.number)
		}
	}
	var members []string
	for _, m := range reach {
		if m.server.view.number == newest {
			members = m.server.view.members
		}
	}
	// A member that has not installed the view counts as one that has.
	for _, m := range reach {
		if slices.Contains(members, m.server.id) && !m.server.primary {
			all = append(all, m)
		}
	}
	if newest == 0 || len(all) < len(members) || !slices.Contains(all, n) {
		return nil
	}
	return all
}

// installTime is how long a view can be on its way: afterwards its members suspect those that are not
// heard of.
const installTime = defaultSuspect

// A modelInstall is a view that comes back, on its way to its members.
type modelInstall struct {
	servers   []*modelServer
	views     []int // their last ones, when it was sent
	installed []*modelNode
	rows      []int
	history   int
	view      modelView
	sent      time.Time
}

// send lets the last view come back, at no member yet.
func (n *modelNode) send() bool {
	w := n.w
	if n.server == nil || n.server.primary || n.server.paused || !n.server.open {
		return false
	}
	all := n.returning()
	if all == nil {
		return false
	}
	best := slices.MaxFunc(all, func(a, b *modelNode) int { return len(a.rows) - len(b.rows) })
	w.views++
	i := &modelInstall{rows: slices.Clip(best.rows), history: best.history, sent: time.Now(), view: modelView{number: w.views}}
	for _, m := range all {
		for _, before := range w.installs { // a server takes part in one at a time
			if at := slices.Index(before.servers, m.server); at >= 0 {
				before.views[at] = -1
			}
		}
		i.servers, i.views = append(i.servers, m.server), append(i.views, m.server.view.number)
		i.view.members = append(i.view.members, m.server.id)
	}
	w.installs = append(w.installs, i)
	n.count("view sent")
	return true
}

// install lets a view that was sent arrive at the node.
func (n *modelNode) install(arg int) bool {
	w := n.w
	if len(w.installs) == 0 || n.server == nil || n.server.paused || n.server.primary || n.server.transfer > 0 {
		return false
	}
	i := w.installs[arg%len(w.installs)]
	at := slices.Index(i.servers, n.server)
	if at < 0 || time.Since(i.sent) > installTime || n.server.view.number != i.views[at] {
		return false
	}
	s := n.server
	n.view = modelView{i.view.number, s.id, i.view.members}
	s.view, s.primary, s.member, s.settling = n.view, true, true, true
	n.rows, n.history = slices.Clip(i.rows), i.history
	if w.theme.has(outages) && arg%2 == 1 { // what comes between servers comes between them and the API server
		n.away = true
	}
	i.installed = append(i.installed, n)
	w.tell("  %s: installs view %d with %d rows", n.name, i.view.number, len(n.rows))
	n.count("view installed alone")
	if len(i.installed) == len(i.servers) {
		for _, m := range i.installed {
			if m.server != nil && m.server.view.number == i.view.number {
				m.server.settling = false
			}
		}
		w.regroup() // some may have been cut off since
	}
	return true
}

// expire ends the views that have been on their way for too long. Members that have installed one
// lose those that have not.
func (w *model) expire() {
	for _, i := range w.installs {
		if time.Since(i.sent) > installTime {
			w.regroup()
		}
	}
	w.installs = slices.DeleteFunc(w.installs, func(i *modelInstall) bool { return time.Since(i.sent) > installTime })
}

// reassemble makes servers that had lost their primary component one again: what the best has, all have
// afterwards.
func (w *model) reassemble(all []*modelNode) {
	best := slices.MaxFunc(all, func(a, b *modelNode) int { return len(a.rows) - len(b.rows) })
	for _, m := range all {
		if !slices.Equal(m.rows, best.rows[:len(m.rows)]) {
			w.fail("%s comes back beside %s, and has other rows", m.name, best.name)
		}
		m.rows, m.history = slices.Clip(best.rows), best.history
	}
	w.checkAgain(best)
	w.cluster = best.copy()
	w.tell("  %s: the view comes back with %d rows", best.name, len(best.rows))
	w.form(all)
}
