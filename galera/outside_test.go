package galera

import (
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// inPrimary is whether the model's server is in the primary component.
func (n *modelNode) inPrimary(Settings) bool { return n.server != nil && n.server.primary }

func (n *modelNode) restoreState(Position) error { return nil }

// A server without a status file is not taken for Synced before it has a primary view of its own,
// and not while it is connected with too few of that view.
func TestInPrimary(t *testing.T) {
	t.Parallel()
	const view = "my_uuid: 1\n#vwbeg\nview_id: 3 1 4\nbootstrap: 0\nmember: 1 0\nmember: 2 0\nmember: 3 0\n#vwend\n"
	d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, -1, 0), "mysql/": ""})
	server := filepath.Join(t.TempDir(), "mysqld")
	if out, err := exec.Command("cp", "/bin/sleep", server).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	running := exec.CommandContext(t.Context(), server, "600")
	running.Dir = d.path
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	defer running.Wait() // the context of the test has ended then
	defer running.Process.Kill()
	sql, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close()
	const port = "24567" // of members, for this test alone
	j := &Joined{
		NodeCommand: NodeCommand{Log: slog.New(slog.DiscardHandler)}, dir: d,
		settings: Settings{DataDir: d.path, Port: sql.Addr().(*net.TCPAddr).Port, Peers: []string{"127.0.79.2:" + port}},
	}
	want := func(what string, want serverState) {
		t.Helper()
		if got := j.state(t.Context()); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	want("without a view", stateUnknown)
	writeFile(t, d.join(gvwstateName), view)
	want("connected with no other member", stateUnknown)
	other, err := net.Listen("tcp", "127.0.79.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.79.1")}}
	connection, err := dialer.DialContext(t.Context(), "tcp", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	want("connected with one of two others", stateSynced)
	before := time.Now().Add(-time.Hour)
	if err := os.Chtimes(d.join(gvwstateName), before, before); err != nil {
		t.Fatal(err)
	}
	want("with a view from before its start", stateUnknown)

	// What wsrep_notify_cmd has written is exact.
	me, err := readProcess(running.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for status, c := range map[string]struct {
		primary string
		want    serverState
	}{"Synced": {"yes", stateSynced}, "synced": {"no", stateConnected}, "Joiner": {"yes", stateJoining}} {
		if err := (Notification{Status: status, Primary: c.primary}).write(d.join(defaultStatusFile), me.process); err != nil {
			t.Fatal(err)
		}
		want(status+", primary "+c.primary, c.want)
	}
	if !j.outlives(&Decree{}) {
		t.Error("it says that it has a cluster: want that a decision ends")
	}
	// One that another server has left says nothing.
	if err := (Notification{Status: "Synced", Primary: "yes"}).write(d.join(defaultStatusFile), process{PID: 1}); err != nil {
		t.Fatal(err)
	}
	want("after the end of the server that wrote it", stateUnknown)
}
