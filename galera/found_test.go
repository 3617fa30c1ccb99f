package galera

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The role of the founder goes to another node when the founder itself has given it back, and never
// when a server may have been started as the first.
func TestGivesBack(t *testing.T) {
	t.Parallel()
	never := func() *Record {
		return nodes(map[string]Node{"a": has(Offered, NoData), "b": has(Offered, NoData)}).but(func(r *Record) {
			r.UUID, r.Generation = "", 0
			for name, n := range r.Nodes {
				n.Generation = 0
				r.Nodes[name] = n
			}
		})
	}
	for name, c := range map[string]struct {
		change func(*Record)
		data   Data
		want   bool
	}{
		"nothing exists yet":        {func(*Record) {}, NoData, true},
		"it is not the founder":     {func(r *Record) { r.Founder = "b" }, NoData, false},
		"its first boot has ended":  {func(*Record) {}, Fresh, false},
		"it has offered data":       {func(r *Record) { r.Nodes["a"] = has(Offered, Fresh) }, NoData, false},
		"it may be running":         {func(r *Record) { r.Nodes["a"] = has(Bootstrapping, NoData) }, NoData, false},
		"one was made the first":    {func(r *Record) { r.Generation = 1 }, NoData, false},
		"the cluster has a UUID":    {func(r *Record) { r.UUID = oneUUID }, NoData, false},
		"the record is adopted":     {func(r *Record) { r.Adopted = true }, NoData, false},
		"its directory is not seen": {func(*Record) {}, "", false},
	} {
		r := never()
		c.change(r)
		before := r.clone()
		got := r.givesBack("a", c.data)
		if (got != nil) != c.want || got != nil && (got.Founder != "" || got.Nodes["a"].FailedBoots != 1) {
			t.Errorf("%s: got %+v", name, got)
		}
		wantSame(t, r, before)
	}

	r := never().givesBack("a", NoData)
	if d := decide(situation{record: r, self: "a"}); d.action != wait || d.reason != "lets b found the cluster" {
		t.Errorf("a, which has failed: got %s because %q", d.action, d.reason)
	}
	if d := decide(situation{record: r, self: "a", waited: time.Minute}); d.action != revise || d.record.Founder != "a" {
		t.Errorf("a, and b does not come: got %s because %q", d.action, d.reason)
	}
	d := decide(situation{record: r, self: "b"})
	if d.action != revise || d.record.Founder != "b" {
		t.Fatalf("b: got %s because %q", d.action, d.reason)
	}
	if d := decide(situation{record: d.record, self: "b"}); d.action != found {
		t.Errorf("b, the founder: got %s because %q", d.action, d.reason)
	}
	partial := r.clone()
	partial.Nodes["b"] = has(Offered, Partial)
	if d := decide(situation{record: partial, self: "b"}); d.action != wait || !strings.Contains(d.reason, "an empty data directory") {
		t.Errorf("b, with a broken-off transfer: got %s because %q", d.action, d.reason)
	}
	partial.Nodes["b"] = has(Joining, NoData)
	if d := decide(situation{record: partial, self: "a", waited: time.Minute}); d.action != wait {
		t.Errorf("one may be running: got %s because %q", d.action, d.reason)
	}
}

// The first boot of the founder fails for good, and another node founds the cluster.
func testFailedFounder(p *place) {
	a, b := p.box("a"), p.box("b")
	// The first boot finds a variable that contradicts another one.
	broken := func(name string) (string, bool) {
		value, found := map[string]string{"MYSQL_ROOT_PASSWORD": "x", "MYSQL_ROOT_PASSWORD_FILE": "/x"}[name]
		return value, found
	}
	s := &Start{NodeCommand: a.command(p.config), Out: &a.out, Lookup: broken}
	if err := s.Run(p.Context()); err == nil || !strings.Contains(err.Error(), "first boot") {
		p.Fatalf("a: got %v", err)
	}
	r := p.record()
	if n := r.Nodes["a"]; r.Founder != "" || n.FailedBoots != 1 || !strings.Contains(n.Waits, "is not started: making the first data directory") {
		p.Errorf("got %+v", r)
	}
	if err := b.start(p.Context(), p.config); err != nil || b.out.String() != "arg --wsrep-new-cluster\n" {
		p.Errorf("b: got %q, %v", b.out.String(), err)
	}
	if r := p.record(); r.Founder != "b" || r.Nodes["b"].State != Bootstrapping {
		p.Errorf("got %+v", r)
	}
	// From then on no other node founds it.
	if err := os.RemoveAll(b.path("data/mysql")); err != nil {
		p.Fatal(err)
	}
	s = &Start{NodeCommand: b.command(p.config), Out: &b.out, Lookup: broken}
	s.local.data = NoData
	s.settings.Node = "b"
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	s.store = store
	s.complain(p.Context(), os.ErrInvalid)
	if r := p.record(); r.Founder != "b" {
		p.Errorf("after it may have served: got %+v", r)
	}
}
