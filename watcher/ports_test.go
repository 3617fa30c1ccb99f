package watcher

import (
	"fmt"
	"slices"
	"testing"
)

// What has no such port is left out; a port without a number is no port, and so is
// none of any number.
func TestWithPort(t *testing.T) {
	web, admin, both, none := seen("web", "10.0.0.1"), seen("admin", "10.0.0.2"), seen("both", "10.0.0.3"), seen("none", "10.0.0.4")
	admin.Ports = []Port{{Name: "admin", Port: 9000, Protocol: "TCP"}}
	both.Ports = append(both.Ports, Port{Port: 9000, Protocol: "TCP"})
	none.Ports = nil
	digits := seen("digits", "10.0.0.5")
	digits.Ports = []Port{{Name: "443", Port: 8443, Protocol: "TCP"}}
	all := []*Endpoint{web, admin, both, none, digits}
	for name, test := range map[string]struct {
		port any
		want []*Endpoint
		err  string
	}{
		"a name":                   {"http", []*Endpoint{web, both}, ""},
		"another name":             {"admin", []*Endpoint{admin}, ""},
		"the nameless one":         {"", []*Endpoint{both}, ""},
		"any":                      {"*", []*Endpoint{web, admin, both, digits}, ""},
		"no such name":             {"https", nil, ""},
		"a number":                 {9000, []*Endpoint{admin, both}, ""},
		"a number of another type": {int64(8080), []*Endpoint{web, both}, ""},
		"a number of YAML":         {float64(8080), []*Endpoint{web, both}, ""},
		"no such number":           {uint16(80), nil, ""},
		"a number as text":         {"8080", []*Endpoint{web, both}, ""}, // of a ConfigMap
		"digits as a name":         {"443", []*Endpoint{digits}, ""},
		"no such number as text":   {"99999", nil, ""},
		"no port's number":         {0, nil, "want the name of a port or its number, 1 to 65535, not 0"},
		"a fraction":               {80.5, nil, "want the name of a port or its number, 1 to 65535, not 80.5"},
		"beyond all ports":         {1 << 16, nil, "want the name of a port or its number, 1 to 65535, not 65536"},
		"nothing":                  {nil, nil, "want the name of a port or its number, 1 to 65535, not <nil>"},
		"no name":                  {"http {", nil, `"http {" is no name of a port`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := withPort(test.port, all)
			if errorText(err) != test.err {
				t.Errorf("got error %v, want %q", err, test.err)
			}
			if d := diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A hostile slice has one pod's name ten thousand times.
func TestManyPodsOfOneName(t *testing.T) {
	var members []member
	for i := range 10_000 {
		e := seenOf(seen("web-0", fmt.Sprintf("10.0.%d.%d", i/250, i%250)), "default", fmt.Sprint(i))
		e.Ready = i%3 > 0
		members = append(members, member{e, nil})
	}
	slices.SortFunc(members, compareMembers)
	allocs := testing.AllocsPerRun(1, func() {
		if got, want := len(distinct(nil, members)), 6666; got != want {
			t.Errorf("got %d members, want %d", got, want)
		}
	})
	if allocs > 100_000 {
		t.Errorf("%v allocations", allocs)
	}
}
