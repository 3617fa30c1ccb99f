package render

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// pure is sprig without what is not a function of its arguments.
func pure() template.FuncMap {
	funcs := sprig.TxtFuncMap()
	for _, name := range impure() {
		delete(funcs, name)
	}
	// sprig's give the keys in Go's random order.
	funcs["keys"], funcs["values"] = keys, values
	maps.Copy(funcs, asking())
	// sprig's take maps of any only; configMap and secret give maps of strings.
	funcs["get"], funcs["hasKey"], funcs["pick"], funcs["omit"] = get, hasKey, pick, omit
	wantLists(funcs)
	return funcs
}

// impure are the functions of sprig that read the clock or the network, or
// draw random numbers.
func impure() []string {
	return []string{
		"ago", "date", "dateInZone", "dateModify", "date_in_zone", "date_modify", "durationRound",
		"htmlDate", "htmlDateInZone", "mustDateModify", "must_date_modify", "now",
		"bcrypt", "buildCustomCert", "encryptAES", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert",
		"genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "htpasswd",
		"randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "shuffle", "uuidv4",
		"expandenv", "getHostByName",
	}
}

// helm is what Helm adds to sprig, but for include, tpl and lookup.
func helm() map[string]any {
	return map[string]any{
		"toYaml":        toYAML,
		"fromYaml":      fromYAML[map[string]any],
		"fromYamlArray": fromYAML[[]any],
		"toJson":        toJSON,
		"fromJson":      fromJSON[map[string]any],
		"fromJsonArray": fromJSON[[]any],
		"toToml":        toTOML,
		"fromToml":      fromTOML,
		"mustToYaml":    toYAML,
		"toYamlPretty":  toYAMLPretty,
		"mustToToml":    toTOML,
	}
}

// guards are what holds a render, and what few templates can do without.
func guards(nameOf func(list any) string) map[string]any {
	return map[string]any{
		"required": required,
		"fail":     func(reason string) (string, error) { return "", &HeldError{reason} },
		"atLeast":  func(n int, list any) (any, error) { return atLeast(n, list, nameOf) },
		"hostPort": hostPort,
		"env":      os.Getenv,
	}
}

// required gives value, unless it is nil, an empty string, list or map.
func required(reason string, value any) (any, error) {
	v := reflect.ValueOf(value)
	missing := !v.IsValid()
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		missing = v.Len() == 0
	case reflect.Pointer, reflect.Interface:
		missing = v.IsNil()
	}
	if missing {
		return nil, &HeldError{reason}
	}
	return value, nil
}

// atLeast gives list, unless it has fewer than n elements. The error says what nameOf
// says of the list.
func atLeast(n int, list any, nameOf func(list any) string) (any, error) {
	v := reflect.ValueOf(list)
	length := 0
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		length = v.Len()
	case reflect.Invalid:
	default:
		return nil, fmt.Errorf("want a list, not %T", list)
	}
	if length < n {
		reason := fmt.Sprintf("want at least %d, have %d", n, length)
		if nameOf != nil && list != nil {
			if name := nameOf(list); name != "" {
				reason += ": " + name
			}
		}
		return nil, &HeldError{reason}
	}
	return list, nil
}

// hostPort joins an address and a port, with brackets around IPv6.
func hostPort(host string, port any) (string, error) {
	switch v := reflect.ValueOf(port); v.Kind() {
	case reflect.Invalid, reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Pointer:
		return "", fmt.Errorf("want a port, not %s", describe(port))
	}
	text := strings.TrimSpace(fmt.Sprint(port))
	if text == "" {
		return "", errors.New("want a port, not an empty text")
	}
	return net.JoinHostPort(host, text), nil
}

// dict is any map with string keys as a map of any. Nil is an empty one.
func dict(v any) (map[string]any, error) {
	switch m := v.(type) {
	case nil, missing:
		return nil, nil
	case map[string]any:
		return m, nil
	case map[string]string:
		d := make(map[string]any, len(m))
		for k, s := range m {
			d[k] = s
		}
		return d, nil
	}
	return nil, fmt.Errorf("want a map, not %T", v)
}

func keys(dicts ...any) ([]string, error) {
	var all []string
	for _, v := range dicts {
		d, err := dict(v)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.Sorted(maps.Keys(d))...)
	}
	return all, nil
}

func values(v any) ([]any, error) {
	d, err := dict(v)
	if err != nil {
		return nil, err
	}
	var all []any
	for _, k := range slices.Sorted(maps.Keys(d)) {
		all = append(all, d[k])
	}
	return all, nil
}

func get(v any, key string) (any, error) {
	d, err := dict(v)
	if value, ok := d[key]; ok {
		return value, err
	}
	return "", err
}

func hasKey(v any, key string) (bool, error) {
	d, err := dict(v)
	_, ok := d[key]
	return ok, err
}

func pick(v any, keys ...string) (map[string]any, error) {
	d, err := dict(v)
	picked := map[string]any{}
	for _, k := range keys {
		if value, ok := d[k]; ok {
			picked[k] = value
		}
	}
	return picked, err
}

func omit(v any, keys ...string) (map[string]any, error) {
	d, err := dict(v)
	rest := map[string]any{}
	for k, value := range d {
		if !slices.Contains(keys, k) {
			rest[k] = value
		}
	}
	return rest, err
}
