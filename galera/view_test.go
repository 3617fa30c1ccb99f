package galera

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gvwstate is what the file has of a view of that kind, with members beside the first.
func gvwstate(kind, seqno, others int) string {
	text := fmt.Sprintf("my_uuid: %s\n#vwbeg\nview_id: %d %s %d\nbootstrap: 0\nmember: %s 0\n", oneUUID, kind, oneUUID, seqno, oneUUID)
	for i := range others {
		text += fmt.Sprintf("member: 00000000-0000-11f1-0000-%012d 0\n", i+1)
	}
	return text + "#vwend\n"
}

func TestParsePrimaryView(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		want    *View
	}{
		"three members":      {gvwstate(3, 5, 2), &View{oneUUID, 5, 3}},
		"one member":         {gvwstate(3, 1, 0), &View{oneUUID, 1, 1}},
		"not primary":        {gvwstate(2, 5, 2), nil},
		"being written":      {gvwstate(3, 5, 2)[:60], nil},
		"no member":          {"my_uuid: " + oneUUID + "\nview_id: 3 " + oneUUID + " 5\n", nil},
		"not a UUID":         {"view_id: 3 x 5\nmember: x 0\n", nil},
		"a seqno too large":  {"view_id: 3 " + oneUUID + " 9223372036854775808\nmember: " + oneUUID + " 0\n", nil},
		"an empty file":      {"", nil},
		"more than a record": {gvwstate(3, 5, maxNodes), nil},
	} {
		if diff := cmp.Diff(c.want, parsePrimaryView(c.content)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// Each field of a view in the record is checked.
func TestCheckView(t *testing.T) {
	t.Parallel()
	for field, v := range map[string]View{
		"view.id": {"x", 1, 1}, "view.seqno": {oneUUID, -1, 1}, "view.members": {oneUUID, 1, 0},
	} {
		n := at(Synced, 3)
		n.View = &v
		want := fmt.Sprintf("field %q: ", field)
		if err := n.check(); err == nil || err.Error()[:len(want)] != want {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

// The record follows the view of a server, with one write for each change. Nothing is written in
// the entry of another pod, and not of a node that is stopped.
func testViews(p *place) {
	p.put(nodes(map[string]Node{"a": at(Offered, 3), "b": at(Synced, 3)}))
	b := p.box("a").fill(7)
	b.write("data/gvwstate.dat", gvwstate(3, 1, 1))
	settings, err := ReadSettings(b.path("my.cnf"))
	if err != nil {
		p.Fatal(err)
	}
	b.write("wsrep.json", `{"status": {"state": "SYNCED"}}`)
	settings.StatusFile = b.path("wsrep.json")
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	j := &Joined{NodeCommand: b.command(p.config), settings: settings, store: store, dir: dataDir{path: settings.DataDir}}
	look := func(what string, want *View, written bool) {
		p.Helper()
		before := p.record().Nodes["a"]
		if err := j.look(p.Context()); err != nil {
			p.Errorf("%s: %v", what, err)
		}
		after := p.record().Nodes["a"]
		if diff := cmp.Diff(want, after.View); diff != "" {
			p.Errorf("%s: -want +got:\n%s", what, diff)
		}
		if got := before.Token != after.Token; got != written {
			p.Errorf("%s: written: got %v, want %v", what, got, written)
		}
	}
	look("first", &View{oneUUID, 1, 2}, true)
	look("unchanged", &View{oneUUID, 1, 2}, false)
	b.write("data/gvwstate.dat", gvwstate(3, 2, 2))
	look("a node has joined", &View{oneUUID, 2, 3}, true)
	look("unchanged", &View{oneUUID, 2, 3}, false)
	b.write("data/gvwstate.dat", gvwstate(2, 3, 0))
	look("no primary component", &View{oneUUID, 2, 3}, false)
	b.write("data/gvwstate.dat", gvwstate(3, 4, 1))
	b.write("wsrep.json", `{"status": {"state": "DONOR"}}`)
	look("a donor", &View{oneUUID, 4, 2}, true)
	b.write("data/gvwstate.dat", gvwstate(3, 5, 1))
	b.write("wsrep.json", `{"status": {"state": "JOINING"}}`)
	look("a joiner", &View{oneUUID, 4, 2}, false)
	b.write("wsrep.json", `{"status": {"state": "SYNCED"}}`)

	own := p.record().Nodes["a"]
	p.replace(func(r *Record) {
		other := own
		other.Pod = "another pod"
		r.Nodes["a"] = other
	})
	look("another pod's entry", own.View, false)
	j.seen.views.tried = time.Time{}
	p.replace(func(r *Record) {
		stopped := own
		stopped.State = Stopped
		r.Nodes["a"] = stopped
	})
	look("a stopped node's entry", own.View, false)
	j.seen.views.tried = time.Time{}
	p.replace(func(r *Record) { r.Nodes["a"] = own })
	look("its own again", &View{oneUUID, 5, 2}, true)
}

// replace changes the record behind the node's back.
func (p *place) replace(change func(*Record)) {
	p.Helper()
	store, err := p.store(p.config, "test")
	if err != nil {
		p.Fatal(err)
	}
	old, err := store.get(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	r := old.clone()
	change(r)
	if _, err := store.put(p.Context(), old, r); err != nil {
		p.Fatal(err)
	}
}
