package galera

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remembered is a record with a history: an absent node that has the most, and one that is diverged.
func remembered() *Record {
	r := nodes(map[string]Node{"a": at(Synced, 3), "b": at(Synced, 3), "c": at(Stopped, 100), "d": at(Offered, 90).lost(95, true)})
	r.ID, r.Writes, r.Generation = "id", 40, 3
	for _, name := range []string{"a", "b"} {
		n := r.Nodes[name]
		n.Generation = 3
		r.Nodes[name] = n
	}
	r.Forks, r.Elections = []Fork{{2, 50}}, []Fork{{3, 60}}
	return r
}

// What a later version of a record is, and what is another one.
func TestFollows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Record)
		want   bool
	}{
		"the same":                         {func(*Record) {}, true},
		"one write later":                  {func(r *Record) { r.Writes++ }, true},
		"a key of a node was removed":      {func(r *Record) { delete(r.Nodes, "c") }, true},
		"an older one":                     {func(r *Record) { r.Writes-- }, false},
		"another one":                      {func(r *Record) { r.ID, r.Writes = "new", 90 }, false},
		"less of a generation":             {func(r *Record) { r.Generation-- }, false},
		"without a fork":                   {func(r *Record) { r.Forks = nil }, false},
		"without an election":              {func(r *Record) { r.Elections = nil }, false},
		"without the cluster's UUID":       {func(r *Record) { r.UUID = "" }, false},
		"written by an older kconfd":       {func(r *Record) { r.ID, r.Writes = "", 0 }, true},
		"an older one, without an ID":      {func(r *Record) { r.ID, r.Writes, r.Generation = "", 0, 2 }, false},
		"another election came in between": {func(r *Record) { r.Elections = append(r.Elections, Fork{3, 70}) }, true},
	} {
		r := remembered()
		c.change(r)
		if got := r.follows(remembered()); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if !newRecord("test").follows(nil) {
		t.Error("nothing is remembered: want that all follows")
	}
}

// A record that is made again from memory forbids all that the deleted one forbade.
func TestRecalled(t *testing.T) {
	t.Parallel()
	known := remembered()
	got := known.recalled()
	if got.ID != "id" || got.Writes != 40+forgotten || got.Generation != 3 || got.UUID != oneUUID || !got.Adopted || len(got.Forks) != 1 || len(got.Elections) != 1 {
		t.Errorf("got %+v", got.General)
	}
	for name, n := range known.Nodes {
		m := got.Nodes[name]
		if !m.State.mayRun() || m.Position != n.Position || m.Generation != n.Generation || n.Lost != m.Lost {
			t.Errorf("%s: got %+v, want it as one that may be running, as %+v", name, m, n)
		}
	}
	if n := got.Nodes["b"]; n.State != Synced {
		t.Errorf("b: got %s", n.State)
	}
	wantSame(t, known, remembered())
}

// Of a record that was made anew, or put back, and one that is remembered, the more careful is taken
// of each node. It does not depend on which monitor comes first.
func TestMerged(t *testing.T) {
	t.Parallel()
	anew := newRecord("test")
	anew.ID, anew.Writes, anew.Adopted = "new", 9, true
	for name, n := range map[string]Node{"a": has(Offered, NoData), "c": at(Joining, 80), "e": at(Offered, 7)} {
		n.Token = "token of " + name + ", anew"
		anew.Nodes[name] = n
	}
	older := remembered()
	older.Writes, older.Generation, older.Elections = 20, 2, nil
	older.Nodes["a"], older.Nodes["c"] = at(Joining, 2), at(Stopped, 20)
	for name, c := range map[string]struct {
		record *Record
		writes int64
		states map[string]State
		seqnos map[string]int64
	}{
		"made anew": {anew, 40 + forgotten, map[string]State{"a": Synced, "b": Synced, "c": Joining, "d": Joining, "e": Joining}, map[string]int64{"a": 3, "c": 100, "e": 7}},
		"put back":  {older, 40 + forgotten, map[string]State{"a": Synced, "b": Synced, "c": Joining, "d": Joining}, map[string]int64{"a": 3, "c": 100}},
	} {
		before := c.record.clone()
		got := c.record.merged(remembered())
		if got.ID != "id" || got.Writes != c.writes || got.Generation != 3 || !got.Adopted || len(got.Forks) != 1 || len(got.Elections) != 1 {
			t.Errorf("%s: got %+v", name, got.General)
		}
		for node, want := range c.states {
			if n := got.Nodes[node]; n.State != want {
				t.Errorf("%s: %s: got %s, want %s", name, node, n.State, want)
			}
		}
		for node, want := range c.seqnos {
			if n := got.Nodes[node]; n.Data != Full || n.Seqno != want {
				t.Errorf("%s: %s: got %+v, want it at %d", name, node, n, want)
			}
		}
		if got.Nodes["d"].Lost == nil || got.Nodes["a"].Token != before.Nodes["a"].Token {
			t.Errorf("%s: got %+v", name, got.Nodes)
		}
		if !got.follows(remembered()) {
			t.Errorf("%s: it would be merged again and again", name)
		}
		wantSame(t, c.record, before)
		if err := got.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if one, other := anew.merged(remembered()), remembered().merged(anew); one.ID != other.ID || one.Generation != other.Generation {
		t.Errorf("got %+v and %+v", one.General, other.General)
	}
}

// A record that is deleted comes back with what a monitor remembers, also when another one has begun it
// anew before.
func testRemembered(p *place) {
	for _, begunAnew := range []bool{false, true} {
		p.put(remembered())
		a, b := p.box("a").fill(7), p.box("b").fill(7)
		a.serve()
		b.serve()
		one, other := a.monitor(), b.monitor()
		for _, j := range []*Joined{one, other} {
			if err := j.note(p.Context()); err != nil {
				p.Fatal(err)
			}
		}
		before := p.record()
		if err := p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}); err != nil {
			p.Fatal(err)
		}
		if begunAnew {
			other = b.monitor()
			if err := other.note(p.Context()); err != nil {
				p.Fatal(err)
			}
			if got := p.record(); len(got.Nodes) != 1 || got.Generation != 3 {
				p.Fatalf("got %+v", got)
			}
		}
		if err := one.recheck(p.Context()); err != nil {
			p.Fatal(err)
		}
		got := p.record()
		if got.ID != before.ID || got.Generation != 3 || len(got.Forks) != 1 || len(got.Elections) != 1 || got.Nodes["a"].State != Synced || got.Nodes["b"].State != Synced {
			p.Errorf("begun anew %v: got %+v", begunAnew, got)
		}
		if n := got.Nodes["c"]; !n.State.mayRun() || n.Seqno != 100 {
			p.Errorf("begun anew %v: the absent node: got %+v", begunAnew, n)
		}
		if n := got.Nodes["d"]; n.Lost == nil || n.Lost.Seqno != 95 {
			p.Errorf("begun anew %v: the loss is forgotten: got %+v", begunAnew, n)
		}
		for range 2 { // the other one has nothing to add
			if err := other.recheck(p.Context()); err != nil {
				p.Fatal(err)
			}
		}
		if after := p.record(); after.Writes > got.Writes+forgotten+1 {
			p.Errorf("begun anew %v: it is written %d times", begunAnew, after.Writes-got.Writes)
		}
		if err := p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}); err != nil {
			p.Fatal(err)
		}
	}
}

// monitor is that of a node with data whose server is Synced.
func (b *box) monitor() *Joined {
	b.Helper()
	settings, err := ReadSettings(b.path("my.cnf"))
	if err != nil {
		b.Fatal(err)
	}
	b.write("wsrep.json", `{"status": {"state": "SYNCED"}}`)
	settings.StatusFile = b.path("wsrep.json")
	store, err := b.store(b.config, "test")
	if err != nil {
		b.Fatal(err)
	}
	j := &Joined{NodeCommand: b.command(b.config), settings: settings, store: store, dir: dataDir{path: settings.DataDir}}
	if j.generation, err = j.dir.generation(); err != nil {
		b.Fatal(err)
	}
	return j
}
