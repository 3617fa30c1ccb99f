package galera

import (
	"fmt"
	"slices"
)

// A choice is one step of a schedule: an action of [modelActions], for a node.
type choice struct{ action, node, arg int }

func (c choice) String() string {
	return fmt.Sprintf("%c: %s (%d)", 'a'+c.node, modelActions[c.action].name, c.arg)
}

// A schedule is a game: the same choices in the same world are the same game.
type schedule []choice

// gameSteps is how many choices are made before the faults end, out of how many that are tried: most are
// about something that is not there.
const (
	gameSteps = 250
	gameTries = 2500
)

// play plays a game with choices that its seed makes, up to its first fault, and gives the choices that
// changed something.
func play(seed uint64) (*model, schedule) {
	w := newGame(seed)
	defer w.close()
	var weights []int
	total := 0
	for _, a := range modelActions {
		weight := a.weight
		if more, named := majorityWeights[a.name]; named && w.seed&majorityGame != 0 {
			weight = more
		}
		if !w.theme.has(a.needs) {
			weight = 0
		}
		total += weight
		weights = append(weights, total)
	}
	var made schedule
	for range gameTries {
		i, _ := slices.BinarySearch(weights, w.random.IntN(total)+1)
		c := choice{i, w.random.IntN(len(w.nodes)), w.random.IntN(8)}
		if w.take(c) {
			made = append(made, c)
		}
		if w.fault != "" {
			return w, made
		}
		if len(made) == gameSteps {
			break
		}
	}
	w.settle()
	return w, made
}

// newGame is the world of a seed as it is at the beginning of a game.
func newGame(seed uint64) *model {
	w := newModel(seed)
	w.theme = themeOf(w)
	if seed&majorityGame != 0 {
		w.theme = w.theme&(outages|hangs|monitors|early) | partitions
		w.settle()
		w.calm = false
		return w
	}
	if w.theme.has(adopted) {
		w.preexist()
	}
	return w
}

// preexist makes a cluster that runs without kconfd.
func (w *model) preexist() {
	for i, n := range w.nodes {
		n.uuid, n.tables = "99999999-0000-0000-0000-000000000000", true
		w.servers++
		n.server = &modelServer{id: fmt.Sprintf("%08d-0000-4000-8000-%012d", n.index, i+1), open: true, primary: true, member: true}
	}
	w.form(w.nodes)
	w.cluster = w.nodes[0].copy()
}

// take takes one step, and says whether it changed anything.
func (w *model) take(c choice) bool {
	if c.node >= len(w.nodes) || !w.theme.has(modelActions[c.action].needs) {
		return false
	}
	before := len(w.story)
	w.tell("%v", c)
	could := modelActions[c.action].do(w, w.nodes[c.node], c.arg)
	if !could && w.fault == "" {
		w.story = w.story[:before]
	}
	w.check()
	return could
}

// replay plays a schedule.
func (s schedule) replay(seed uint64, quiet bool) *model {
	w := newGame(seed)
	defer w.close()
	w.quiet = quiet
	for _, c := range s {
		if w.take(c); w.fault != "" {
			return w
		}
	}
	w.settle()
	return w
}

// shrink leaves out choices as long as the game has a fault: by delta debugging, first large parts, then
// smaller ones, down to single choices. The fault remains one of the same kind.
func (s schedule) shrink(seed uint64, kind string) schedule {
	for part := len(s) / 2; part >= 1; {
		smaller := false
		for from := 0; from < len(s); {
			rest := slices.Concat(s[:from], s[min(from+part, len(s)):])
			if rest.replay(seed, true).kind == kind {
				s, smaller = rest, true
				continue
			}
			from += part
		}
		if part > 1 || !smaller {
			part /= 2
		}
	}
	return s
}
