package watcher

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func bigSlice(n, version int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("web-%d", n), Namespace: "default", ResourceVersion: fmt.Sprint(version),
		Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
	}}
	yes := true
	for i := range 100 {
		node := fmt.Sprintf("node-%d", i%10)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", version%250, n, i)},
			Conditions: discoveryv1.EndpointConditions{Ready: &yes},
			NodeName:   &node,
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprintf("web-%d-%d", n, i)},
		})
	}
	return s
}

func BenchmarkChange(b *testing.B) {
	w := newWatcher(offline{}, "default", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	w.ctx = ctx
	r := w.NewReader()
	read := func() (n int) {
		w.View(func(v *View) {
			v.Run(r, func() error {
				eps, err := r.endpointsOf("web")
				n = len(eps)
				return err
			})
		})
		return n
	}
	read()
	var f *feed
	for _, f = range w.feeds {
	}
	var all []any
	for n := range 100 {
		all = append(all, bigSlice(n, 1))
	}
	if err := f.Replace(all, ""); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	version := 2
	for b.Loop() {
		if err := f.Update(bigSlice(version%100, version)); err != nil {
			b.Fatal(err)
		}
		if n := read(); n != 10000 {
			b.Fatal(n)
		}
		version++
	}
}

// What each endpoint of a slice costs on its way to templates, checks included.
func BenchmarkViewEndpointSlice(b *testing.B) {
	s := bigSlice(1, 1)
	s.AddressType = discoveryv1.AddressTypeIPv4
	b.ReportAllocs()
	for b.Loop() {
		var wrong faults
		if viewEndpointSlice(s, &wrong); wrong.count > 0 {
			b.Fatal(wrong)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.Endpoints)), "ns/endpoint")
}
