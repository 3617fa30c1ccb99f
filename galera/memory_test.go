package galera

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a data directory remembers holds for its record, and of another node only for the rows.
func TestOlder(t *testing.T) {
	t.Parallel()
	m := memory{Record: "id", Node: "a", Writes: 40, Starts: 5, Next: 6}
	for name, c := range map[string]struct {
		change func(*Record, *local)
		want   string
	}{
		"the same":                          {func(*Record, *local) {}, ""},
		"later":                             {func(r *Record, _ *local) { r.Writes, r.Generation = 50, 4 }, ""},
		"a start whose answer was lost":     {func(r *Record, _ *local) { n := r.Nodes["a"]; n.Starts = 6; r.Nodes["a"] = n }, ""},
		"fewer starts":                      {func(r *Record, _ *local) { n := r.Nodes["a"]; n.Starts = 4; r.Nodes["a"] = n }, "started 4 times, and by the data directory 5"},
		"fewer writes":                      {func(r *Record, _ *local) { r.Writes = 39 }, "written 39 times"},
		"a lower generation":                {func(r *Record, _ *local) { r.Generation = 2 }, "it has generation 2, and the data directory 3"},
		"the key of the node was removed":   {func(r *Record, _ *local) { delete(r.Nodes, "a") }, ""},
		"another record":                    {func(r *Record, _ *local) { r.ID, r.Writes, r.Generation = "new", 1, 0 }, ""},
		"a record of an older kconfd":       {func(r *Record, _ *local) { r.ID, r.Writes = "", 0 }, ""},
		"the rows of another node":          {func(_ *Record, l *local) { l.memory.Node = "b" }, "node b was started 0 times, and by the data directory 5"},
		"the rows of a node that is gone":   {func(_ *Record, l *local) { l.memory.Node = "gone" }, ""},
		"no rows, and another node":         {func(r *Record, l *local) { l.data, l.memory.Node, r.Writes = Partial, "b", 1 }, ""},
		"data from before there was memory": {func(r *Record, l *local) { l.memory = memory{}; r.Writes = 1 }, ""},
	} {
		r := remembered()
		n := r.Nodes["a"]
		n.Starts = 5
		r.Nodes["a"] = n
		l := local{data: Full, generation: 3, memory: m}
		c.change(r, &l)
		if got := r.older("a", l); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A volume that was put back is known by its starts, wherever its position is.
func TestLossesOfVolume(t *testing.T) {
	t.Parallel()
	known, unknown := &Lost{Position{oneUUID, 7}, false}, &Lost{Position{oneUUID, 7}, true}
	of := func(starts, next int) memory { return memory{Record: "id", Node: "a", Starts: starts, Next: next} }
	full := func(seqno int64, m memory) local {
		return local{data: Full, position: Position{oneUUID, seqno}, memory: m}
	}
	for name, c := range map[string]struct {
		old    Node
		starts int
		now    local
		want   *Lost
	}{
		"its own, after a crash while it was noted as Synced":        {at(Synced, 7), 5, full(9, of(5, 5)), nil},
		"its own, after a crash right before the record was written": {at(Stopped, 7), 5, full(7, of(5, 6)), nil},
		"its own, after a crash right after the record was written":  {at(Joining, 7), 6, full(7, of(5, 6)), nil},
		"its own, after a write that was carried out later":          {at(Joining, 7), 6, full(7, of(4, 7)), nil},
		"put back to before the last start":                          {at(Synced, 7), 6, full(7, of(5, 5)), unknown},
		"put back to before the last start, and further":             {at(Synced, 7), 6, full(9, of(5, 5)), unknown},
		"put back to before the last start, and stopped with more":   {at(Stopped, 7), 6, full(5, of(5, 5)), known},
		"put back, with all that it had":                             {at(Stopped, 7), 6, full(7, of(5, 5)), nil},
		"put back to a transfer, after a crash":                      {at(Synced, 7), 6, local{data: Partial, memory: of(5, 5)}, unknown},
		"put back to a transfer, after a stop":                       {at(Stopped, 7), 6, local{data: Partial, memory: of(5, 5)}, known},
		"put back to a transfer of the last start, after a stop":     {at(Stopped, 7), 6, local{data: Partial, memory: of(6, 6)}, known},
		"put back to a transfer, and nothing is remembered":          {at(Offered, 7), 6, local{data: Partial}, known},
		"no position, and its last start was not carried out":        {at(Joining, 7), 6, local{data: Partial, memory: of(5, 6)}, known},
		"no position, and it did not become the first":               {at(Bootstrapping, 7), 6, local{data: Partial, memory: of(5, 6)}, known},
		"given up by a start that was not carried out":               {has(Joining, Partial), 6, local{data: Partial, memory: of(5, 6)}, nil},
		"no position, and another record counted the starts":         {at(Joining, 7), 6, local{data: Partial, memory: memory{Record: "old", Node: "a", Starts: 5, Next: 6}}, nil},
		"a transfer of the last start that was broken off":           {at(Joining, 7), 6, local{data: Partial, memory: of(6, 6)}, nil},
		"a transfer that removed what was remembered":                {at(Synced, 7), 6, full(7, memory{}), nil},
		"the volume of another node":                                 {at(Synced, 7), 6, full(9, memory{Record: "id", Node: "b", Starts: 6, Next: 6}), unknown},
		"the volume of another node, for a new name":                 {has(Offered, NoData), 0, full(9, memory{Record: "id", Node: "b", Starts: 6, Next: 6}), nil},
		"remembered of another record":                               {at(Synced, 7), 6, full(9, memory{Record: "old", Node: "a", Starts: 1, Next: 1}), nil},
		"data from before there was memory":                          {at(Synced, 7), 0, full(9, memory{}), nil},
	} {
		r := nodes(map[string]Node{"a": c.old})
		r.ID = "id"
		n := r.Nodes["a"]
		n.Starts = c.starts
		r.Nodes["a"] = n
		if diff := cmp.Diff(c.want, r.resting("a", Offered, c.now, stamp{}).Nodes["a"].Lost); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	// A node with another name offers what it has again.
	r := nodes(nil)
	r.ID = "id"
	renamed := full(9, memory{Record: "id", Node: "b", Starts: 6, Next: 6})
	for range 2 {
		if r = r.resting("a", Offered, renamed, stamp{}); r.Nodes["a"].Lost != nil {
			t.Errorf("under another name: got %+v lost", r.Nodes["a"].Lost)
		}
	}
	// What is behind a fork was given up, and the mark of that is written before the record is.
	r = diverged(func(*Record) {})
	if got := r.resting("a", Offered, local{data: Partial}, stamp{}).Nodes["a"].Lost; got != nil {
		t.Errorf("diverged data that were given up: got %+v lost", got)
	}
}

// What a power cut, or anything else, left of the file is no memory.
func TestMemoryFile(t *testing.T) {
	t.Parallel()
	d := dir(t, oneUUID+":9", map[string]string{"grastate.dat": saved(oneUUID, 9, 0), "mysql/": ""})
	want := memory{Record: "id", Node: "a", Writes: 4, Starts: 1, Next: 2}
	if err := d.remember(want); err != nil {
		t.Fatal(err)
	}
	if l, err := d.inspect(t.Context()); err != nil || l.memory != want {
		t.Errorf("got %+v, %v", l.memory, err)
	}
	for _, content := range []string{"", "x", "[]", `{"record":"id","starts":-1}`, `{"record":"id","starts":3,"next":2}`, `{"record":"id","next":1e300}`, `{"record":"id","writes":-1}`} {
		if err := d.write(memoryName, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.memory(); err != nil || got != (memory{}) {
			t.Errorf("%q: got %+v, %v", content, got, err)
		}
	}
}

// An interrupted store does something after a write.
type interrupted struct {
	records
	after func(*Record)
}

func (i *interrupted) put(ctx context.Context, old *stored, r *Record) (*stored, error) {
	written, err := i.records.put(ctx, old, r)
	if err == nil {
		i.after(written.Record)
	}
	return written, err
}

// replace puts back a ConfigMap as it was.
func (p *place) putBack(data map[string]string) {
	p.Helper()
	configMaps := p.admin.CoreV1().ConfigMaps(p.namespace)
	object, err := configMaps.Get(p.Context(), "test-galera", metav1.GetOptions{})
	if err == nil {
		object.Data = data
		_, err = configMaps.Update(p.Context(), object, metav1.UpdateOptions{})
	}
	if err != nil {
		p.Fatal(err)
	}
}

func (p *place) data() map[string]string {
	p.Helper()
	object, err := p.admin.CoreV1().ConfigMaps(p.namespace).Get(p.Context(), "test-galera", metav1.GetOptions{})
	if err != nil {
		p.Fatal(err)
	}
	return object.Data
}

// await waits until the record holds something.
func (p *place) await(what string, holds func(*Record) bool) *Record {
	p.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if r := p.record(); holds(r) {
			return r
		}
	}
	p.Fatalf("waited in vain for %s: %+v", what, p.record())
	return nil
}

// A record is put back after a node has written that it is the first, and before its server is started.
// Another one becomes the first by it, and the node does not begin beside that.
func testPutBackBeforeStart(p *place) {
	p.put(nodes(map[string]Node{"a": at(Stopped, 7), "b": at(Stopped, 7)}))
	a, b := p.box("a").fill(7), p.box("b").fill(7)
	s := &Start{NodeCommand: a.command(p.config), Out: &a.out}
	if err := s.prepare(p.Context()); err != nil {
		p.Fatal(err)
	}
	before := p.data()
	paused := false
	s.store = &interrupted{s.store, func(r *Record) {
		if paused || r.Nodes["a"].State != Bootstrapping {
			return
		}
		paused = true
		p.putBack(before)
		if err := b.start(p.Context(), p.config); err != nil || !strings.Contains(b.out.String(), "--wsrep-new-cluster") {
			p.Errorf("b: got %q, %v", b.out.String(), err)
		}
	}}
	ctx, cancel := context.WithCancel(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.finish(ctx) }() // until cancel
	p.await("that a waits", func(r *Record) bool { return strings.Contains(r.Nodes["a"].Waits, "b, which may be running") })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || a.out.Len() > 0 {
		p.Errorf("a: got %q, %v, want that it waits", a.out.String(), err)
	}
	if !exists(a.path("data/" + markerName)) {
		p.Error("the record says that the server of a does not run, and the marker is gone")
	}
	if !strings.Contains(a.log.String(), "it is decided again") {
		p.Errorf("it does not say why:\n%s", a.log.String())
	}
}

// A monitor of a cluster whose members are all in the record takes the mark away.
func testPutBackCorrected(p *place) {
	r := nodes(map[string]Node{"a": at(Synced, 7), "b": at(Stopped, 7)})
	r.ID, r.Writes, r.PutBack, r.Adopted = "id", 4, true, true
	n := r.Nodes["a"]
	n.Pod, n.Member = "pod of a", "11111111-0000"
	r.Nodes["a"] = n
	p.put(r)
	a := p.box("a").fill(7)
	a.serve()
	a.write("data/gvwstate.dat", "my_uuid: 11111111-0000\nmember: 11111111-0000\n")
	j := a.monitor()
	j.seen.record.Generation = 1
	for range 2 {
		if err := j.recheck(p.Context()); err != nil {
			p.Fatal(err)
		}
	}
	if got := p.record(); got.PutBack || got.Adopted || got.Writes != 5 {
		p.Errorf("got %+v", got.General)
	}
}

// By a record that was put back to an older version nobody becomes the first, also not a node that
// does not see it: one that has been started since says so. A person decides with force.
func testPutBack(p *place) {
	p.put(nodes(map[string]Node{"a": at(Stopped, 7), "b": at(Stopped, 7)}))
	a := p.box("a").fill(7)
	before := p.data()
	for range 2 { // the record has no ID at first
		if err := a.start(p.Context(), p.config); err != nil {
			p.Fatal(err)
		}
		if err := (StoppedCommand{NodeCommand: a.command(p.config)}).Run(p.Context()); err != nil {
			p.Fatal(err)
		}
		if p.record().Nodes["a"].Starts == 1 {
			before = p.data()
		}
	}
	p.putBack(before)
	a.out.Reset()
	ctx, cancel := context.WithCancel(p.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.start(ctx, p.config) }() // until cancel
	r := p.await("that a says so", func(r *Record) bool { return r.PutBack })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || a.out.Len() > 0 {
		p.Errorf("a: got %q, %v, want that it waits", a.out.String(), err)
	}
	if n := r.Nodes["a"]; n.State != Stopped || !strings.Contains(n.Waits, "was put back to an older version: by it this node was started 1 times") || !strings.Contains(n.Waits, "-force") {
		p.Errorf("got %+v", n)
	}
	offered := r.clone()
	other := offered.Nodes["b"]
	other.State = Offered
	offered.Nodes["b"] = other
	if d := decide(situation{record: offered, self: "b", waited: time.Hour}); d.action != wait || !strings.Contains(d.reason, "was put back") {
		p.Errorf("b: got %s because %q", d.action, d.reason)
	}
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	var refused *RefusedError
	if _, err := Bootstrap(p.Context(), store, "a", "me", false); !errors.As(err, &refused) || !refused.Overrules {
		p.Errorf("without force: got %v", err)
	}
	if _, err := Bootstrap(p.Context(), store, "a", "me", true); err != nil {
		p.Fatal(err)
	}
	if err := a.start(p.Context(), p.config); err != nil || !strings.Contains(a.out.String(), "--wsrep-new-cluster") {
		p.Errorf("forced: got %q, %v", a.out.String(), err)
	}
	after := p.record()
	if after.PutBack || after.ID == r.ID || after.Generation <= r.Generation {
		p.Errorf("after the decision: got %+v", after.General)
	}
	if l, err := (dataDir{path: a.path("data"), server: a.path("mariadbd"), file: a.path("my.cnf")}).inspect(p.Context()); err != nil || l.memory.Record != after.ID || after.older("a", l) != "" {
		p.Errorf("got %+v, %v", l.memory, err)
	}
}
