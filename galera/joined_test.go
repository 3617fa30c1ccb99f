package galera

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestReadStatus(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    serverState
	}{
		"synced":           {`{"errors": [], "status": {"state": "SYNCED"}}`, stateSynced},
		"being written":    {`{"errors": [`, stateUnknown},
		"joining":          {`{"errors": [{"msg": "no donor yet"}], "status": {"state": "JOINING"}}`, "JOINING"},
		"an old complaint": {`{"errors": [{"msg": "node restart required"}], "status": {"state": "SYNCED"}}`, stateSynced},
		// As it was when the donor was killed: the server stays so, and serves nobody.
		"a transfer that broke off": {
			`{"errors": [{"timestamp": 1795362769.0, "msg": "WSREP: Receiving IST failed, node restart required: IST receiver reported failure` +
				`: 'IST didn't contain all write sets, expected last: 5646 last received: 5629' (71)\n\t at .\/galera\/src\/replicator_smm.hpp:pop_front():318. VIEW event"}], ` +
				`"status": {"state": "JOINING", "comment": "Receiving IST"}}`,
			stateBroken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "wsrep.json")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Settings{StatusFile: file}.readStatus(t.Context())
			if got.State != test.want || (err == nil) != (test.want != stateUnknown) {
				t.Errorf("got %q, %v, want %q", got.State, err, test.want)
			}
		})
	}
}

// Whether the server serves is seen without a connection, which it would log as an aborted one.
func TestServes(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	j := &Joined{settings: Settings{Port: listener.Addr().(*net.TCPAddr).Port}}
	if !j.serves() {
		t.Error("somebody listens, and it is not seen")
	}
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if connection, err := listener.Accept(); err == nil {
		t.Errorf("there is a connection from %s", connection.RemoteAddr())
	}
	listener.Close()
	if j.serves() {
		t.Error("nobody listens, and it is not seen")
	}
}

// A decision about a cluster that runs is not left in the record for the day when its
// node starts without seeing the others: it would make a second cluster then.
func TestJoinedEndsDecision(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.calm = true // nothing gets lost on the way
	w.record = nodes(map[string]Node{"a": at(Synced, 9), "b": at(Synced, 9)})
	node := w.record.Nodes["a"]
	node.Pod = "pod of a"
	w.record.Nodes["a"] = node
	decided, _, err := w.record.decree("b", "somebody", true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.record = decided

	d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, -1, 0)})
	server := filepath.Join(t.TempDir(), "mariadbd")
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

	j := &Joined{
		NodeCommand: NodeCommand{Pod: "pod of a", Log: slog.New(slog.DiscardHandler)}, dir: d, store: w.node("a"),
		settings: Settings{Cluster: "test", Node: "a", DataDir: d.path, StatusFile: "wsrep.json"}, seen: seenRecord{record: w.record.General},
	}
	if err := j.recheck(t.Context()); err != nil || w.record.Bootstrap != nil {
		t.Errorf("got %v, and the decision %+v", err, w.record.Bootstrap)
	}
	if got := w.record.Nodes["a"].State; got != Synced {
		t.Errorf("got state %s", got)
	}
}

// A server of another cluster than the record's is not noted in it.
func TestNotesItsClusterOnly(t *testing.T) {
	t.Parallel()
	for uuid, noted := range map[string]bool{"": true, oneUUID: true, "2" + oneUUID[1:]: false} {
		w := newModel(1)
		w.calm = true // nothing gets lost on the way
		w.record = nodes(map[string]Node{"b": at(Stopped, 9)})
		w.record.UUID = uuid
		before := w.record
		d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, -1, 0)})
		j := &Joined{
			NodeCommand: NodeCommand{Log: slog.New(slog.DiscardHandler)}, dir: d, store: w.node("a"), settings: Settings{Cluster: "test", Node: "a"},
		}
		if err := j.note(t.Context()); (err == nil) != noted || (w.record != before) != noted {
			t.Errorf("record of cluster %q: got %v, noted %v", uuid, err, w.record != before)
		}
	}
}

// A server without a primary component is killed only while the API server answers: its next start goes by
// the record.
func TestKillsByRecordOnly(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.calm = true // nothing gets lost on the way
	w.record = nodes(map[string]Node{"a": at(Synced, 9)})
	n := w.node("a")
	d := &killedDir{pids: []int{1}}
	j := &Joined{
		NodeCommand: NodeCommand{Log: slog.New(slog.DiscardHandler)}, dir: d, store: n, settings: Settings{Cluster: "test", Node: "a", StatusFile: "wsrep.json"},
	}
	for _, away := range []bool{true, false} {
		n.away = away
		if err := j.giveUp(t.Context(), "has no primary component"); transient(err) != away || (len(d.pids) > 0) != away {
			t.Errorf("API server away %v: got %v, and the processes %v", away, err, d.pids)
		}
	}
}

// killedDir is the data directory of a server without a primary component.
type killedDir struct {
	liveDir
	pids []int
}

func (d *killedDir) status(context.Context, Settings) (s status, err error) {
	s.State = stateConnected
	return s, nil
}

func (d *killedDir) processes() (pids []int, err error) { return d.pids, nil }

func (d *killedDir) kill(int) error {
	d.pids = nil
	return nil
}

// A node that is Synced has all rows of the cluster. What it lost before does not stop an election any more.
func TestSyncedHasLostNothing(t *testing.T) {
	t.Parallel()
	n := at(Joining, 5)
	n.Lost = &Lost{Position{oneUUID, 9}, true}
	r := nodes(map[string]Node{"a": n})
	if got := r.synced("a", oneUUID, memberID("a"), nil, 0, stamp{}); got.Nodes["a"].Lost != nil || got.loser() != "" {
		t.Errorf("got %+v lost", got.Nodes["a"].Lost)
	}
}

// A server that was started before a forced decision, and notes itself after it, is of the history of
// before, so that the decision's fork applies to it; unless it is in a view with the new history's.
func TestSyncedInItsHistory(t *testing.T) {
	t.Parallel()
	const otherMember, ownMember = "11111111-0000", "22222222-0000"
	for name, c := range map[string]struct {
		entry      *Node
		generation int // beside the data
		view       string
		want       int
	}{
		"alone, and its entry was deleted":          {nil, 1, ownMember, 1},
		"alone, and its entry is there":             {&Node{State: Joining, Data: NoData, Generation: 1}, 1, ownMember, 1},
		"alone, and nothing is beside the data":     {&Node{State: Joining, Data: NoData, Generation: 1}, 0, ownMember, 1},
		"with the node that was decided for":        {nil, 1, ownMember + "\nmember: " + otherMember, 2},
		"started after the decision":                {&Node{State: Joining, Data: NoData, Generation: 2}, 2, ownMember, 2},
		"not in the record, and nothing is written": {nil, 0, ownMember, 0},
	} {
		w := newModel(1)
		w.calm = true // nothing gets lost on the way
		w.record = nodes(map[string]Node{"b": {State: Synced, Data: Full, Position: Position{oneUUID, 100}, Generation: 2, Member: otherMember}})
		w.record.Generation, w.record.Forks = 2, []Fork{{2, 100}}
		if c.entry != nil {
			w.record.Nodes["a"] = *c.entry
		}
		d := dir(t, oneUUID+":120", map[string]string{
			"grastate.dat": saved(oneUUID, -1, 0), "gvwstate.dat": "my_uuid: " + ownMember + "\nmember: " + c.view + "\n",
		})
		j := &Joined{
			NodeCommand: NodeCommand{Log: slog.New(slog.DiscardHandler)}, dir: d, store: w.node("a"),
			settings: Settings{Cluster: "test", Node: "a"}, generation: c.generation,
		} // a transfer has removed the file
		if err := j.note(t.Context()); err != nil {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if got := w.record.Nodes["a"].Generation; got != c.want {
			t.Errorf("%s: got generation %d, want %d", name, got, c.want)
		}
		if got, err := d.generation(); err != nil || got != c.want {
			t.Errorf("%s: beside the data: got %d, %v, want %d", name, got, err, c.want)
		}
		n := w.record.Nodes["a"]
		n.Seqno = 120
		if got, want := w.record.diverged(n), c.want < 2; got != want {
			t.Errorf("%s: got diverged %v, want %v", name, got, want)
		}
	}
}

// A server is alone that waits for a transfer while nobody listens who could give it; one that
// opens its own tables is at work.
func TestLonely(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string]bool{"Receiving SST": true, "Receiving IST": true, "Initializing": false} {
		file := filepath.Join(t.TempDir(), "wsrep.json")
		writeFile(t, file, `{"status": {"state": "JOINING", "comment": "`+comment+`"}}`)
		j := &Joined{settings: Settings{StatusFile: file}, dir: dataDir{}, dial: listening}
		if got := j.isLonely(t.Context(), j.state(t.Context())); got != want {
			t.Errorf("%s: got %v, want %v", comment, got, want)
		}
	}
}
