package galera_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/galera"
)

// theServer is the API server of all tests. Its methods are for one goroutine at a time.
var theServer struct {
	sync.Mutex
	cluster *cluster.Cluster
	err     error
}

// onServer calls use while nobody else uses the API server.
func onServer(t *testing.T, use func(*cluster.Cluster)) {
	t.Helper()
	theServer.Lock()
	defer theServer.Unlock()
	if theServer.cluster == nil && theServer.err == nil {
		theServer.cluster, theServer.err = cluster.New("")
	}
	if theServer.err != nil {
		t.Fatalf("starting an API server: %v", theServer.err)
	}
	use(theServer.cluster)
}

// A scene is a cluster of three nodes that forms itself.
type scene struct {
	*testing.T
	cluster    *galera.Cluster
	namespace  string
	kubeconfig string
	members    []*member
}

// A member is a node with the kconfd that runs it.
type member struct {
	*galera.Node
	door    *galera.Door
	process *galera.Process
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, cluster: galera.New(t)}
	port := 0
	onServer(t, func(c *cluster.Cluster) {
		s.namespace = c.Namespace(t)
		s.kubeconfig = c.Kubeconfig(t, cluster.Admin, s.namespace)
		_, err := fmt.Sscanf(c.URL(), "https://127.0.0.1:%d", &port)
		if err != nil {
			t.Fatal(err)
		}
	})
	for i := range 3 {
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
	hook := func(name string) string {
		return fmt.Sprintf(`["kconfd", "galera", %q, "-defaults-file", %q, "-kubeconfig", %q]`, name, m.Config(), s.kubeconfig)
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
`, hook("start"), hook("joined"), hook("stopped"))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	command := []string{"env", "POD_NAME=" + m.Name, "MYSQL_ALLOW_EMPTY_PASSWORD=yes", "kconfd", "-log-level", "debug", "-confdir", conf, "--"}
	m.process = m.Start(s, append(command, m.Server()...)...)
}

func TestForm(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, m := range s.members {
		s.start(m)
	}
	for _, m := range s.members {
		m.AwaitSynced(t)
	}
	galera.WantHealthy(t, s.members[0].Node, s.members[1].Node, s.members[2].Node)
	founders := 0
	for _, m := range s.members {
		founders += strings.Count(m.process.Log(), "first data directory is made")
		t.Log(m.process.Log())
	}
	t.Log(founders)
}
