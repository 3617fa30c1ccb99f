package watcher

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A NoPortError is the want of a port of that name.
type NoPortError struct {
	Name       string
	OfEndpoint bool     // else of a service or a pod
	There      []string // the names that there are
}

func (e *NoPortError) Error() string {
	names := make([]string, 0, len(e.There))
	for _, name := range e.There {
		names = append(names, strconv.Quote(name))
	}
	return fmt.Sprintf("no port named %q, there is %s", e.Name, cmp.Or(strings.Join(names, ", "), "none"))
}

// portNamed is the number of the first port with that name.
func portNamed(ports []Port, name string) (int32, *NoPortError) {
	missing := &NoPortError{Name: name}
	for _, p := range ports {
		if p.Name == name {
			return p.Port, nil
		}
		missing.There = append(missing.There, p.Name)
	}
	return 0, missing
}

// orNoPort makes an error of what is none when it is nil.
func orNoPort(number int32, err *NoPortError) (int32, error) {
	if err != nil {
		return 0, err
	}
	return number, nil
}

// withPort are those of the endpoints that have the port: one of that name when port
// is a string, or of that number when the string is digits; any when it is "*"; else one
// of that number. What cannot be a port's name or number is an error.
//
// An EndpointSlice has no ports, or ports without numbers, for pods that its service
// selects and that do not have the port which the service names.
func withPort(port any, endpoints []*Endpoint) ([]*Endpoint, error) {
	is, err := portMatcher(port)
	if err != nil {
		return nil, err
	}
	var list []*Endpoint
	for _, e := range endpoints {
		if slices.ContainsFunc(e.Ports, is) {
			list = append(list, e)
		}
	}
	return list, nil
}

func portMatcher(port any) (func(Port) bool, error) {
	if name, ok := port.(string); ok {
		if name == "*" {
			return func(Port) bool { return true }, nil
		}
		if name != "" && !isDNSLabel(name) {
			return nil, fmt.Errorf("%q is no name of a port", name)
		}
		// A port may be named 8080, but what env and ConfigMaps give is a number as text.
		number, err := strconv.ParseUint(name, 10, 16)
		return func(p Port) bool { return p.Name == name || err == nil && p.Port == int32(number) }, nil
	}
	number, ok := portNumber(port)
	if !ok {
		return nil, fmt.Errorf("want the name of a port or its number, 1 to 65535, not %v", port)
	}
	return func(p Port) bool { return p.Port == number }, nil
}

// portNumber is the number that a value of any numeric type is, if a port may have it.
func portNumber(value any) (int32, bool) {
	var n float64
	switch v := reflect.ValueOf(value); {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		n = float64(v.Int())
	case v.CanUint():
		n = float64(v.Uint())
	case v.CanFloat():
		n = v.Float()
	}
	if n != math.Trunc(n) || n < 1 || n > math.MaxUint16 {
		return 0, false
	}
	return int32(n), true
}
