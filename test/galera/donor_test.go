package galera_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/test/galera"
)

// donor waits for one of the members to give a transfer.
func (s *scene) donor(of []*member) *member {
	s.Helper()
	donor := -1
	galera.Await(s, "one of them is the donor", func() bool {
		donor = slices.IndexFunc(of, func(m *member) bool { return strings.HasPrefix(m.Phase(), "DONOR") })
		return donor >= 0
	})
	return of[donor]
}

// A donor that cannot tell the others that its transfer is complete is stuck for ever, and
// is started anew.
func TestTransferNotTold(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.form()
	joiner := s.members[3]
	joiner.stop(t)
	joiner.Empty(t)
	for _, m := range s.members[:3] {
		m.HoldTransfers(t)
	}
	s.start(joiner)
	donor := s.donor(s.members[:3])
	others := slices.DeleteFunc(slices.Clone(s.members[:3]), func(m *member) bool { return m == donor })
	for _, m := range others { // and those who are left are half of the last view
		m.Unplug(t)
	}
	donor.process.AwaitLog(t, "Received NON-PRIMARY")
	for _, m := range s.members[:3] {
		m.ReleaseTransfers(t)
	}
	donor.process.AwaitLog(t, "sst sent called when not SST donor")
	for _, m := range others {
		m.Plug(t)
	}
	donor.process.AwaitLog(t, "started anew by the record")
	s.awaitAll()
	s.judge()
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// Nodes that wait for a transfer whose donor was lost, with all who might give another one, do not wait
// for ever: neither one alone, nor two that see each other.
func TestDonorLost(t *testing.T) {
	t.Parallel()
	for name, joiners := range map[string]int{"one joins": 1, "two join": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 3)
			s.form()
			donor := s.members[0]
			for _, m := range s.members[1:] {
				m.stop(t)
				m.Empty(t)
			}
			donor.HoldTransfers(t)
			joining := s.members[3-joiners:]
			for _, m := range joining {
				s.start(m)
			}
			galera.Await(t, "a transfer begins, and all wait for it", func() bool {
				return strings.HasPrefix(donor.Phase(), "DONOR") &&
					!slices.ContainsFunc(joining, func(m *member) bool { return !strings.HasPrefix(m.Phase(), "JOINING") })
			})
			donor.kill(t)
			donor.ReleaseTransfers(t)
			for _, m := range joining {
				m.process.AwaitLog(t, "started anew by the record")
			}
			for _, m := range s.members {
				if !slices.Contains(joining, m) {
					s.start(m)
				}
			}
			s.awaitAll()
			s.judge()
			atOnce(s.members, func(m *member) { m.stop(t) })
		})
	}
}

// A node that was cut off while its donor died, and is back among others who could give another transfer,
// does not wait for ever.
func TestDonorLostOutOfSight(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.form()
	old, joiner := s.members[:3], s.members[3]
	joiner.stop(t)
	joiner.Empty(t)
	for _, m := range old {
		m.HoldTransfers(t)
	}
	s.withoutPrimary = "3s" // and five times as long for a donor that does not begin
	s.start(joiner)
	donor := s.donor(old)
	joiner.Unplug(t)
	joiner.process.AwaitLog(t, "Received NON-PRIMARY")
	other := old[(slices.Index(old, donor)+1)%3]
	other.AwaitStatus(t, "wsrep_cluster_size", "3")
	donor.kill(t)
	other.AwaitStatus(t, "wsrep_cluster_size", "2")
	for _, m := range old {
		m.ReleaseTransfers(t)
	}
	joiner.Plug(t)
	joiner.process.AwaitLog(t, "started anew by the record")
	s.start(donor)
	s.awaitAll()
	s.judge()
	atOnce(s.members, func(m *member) { m.stop(t) })
}
