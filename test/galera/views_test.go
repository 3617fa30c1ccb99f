package galera_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	galeranode "github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/galera"
)

// viewWrites counts how often each node has written another view into the record.
type viewWrites struct {
	mu    sync.Mutex
	last  map[string]galeranode.View
	count map[string]int
	all   int // writes of any kind
}

// watchViews counts until the test ends.
func (s *scene) watchViews() *viewWrites {
	s.Helper()
	w := &viewWrites{last: map[string]galeranode.View{}, count: map[string]int{}}
	theServer.Use(s.T, func(c *cluster.Cluster) {
		ctx, cancel := context.WithCancel(context.Background())
		events, err := c.Client().CoreV1().ConfigMaps(s.namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			s.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // until cancel
			defer close(done)
			for event := range events.ResultChan() {
				if object, ok := event.Object.(*corev1.ConfigMap); ok {
					w.take(object.Data)
				}
			}
		}()
		s.Cleanup(func() { cancel(); <-done })
	})
	return w
}

func (w *viewWrites) take(data map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all++
	for key, text := range data {
		var n galeranode.Node
		if !strings.HasPrefix(key, "node.") || json.Unmarshal([]byte(text), &n) != nil || n.View == nil {
			continue
		}
		if w.last[key] != *n.View {
			w.count[key]++
			w.last[key] = *n.View
		}
	}
}

// since gives the writes of views per node since the last call, and all writes.
func (w *viewWrites) since() (count map[string]int, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count, all = w.count, w.all
	w.count, w.all = map[string]int{}, 0
	return count, all
}

// has says whether the watch has got the last view of so many nodes: it may be later than the record.
func (w *viewWrites) has(view galeranode.View, size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, last := range w.last {
		if last == view {
			n++
		}
	}
	return n == size
}

// agree waits until so many nodes are Synced by the record, and in one view of as many.
func (s *scene) agree(size int) galeranode.View {
	s.Helper()
	var view galeranode.View
	galera.Await(s, fmt.Sprintf("%d nodes have noted the same view", size), func() bool {
		r, err := s.store.Read(s.Context())
		if err != nil {
			return false
		}
		views := map[galeranode.View]int{}
		for _, n := range r.Nodes {
			if n.State == galeranode.Synced && n.View != nil {
				views[*n.View]++
				view = *n.View
			}
		}
		return len(views) == 1 && views[view] == size && view.Members == size
	})
	return view
}

// The record follows the views of the servers. A membership change costs one write for each
// node that goes through it.
func TestViews(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d nodes", size), func(t *testing.T) {
			s := newScene(t, size)
			writes := s.watchViews()
			s.form()
			before := s.agree(size)
			galera.Await(t, "the watch is there", func() bool { return writes.has(before, size) })
			for _, change := range []struct {
				name string
				do   func()
				left int
			}{
				{"one leaves", func() { s.members[size-1].stop(t) }, size - 1},
				{"it joins again", func() { s.start(s.members[size-1]) }, size},
				{"one is killed", func() { s.members[0].kill(t); s.start(s.members[0]) }, size},
			} {
				writes.since()
				change.do()
				var after galeranode.View
				galera.Await(t, "the view has changed", func() bool {
					after = s.agree(change.left)
					return after.Seqno > before.Seqno && writes.has(after, change.left)
				})
				count, all := writes.since()
				t.Logf("%s: %v writes of views, %d writes, view %+v", change.name, count, all, after)
				for node, n := range count {
					if changes := after.Seqno - before.Seqno; int64(n) > changes {
						t.Errorf("%s: %s has written %d views in %d changes", change.name, node, n, changes)
					}
				}
				before = after
			}
			atOnce(s.members, func(m *member) { m.stop(t) })
		})
	}
}
