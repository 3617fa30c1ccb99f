package watcher

import (
	"errors"
	"testing"
)

// The endpoints of a service that has not been listed yet are those of that
// service, and not all there are.
func TestEndpointsOfServiceNotListed(t *testing.T) {
	for name, test := range map[string]struct {
		namespace []string
		want      []Dependency
	}{
		"own namespace": {nil, []Dependency{
			{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: "default", Name: "shop"},
			{APIVersion: "v1", Kind: "Service", Namespace: "default", Name: "shop"},
		}},
		"another": {[]string{"prod"}, []Dependency{
			{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: "prod", Name: "shop"},
			{APIVersion: "v1", Kind: "Service", Namespace: "prod", Name: "shop"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := NewOffline()
			r := w.NewReader()
			var err error
			w.View(func(v *View) {
				err = v.Run(r, func() error {
					s, err := r.service("shop", test.namespace...)
					if err == nil {
						s.Endpoints()
					}
					return err
				})
			})
			var incomplete *IncompleteError
			if !errors.As(err, &incomplete) {
				t.Fatalf("got %v, want an IncompleteError", err)
			}
			if d := diff(test.want, incomplete.Pending); d != "" {
				t.Error(d)
			}
		})
	}
}
