package watcher

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/limits"
)

// A number in a StatefulSet costs nothing until a template asks for names.
func TestPodNames(t *testing.T) {
	viewOf := func(replicas, first int32) *StatefulSet {
		_, v := viewStatefulSet(&appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: "pxc"},
			Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Ordinals: &appsv1.StatefulSetOrdinals{Start: first}},
		}, &faults{})
		return v.(*StatefulSet)
	}
	got, err := viewOf(3, 9).PodNames()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pxc-9", "pxc-10", "pxc-11"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, err := viewOf(-1, 0).PodNames(); len(got) > 0 || err != nil {
		t.Errorf("of -1 replicas: got %v and error %v, want none", got, err)
	}
	huge := viewOf(2_000_000_000, 2_000_000_000)
	if huge.Replicas != 2_000_000_000 {
		t.Errorf("got %d replicas", huge.Replicas)
	}
	var over *limits.Error
	if _, err := huge.PodNames(); !errors.As(err, &over) || over.Limit != limits.Elements {
		t.Errorf("got error %v, want one of the limit on elements", err)
	}
}

// Names from data are no way to any number of watches.
func TestReadsAreLimited(t *testing.T) {
	for name, test := range map[string]struct {
		read func(r *Reader, i int)
		good int // reads that are allowed
	}{
		"endpoints":  {func(r *Reader, i int) { r.endpointsOf(fmt.Sprintf("s%d", i)) }, maxReads},
		"configMaps": {func(r *Reader, i int) { r.configMap(fmt.Sprintf("c%d", i)) }, maxAlone},
		"selectors":  {func(r *Reader, i int) { r.pods(fmt.Sprintf("a=%d", i)) }, maxAlone},
		"lookups":    {func(r *Reader, i int) { r.lookup("v1", "Pod", "x", fmt.Sprintf("p%d", i)) }, maxAlone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(offline{}, "default", slog.New(slog.DiscardHandler))
			r := w.NewReader()
			run := func(reads int) (err error) {
				v := &View{w}
				w.mu.Lock()
				defer w.mu.Unlock()
				return v.Run(r, func() error {
					for i := range reads {
						test.read(r, i)
						test.read(r, 0) // the same again is no more
					}
					return nil
				})
			}
			var over *limits.Error
			if err := run(test.good); errors.As(err, &over) {
				t.Errorf("%d reads: got error %v", test.good, err)
			}
			if err := run(test.good + 1); !errors.As(err, &over) || over.Limit != limits.Reads {
				t.Errorf("%d reads: got error %v, want one of the limit on reads", test.good+1, err)
			}
			if len(r.needs) > test.good {
				t.Errorf("%d reads are noted, and watched", len(r.needs))
			}
		})
	}
}
