package document

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestNumbersOfYAML(t *testing.T) {
	for text, want := range map[string]any{
		"16777216":             int64(16777216),
		"9007199254740993":     int64(9007199254740993),
		"9223372036854775807":  int64(9223372036854775807),
		"-9223372036854775808": int64(-9223372036854775808),
		"+5":                   int64(5),
		"-0":                   int64(0),
		"-16777217":            int64(-16777217),
		"0640":                 int64(416),
		"0o640":                int64(416),
		"0x1F":                 int64(31),
		"0b1010":               int64(10),
		"1_000_000":            int64(1000000),
		"012345678":            int64(12345678), // 8 is no octal digit
		"08080":                int64(8080),

		"9223372036854775808":        json.Number("9223372036854775808"),
		"18446744073709551615":       json.Number("18446744073709551615"),
		"18446744073709551616":       json.Number("18446744073709551616"),
		"-9223372036854775809":       json.Number("-9223372036854775809"),
		"+9223372036854775808":       json.Number("9223372036854775808"),
		"18_446_744_073_709_551_616": json.Number("18446744073709551616"),
		"0xFFFFFFFFFFFFFFFF":         json.Number("18446744073709551615"),

		"16777216.0":                   float64(16777216),
		"1e3":                          float64(1000),
		"1.5E+3":                       float64(1500),
		"0.75":                         0.75,
		".5":                           0.5,
		"!!float 5":                    float64(5),
		"!!int \"5\"":                  int64(5),
		"1e400":                        "1e400", // as the decoder has it: no number
		"'16777216'":                   "16777216",
		"!!str 16777216":               "16777216",
		"0x1FFFFFFFFFFFFFFFFF":         "0x1FFFFFFFFFFFFFFFFF",
		"yes":                          true,
		"off":                          false,
		"~":                            nil,
		"":                             nil,
		"2024-01-01":                   "2024-01-01",
		"22:22":                        "22:22",
		"!!binary aGFsbG8=":            "hallo",
		"\xef\xbb\xbfa: 16777216":      map[string]any{"a": int64(16777216)},
		"{16777217: a, 0x10: b}":       map[string]any{"16777217": "a", "16": "b"},
		"{18446744073709551616: a}":    map[string]any{"18446744073709551616": "a"},
		"{16777217.5: a, yes: b}":      map[string]any{"1.67772175e+07": "a", "true": "b"},
		"[16777216, [16777216.0, {}]]": []any{int64(16777216), []any{float64(16777216), map[string]any{}}},
		"[&a 16777216, *a, {b: *a}]":   []any{int64(16777216), int64(16777216), map[string]any{"b": int64(16777216)}},
		"a: &a {x: 16777216}\nb: {<<: *a, q: 1}\n<<: {z: 7}": map[string]any{
			"a": map[string]any{"x": int64(16777216)}, "b": map[string]any{"x": int64(16777216), "q": int64(1)}, "z": int64(7),
		},
		"a: 1\n---\nb: 2\n":            map[string]any{"a": int64(1)},
		"a: null\nb: []\nc: {}\nd: ''": map[string]any{"a": nil, "b": []any{}, "c": map[string]any{}, "d": ""},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := FromYAML([]byte(text))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestYAMLRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":                         "did not find",
		"a: .nan":                      "\".nan\" is not a number that JSON has",
		"- [-.inf]":                    "\"-.inf\" is not a number that JSON has",
		"a: 0777777777777777777777777": "octal number \"0777777777777777777777777\" does not fit into 64 bits",
		"- {~: a}":                     "a key of a map is null",
		"[{[a]: b}]":                   "a key of a map is a map or a list",
		"a: &a [*a]":                   "contains itself",
		"[!!int x]":                    "cannot decode",
		"- !!binary '?'":               "invalid base64",
		"<<: 5":                        "map merge requires map",
	} {
		t.Run(text, func(t *testing.T) {
			if v, err := FromYAML([]byte(text)); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v, %v, want an error with %q", v, err, want)
			}
		})
	}
}

// Whatever has no large number reads as with the library that Kubernetes and Helm use.
func FuzzYAML(f *testing.F) {
	for _, text := range []string{
		"a: 1\nb: [x, 'y', \"z\"]\nc: |\n  text\n", "y: n\non: off\n", "? a\n: b\n", "- - 1\n  - 0x10\n", "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
		"{a: 1, a: 2}", "a: 1\n--- \nb: 2", "%YAML 1.1\n---\na: b", "a: !!binary aGFsbG8=", "1: a\n1.5: b\ntrue: c\n2001-01-01: d", "'': x", "\t", "a:\n- b\n- c: d\n", "[1,,2]", "- !!set {a}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := FromYAML([]byte(text))
		var want any
		wantErr := yaml.Unmarshal([]byte(text), &want)
		if (err == nil) != (wantErr == nil) {
			if strings.Contains(fmt.Sprint(err, wantErr), "octal") || strings.Contains(fmt.Sprint(wantErr), "unsupported map key of type: uint64") {
				return
			}
			t.Fatalf("%q: got %v, %v, want %v, %v", text, got, err, want, wantErr)
		}
		if err != nil {
			return
		}
		asJSON, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var rounded any
		if err := json.Unmarshal(asJSON, &rounded); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, rounded); diff != "" && !strings.ContainsAny(text, ".123456789") {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
	})
}

func TestNumbersOfJSON(t *testing.T) {
	for text, want := range map[string]any{
		"16777216":                 int64(16777216),
		"9007199254740993":         int64(9007199254740993),
		"-9223372036854775808":     int64(-9223372036854775808),
		"9223372036854775808":      json.Number("9223372036854775808"),
		"18446744073709551616":     json.Number("18446744073709551616"),
		"-0":                       int64(0),
		"-0.0":                     math.Copysign(0, -1),
		"1e3":                      float64(1000),
		"16777216.0":               float64(16777216),
		"1e400":                    json.Number("1e400"),
		`"16777216"`:               "16777216",
		"null":                     nil,
		` {"a": [1, {"b": 2.5}]} `: map[string]any{"a": []any{int64(1), map[string]any{"b": 2.5}}},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := FromJSON([]byte(text))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("error %v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestJSONRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":             "unexpected end of JSON input",
		"{\"a\": ":     "unexpected end of JSON input",
		"{\n\"a\": x}": "line 2: invalid character 'x'",
		"{}\n\n {}":    "line 3: text behind the end",
		"5 x":          "line 1: text behind the end",
		"{\n'a': 1}":   "line 2: invalid character '\\''",
		"[010]":        "line 1: invalid character '1'",
		"[NaN]":        "line 1: invalid character 'N'",
	} {
		t.Run(text, func(t *testing.T) {
			if v, err := FromJSON([]byte(text)); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v, %v, want an error with %q", v, err, want)
			}
		})
	}
}

// What was read is written as it was, and read again as the same.
func TestRoundTrip(t *testing.T) {
	for _, text := range []string{
		"a: 16777216", "a: 9007199254740993", "a: -9223372036854775808", "a: 18446744073709551615", "a: 0.75", "a: \"16777216\"", "16777217: a",
	} {
		v, err := FromYAML([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ToYAML(v)
		want := strings.ReplaceAll(text, "16777217:", `"16777217":`) + "\n"
		if err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", want, got, err)
		}
		again, err := FromYAML(got)
		if diff := cmp.Diff(v, again); err != nil || diff != "" {
			t.Errorf("%q: error %v, -first +second:\n%s", text, err, diff)
		}
	}
	for _, n := range []json.Number{"18446744073709551616", "-9223372036854775809", "1e400"} {
		if got, err := ToYAML(map[string]any{"a": []any{n}}); !strings.Contains(fmt.Sprint(err), "the number "+string(n)+" does not fit") {
			t.Errorf("%s became %q, %v", n, got, err)
		}
	}
}

func TestText(t *testing.T) {
	for content, want := range map[string]string{"": "", "a": "a", "\xef\xbb\xbfa": "a", "\xef\xbb\xbf": "", "a\xef\xbb\xbf": "a\xef\xbb\xbf"} {
		if got, err := Text([]byte(content)); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", content, got, err, want)
		}
	}
	for _, content := range []string{"\xff\xfea\x00", "\xfe\xff\x00a"} {
		if got, err := Text([]byte(content)); !strings.Contains(fmt.Sprint(err), "UTF-16") {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
	}
}

// What is encoded as JSON and read again is of the same type.
func TestLossless(t *testing.T) {
	v := map[string]any{
		"int": int64(16777216), "float": float64(16777216), "large": 1e20, "fraction": 0.1, "zero": 0.0, "number": json.Number("18446744073709551616"),
		"list": []any{float64(1), int64(1), "1", nil, true},
	}
	encoded, err := json.Marshal(Lossless(v))
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromJSON(encoded)
	if diff := cmp.Diff(any(v), got); err != nil || diff != "" {
		t.Errorf("%s: error %v, -want +got:\n%s", encoded, err, diff)
	}
}
