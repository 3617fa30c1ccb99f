package galera_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/kconfd/kconfd/test/galera"
)

// wantRemembered waits until a data directory remembers as many starts of its node as the record has.
func (s *scene) wantRemembered(m *member) {
	s.Helper()
	galera.Await(s, "what the data directory of "+m.Name+" remembers is what the record says", func() bool {
		var memory struct {
			Node         string
			Starts, Next int
		}
		content, err := os.ReadFile(filepath.Join(m.Data(), "kconfd-record"))
		if err != nil || json.Unmarshal(content, &memory) != nil {
			return false
		}
		starts := s.entry(m).Starts
		return starts > 0 && memory.Node == m.Name && memory.Starts == starts && memory.Next == starts
	})
}

// A power cut right after the founder's note erases what the server has not synced: grastate.dat. The
// founder comes back with its rows, and the others join it.
func TestPowerCutAfterFounding(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	a, b := s.members[0], s.members[1]
	s.start(a)
	s.awaitState(a, "synced")
	a.Ask(t, "CREATE DATABASE test; CREATE TABLE test.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200)); INSERT INTO test.t (text) VALUES ('first')")
	s.written, s.uuid = []string{"first"}, a.Status("wsrep_cluster_state_uuid")
	a.kill(t)
	for _, name := range []string{"grastate.dat", "gvwstate.dat"} {
		if err := os.Remove(filepath.Join(a.Data(), name)); err != nil {
			t.Fatal(err)
		}
	}
	s.start(b)
	s.awaitWaits(b, "waits for node1, which may be running")
	s.start(a)
	s.awaitAll()
	s.judge()
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// A volume that was put back to an older state is known as such, where its position is that of the
// last offer too: an election waits for an operator. A full transfer does not look like it.
func TestVolumePutBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.form()
	a, b, c := s.members[0], s.members[1], s.members[2]
	for _, m := range s.members { // b and c had a full transfer
		s.wantRemembered(m)
	}
	c.stop(t)
	saved := c.Save(t)
	s.start(c)
	s.awaitAll()
	s.wantRemembered(c)
	s.whileWriting(func() { atOnce(s.members, func(m *member) { m.kill(t) }) })
	c.Restore(t, saved)
	s.start(c)
	galera.Await(t, "node3 says what it lost", func() bool {
		n := s.entry(c)
		return n.State == "offered" && n.Lost != nil && n.Lost.Unknown && n.Lost.Position == n.Position
	})
	s.start(a)
	s.start(b)
	s.awaitWaits(a, "node3 lost its data, and nobody knows how much that was")
	best := a
	if s.entry(b).Seqno > s.entry(a).Seqno {
		best = b
	}
	s.wantBootstrap(best, 0, "overruled: node3 lost its data", "-force")
	s.awaitAll()
	s.judge()
	if n := s.entry(c); n.Lost != nil {
		t.Errorf("it is Synced again: got %+v lost", n.Lost)
	}

	c.kill(t) // while the others run, it gets what it lacks
	c.Restore(t, saved)
	s.start(c)
	s.awaitAll()
	s.judge()

	c.kill(t)
	c.Empty(t) // a new volume has a full transfer
	s.start(c)
	s.awaitAll()
	s.wantRemembered(c)
	c.kill(t)
	s.start(c)
	s.awaitAll()
	if n := s.entry(c); n.Lost != nil {
		t.Errorf("after a full transfer: got %+v lost", n.Lost)
	}
	atOnce(s.members, func(m *member) { m.stop(t) })
}
