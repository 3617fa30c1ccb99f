package galera_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/galera"
)

// The command that keeps the record does so after the end of kconfd's worker, too.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.flags = []string{"-adopt"}
	m := s.members[0]
	s.start(m)
	s.awaitAll()
	s.awaitState(m, "synced")
	server, monitor := m.Find(t, "mariadbd"), m.Find(t, "kconfd galera joined")
	worker := child(t, m.Node, m.process.PID(), "kconfd ")
	if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.process.AwaitLog(t, "child taken over")
	galera.Await(t, "another one keeps the record", func() bool {
		var others int
		for _, p := range m.Processes(t) {
			if strings.HasPrefix(p.Command, "kconfd galera joined") {
				if p.PID == monitor.PID {
					return false
				}
				others++
			}
		}
		return others == 1
	})
	s.deleteRecord()
	s.awaitState(m, "synced")
	if got := m.Find(t, "mariadbd"); got.PID != server.PID {
		t.Errorf("the server is process %d, was %d: it was restarted", got.PID, server.PID)
	}
}
