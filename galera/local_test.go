package galera

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	testprocess "github.com/kconfd/kconfd/test/process"
)

// dir is a data directory with these files; a name with a slash at its end is a
// directory. The server's recovery gives the position.
func dir(t *testing.T, recovered string, files map[string]string) dataDir {
	t.Helper()
	d := dataDir{path: t.TempDir(), server: filepath.Join(t.TempDir(), "mariadbd"), file: "my.cnf"}
	script := "#!/bin/sh\necho 2026-01-01 12:00:00 0 [Note] WSREP: Recovered position: " + recovered + " >&2\n"
	if recovered == "" {
		script = "#!/bin/sh\necho it is broken\nexit 1\n"
	}
	if err := testprocess.WriteProgram(d.server, []byte(script)); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(d.join(name), 0o755)
		} else {
			err = os.WriteFile(d.join(name), []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// saved is a grastate.dat.
func saved(uuid string, seqno, safe int) string {
	return fmt.Sprintf("# GALERA saved state\nversion: 2.1\nuuid:    %s\nseqno:   %d\nsafe_to_bootstrap: %d\n", uuid, seqno, safe)
}

func TestInspect(t *testing.T) {
	t.Parallel()
	const view = "my_uuid: 1\n#vwbeg\nview_id: 3 1 4\nbootstrap: 0\nmember: 1 0\nmember: 2 0\n#vwend\n"
	for name, c := range map[string]struct {
		recovered string
		files     map[string]string
		want      local
	}{
		"nothing":                            {"", nil, local{data: NoData}},
		"what a failed join left":            {"", map[string]string{"grastate.dat": saved(noUUID, -1, 0), "ibdata1": ""}, local{data: Partial}},
		"a broken-off transfer":              {"", map[string]string{"grastate.dat": saved(noUUID, -1, 0), "mysql/": ""}, local{data: Partial}},
		"a transfer that lost tables":        {"", map[string]string{"grastate.dat": saved(oneUUID, -1, 0)}, local{data: Partial}},
		"a first boot":                       {"", map[string]string{"mysql/": ""}, local{data: Fresh}},
		"a first start that came to nothing": {noUUID + ":-1", map[string]string{"mysql/": "", generationName: "1"}, local{data: Fresh, generation: 1}},
		"a power cut after the founding":     {oneUUID + ":1", map[string]string{"mysql/": "", generationName: "1"}, local{data: Full, position: Position{oneUUID, 1}, generation: 1}},
		"a clean stop":                       {oneUUID + ":9", map[string]string{"grastate.dat": saved(oneUUID, 9, 1), "mysql/": ""}, local{data: Full, position: Position{oneUUID, 9}, safe: true}},
		"a crash right after founding":       {noUUID + ":-1", map[string]string{"grastate.dat": saved(oneUUID, -1, 1), "mysql/": ""}, local{data: Partial, position: Position{"", -1}, safe: true}},
		"a crash":                            {oneUUID + ":9", map[string]string{"grastate.dat": saved(oneUUID, -1, 0), "mysql/": "", "gvwstate.dat": view}, local{data: Full, position: Position{oneUUID, 9}, view: 2, me: "1"}},
		"tables behind the file":             {oneUUID + ":7", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": ""}, local{data: Full, position: Position{oneUUID, 9}}},
		"tables of another cluster":          {otherUUID + ":20", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": ""}, local{data: Full, position: Position{oneUUID, 9}}},
		"a file that a power cut erased":     {oneUUID + ":9", map[string]string{"grastate.dat": "", "mysql/": ""}, local{data: Full, position: Position{oneUUID, 9}}},
		"the same, with nothing":             {noUUID + ":-1", map[string]string{"grastate.dat": "", "mysql/": ""}, local{data: Partial, position: Position{"", -1}}},
		"marked":                             {oneUUID + ":9", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": "", markerName: ""}, local{data: Full, position: Position{oneUUID, 9}, marked: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := dir(t, c.recovered, c.files).inspect(t.Context())
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(local{})); err != nil || diff != "" {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestInspectFails(t *testing.T) {
	t.Parallel()
	broken := dir(t, "", map[string]string{"grastate.dat": saved(oneUUID, -1, 0), "mysql/": ""})
	if _, err := broken.inspect(t.Context()); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("got %v", err)
	}
	if err := testprocess.WriteProgram(broken.server, []byte("#!/bin/sh\nsleep 60\n")); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("told to end")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	began := time.Now()
	if _, err := broken.inspect(ctx); !errors.Is(err, cause) || time.Since(began) > 20*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// The files that tell the server how it may start.
func TestPrepareFiles(t *testing.T) {
	t.Parallel()
	d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": "", "gvwstate.dat": "x"})
	for _, do := range []func() error{d.mark, d.allowBootstrap, func() error { return d.remove(gvwstateName, "not there") }} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.inspect(t.Context())
	want := local{data: Full, position: Position{oneUUID, 9}, safe: true, marked: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(local{})); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if err := d.discard(); err != nil {
		t.Fatal(err)
	}
	if got, err := d.inspect(t.Context()); err != nil || got.data != Partial {
		t.Errorf("got %+v, %v", got, err)
	}
	if left, _ := filepath.Glob(d.join(".*")); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}

// A node that joins from a new volume leaves a sign there before the record says that its
// server may run. A server that ends at once has not lost data then.
func TestJoinFromNewVolume(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	d := dir(t, "", map[string]string{"my.cnf": "[mysqld]\nuser=" + me.Username + "\n"})
	d.file = d.join("my.cnf")
	d.path = d.join("not/there")
	if err := d.discard(); err == nil {
		t.Error("without the volume: got no error")
	}
	d.path = filepath.Dir(d.path)
	if err := d.discard(); err != nil {
		t.Fatal(err)
	}
	got, err := d.inspect(t.Context())
	if err != nil || got.data != Partial {
		t.Fatalf("got %+v, %v", got, err)
	}
	joining := has(Joining, NoData)
	if lost := joining.losses(got); lost != nil {
		t.Errorf("on the same volume: got %+v lost", lost)
	}
	if lost := joining.losses(local{data: NoData}); lost == nil || !lost.Unknown {
		t.Errorf("on a new volume: got %+v lost", lost)
	}
}

// Data say of which history they are, whatever their node is called and whatever its entry says.
func TestGenerationOfData(t *testing.T) {
	t.Parallel()
	d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": ""})
	if got, err := d.generation(); err != nil || got != 0 {
		t.Errorf("without one: got %d, %v", got, err)
	}
	if err := d.setGeneration(3); err != nil {
		t.Fatal(err)
	}
	l, err := d.inspect(t.Context())
	if err != nil || l.generation != 3 {
		t.Fatalf("got %+v, %v", l, err)
	}
	for name, c := range map[string]struct {
		generation int // of the record
		entry      *Node
		want       int
	}{
		"not in the record":                 {5, nil, 3},
		"in the record, with a newer entry": {5, &Node{State: Stopped, Data: Full, Position: Position{oneUUID, 9}, Generation: 5}, 3},
		"an older record":                   {2, &Node{State: Stopped, Data: Full, Position: Position{oneUUID, 9}, Generation: 2}, 2},
	} {
		r := newRecord("test")
		r.Generation = c.generation
		if c.entry != nil {
			r.Nodes["a"] = *c.entry
		}
		if got := r.resting("a", Offered, l, stamp{}).Nodes["a"].Generation; got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	for _, content := range []string{"", "x", "-1", "99999999999999999999"} {
		if err := d.write(generationName, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.generation(); err != nil || got != 0 {
			t.Errorf("%q: got %d, %v", content, got, err)
		}
	}
}

// A grastate.dat that a power cut erased is written again, and no other one.
func TestRestoreState(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{"missing": {"mysql/": ""}, "empty": {"mysql/": "", "grastate.dat": ""}} {
		d := dir(t, oneUUID+":9", files)
		for range 2 {
			if err := d.restoreState(Position{oneUUID, 9}); err != nil {
				t.Fatal(err)
			}
		}
		if g, err := d.grastate(); err != nil || g.position != (Position{oneUUID, -1}) || g.safe {
			t.Errorf("%s: got %+v, %v", name, g, err)
		}
	}
	d := dir(t, oneUUID+":9", map[string]string{"mysql/": "", "grastate.dat": saved(oneUUID, 7, 1)})
	if err := d.restoreState(Position{oneUUID, 9}); err != nil {
		t.Fatal(err)
	}
	if g, err := d.grastate(); err != nil || g.position.Seqno != 7 || !g.safe {
		t.Errorf("one that is there: got %+v, %v", g, err)
	}
}

func TestLosses(t *testing.T) {
	t.Parallel()
	full := func(seqno int64) local { return local{data: Full, position: Position{oneUUID, seqno}} }
	known, unknown := &Lost{Position{oneUUID, 7}, false}, &Lost{Position{oneUUID, 7}, true}
	for name, c := range map[string]struct {
		old  Node
		now  local
		want *Lost
	}{
		"as much, stopped":                  {at(Stopped, 7), full(7), nil},
		"more, after a crash":               {at(Synced, 7), full(9), nil},
		"nothing, and nothing before":       {has(Offered, NoData), local{data: NoData}, nil},
		"nothing, after an offer":           {at(Offered, 7), local{data: NoData}, known},
		"nothing, after a crash":            {at(Synced, 7), local{data: NoData}, unknown},
		"nothing, after a join":             {has(Joining, NoData), local{data: NoData}, &Lost{Unknown: true}},
		"less, stopped":                     {at(Stopped, 7), full(5), known},
		"less, after a crash":               {at(Synced, 7), full(5), unknown},
		"of another cluster":                {at(Stopped, 7), local{data: Full, position: Position{otherUUID, 20}}, known},
		"never in a cluster":                {at(Synced, 7), local{data: Fresh}, unknown},
		"a transfer that was broken off":    {at(Synced, 7), local{data: Partial}, nil},
		"the same, when it was lost":        {has(Joining, NoData).lost(7, true), local{data: Partial}, unknown},
		"data, when more was lost":          {at(Offered, 5).lost(7, false), full(5), known},
		"nothing once more":                 {has(Offered, NoData).lost(7, false), local{data: NoData}, known},
		"nothing, after a first boot":       {has(Offered, Fresh), local{data: NoData}, nil},
		"data, after a join with nothing":   {has(Joining, NoData), full(7), nil},
		"lost unknown, and then it is lost": {at(Stopped, 7).lost(3, true), local{data: NoData}, unknown},
	} {
		if diff := cmp.Diff(c.want, c.old.losses(c.now)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// A cluster that is older than its record is known when all members of the view are in
// the record.
func TestAdopted(t *testing.T) {
	t.Parallel()
	r := newRecord("test").resting("a", Offered, local{data: Full, position: Position{oneUUID, 7}}, stamp{})
	if !r.Adopted {
		t.Error("data that are older than the record are not noticed")
	}
	if fresh := newRecord("test").resting("b", Offered, local{data: Fresh}, stamp{}); !fresh.Adopted {
		t.Error("data of a server without a cluster, older than the record, are not noticed")
	}
	// One that is gone and one that nobody knows are two members as well.
	gone := r.synced("a", oneUUID, "old member a", []string{"old member a", "member x", "old member b"}, 0, stamp{})
	if !gone.synced("b", oneUUID, "member b", []string{"member b", "member x"}, 0, stamp{}).Adopted {
		t.Error("the record is taken for whole, and one of the two members of the cluster is not in it")
	}
	for i, name := range []string{"a", "b", "c"} {
		if !r.Adopted {
			t.Errorf("not adopted any more with %d of 3 nodes", i)
		}
		r = r.synced(name, oneUUID, "member "+name, []string{"member a", "member b", "member c"}, 0, stamp{})
	}
	if r.Adopted || r.UUID != oneUUID {
		t.Errorf("got %+v", r)
	}
}

// Where somebody is Synced, there is a cluster: who was to be the first of one must not
// become it later.
func TestSyncedEndsDecision(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": at(Synced, 9), "b": at(Synced, 9)})
	r.Bootstrap = &Decree{From: "b", Force: true, Over: map[string]string{"a": r.Nodes["a"].standing()}}
	if got := r.synced("b", oneUUID, "", nil, 0, stamp{}); got.Bootstrap != nil {
		t.Errorf("got %+v", got.Bootstrap)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "my.cnf")
	content := "[client]\nport = 1\n[mysqld]\ndatadir = /data/\nport = 3307\nwsrep_cluster_name = x\nwsrep_node_name = a\nwsrep_node_address = [fd00::1]\n" +
		"wsrep_cluster_address = gcomm://10.0.0.1,[2001:db8::2]:4568,localhost:5000\nwsrep_status_file = wsrep.json\n"
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSettings(file)
	want := Settings{
		File: file, DataDir: "/data", Cluster: "x", Node: "a", Address: "fd00::1", Port: 3307, Transfer: "rsync", StatusFile: "/data/wsrep.json",
		Socket: "/run/mysqld/mysqld.sock", Suspect: 5 * time.Second, TransferPort: defaultTransferPort,
		Peers: []string{"10.0.0.1", "[2001:db8::2]:4568", "localhost:5000"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	peers := got.peers(t.Context()) // localhost is this machine
	if diff := cmp.Diff([]peer{{"10.0.0.1", "4567"}, {"2001:db8::2", "4568"}}, peers, cmp.AllowUnexported(peer{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Who only wants to join is not taken for a cluster, and who has an address of before is
// not taken for who has it now.
func TestCandidates(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{
		"a": {State: Offered, Address: "10.0.0.1"}, "b": {State: Synced, Address: "10.0.0.2"}, "c": {State: Joining, Address: "10.0.0.3"},
		"d": {State: Bootstrapping, Address: "10.0.0.4"}, "e": {State: Stopped, Address: "10.0.0.2"}, "f": {State: Offered, Address: "10.0.0.5"},
	})
	var all []peer
	for i := range 6 {
		all = append(all, peer{fmt.Sprintf("10.0.0.%d", i+1), "4567"})
	}
	want := []peer{{"10.0.0.2", "4567"}, {"10.0.0.4", "4567"}, {"10.0.0.6", "4567"}}
	if diff := cmp.Diff(want, r.candidates("a", all), cmp.AllowUnexported(peer{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want = []peer{{"10.0.0.1", "4567"}, {"10.0.0.5", "4567"}}
	if diff := cmp.Diff(want, r.contrary("a", all), cmp.AllowUnexported(peer{})); diff != "" {
		t.Errorf("contrary: -want +got:\n%s", diff)
	}
}

// The data of a node that was made the first by a decision are the cluster's, also when its start was
// killed before it could write that beside them.
func TestFirstNodeIsOfItsGeneration(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{"a": {State: Bootstrapping, Data: Full, Position: Position{oneUUID, 9}, Generation: 3}})
	r.Generation, r.Forks = 3, []Fork{{3, 5}}
	l := local{data: Full, position: Position{oneUUID, 9}, generation: 1}
	offered := r.resting("a", Offered, l, stamp{})
	if n := offered.Nodes["a"]; n.Generation != 3 || offered.diverged(n) {
		t.Errorf("got generation %d, diverged %v", n.Generation, offered.diverged(n))
	}
	n := r.Nodes["a"]
	n.State = Joining
	r.Nodes["a"] = n
	if n := r.resting("a", Offered, l, stamp{}).Nodes["a"]; n.Generation != 1 {
		t.Errorf("a node that was to join: got generation %d, want that of its data", n.Generation)
	}
}

// A second loss does not hide what was lost before.
func TestLossesAddUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		had   Node
		after local
		want  Lost
	}{
		"less than before":           {at(Offered, 3).lost(9, false), local{data: NoData}, Lost{Position{oneUUID, 9}, false}},
		"more than before":           {at(Offered, 12).lost(9, false), local{data: NoData}, Lost{Position{oneUUID, 12}, false}},
		"unknown before":             {at(Offered, 12).lost(9, true), local{data: NoData}, Lost{Position{oneUUID, 12}, true}},
		"a server that may have run": {at(Synced, 3).lost(9, false), local{data: NoData}, Lost{Position{oneUUID, 9}, true}},
		"without a position":         {has(Joining, NoData).lost(9, false), local{data: NoData}, Lost{Position{oneUUID, 9}, true}},
		"data of another cluster":    {Node{State: Offered, Data: Full, Position: Position{otherUUID, 3}}.lost(9, false), local{data: NoData}, Lost{Position{otherUUID, 3}, true}},
		"put back to an older state": {at(Offered, 3).lost(9, false), local{data: Full, position: Position{oneUUID, 1}}, Lost{Position{oneUUID, 9}, false}},
	} {
		r := nodes(map[string]Node{"a": c.had})
		if got := r.resting("a", Offered, c.after, stamp{}).Nodes["a"].Lost; got == nil || *got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
