package galera

import (
	"log/slog"
	"os"
	"testing"
)

// A full transfer removes what is beside the data. The monitor writes it again although the API server
// is away, also when the monitor was started during the transfer and only the entry has the generation.
func TestHistoryAfterTransfer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files      map[string]string // at the monitor's start
		entry      Node
		generation int
		memory     string // of which record
	}{
		"started before the transfer": {
			map[string]string{generationName: "2\n", memoryName: `{"record":"id","node":"a","writes":7,"starts":3,"next":3}`},
			Node{State: Joining, Pod: "a-0", Generation: 2},
			2, "id",
		},
		"started during the transfer": {nil, Node{State: Joining, Pod: "a-0", Generation: 2}, 2, ""},
		"the entry of another pod":    {nil, Node{State: Joining, Pod: "a-1", Generation: 2}, 0, ""},
		"an entry at rest":            {nil, Node{State: Stopped, Pod: "a-0", Generation: 2}, 0, ""},
	} {
		w := newModel(1)
		w.calm = true
		w.record = nodes(map[string]Node{"a": c.entry})
		w.record.Generation = 2
		files := map[string]string{
			"grastate.dat": saved(oneUUID, -1, 0), "wsrep.json": `{"status": {"state": "SYNCED"}}`,
		}
		for file, content := range c.files {
			files[file] = content
		}
		d := dir(t, oneUUID+":120", files)
		j := &Joined{
			NodeCommand: NodeCommand{Pod: "a-0", Log: slog.New(slog.DiscardHandler)}, dir: d, store: w.node("a"),
			settings: Settings{Cluster: "test", Node: "a", DataDir: d.path, StatusFile: d.join("wsrep.json")},
		}
		j.recall(t.Context())
		for _, file := range []string{generationName, memoryName} {
			if err := os.RemoveAll(d.join(file)); err != nil {
				t.Fatal(err)
			}
		}
		w.node("a").away = true
		if err := j.look(t.Context()); !transient(err) {
			t.Errorf("%s: got %v, want the API server away", name, err)
		}
		if got, err := d.generation(); err != nil || got != c.generation {
			t.Errorf("%s: got generation %d, %v, want %d", name, got, err, c.generation)
		}
		if got, err := d.memory(); err != nil || got.Record != c.memory {
			t.Errorf("%s: got memory %+v, %v, want that of record %q", name, got, err, c.memory)
		}
	}
}

// What a start or a stop finds without a generation gets that of its entry, and nothing else is
// overwritten.
func TestHistoryOfEntry(t *testing.T) {
	t.Parallel()
	gaveUp := Node{State: Joining, Data: Partial, Generation: 2, Starts: 4}
	started := func(starts int) local {
		return local{data: Full, memory: memory{Record: "id", Node: "a", Starts: starts, Next: 4}}
	}
	for name, c := range map[string]struct {
		l    local
		own  Node
		want int
	}{
		"removed by a transfer":            {local{data: Full}, Node{State: Joining, Generation: 2}, 2},
		"an overruled node":                {local{data: Full}, Node{Generation: 2}, 2},
		"an entry at rest":                 {local{data: Full}, Node{State: Stopped, Generation: 2}, 0},
		"there":                            {local{data: Full, generation: 1}, Node{State: Joining, Generation: 2}, 1},
		"no entry":                         {local{data: Full}, Node{}, 0},
		"no data":                          {local{data: NoData}, Node{State: Joining, Generation: 2}, 0},
		"a broken-off transfer":            {local{data: Partial}, Node{State: Joining, Generation: 2}, 0},
		"given up, and not removed":        {started(3), gaveUp, 0},
		"given up, and put back":           {started(3), Node{State: Stopped, Data: Partial, Generation: 2, Starts: 4}, 0},
		"given up, and got anew":           {started(4), gaveUp, 2},
		"given up, and all was got anew":   {local{data: Full}, gaveUp, 2},
		"not given up, and not started":    {started(3), Node{State: Joining, Data: Full, Generation: 2, Starts: 4}, 2},
		"given up under a name of another": {local{data: Full, memory: memory{Record: "id", Node: "b", Next: 4}}, gaveUp, 2},
	} {
		d := dir(t, "", nil)
		if c.l.generation > 0 {
			if err := d.setGeneration(c.l.generation); err != nil {
				t.Fatal(err)
			}
		}
		if err := keepHistory(d, &c.l, "a", c.own); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := d.generation(); err != nil || got != c.want || c.l.generation != c.want {
			t.Errorf("%s: got generation %d, %v and %d, want %d", name, got, err, c.l.generation, c.want)
		}
		if (c.own.State == Joining || c.own.Data == Partial) && c.l.data == Full {
			r := nodes(map[string]Node{"a": c.own})
			r.Generation = 2
			if got := r.resting("a", Offered, c.l, stamp{}).Nodes["a"].Generation; got != c.want {
				t.Errorf("%s: got generation %d in the next offer, want %d", name, got, c.want)
			}
		}
	}
}

// A node whose entry a forced decision removes is still compared with the right forks.
func TestOverruledHistory(t *testing.T) {
	t.Parallel()
	r := nodes(map[string]Node{
		"a": {State: Offered, Data: Full, Position: Position{oneUUID, 5}, Generation: 2},
		"b": {State: Joining, Data: NoData, Generation: 2, Token: "b's"},
	})
	r.UUID, r.Generation, r.Elections = oneUUID, 2, []Fork{{2, 0}}
	r, _, err := r.decree("a", "test", true, r.Since)
	if err != nil {
		t.Fatal(err)
	}
	d := decide(situation{record: r, self: "a"})
	if d.action != bootstrap || len(d.record.Nodes) != 1 {
		t.Fatalf("got %+v", d)
	}
	if err := d.record.check(); err != nil {
		t.Error(err)
	}
	for _, seqno := range []int64{5, 6} {
		back := d.record.resting("b", Offered, local{data: Full, position: Position{oneUUID, seqno}}, stamp{})
		if n := back.Nodes["b"]; n.Generation != 2 || len(back.Overruled) > 0 || back.diverged(n) != (seqno > 5) {
			t.Errorf("at %d: got %+v, overruled %v, diverged %v", seqno, n, back.Overruled, back.diverged(n))
		}
	}
	if len(d.record.Overruled) != 1 {
		t.Errorf("the record itself has changed: %v", d.record.Overruled)
	}
}

// A record that was put back before the monitor has read it once is known by what the data directory
// remembers. The record that the monitor writes has no lower generation.
func TestFirstReadOfOlderRecord(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"put back": "id", "begun anew": "another"} {
		w := newModel(1)
		w.calm = true
		w.record = nodes(map[string]Node{"a": {State: Offered, Data: Fresh}, "b": {State: Offered, Data: NoData}})
		w.record.ID, w.record.Writes, w.record.Generation = id, 3, 0
		d := dir(t, oneUUID+":0", map[string]string{
			"grastate.dat": saved(oneUUID, -1, 0), generationName: "1\n", memoryName: `{"record":"id","node":"a","writes":4,"starts":1,"next":1}`,
		})
		j := &Joined{
			NodeCommand: NodeCommand{Pod: "a-0", Log: slog.New(slog.DiscardHandler)}, dir: d, store: w.node("a"),
			settings: Settings{Cluster: "test", Node: "a", DataDir: d.path},
		}
		j.recall(t.Context())
		if err := j.note(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := w.record
		if own := r.Nodes["a"]; r.Generation != 1 || own.Generation != 1 || own.State != Synced || !r.Adopted {
			t.Errorf("%s: got %+v", name, r)
		}
		if b := r.Nodes["b"]; id == "id" && !b.State.mayRun() {
			t.Errorf("%s: another node is taken to be at rest: %+v", name, b)
		}
		if err := r.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
