package galera

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// in is a node that is Synced with a view.
func in(seqno int64, members int) Node {
	n := at(Synced, 3)
	n.View = &View{oneUUID, seqno, members}
	return n
}

// The others have settled when all who were in a view with the node have one and the same later view.
func TestBehind(t *testing.T) {
	t.Parallel()
	other := in(6, 3)
	other.View.ID = strings.Replace(oneUUID, "1", "2", 1)
	stopped := in(5, 3)
	stopped.State = Stopped
	for name, c := range map[string]struct {
		nodes map[string]Node
		want  int
	}{
		"all have the view that was left": {map[string]Node{"b": in(5, 3), "c": in(5, 3)}, 2},
		"one has":                         {map[string]Node{"b": in(6, 2), "c": in(5, 3)}, 1},
		"none has":                        {map[string]Node{"b": in(6, 2), "c": in(6, 2)}, 0},
		"they have different views":       {map[string]Node{"b": in(6, 2), "c": in(7, 1)}, 1},
		"of different components":         {map[string]Node{"b": in(6, 3), "c": other}, 1},
		"one is down since before":        {map[string]Node{"b": in(6, 2), "c": in(4, 4)}, 0},
		"one is stopped":                  {map[string]Node{"b": in(6, 2), "c": stopped}, 0},
		"the view of one is not known":    {map[string]Node{"b": in(6, 2), "c": at(Synced, 3)}, 0},
		"it was alone":                    {nil, 0},
	} {
		r := nodes(c.nodes)
		r.Nodes["a"] = in(5, 3)
		if got := r.behind("a", &View{oneUUID, 5, 3}); len(got) != c.want {
			t.Errorf("%s: got %q, want %d", name, got, c.want)
		}
	}
}

// In its turn, a node that has stopped waits until the others have a view without it, and no longer than
// it is meant to. It does not wait for an API server that is away.
func testLeave(p *place) {
	for name, c := range map[string]struct {
		others map[string]Node
		left   *View
		limit  time.Duration
		settle bool // the others have the next view after some time
		least  time.Duration
		logs   string
	}{
		"they have the next view already": {map[string]Node{"b": in(6, 2), "c": in(6, 2)}, &View{oneUUID, 5, 3}, time.Hour, false, 0, "the others have a view without this node"},
		"they have it soon":               {map[string]Node{"b": in(5, 3), "c": in(5, 3)}, &View{oneUUID, 5, 3}, time.Hour, true, 700 * time.Millisecond, "the others have a view without this node"},
		"they do not get it":              {map[string]Node{"b": in(6, 2), "c": in(5, 3)}, &View{oneUUID, 5, 3}, time.Second, false, time.Second, "do not have a view without this node yet"},
		"it was alone":                    {nil, &View{oneUUID, 5, 1}, time.Hour, false, 0, ""},
		"its view is not known":           {map[string]Node{"b": in(5, 3)}, nil, time.Hour, false, 0, ""},
		"it is not its turn":              {map[string]Node{"b": in(5, 3)}, &View{oneUUID, 5, 2}, 0, false, 0, ""},
	} {
		own := in(5, 3)
		own.View, own.Pod = c.left, "pod of a"
		r := nodes(c.others)
		r.Nodes["a"] = own
		p.put(r)
		a := p.box("a").fill(7)
		var log bytes.Buffer
		command := a.command(p.config)
		command.Log = slog.New(slog.NewTextHandler(&log, nil))
		if c.settle {
			time.AfterFunc(c.least, func() {
				p.replace(func(r *Record) { r.Nodes["b"], r.Nodes["c"] = in(6, 2), in(6, 2) })
			})
		}
		begin := time.Now()
		if err := (StoppedCommand{NodeCommand: command, ViewTimeout: c.limit}).Run(p.Context()); err != nil {
			p.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took < c.least || took > c.least+patience {
			p.Errorf("%s: it took %v, want %v", name, took, c.least)
		}
		if !strings.Contains(log.String(), c.logs) || c.logs == "" && strings.Contains(log.String(), "a view") {
			p.Errorf("%s: want %q in the log:\n%s", name, c.logs, log.String())
		}
		p.deleteRecord()
	}
}

func (p *place) deleteRecord() {
	p.Helper()
	if err := p.admin.CoreV1().ConfigMaps(p.namespace).Delete(p.Context(), "test-galera", metav1.DeleteOptions{}); err != nil {
		p.Fatal(err)
	}
}
