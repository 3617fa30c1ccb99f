package galera

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A start that has seen another pod of its node goes on to wait for the end of that when the
// API server does not answer once: there would be two servers of one node.
func TestWaitForOtherPod(t *testing.T) {
	t.Parallel()
	const address = "127.0.77.9" // that no other test listens at
	other, err := net.Listen("tcp", address+":4567")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w := newModel(1)
	w.calm = true // nothing gets lost on the way
	w.record = nodes(map[string]Node{"a": at(Synced, 9), "b": at(Synced, 9)})
	before := w.record.Nodes["a"]
	before.Pod, before.Address = "another pod", address
	w.record.Nodes["a"] = before

	a := w.node("a")
	a.uuid, a.tables, a.rows, a.memo.Record = oneUUID, true, make([]int, 9), "id"
	a.prepare()
	a.start.dial = listening
	a.start.begun = time.Now().Add(-time.Hour)
	for _, away := range []bool{false, true, true} {
		a.away = away
		d, done, _, err := a.start.round(t.Context())
		if err != nil || done {
			t.Fatalf("API server away %v: got %v, %s because %q, want it to wait", away, err, d.action, d.reason)
		}
	}
	other.Close()
	a.away = false
	for range 2 {
		if _, _, _, err := a.start.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.record.Nodes["a"]; got.State != Offered || got.Pod != a.podName() {
		t.Errorf("after its end: got %+v", got)
	}
}

// A data directory that the record has never started is not started without it: its data may be those
// of another cluster, and a join would replace them.
func TestUnknownDataWaitForRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		memo memory
		want bool
	}{
		"never started by a record": {memory{}, false},
		"started by one":            {memory{Record: "id", Node: "a"}, true},
	} {
		w := newModel(1)
		a := w.node("a")
		a.uuid, a.tables, a.rows, a.memo, a.away = oneUUID, true, make([]int, 9), c.memo, true
		a.prepare()
		a.start.begun = time.Now().Add(-time.Hour)
		if d, done, _, err := a.start.round(t.Context()); err != nil || done != c.want {
			t.Errorf("%s: got %v, %s because %q, want a start: %v", name, err, d.action, d.reason, c.want)
		}
	}
}

// By a record that was put back, the node's entry may be at rest. A start that has seen that does not start
// the server without the record, nor does the next one: another node may have been elected.
func TestPutBackRecordIsAwaited(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.calm = true
	w.record = nodes(map[string]Node{"a": at(Offered, 9)})
	w.record.ID = "id"
	a := w.node("a")
	a.uuid, a.tables, a.rows, a.memo = oneUUID, true, make([]int, 9), memory{Record: "id", Node: "a", Starts: 1, Next: 1}
	for _, away := range []bool{false, true, true} {
		a.away = away
		a.prepare()
		for range 2 {
			a.start.begun = time.Now().Add(-time.Hour)
			d, done, _, err := a.start.round(t.Context())
			if err != nil || done {
				t.Errorf("API server away %v: got %v, %s because %q, want it to wait", away, err, d.action, d.reason)
			}
		}
	}
}

// A node is found by its address in the record. One that others would write in another way, or that is
// none, is refused before there is an entry with it.
func TestStartNeedsAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"10.0.0.1":                "",
		"10.0.0.1:4567":           "",
		"[fd00::1]":               "",
		"[fd00::1]:4567":          "",
		"":                        `is empty`,
		"pxc-0":                   `"pxc-0" is not an IP address`,
		"pxc-0.pxc.shop.svc:4567": `"pxc-0.pxc.shop.svc" is not an IP address`,
		"010.0.0.1":               `"010.0.0.1" is not an IP address`,
		"[FD00::1]":               `"FD00::1" is not written as "fd00::1"`,
		"[fd00:0:0::1]":           `"fd00:0:0::1" is not written as "fd00::1"`,
		"[::ffff:10.0.0.1]":       `"::ffff:10.0.0.1" is not written as "10.0.0.1"`,
		"[fe80::1%eth0]":          `"fe80::1%eth0" has a zone`,
		"0.0.0.0":                 `"0.0.0.0" is no address of a node`,
		"[::]":                    `"::" is no address of a node`,
		"224.0.0.1":               `"224.0.0.1" is no address of a node`,
		"10.0.0.1, 10.0.0.2":      `"10.0.0.1, 10.0.0.2" is not an IP address`,
	} {
		err := checkNodeAddress(bareHost(address))
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: got %v", address, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", address, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "my.cnf")
	content := "[mysqld]\nwsrep_node_name = a\nwsrep_cluster_address = gcomm://10.0.0.2\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Start{NodeCommand: NodeCommand{File: file, Log: slog.New(slog.DiscardHandler)}}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "wsrep_node_address is empty") {
		t.Errorf("got %v", err)
	}
}

// Before a forced decision is carried out, the start looks also at the addresses that only the record
// has: the option file of a node has no more those who are not ready.
func TestForcedLooksAtRecord(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.calm = true // nothing gets lost on the way
	b, c := at(Joining, 8), at(Stopped, 9)
	b.Address, c.Address = "198.51.100.2", "198.51.100.3"
	w.record = nodes(map[string]Node{"a": at(Stopped, 9), "b": b, "c": c})
	a := w.node("a")
	a.uuid, a.tables, a.rows = oneUUID, true, make([]int, 9)
	a.prepare()
	var dialed []peer
	a.start.look = func(context.Context) []peer { return nil }
	a.start.dial = func(_ context.Context, peers []peer) []peer {
		dialed = peers
		return peers[:1]
	}
	round := func() decision {
		d, _, _, err := a.start.round(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	round() // the offer
	if round(); dialed != nil {
		t.Errorf("without a decision: looks at %v", dialed)
	}
	decided, _, err := w.record.decree("a", "somebody", true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.record = decided
	d := round()
	if want := []peer{{"198.51.100.2", defaultPort}, {"198.51.100.3", defaultPort}}; !slices.Equal(dialed, want) {
		t.Errorf("looks at %v, want %v", dialed, want)
	}
	if d.action != revise || w.record.Bootstrap != nil {
		t.Errorf("got %s because %q, want the decision void", d.action, d.reason)
	}
}

// A node goes by what it has, and not by what somebody has written into its entry: it would become the
// first with less than the others have.
func TestEditedOffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		empty bool // the node has no data
		edit  func(*Node)
	}{
		"more":              {false, func(n *Node) { n.Seqno = 20 }},
		"data of none":      {false, func(n *Node) { n.Data, n.Position = NoData, Position{} }},
		"data of a kind":    {true, func(n *Node) { n.Data = Fresh }},
		"a transfer's rest": {true, func(n *Node) { n.Data = Partial }},
	} {
		w := newModel(1)
		w.record = nodes(map[string]Node{"a": at(Stopped, 9), "b": at(Stopped, 15)})
		a := w.node("a")
		if !c.empty {
			a.uuid, a.tables, a.rows = oneUUID, true, make([]int, 9)
		}
		a.prepare()
		round := func() decision {
			d, _, _, err := a.start.round(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		round() // the offer
		want := w.record.Nodes["a"]
		edited := w.record.clone()
		own := edited.Nodes["a"]
		c.edit(&own)
		edited.Nodes["a"] = own
		w.record = edited
		if d := round(); d.action != revise {
			t.Errorf("%s: got %s because %q, want a new offer", name, d.action, d.reason)
		}
		if got := w.record.Nodes["a"]; got.Data != want.Data || got.Position != want.Position {
			t.Errorf("%s: got %s data at %v, want %s at %v", name, got.Data, got.Position, want.Data, want.Position)
		}
	}
}

// What an earlier process offered, or left at its end, is offered anew by each start: with its own pod and
// address, and behind the marker.
func TestOfferOfThisStart(t *testing.T) {
	t.Parallel()
	for _, state := range []State{Offered, Stopped} {
		w := newModel(1)
		before := at(state, 9)
		before.Token, before.Pod, before.Address = "of an earlier process", "an earlier pod", "198.51.100.1"
		w.record = nodes(map[string]Node{"a": before, "b": at(Synced, 9)})
		a := w.node("a")
		a.uuid, a.tables, a.rows = oneUUID, true, make([]int, 9)
		a.prepare()
		d, _, _, err := a.start.round(t.Context())
		if err != nil || d.action != revise {
			t.Errorf("%s: got %s because %q, %v, want an offer", state, d.action, d.reason, err)
		}
		if own := w.record.Nodes["a"]; own.State != Offered || !strings.HasPrefix(own.Token, a.start.run) || own.Pod != a.podName() || own.Address != a.addr || !a.marker {
			t.Errorf("%s: got %+v, marker %v", state, own, a.marker)
		}
	}
}

// Of two processes that start one node, the one whose offer the other has replaced gives up.
func TestOvertakenGivesUp(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.record = nodes(map[string]Node{"b": at(Synced, 9)})
	a := w.node("a")
	a.uuid, a.tables, a.rows = oneUUID, true, make([]int, 9)
	a.prepare()
	for range 2 { // the offer, and a look at it
		if _, _, _, err := a.start.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.record = w.record.clone()
	own := w.record.Nodes["a"]
	own.Token = "of another process"
	w.record.Nodes["a"] = own
	if _, _, _, err := a.start.round(t.Context()); !errors.Is(err, errRefused) || w.record.Nodes["a"].Token != own.Token {
		t.Errorf("got %v, and the entry %+v", err, w.record.Nodes["a"])
	}
}

// Only a node without data founds a cluster, and only when no server listens: where there are data, or servers, a cluster
// may be older than the record.
func TestWhoFounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		volume  modelVolume
		there   []peer
		adopted bool
	}{
		"nothing is there":                    {},
		"a server listens":                    {there: []peer{{"10.0.0.2", defaultPort}}, adopted: true},
		"data of a cluster":                   {volume: modelVolume{tables: true, uuid: oneUUID, rows: []int{1}}, adopted: true},
		"data of none":                        {volume: modelVolume{tables: true}, adopted: true},
		"what a broken-off transfer has left": {volume: modelVolume{partial: true}, adopted: true},
	} {
		w := newModel(1)
		w.calm = true // nothing gets lost on the way
		w.record = nil
		a := w.node("a")
		a.modelVolume = c.volume
		a.prepare()
		a.start.look = func(context.Context) []peer { return c.there }
		if _, _, _, err := a.start.round(t.Context()); err != nil || w.record == nil {
			t.Fatalf("%s: %v, %+v", name, err, w.record)
		}
		if r := w.record; r.Adopted != c.adopted || (r.Founder == "a") == c.adopted {
			t.Errorf("%s: adopted %v, founder %q", name, r.Adopted, r.Founder)
		}
	}
}

// A server that listens where an earlier pod of the node was is not that pod when another node has the
// address by now.
func TestAddressOfAnotherNode(t *testing.T) {
	t.Parallel()
	const address = "198.51.100.1"
	for name, c := range map[string]struct {
		of   string // the address of b
		want action
	}{"the pod is still there": {"198.51.100.2", wait}, "another node has its address": {address, revise}} {
		w := newModel(1)
		before, b := at(Synced, 9), at(Synced, 9)
		before.Pod, before.Address, b.Address = "an earlier pod", address, c.of
		w.record = nodes(map[string]Node{"a": before, "b": b})
		a := w.node("a")
		a.uuid, a.tables, a.rows = oneUUID, true, make([]int, 9)
		a.prepare()
		a.start.dial = func(_ context.Context, peers []peer) []peer { return peers }
		if d, _, _, err := a.start.round(t.Context()); err != nil || d.action != c.want {
			t.Errorf("%s: got %s because %q, %v, want %s", name, d.action, d.reason, err, c.want)
		}
	}
}

// Data that are not of the cluster's history are given up only when the record says so: a write that came
// to nothing may be followed by the decision that this very node is to be the first.
func TestDataAreKeptUntilWritten(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.record = nodes(map[string]Node{"a": at(Stopped, 9), "b": at(Synced, 9)})
	b := w.record.Nodes["b"]
	b.Generation, b.Address = 2, "10.0.0.2"
	w.record.Nodes["b"] = b
	w.record.Generation, w.record.Forks = 2, []Fork{{2, 5}}
	a := w.node("a")
	a.uuid, a.tables, a.rows, a.modelVolume.generation = oneUUID, true, make([]int, 9), 1
	a.prepare()
	a.start.look = func(context.Context) []peer { return []peer{{"10.0.0.2", defaultPort}} }
	if _, _, _, err := a.start.round(t.Context()); err != nil { // the offer
		t.Fatal(err)
	}
	for _, conflict := range []bool{true, false} {
		a.start.look = func(context.Context) []peer {
			if conflict {
				w.version++
			}
			return []peer{{"10.0.0.2", defaultPort}}
		}
		d, done, _, err := a.start.round(t.Context())
		if err != nil || done == conflict || !d.discard || a.partial {
			t.Fatalf("conflict %v: got %v, done %v, discard %v, the data are gone %v", conflict, err, done, d.discard, a.partial)
		}
		if done {
			a.start.Out = io.Discard
			if err := a.start.carryOut(d); err != nil || !a.partial {
				t.Errorf("got %v, and the data are gone %v", err, a.partial)
			}
		}
	}
}

// A monitor that corrects the record makes of an offer a node that may be running. If that never had data
// and its pod is the same, a new process on the empty volume says that nothing is lost.
func TestOfferThatWasCorrected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(a *modelNode, own *Node)
		lost   bool
	}{
		"the same pod":          {func(*modelNode, *Node) {}, false},
		"another pod":           {func(a *modelNode, _ *Node) { a.pod++ }, true},
		"it was started before": {func(_ *modelNode, own *Node) { own.Starts = 1 }, true},
		"it had data":           {func(_ *modelNode, own *Node) { own.Data, own.Position = Full, Position{oneUUID, 5} }, true},
	} {
		w := newModel(1)
		w.record = nodes(map[string]Node{"b": at(Synced, 9)})
		a := w.node("a")
		for i := range 2 { // processes
			a.prepare()
			if _, _, _, err := a.start.round(t.Context()); err != nil {
				t.Fatal(err)
			}
			own := w.record.Nodes["a"]
			if lost := own.Lost != nil; own.State != Offered || lost != (c.lost && i > 0) {
				t.Errorf("%s: offer %d: got %+v", name, i+1, own)
			}
			own.State = Joining
			c.change(a, &own)
			w.record = w.record.clone()
			w.record.Nodes["a"] = own
		}
	}
}

// The process that has made the offer says so as well.
func TestOwnOfferThatWasCorrected(t *testing.T) {
	t.Parallel()
	w := newModel(1)
	w.record = nodes(map[string]Node{"b": at(Synced, 9)})
	a := w.node("a")
	a.prepare()
	for i := range 2 {
		if _, _, _, err := a.start.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		own := w.record.Nodes["a"]
		if own.State != Offered || own.Lost != nil {
			t.Fatalf("offer %d: got %+v", i+1, own)
		}
		corrected := w.record.clone()
		own.State = Joining
		corrected.Nodes["a"] = own
		w.record = corrected
	}
}
