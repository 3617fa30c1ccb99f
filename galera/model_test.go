package galera

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// shortGames are the games of a usual test run.
const shortGames = 400

// TestMain adds the flags of TestModel. Each seed is another game; `make model` plays many.
func TestMain(m *testing.M) {
	flag.Uint64("model.games", shortGames, "how many games TestModel plays")
	flag.Uint64("model.seed", 0, "seed of its first game")
	flag.Uint64("model.nodes", 0, "play only games of so many nodes; 0 for all")
	flag.String("model.theme", "", "play only games of these themes, separated by commas")
	flag.Parse()
	os.Exit(m.Run())
}

func modelFlag(name string) uint64 {
	return flag.Lookup(name).Value.(flag.Getter).Get().(uint64)
}

// TestModel plays with the code of the commands, as it is, on nodes, servers and an API server that
// are made up.
//
// A game is a list of choices: which process goes on by one step, which server is killed, which write is
// lost, what an operator decides. After each of them the invariants of model_invariants_test.go must
// hold. In the end all faults end, and the cluster must be whole again. A game stops at its first fault, and
// the test prints the shortest schedule found that leads to one.
//
// The world is in model_world_test.go, what kconfd does there in model_process_test.go, what Galera does in
// model_galera_test.go, and all that may happen in model_actions_test.go.
func TestModel(t *testing.T) {
	t.Parallel()
	s := newSeries(0)
	s.run(t)
	if !t.Failed() {
		s.checkReach(t)
	}
}

// newSeries is one of the games of the flags, of a kind.
func newSeries(kind uint64) *series {
	s := &series{next: modelFlag("model.seed") | kind, sum: map[string]int{}}
	s.end = s.next + modelFlag("model.games")
	s.first = s.next
	return s
}

// run plays all games.
func (s *series) run(t *testing.T) {
	t.Run("games", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for s.more() {
					// Some at a time: the clock of a bubble ends after 292 years.
					synctest.Test(t, func(t *testing.T) { s.play(t, 20) })
				}
			})
		}
	})
	for _, what := range slices.Sorted(maps.Keys(s.sum)) {
		t.Logf("%7d %s", s.sum[what], what)
	}
}

// A series is many games, which are played at the same time.
type series struct {
	sync.Mutex
	first, next, end uint64
	failed           bool
	sum              map[string]int
}

func (s *series) more() bool {
	s.Lock()
	defer s.Unlock()
	return s.next < s.end && !s.failed
}

// take gives the seed of the next game.
func (s *series) take() (seed uint64, more bool) {
	s.Lock()
	defer s.Unlock()
	for s.next < s.end && !isWanted(s.next) {
		s.next++
	}
	if s.next >= s.end || s.failed {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

// isWanted says whether the flags permit the game of a seed.
func isWanted(seed uint64) bool {
	w := newModel(seed)
	size, themes := modelFlag("model.nodes"), flag.Lookup("model.theme").Value.String()
	return (size == 0 || len(w.nodes) == int(size)) && (themes == "" || themeOf(w).has(themeNamed(themes)))
}

// play plays some games.
func (s *series) play(t *testing.T, games int) {
	for range games {
		seed, more := s.take()
		if !more {
			return
		}
		w, made := play(seed)
		s.Lock()
		for what, n := range w.count {
			s.sum[what] += n
		}
		s.sum[fmt.Sprintf("game of %d nodes", len(newModel(seed).nodes))]++
		first := w.fault != "" && !s.failed
		s.failed = s.failed || first
		s.Unlock()
		if first {
			report(t, seed, seed-s.first+1, w, made)
		}
	}
}

// report prints a game with a fault, as short as it can be made.
func report(t *testing.T, seed, game uint64, found *model, made schedule) {
	short := made.shrink(seed, found.kind)
	w := short.replay(seed, false)
	t.Errorf("game %d, seed %d, theme %v: %s\n%d choices, and %d lead to: %s\n%s",
		game, seed, found.theme, found.fault, len(made), len(short), w.fault, strings.Join(w.story, "\n"))
}

// checkReach demands that the games get to what they are about: one that does not would prove nothing.
func (s *series) checkReach(t *testing.T) {
	games := int(s.end - s.first)
	if games < shortGames || modelFlag("model.nodes") > 0 || flag.Lookup("model.theme").Value.String() != "" {
		return
	}
	for what, per := range map[string]int{
		"founded": 2, "elected": 1, "joined": 1, "view came back": 20, "alone": 60, "write": 1, "volume lost": 20, "late write carried out": 2,
		"answer lost": 1, "came back": 2, "given up": 20, "decided": 4, "forced": 20, "renamed": 10, "moved": 5, "stranger": 10, "ended early": 5,
		"second pod": 10, "edited": 10, "gone": 40, "record deleted": 60,
	} {
		if s.sum[what] < games/per {
			t.Errorf("%q came about %d times in %d games, want %d or more", what, s.sum[what], games, games/per)
		}
	}
}
