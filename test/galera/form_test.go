package galera_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	galeranode "github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/galera"
)

// theServer is the API server of all tests.
var theServer cluster.Shared

// A scene is a cluster that forms itself.
type scene struct {
	*testing.T
	cluster    *galera.Cluster
	namespace  string
	kubeconfig string
	store      *galeranode.Store
	members    []*member
	flags      []string // of kconfd, besides
	began      time.Time
	process    string // more of [process]

	withoutPrimary string // after how long a server without a primary component is killed

	uuid           string   // of the cluster, from its beginning on
	tried, written []string // rows: sent, and acknowledged
}

// A member is a node with the kconfd that runs it.
type member struct {
	*galera.Node
	door    *galera.Door
	process *galera.Process
}

func newScene(t *testing.T, size int) *scene {
	return newSceneOf(t, galera.New(t), size, withoutPrimary)
}

// newSceneOf makes one of a cluster without nodes.
func newSceneOf(t *testing.T, c *galera.Cluster, size int, withoutPrimary string) *scene {
	s := &scene{T: t, cluster: c, withoutPrimary: withoutPrimary, began: time.Now()}
	port := 0
	theServer.Use(t, func(c *cluster.Cluster) {
		s.namespace = c.Namespace(t)
		s.kubeconfig = c.Kubeconfig(t, cluster.Admin, s.namespace)
		client, err := galeranode.NewClient(c.Config())
		if err == nil {
			s.store, err = galeranode.NewStore(client, s.namespace, "test")
		}
		if err == nil {
			_, err = fmt.Sscanf(c.URL(), "https://127.0.0.1:%d", &port)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for i := range size {
		n := s.cluster.Node(t, fmt.Sprintf("node%d", i+1))
		s.members = append(s.members, &member{Node: n, door: n.Door(t, port)})
	}
	return s
}

// start starts kconfd on a node.
func (s *scene) start(m *member) {
	s.Helper()
	conf := filepath.Join(m.Dir, "conf")
	path := filepath.Join(conf, "conf.d", "process.toml")
	hook := func(name string, flags ...string) string {
		args := append([]string{"kconfd", "galera", name, "-defaults-file", m.Config(), "-kubeconfig", s.kubeconfig}, flags...)
		return `["` + strings.Join(args, `", "`) + `"]`
	}
	text := fmt.Sprintf(`[process]
pre_start = %s
pre_start_timeout = "none"
post_start = %s
post_start_timeout = "none"
post_stop = %s
ready = "notify"
stop_before_ready = "kill"
stop_grace = "30s"
restart = "on-failure"
restart_wait = "100ms:2s"
forward = []
%s`, hook("start"), hook("joined", "-without-primary", s.withoutPrimary), hook("stopped"), s.process)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	command := []string{"env", "POD_NAME=" + m.Name, "MYSQL_ALLOW_EMPTY_PASSWORD=yes", "kconfd", "-log-level", "debug", "-confdir", conf}
	command = append(append(command, s.flags...), "--")
	m.process = m.Start(s, append(command, m.Server()...)...)
}

// withoutPrimary is long enough for a join on a busy machine, and for the last view to
// come back.
const withoutPrimary = "8s"

// nodes are those of the members.
func nodes(members []*member) (nodes []*galera.Node) {
	for _, m := range members {
		nodes = append(nodes, m.Node)
	}
	return nodes
}

// form starts all nodes at once, for the first time.
func (s *scene) form() {
	s.Helper()
	for _, m := range s.members {
		s.start(m)
	}
	s.awaitAll()
	founders := 0
	for _, m := range s.members {
		founders += strings.Count(m.process.Log(), "the first data directory is made")
	}
	if founders != 1 {
		s.Errorf("%d nodes founded the cluster", founders)
	}
	s.members[0].Ask(s, "CREATE DATABASE test; CREATE TABLE test.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))")
	s.judge()
}

// awaitAll waits until all nodes take part, and the record says so.
func (s *scene) awaitAll() {
	s.Helper()
	for _, m := range s.members { // a file is cheaper to look at than a server
		galera.Await(s, fmt.Sprintf("node %q is synced", m.Name), func() bool { return m.Phase() == "SYNCED: Operational" })
	}
	for _, m := range s.members {
		m.AwaitSynced(s)
		m.AwaitStatus(s, "wsrep_cluster_size", fmt.Sprint(len(s.members)))
	}
	for _, m := range s.members {
		s.awaitState(m, "synced")
	}
}

// awaitState waits until the record says so of a node.
func (s *scene) awaitState(m *member, want string) {
	s.Helper()
	galera.Await(s, fmt.Sprintf("the record says %q of node %q", want, m.Name), func() bool { return s.entry(m).State == galeranode.State(want) })
}

// entry is what the record says of a node.
func (s *scene) entry(m *member) galeranode.Node {
	s.Helper()
	time.Sleep(30 * time.Millisecond) // not to keep the API server busy for those who wait
	r, err := s.store.Read(s.Context())
	if err != nil {
		return galeranode.Node{}
	}
	return r.Nodes[m.Name]
}

// judge fails unless all nodes are one cluster with the same data, in which no row is
// missing of which anybody was told that it is there.
func (s *scene) judge() {
	s.Helper()
	galera.WantHealthy(s, nodes(s.members)...)
	const question = "SET SESSION wsrep_sync_wait = 15; CHECKSUM TABLE test.t"
	want := s.members[0].Ask(s, question)
	for _, m := range s.members[1:] {
		if got := m.Ask(s, question); got != want {
			s.Errorf("node %q has other data than %q: %q and %q", m.Name, s.members[0].Name, got, want)
		}
	}
	there := map[string]bool{}
	for text := range strings.Lines(s.members[0].Ask(s, "SELECT text FROM test.t")) {
		there[strings.TrimSpace(text)] = true
	}
	for _, text := range s.written {
		if !there[text] {
			s.Errorf("row %q was lost", text)
		}
	}
	uuid := s.members[0].Status("wsrep_cluster_state_uuid")
	if s.uuid == "" {
		s.uuid = uuid
	}
	if uuid != s.uuid || uuid == "" {
		s.Errorf("the cluster was %q, and is %q now", s.uuid, uuid)
	}
	s.Logf("%d rows, at %v", len(there), time.Since(s.began).Round(time.Millisecond))
}

// whileWriting writes to all nodes in turn until do has returned.
func (s *scene) whileWriting(do func()) {
	s.Helper()
	done, begun := make(chan struct{}), make(chan struct{})
	before := len(s.written)
	var writer sync.WaitGroup
	writer.Go(func() { // until done is closed
		for i := 0; ; i++ {
			text := fmt.Sprintf("row-%d", len(s.tried))
			s.tried = append(s.tried, text)
			_, err := s.members[i%len(s.members)].Query(fmt.Sprintf("INSERT INTO test.t (text) VALUES ('%s')", text))
			if err == nil {
				s.written = append(s.written, text)
				if len(s.written) == before+len(s.members) {
					close(begun)
				}
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	defer func() {
		close(done)
		writer.Wait()
		if len(s.written) == before {
			s.Error("nothing was written")
		}
	}()
	select {
	case <-begun:
	case <-time.After(grace):
	}
	do()
}

// kill ends a node as the loss of its machine would.
func (m *member) kill(t *testing.T) {
	t.Helper()
	m.process.Signal(t, syscall.SIGKILL)
	m.process.Wait(t, grace)
}

// stop ends a node as the deletion of its pod would.
func (m *member) stop(t *testing.T) {
	t.Helper()
	m.process.Signal(t, syscall.SIGTERM)
	m.process.Wait(t, 2*grace)
}

// atOnce does something with all of the members at the same time.
func atOnce(members []*member, do func(*member)) {
	var running sync.WaitGroup
	for _, m := range members {
		running.Go(func() { do(m) })
	}
	running.Wait()
}

// A cluster forms from nothing, and comes back from whatever crashes.
func TestCrashes(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.form()
	for _, crash := range []struct {
		name string
		do   func()
	}{
		{"all at once", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.kill(t) }) })
			for _, m := range s.members {
				s.start(m)
			}
		}},
		{"all at once, without the API server", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.kill(t) }) })
			for _, m := range s.members {
				m.door.Shut()
				s.start(m)
			}
			for _, m := range s.members {
				m.AwaitSynced(t)
				m.door.Open(t)
			}
		}},
		{"two of three", func() {
			s.whileWriting(func() { atOnce(s.members[1:], func(m *member) { m.kill(t) }) })
			for _, m := range s.members[1:] {
				s.start(m)
			}
		}},
		{"one", func() {
			s.whileWriting(func() { s.members[0].kill(t) })
			s.start(s.members[0])
		}},
		{"one, with its volume", func() {
			s.whileWriting(func() { s.members[0].kill(t) })
			s.members[0].Empty(t)
			s.start(s.members[0])
		}},
		{"the server of one", func() {
			s.whileWriting(func() { send(t, s.members[1].Find(t, "mariadbd ").PID, syscall.SIGKILL) })
		}},
	} {
		t.Log(crash.name)
		crash.do()
		s.awaitAll()
		s.judge()
		if t.Failed() {
			t.FailNow()
		}
	}
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// A cluster comes back from stops: of all nodes at once, of one after another, with a
// volume that is lost in between, and by a person's decision where that is needed.
func TestStops(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.form()
	a, b, c := s.members[0], s.members[1], s.members[2]
	restart := func() {
		for _, m := range s.members {
			s.start(m)
		}
	}
	for _, stop := range []struct {
		name string
		do   func()
	}{
		{"all at once", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.stop(t) }) })
			for _, m := range s.members {
				s.wantState(m, "stopped")
			}
			restart()
		}},
		{"one after another", func() {
			s.whileWriting(func() {
				for _, m := range s.members {
					m.stop(t)
				}
			})
			restart()
			c.process.AwaitLog(t, "--wsrep-new-cluster") // it left last
		}},
		{"all, and the first returns late", func() {
			s.whileWriting(func() {
				c.stop(t)
				a.stop(t)
				b.stop(t)
			})
			s.start(a)
			s.start(c)
			s.awaitWaits(a, "waits for node2, which has more")
			s.start(b)
		}},
		{"all, one without the API server", func() {
			s.whileWriting(func() {
				a.door.Shut()
				atOnce(s.members, func(m *member) { m.stop(t) })
			})
			s.start(b)
			s.start(c)
			s.awaitWaits(b, "waits for node1, which may be running: synced since")
			a.door.Open(t)
			s.start(a)
		}},
		{"all, and one volume is lost", func() {
			s.whileWriting(func() {
				b.stop(t) // so that the others have what it had, and perhaps more
				atOnce([]*member{a, c}, func(m *member) { m.stop(t) })
			})
			b.Empty(t)
			restart()
		}},
		{"all are killed, and one volume is lost", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.kill(t) }) })
			b.Empty(t)
			restart()
			s.awaitWaits(a, "node2 lost its data, and nobody knows how much that was")
			s.wantBootstrap(a, 1, "node2 lost its data")
			s.wantBootstrap(b, 1, "no data to begin with", "-force")
			best := a
			if s.entry(c).Seqno > s.entry(a).Seqno {
				best = c
			}
			s.wantBootstrap(best, 0, "overruled: node2 lost its data", "-force")
		}},
		{"all, and the one that has more is given up", func() {
			a.stop(t)
			b.stop(t)
			c.Ask(t, "INSERT INTO test.t (text) VALUES ('given up 1'), ('given up 2')")
			c.stop(t)
			s.start(a)
			s.start(b)
			s.awaitWaits(a, "waits for node3, which has more")
			s.wantBootstrap(a, 1, "node3 has more")
			s.wantBootstrap(a, 0, "overruled: node3 has more", "-force")
			a.AwaitSynced(t)
			b.AwaitSynced(t)
			a.Ask(t, "INSERT INTO test.t (text) VALUES ('instead')")
			s.written = append(s.written, "instead")
			s.start(c)
			c.process.AwaitLog(t, "not in the history of its cluster any more")
		}},
	} {
		t.Log(stop.name)
		stop.do()
		s.awaitAll()
		s.judge()
		if t.Failed() {
			t.FailNow()
		}
	}
	s.wantForeign(b)
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// wantState fails unless the record says so of a node.
func (s *scene) wantState(m *member, want string) {
	s.Helper()
	if got := s.entry(m).State; got != galeranode.State(want) {
		s.Errorf("node %q: the record says %q, want %q", m.Name, got, want)
	}
}

// awaitWaits waits until a node tells in the record for what it waits.
func (s *scene) awaitWaits(m *member, want string) {
	s.Helper()
	galera.Await(s, fmt.Sprintf("node %q: %s", m.Name, want), func() bool { return strings.Contains(s.entry(m).Waits, want) })
}

// wantBootstrap runs `kconfd galera bootstrap`.
func (s *scene) wantBootstrap(from *member, code int, want string, flags ...string) {
	s.Helper()
	args := append([]string{"galera", "bootstrap", "-kubeconfig", s.kubeconfig, "-cluster", "test", "-from", from.Name}, flags...)
	cmd := exec.Command("kconfd", args...)
	out, _ := cmd.CombinedOutput() // the exit code tells
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
		s.Errorf("%q: got exit code %d, want %d and %q:\n%s", args, got, code, want, out)
	}
}

// wantForeign fails unless a node with the data of another cluster is not started.
func (s *scene) wantForeign(m *member) {
	s.Helper()
	m.stop(s.T)
	own := m.Save(s)
	state := filepath.Join(m.Data(), "grastate.dat")
	text, err := os.ReadFile(state)
	if err != nil {
		s.Fatal(err)
	}
	other := "12345678" + s.uuid[8:]
	if err := os.WriteFile(state, []byte(strings.ReplaceAll(string(text), s.uuid, other)), 0o644); err != nil {
		s.Fatal(err)
	}
	s.start(m)
	m.process.AwaitLog(s, "the data directory is that of the cluster "+other)
	m.stop(s.T)
	m.Restore(s, own)
	s.start(m)
	s.awaitAll()
	s.judge()
}

// A cluster comes back when the API server is away, when the majority is lost for good,
// when its record is deleted, and when nothing but its record is left.
func TestOutages(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.form()
	a, b, c := s.members[0], s.members[1], s.members[2]
	doors := func(do func(*galera.Door)) {
		for _, m := range s.members {
			do(m.door)
		}
	}
	open := func() { doors(func(d *galera.Door) { d.Open(t) }) }
	restart := func() {
		for _, m := range s.members {
			s.start(m)
		}
	}
	for _, outage := range []struct {
		name string
		do   func()
	}{
		{"all stop without the API server", func() {
			doors((*galera.Door).Shut)
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.stop(t) }) })
			open()
			restart()
		}},
		{"all start without the API server, which knows that they do not run", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.stop(t) }) })
			doors((*galera.Door).Shut)
			restart()
			for _, m := range s.members {
				m.process.AwaitLog(t, "waits for the API server")
				s.wantNoServer(m)
			}
			open()
		}},
		{"one starts without its volume and the API server", func() {
			s.whileWriting(func() { b.kill(t) })
			b.Empty(t)
			b.door.Shut()
			s.start(b)
			b.process.AwaitLog(t, "waits for the API server")
			s.wantNoServer(b)
			b.door.Open(t)
		}},
		{"two crash, and the last view cannot come back", func() {
			s.whileWriting(func() { atOnce(s.members[:2], func(m *member) { m.kill(t) }) })
			if err := os.Remove(filepath.Join(a.Data(), "gvwstate.dat")); err != nil {
				t.Fatal(err)
			}
			s.start(a)
			s.start(b)
			c.process.AwaitLog(t, "has no primary component, and is started anew|"+restored)
		}},
		{"the record is deleted, and all are restarted", func() {
			s.deleteRecord()
			for _, m := range []*member{c, b, a} {
				m.stop(t)
				s.start(m)
				m.AwaitSynced(t)
				s.awaitState(m, "synced")
			}
			r, err := s.store.Read(t.Context())
			if err != nil || r.Adopted {
				t.Errorf("the record knows all nodes: got %+v, %v, want that it is not taken for older", r, err)
			}
		}},
		{"an old record is put back, by which nobody runs, and one restarts", func() {
			s.whileWriting(func() { c.kill(t) })
			s.stopInRecord()
			s.start(c)
			c.process.AwaitLog(t, "and by the record none runs there|the record was put back|listening: ") // the monitors of a and b are at work
		}},
		{"all crash once more", func() {
			s.whileWriting(func() { atOnce(s.members, func(m *member) { m.kill(t) }) })
			restart()
		}},
		{"nothing is left but the record", func() {
			atOnce(s.members, func(m *member) { m.stop(t); m.Empty(t) })
			restart()
			s.awaitWaits(a, "delete the record")
			began := time.Now()
			a.stop(t)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("SIGTERM ended a start that waits after %v", took)
			}
			s.deleteRecord()
			s.start(a)
			galera.Await(t, "a cluster is founded", func() bool {
				return s.entry(a).State == "synced" || s.entry(b).State == "synced" || s.entry(c).State == "synced"
			})
			for _, m := range s.members {
				m.AwaitSynced(t)
			}
			a.Ask(t, "CREATE DATABASE test; CREATE TABLE test.t (id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200))")
			s.uuid, s.written = "", nil
		}},
	} {
		t.Log(outage.name)
		outage.do()
		s.awaitAll()
		s.judge()
		if t.Failed() {
			t.FailNow()
		}
	}
	atOnce(s.members, func(m *member) { m.stop(t) })
}

// wantNoServer fails if the server of a node runs.
func (s *scene) wantNoServer(m *member) {
	s.Helper()
	for _, f := range m.Processes(s) {
		if strings.HasPrefix(f.Command, "mariadbd ") {
			s.Errorf("node %q: the server runs: %+v", m.Name, f)
		}
	}
}

// stopInRecord makes the record one by which no server runs.
func (s *scene) stopInRecord() {
	s.Helper()
	theServer.Use(s.T, func(c *cluster.Cluster) {
		configMaps := c.Client().CoreV1().ConfigMaps(s.namespace)
		record, err := configMaps.Get(s.Context(), "test-galera", metav1.GetOptions{})
		if err != nil {
			s.Fatal(err)
		}
		for key, text := range record.Data {
			record.Data[key] = strings.Replace(text, `"state":"synced"`, `"state":"stopped"`, 1)
		}
		if _, err := configMaps.Update(s.Context(), record, metav1.UpdateOptions{}); err != nil {
			s.Fatal(err)
		}
	})
}

func (s *scene) deleteRecord() {
	s.Helper()
	theServer.Use(s.T, func(c *cluster.Cluster) {
		err := c.Client().CoreV1().ConfigMaps(s.namespace).Delete(s.Context(), "test-galera", metav1.DeleteOptions{})
		if err != nil {
			s.Fatal(err)
		}
	})
}
