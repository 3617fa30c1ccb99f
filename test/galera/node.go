package galera

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A Node is a directory and an address for one server.
type Node struct {
	Name    string
	Address string // 10.0.0.x, in a network that the nodes of the cluster have for themselves
	Dir     string // all that is the node's

	options []string // of the provider
	cluster *Cluster
	number  int // from 1 on
	network *network
	doors   []*Door
	starts  int
	process *Process // the last one; nil before
}

// Node makes a node. It has an empty data directory, which is what one has that
// joins a cluster. Options are added to the provider's, such as "pc.weight=3".
func (c *Cluster) Node(t testing.TB, name string, options ...string) *Node {
	t.Helper()
	n := &Node{Name: name, Dir: filepath.Join(c.dir, name), options: options, cluster: c, number: len(c.nodes) + 1}
	n.Address = fmt.Sprintf("10.0.0.%d", n.number)
	c.nodes = append(c.nodes, n)
	var err error
	if n.network, err = c.network.plug(n.number, n.Address); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{n.Dir, n.path("tmp")} {
		if err := errors.Join(os.Mkdir(dir, 0o755), own(dir)); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(
		c.configure(),
		os.WriteFile(n.path("rsync"), []byte(n.gated()), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	n.Empty(t)
	return n
}

func (n *Node) path(name string) string { return filepath.Join(n.Dir, name) }

// Config is the path of the node's my.cnf.
func (n *Node) Config() string { return n.path("my.cnf") }

// Data is the path of the node's data directory.
func (n *Node) Data() string { return n.path("data") }

// Socket is the path of the server's socket.
func (n *Node) Socket() string { return n.path("socket") }

// Server is the command that runs the node's server. It becomes the user mysql by
// itself if nothing before it does.
func (n *Node) Server(args ...string) []string {
	return append([]string{"mariadbd", "--defaults-file=" + n.Config()}, args...)
}

// configure writes every node's my.cnf, in which there are all nodes so far.
func (c *Cluster) configure() error {
	var members []string
	for _, n := range c.nodes {
		members = append(members, n.Address)
	}
	for _, n := range c.nodes {
		if err := os.WriteFile(n.Config(), []byte(n.settings(members)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) settings(members []string) string {
	options := []string{"gcache.size=16M"}
	if !n.cluster.DefaultTimers {
		options = append(options, quickTimers)
	}
	options = append(options, n.options...)
	return fmt.Sprintf(`[mysqld]
user = mysql
datadir = %s
tmpdir = %s
socket = %s
pid_file = %s
bind_address = *
port = 3306
server_id = %d
skip_name_resolve = ON
default_storage_engine = InnoDB
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
innodb_autoinc_lock_mode = 2
performance_schema = OFF
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
max_connections = 40
binlog_format = ROW
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_provider_options = "%s"
wsrep_cluster_name = test
wsrep_cluster_address = gcomm://%s
wsrep_node_name = %s
wsrep_node_address = %s
wsrep_sst_method = rsync
wsrep_status_file = %s
`, n.Data(), n.path("tmp"), n.Socket(), n.path("pid"), n.number,
		strings.Join(options, ";"), strings.Join(members, ","), n.Name, n.Address, statusFile)
}

const (
	// quickTimers make a lost node be noticed within about a second.
	quickTimers = "evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.1S;evs.suspect_timeout=PT1S;" +
		"evs.inactive_timeout=PT3S;evs.join_retrans_period=PT0.3S;evs.delayed_keep_period=PT5S;" +
		"gmcast.peer_timeout=PT1S;gmcast.time_wait=PT1S;pc.announce_timeout=PT0.5S;pc.wait_prim_timeout=PT8S"

	statusFile = "wsrep.json" // in the data directory
)

// gated is an rsync that sends no database while the gate is shut.
func (n *Node) gated() string {
	return fmt.Sprintf(`#!/bin/sh
case " $* " in *" --recursive "*) while test -e %s; do sleep 0.02; done ;; esac
exec %s "$@"
`, n.gate(), n.cluster.rsync())
}

func (n *Node) gate() string { return n.path("gate") }

// HoldTransfers keeps full state transfers that this node gives from ending: they
// begin, and wait until ReleaseTransfers.
func (n *Node) HoldTransfers(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(n.gate(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// ReleaseTransfers lets them go on.
func (n *Node) ReleaseTransfers(t testing.TB) {
	t.Helper()
	if err := os.Remove(n.gate()); err != nil {
		t.Fatal(err)
	}
}

// Install gives the node the data directory of a first boot, with which it can
// found a cluster.
func (n *Node) Install(t testing.TB) {
	t.Helper()
	installed, err := n.cluster.installed()
	if err != nil {
		t.Fatal(err)
	}
	n.Restore(t, installed)
}

// Empty empties the data directory of a node that does not run: it joins with a
// full state transfer.
func (n *Node) Empty(t testing.TB) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(n.Data()), os.Mkdir(n.Data(), 0o755), own(n.Data())); err != nil {
		t.Fatal(err)
	}
}

// Save copies the data directory of a node that does not run, for Restore.
func (n *Node) Save(t testing.TB) string {
	t.Helper()
	saved := n.path("saved")
	if err := errors.Join(os.RemoveAll(saved), copyData(n.Data(), saved)); err != nil {
		t.Fatal(err)
	}
	return saved
}

// Restore gives a node that does not run the data directory that was saved. When
// it has been stopped in good order and is not too old, the node joins with the
// changes since then.
func (n *Node) Restore(t testing.TB, saved string) {
	t.Helper()
	err := errors.Join(os.RemoveAll(n.Data()), copyData(saved, n.Data()), os.RemoveAll(filepath.Join(n.Data(), statusFile)))
	if err != nil {
		t.Fatal(err)
	}
}

// own gives a directory to the user of Debian's packages.
func own(path string) error {
	if out, err := exec.Command("chown", "mysql:mysql", path).CombinedOutput(); err != nil {
		return fmt.Errorf("giving %q to mysql: %w (run: make packages)\n%s", path, err, out)
	}
	return nil
}

// Start runs a command, such as a supervisor with the node's Server behind it, as
// PID 1 in the node's namespaces. The test's end kills it, and with it all in the
// namespaces. The kernel does so even when the test is killed, but not to a PID 1
// that has changed its user, as a Server alone does.
func (n *Node) Start(t testing.TB, command ...string) *Process {
	t.Helper()
	n.starts++
	p, err := n.network.start(n.command(command), n.path(fmt.Sprintf("log-%d", n.starts)))
	if err != nil {
		t.Fatalf("node %q: %v", n.Name, err)
	}
	n.process = p
	return p
}

// asInit gives the command what a container would have: a /proc of its namespace,
// and the rsync of its node.
const asInit = `mount --make-rprivate / && mount -t proc proc /proc && mount --bind rsync /usr/bin/rsync && exec "$@"`

func (n *Node) command(command []string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{"-c", asInit, "sh"}, command...)...)
	cmd.Dir = n.Dir
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin", n.mark())
	return cmd
}

func (n *Node) mark() string { return "GALERA_NODE=" + n.Dir }

// close ends what runs of the node.
func (n *Node) close(t testing.TB) {
	n.Kill()
	if t.Failed() {
		n.logTail(t)
	}
	for _, d := range n.doors {
		d.Shut()
	}
	n.WantNothingLeft(t)
	if n.network != nil {
		n.network.close()
	}
}

// Kill ends what runs of the node at once.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.kill()
	}
}

// logTail shows the end of what the node has written last.
func (n *Node) logTail(t testing.TB) {
	if n.process != nil {
		log := n.process.Log()
		t.Logf("node %q:\n%s", n.Name, log[max(0, len(log)-8000):])
	}
}

// Processes are all that the node has started, in all namespaces.
func (n *Node) Processes(t testing.TB) []Found {
	t.Helper()
	found, err := processes(n.mark())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Find is the one process of the node whose command begins so.
func (n *Node) Find(t testing.TB, command string) Found {
	t.Helper()
	found := n.Processes(t)
	of := slices.DeleteFunc(slices.Clone(found), func(f Found) bool { return !strings.HasPrefix(f.Command, command) })
	if len(of) != 1 {
		t.Fatalf("node %q: want one process %q, got %+v", n.Name, command, found)
	}
	return of[0]
}

// WantNothingLeft fails when a process of the node still runs, or somebody listens
// at its address.
func (n *Node) WantNothingLeft(t testing.TB) {
	t.Helper()
	for _, f := range n.Processes(t) {
		t.Errorf("node %q: process %d is left: %s", n.Name, f.PID, f.Command)
	}
	if n.network == nil {
		return
	}
	if ports, err := n.network.listening(); err != nil || len(ports) > 0 {
		t.Errorf("node %q: ports are still listened at: %v, %v", n.Name, ports, err)
	}
}

// Query runs statements over the socket. The answer has a line for each row, with
// tabs between the columns.
func (n *Node) Query(statements string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--socket="+n.Socket(), "--batch", "--skip-column-names")
	cmd.Stdin = strings.NewReader(statements)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking node %q: %w: %s", n.Name, err, out)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Ask is Query for statements that must succeed.
func (n *Node) Ask(t testing.TB, statements string) string {
	t.Helper()
	answer, err := n.Query(statements)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Status is a status variable of the server, empty while it does not answer.
func (n *Node) Status(name string) string {
	answer, _ := n.Query(fmt.Sprintf("SHOW GLOBAL STATUS WHERE Variable_name = '%s'", name))
	_, value, _ := strings.Cut(answer, "\t")
	return value
}

// AwaitStatus waits until a status variable has the value.
func (n *Node) AwaitStatus(t testing.TB, name, want string) {
	t.Helper()
	Await(t, fmt.Sprintf("%s of node %q is %q", name, n.Name, want), func() bool { return n.Status(name) == want })
}

// AwaitSynced waits until the node takes part in its cluster.
func (n *Node) AwaitSynced(t testing.TB) {
	t.Helper()
	n.AwaitStatus(t, "wsrep_local_state_comment", "Synced")
}

// Phase is where the node stands by the status file, which the server writes long
// before it answers: "JOINING: Receiving SST". It is empty when there is none, and
// stays when the server is gone.
func (n *Node) Phase() string {
	content, err := os.ReadFile(filepath.Join(n.Data(), statusFile))
	if err != nil {
		return ""
	}
	var file struct {
		Status struct{ State, Comment string }
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return "" // it is being written
	}
	return file.Status.State + ": " + file.Status.Comment
}

// WantHealthy fails unless the nodes are the members of one cluster.
func WantHealthy(t testing.TB, nodes ...*Node) {
	t.Helper()
	want := fmt.Sprintf("Primary %d %s", len(nodes), nodes[0].Status("wsrep_cluster_state_uuid"))
	for _, n := range nodes {
		got := fmt.Sprintf("%s %s %s", n.Status("wsrep_cluster_status"), n.Status("wsrep_cluster_size"), n.Status("wsrep_cluster_state_uuid"))
		if got != want {
			t.Errorf("node %q: got cluster %q, want %q", n.Name, got, want)
		}
	}
}

// StatusFile is the path of the server's wsrep_status_file.
func (n *Node) StatusFile() string { return filepath.Join(n.Data(), statusFile) }

// Beside prepares a command to run beside the node's server: in its network and with
// its processes in sight, with more variables in its environment. Of a node that has
// not been started, there is only the network.
func (n *Node) Beside(cmd *exec.Cmd, environment ...string) *exec.Cmd {
	enter := []string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), n.network.file.Fd())}
	if n.process != nil && n.process.runs() {
		enter = append(enter, fmt.Sprintf("--pid=/proc/%d/ns/pid", n.process.PID()), fmt.Sprintf("--mount=/proc/%d/ns/mnt", n.process.PID()))
	}
	words := append(append(enter, "--"), cmd.Args...)
	beside := exec.Command("nsenter", words...)
	beside.Env = append(append(os.Environ(), environment...), n.mark())
	return beside
}

// Dial connects to a port of the node from the node itself.
func (n *Node) Dial(port int) (connection net.Conn, err error) {
	err = n.network.in(func() error {
		connection, err = net.DialTimeout("tcp", net.JoinHostPort(n.Address, strconv.Itoa(port)), patience)
		return err
	})
	return connection, err
}

// Unplug cuts the node off from all others.
func (n *Node) Unplug(t testing.TB) { n.link(t, "down") }

// Plug ends Unplug.
func (n *Node) Plug(t testing.TB) { n.link(t, "up") }

// Part parts the network: only the nodes of one group reach each other. One group of all
// nodes ends that.
func (c *Cluster) Part(t testing.TB, groups ...[]*Node) {
	t.Helper()
	var lines strings.Builder
	for i, group := range groups {
		bridge := "switch"
		if i > 0 {
			bridge = fmt.Sprintf("switch%d", i)
			if i >= c.switches {
				c.switches = i + 1
				fmt.Fprintf(&lines, "link add %s type bridge\nlink set %s up\n", bridge, bridge)
			}
		}
		for _, n := range group {
			fmt.Fprintf(&lines, "link set port%d master %s\n", n.number, bridge)
		}
	}
	if err := c.network.ip(lines.String()); err != nil {
		t.Fatal(err)
	}
}

func (n *Node) link(t testing.TB, state string) {
	t.Helper()
	if err := n.cluster.network.ip(fmt.Sprintf("link set port%d %s", n.number, state)); err != nil {
		t.Fatal(err)
	}
}
