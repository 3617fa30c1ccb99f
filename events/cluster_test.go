package events

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/test/cluster"
)

// The real API server takes the Events under the Role that kconfd prints, shows
// them under the pod as `kubectl describe` asks for them, and refuses them
// without it.
func TestCluster(t *testing.T) {
	c := cluster.Start(t)
	namespace := c.Namespace(t)
	c.Grant(t, namespace, "kconfd", `[{apiGroups: [""], resources: [events], verbs: [create, patch]}]`)
	s := &sender{pod: Pod{Namespace: namespace, Name: "web-0", UID: "u-1"}}
	if err := s.connect(c.ConfigFor("kconfd")); err != nil {
		t.Fatal(err)
	}
	send := func(e Event) {
		t.Helper()
		if err := s.send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().Truncate(time.Second)
	e := Event{Kind: Warning, Reason: "Held", Message: "want 3", Count: 1, First: began, Last: began, name: "web-0.1"}
	send(e)
	e.Count, e.Last, e.Message, e.written = 2, began.Add(time.Minute), "want 4", true
	send(e)
	want := []corev1.Event{{
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: "web-0", UID: "u-1"},
		Type:           "Warning", Reason: "Held", Message: "want 4", Count: 2,
		FirstTimestamp: metav1.NewTime(began), LastTimestamp: metav1.NewTime(began.Add(time.Minute)),
		Source: corev1.EventSource{Component: "kconfd"}, ReportingController: "kconfd", ReportingInstance: "web-0",
	}}
	got := func() []corev1.Event {
		t.Helper()
		list, err := c.Client().CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.kind=Pod,involvedObject.name=web-0,involvedObject.uid=u-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			list.Items[i].ObjectMeta = metav1.ObjectMeta{}
		}
		return list.Items
	}
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Errorf("counted up (-want +got):\n%s", diff)
	}
	e.written = false // the answer to the first request was lost
	e.Count = 3
	want[0].Count = 3
	send(e)
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Errorf("created again (-want +got):\n%s", diff)
	}
	if err := c.Client().CoreV1().Events(namespace).Delete(t.Context(), e.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.written = true // and the server forgot it after its hour
	send(e)
	if diff := cmp.Diff(want, got()); diff != "" {
		t.Errorf("after the server forgot it (-want +got):\n%s", diff)
	}

	if err := s.connect(c.ConfigFor("alice")); err != nil {
		t.Fatal(err)
	}
	if err := s.send(t.Context(), e); !apierrors.IsForbidden(err) {
		t.Errorf("without a Role: got %v, want that it is forbidden", err)
	}
	testRecorder(t, c)
}

// A whole Recorder on the real server.
func testRecorder(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	r, err := New(c.ConfigFor(cluster.Admin), Pod{Namespace: namespace, Name: "web-0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // until cancel
	watch, err := c.Client().CoreV1().Events(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Record(Normal, "Applied", "a is written")
	for count := int32(0); count < 1; {
		select {
		case event := <-watch.ResultChan():
			count = event.Object.(*corev1.Event).Count
		case <-time.After(time.Minute):
			t.Fatal("waited in vain for an Event")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
