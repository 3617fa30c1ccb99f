package cluster

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// A Shared cluster is one for all tests of a package: the first that needs it starts
// it, and [Shared.Run] closes it. The zero Shared has not been started.
type Shared struct {
	mu      sync.Mutex
	cluster *Cluster
	err     error // of its start, for all who need it
}

// Use calls use while nobody else uses the cluster: its methods are for one goroutine at
// a time, so that tests take turns. Clients that use takes away may be used for as
// long as the tests run.
func (s *Shared) Use(t testing.TB, use func(*Cluster)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		s.cluster, s.err = New("")
	}
	if s.err != nil {
		t.Fatalf("starting a cluster: %v", s.err)
	}
	use(s.cluster)
}

// Run is for TestMain: it runs the tests, and closes the cluster if they started one. It
// gives their exit code, or 1 when the cluster cannot be closed, and then says why.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.cluster == nil {
		return code
	}
	if err := s.cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the cluster:", err)
		return 1
	}
	return code
}
