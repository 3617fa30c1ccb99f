package galera_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	galeranode "github.com/kconfd/kconfd/galera"
)

// A turn is from when a node's server is told to end until the others have a view without it: the last
// one has no others.
type turn struct {
	node       string
	begin, end time.Time
}

// turnOf reads the log of a node's kconfd.
func turnOf(t *testing.T, m *member) turn {
	t.Helper()
	at := func(messages string) time.Time {
		matches := regexp.MustCompile(`time=(\S+) level=INFO msg="(?:`+messages+`)"`).FindAllStringSubmatch(m.process.Log(), -1)
		if matches == nil {
			t.Fatalf("node %q: no %q in the log", m.Name, messages)
		}
		when, err := time.Parse(time.RFC3339Nano, matches[len(matches)-1][1])
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	return turn{m.Name, at("stopping child"), at("the node is stopped|the others have a view without this node")}
}

// Of servers that get SIGTERM at the same moment, through kconfd, one leaves after the other, each when
// the others have a view without the one before. The last one has all rows, and may be the first again.
func TestStopsInTurns(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d nodes", size), func(t *testing.T) {
			s := newScene(t, size)
			s.flags = []string{"-kubeconfig", s.kubeconfig}
			s.process = "stop_lease = \"pxc-stops\"\n"
			s.form()
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.stop(t) }) })
			s.wantInTurns()
			for _, m := range s.members {
				s.start(m)
			}
			s.awaitAll()
			s.judge()
			atOnce(s.members, func(m *member) { m.stop(t) })
		})
	}
}

// wantInTurns looks at how all nodes have stopped.
func (s *scene) wantInTurns() {
	s.Helper()
	var turns []turn
	for _, m := range s.members {
		turns = append(turns, turnOf(s.T, m))
		if log := m.process.Log(); strings.Contains(log, "Received NON-PRIMARY") && !strings.Contains(log, "Received SELF-LEAVE") {
			s.Errorf("node %q lost the primary component", m.Name)
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return a.begin.Compare(b.begin) })
	for i, one := range turns {
		s.Logf("%s: in its turn for %v", one.node, one.end.Sub(one.begin).Round(time.Millisecond))
		if i > 0 && one.begin.Before(turns[i-1].end) {
			s.Errorf("%s began before the end of %s", one.node, turns[i-1].node)
		}
	}
	last := turns[len(turns)-1].node
	r, err := s.store.Read(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range s.members {
		n := r.Nodes[m.Name]
		if n.State != galeranode.Stopped || n.Seqno > r.Nodes[last].Seqno {
			s.Errorf("node %q is %s with %d, and the last one has %d", m.Name, n.State, n.Seqno, r.Nodes[last].Seqno)
		}
		content, err := os.ReadFile(filepath.Join(m.Data(), "grastate.dat"))
		if err != nil {
			s.Fatal(err)
		}
		if safe := strings.Contains(string(content), "safe_to_bootstrap: 1"); safe != (m.Name == last) || n.SafeToBootstrap != safe {
			s.Errorf("node %q: safe to bootstrap: %v, and by the record %v; %q was the last", m.Name, safe, n.SafeToBootstrap, last)
		}
	}
}
