package render

import (
	"fmt"
	"strings"
	"testing"
)

// numbers are those that templates meet: of documents, of the API, and as texts.
func numberData(t *testing.T) map[string]any {
	t.Helper()
	doc, err := fromYAML[map[string]any]("small: 5\nmib: 16777216\nid: 9007199254740993\nneg: -16777217\nratio: 0.75\nwhole: 16777216.0\nexp: 1e3\n" +
		"uint: 18446744073709551615\nlarge: 18446744073709551616\nnone: ~\nlist: [80, 443, 16777216]\n16777217: key\nmin: -9223372036854775808\nmax: 9223372036854775807")
	if err != nil {
		t.Fatal(err)
	}
	port, name := int32(3306), "8"
	return map[string]any{"y": doc, "int32": port, "pointer": &port, "text": "8\n", "named": &name, "huge": uint64(1) << 63, "small32": float32(0.5), "strings": map[string]string{"a": "1"}}
}

func TestNumbers(t *testing.T) {
	data := numberData(t)
	for text, want := range map[string]string{
		// As they are.
		`{{ .y.mib }} {{ .y.id }} {{ .y.neg }} {{ .y.uint }} {{ .y.large }}`:                           "16777216 9007199254740993 -16777217 18446744073709551615 18446744073709551616",
		`{{ .y.ratio }} {{ .y.exp }} {{ index .y "16777217" }}`:                                        "0.75 1000 key",
		`{{ typeOf .y.mib }} {{ typeOf .y.whole }}`:                                                    "int64 float64",
		`{{ .y.mib | quote }} {{ .y.mib | toString }} {{ print .y.mib }}`:                              `"16777216" 16777216 16777216`,
		`{{ printf "%d %s %05d" .y.mib (toString .y.id) .y.small }}`:                                   "16777216 9007199254740993 00005",
		`{{ printf "%d %q %v %s %q" .y.large .y.uint .y.uint .y.uint .y.uint }}`:                       `18446744073709551616 "18446744073709551615" 18446744073709551615 18446744073709551615 "18446744073709551615"`,
		`{{ range $k, $v := .y }}{{ if kindIs "int64" $v }}{{ $k }}={{ $v }} {{ end }}{{ end }}`:       "id=9007199254740993 max=9223372036854775807 mib=16777216 min=-9223372036854775808 neg=-16777217 small=5 ",
		`{{ range $i := .y.small }}{{ $i }}{{ end }} {{ range until (int .y.small) }}{{ . }}{{ end }}`: "01234 01234",
		`{{ index .y.list 2 }} {{ .y.list | join "," }} {{ cat .y.mib .y.id }}`:                        "16777216 80,443,16777216 16777216 9007199254740993",
		`{{ hostPort "a" .int32 }} {{ hostPort "a" .y.small }}`:                                        "a:3306 a:5",

		// To documents and back.
		`{{ pick .y "mib" "id" "neg" "uint" "ratio" "min" | toYaml }}`:                                           "id: 9007199254740993\nmib: 16777216\nmin: -9223372036854775808\nneg: -16777217\nratio: 0.75\nuint: 18446744073709551615",
		`{{ pick .y "mib" "id" "large" "ratio" | toJson }}`:                                                      `{"id":9007199254740993,"large":18446744073709551616,"mib":16777216,"ratio":0.75}`,
		`{{ pick .y "mib" "id" "ratio" "whole" | toToml }}`:                                                      "id = 9007199254740993\nmib = 16777216\nratio = 0.75\nwhole = 1.6777216e+07\n",
		`{{ (.y | toJson | fromJson).id }} {{ (mustFromJson "16777216") }}`:                                      "9007199254740993 16777216",
		`{{ (omit .y "large" | toYaml | fromYaml).id }} {{ (dict "a" .y.id | toToml | fromToml).a }}`:            "9007199254740993 9007199254740993",
		`{{ fromYamlArray "[16777216, -0, 0x10, 0o17, 1_000]" }} {{ fromJsonArray "[16777216, -0, 1e3, 5.0]" }}`: "[16777216 0 16 15 1000] [16777216 0 1000 5]",
		`{{ dict "a" (dict "b" 16777216 "c" (list (dict "d" 1))) "z" "x" | toToml }}`:                            "z = \"x\"\n\n[a]\n  b = 16777216\n\n  [[a.c]]\n    d = 1\n",
		`{{ fromToml "a = 2024-01-01\nb = 07:30:00\nc = 2024-01-01T07:30:00" | toToml }}`:                        "a = 2024-01-01\nb = 07:30:00\nc = 2024-01-01T07:30:00\n",

		// Comparisons are of values, whatever the types.
		`{{ eq .y.small 5 }} {{ eq .y.small 5.0 }} {{ eq .y.exp 1000 }} {{ eq .int32 3306 }} {{ ne .y.ratio 1 }}`:                         "true true true true true",
		`{{ eq .y.id 9007199254740993 }} {{ eq .y.id 9007199254740992.0 }} {{ eq .y.uint .huge }}`:                                        "true false false",
		`{{ eq 1 2 .y.small 1 }} {{ eq .y.uint "18446744073709551615" }} {{ eq .y.large .y.large }}`:                                      "true true true",
		`{{ lt .y.ratio 1 }} {{ gt .y.small 0.5 }} {{ ge .y.exp 1000 }} {{ le .y.mib .y.id }}`:                                            "true true true true",
		`{{ lt .y.uint .y.large }} {{ gt .y.large 9 }} {{ lt .y.neg 0 }} {{ lt .huge .y.uint }} {{ lt -1 .huge }}`:                        "true true true true true",
		`{{ lt "10" "9" }} {{ lt 9 10 }} {{ le "a" "a" }} {{ ge 1 1.5 }}`:                                                                 "true true true false",
		`{{ has 443 .y.list }} {{ has 443.0 .y.list }} {{ has 444 .y.list }} {{ without .y.list 80 }} {{ uniq (list 1 1.0 .y.small 5) }}`: "true true false [443 16777216] [1 5]",

		// Conversions.
		`{{ "8\n" | int }} {{ " 16" | int64 }} {{ "\t-5 " | int }} {{ .named | int }} {{ .pointer | int }}`:               "8 16 -5 8 3306",
		`{{ "+7" | int }} {{ "5.00" | int }} {{ "1e3" | int }} {{ "0x1F" | int }} {{ "0o17" | int }} {{ "1_000" | int }}`: "7 5 1000 31 15 1000",
		`{{ "08080" | int }} {{ "007" | int }} {{ "0" | int }} {{ "-0" | int }} {{ "00" | int }} {{ "-09" | int }}`:       "8080 7 0 0 0 -9",
		`{{ 8.9 | int }} {{ -8.9 | int64 }} {{ true | int }} {{ .small32 | int }} {{ "9007199254740993" | int64 }}`:       "8 -8 1 0 9007199254740993",
		`{{ "-9223372036854775808" | int64 }} {{ "9223372036854775807" | int }}`:                                          "-9223372036854775808 9223372036854775807",
		`{{ "0.5\n" | float64 }} {{ "1e3" | float64 }} {{ "8" | float64 }} {{ 3 | float64 }} {{ "0x10" | float64 }}`:      "0.5 1000 8 3 16",
		`{{ atoi " 42\n" }} {{ atoi "0640" }} {{ toDecimal "0640\n" }} {{ toDecimal 777 }} {{ toDecimal "0o17" }}`:        "42 640 416 511 15",
		`{{ duration "95" }} {{ duration 95 }} {{ duration .y.small }}`:                                                   "1m35s 1m35s 5s",

		// Arithmetic.
		`{{ add 1 "2" .y.small }} {{ add .y.id 1 }} {{ add }} {{ sub "10\n" 3 }} {{ mul .y.mib 2 "4" }}`:                          "8 9007199254740994 0 7 134217728",
		`{{ div 7 2 }} {{ div -7 2 }} {{ mod 7 4 }} {{ add1 "4" }} {{ add 2.0 3 }}`:                                               "3 -3 3 5 5",
		`{{ max 1 "5" .y.small 3 }} {{ min 4 "2\n" }} {{ biggest 1 9 }} {{ max -1 }}`:                                             "5 2 9 -1",
		`{{ add .y.max 0 }} {{ sub .y.min 0 }} {{ mul .y.max -1 }} {{ sub 0 .y.max }}`:                                            "9223372036854775807 -9223372036854775808 -9223372036854775807 -9223372036854775807",
		`{{ addf 0.1 0.2 }} {{ subf "1.5" 0.5 }} {{ mulf .y.ratio 4 }} {{ divf 1 "4\n" }} {{ add1f 0.5 }}`:                        "0.3 1 3 0.25 1.5",
		`{{ maxf 1 "2.5" }} {{ minf .y.ratio 1 }} {{ floor "1.9" }} {{ ceil 1.1 }} {{ ceil -0.5 }}`:                               "2.5 0.75 1 2 0",
		`{{ round "123.5555" 3 }} {{ round -1.2 0 }} {{ round -1.5 0 }} {{ round 2.5 0 }} {{ round -0.4 0 }} {{ round 1.5 400 }}`: "123.556 -1 -2 3 0 1.5",
	} {
		t.Run(text, func(t *testing.T) {
			if got := mustRender(t, text, data); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// What is no number, or not one that fits, fails the render: it never becomes 0, and is
// never rounded.
func TestNumbersRefuse(t *testing.T) {
	data := numberData(t)
	for text, want := range map[string]string{
		`{{ "512M" | int }}`:                          `<int>: error calling int: want a whole number, not "512M"`,
		`{{ "50%" | int64 }}`:                         `error calling int64: want a whole number, not "50%"`,
		`{{ "" | int }}`:                              `error calling int: want a whole number, not ""`,
		`{{ " \n" | int }}`:                           `want a whole number, not " \n"`,
		`{{ "8 9" | int }}`:                           `want a whole number, not "8 9"`,
		`{{ "8.5" | int }}`:                           `want a whole number, not "8.5"`,
		`{{ "1e-3" | int }}`:                          `want a whole number, not "1e-3"`,
		`{{ "NaN" | int }}`:                           `want a whole number, not "NaN"`,
		`{{ "--5" | int }}`:                           `want a whole number, not "--5"`,
		`{{ "0xZZ" | int }}`:                          `want a whole number, not "0xZZ"`,
		`{{ "١" | int }}`:                             `want a whole number, not "١"`,
		`{{ .y.none | int }}`:                         `error calling int: want a whole number, not nil`,
		`{{ .y | int }}`:                              `want a whole number, not a map`,
		`{{ .y.list | int }}`:                         `want a whole number, not a list`,
		`{{ "0640" | int }}`:                          `"0640" begins with 0: "atoi" reads it as decimal, "toDecimal" as octal`,
		`{{ "010" | float64 }}`:                       `"010" begins with 0`,
		`{{ "9223372036854775808" | int }}`:           `"9223372036854775808" does not fit into 64 bits`,
		`{{ "1e19" | int }}`:                          `"1e19" does not fit into 64 bits`,
		`{{ "1e99" | int }}`:                          `want a whole number, not "1e99"`,
		`{{ "4503599627370497.3e0" | int }}`:          `want a whole number, not "4503599627370497.3e0"`,
		`{{ .y.uint | int64 }}`:                       `"18446744073709551615" does not fit into 64 bits`,
		`{{ .huge | int }}`:                           `9223372036854775808 does not fit into 64 bits`,
		`{{ 1e19 | int }}`:                            `1e+19 does not fit into 64 bits`,
		`{{ "abc" | float64 }}`:                       `error calling float64: want a number, not "abc"`,
		`{{ "Inf" | float64 }}`:                       `want a number, not "Inf"`,
		`{{ "1e400" | float64 }}`:                     `want a number, not "1e400"`,
		`{{ "" | float64 }}`:                          `want a number, not ""`,
		`{{ .y.none | float64 }}`:                     `want a number, not nil`,
		`{{ .y.id | float64 }}`:                       `9007199254740993 has more digits than a number with a fraction can have`,
		`{{ "9007199254740993" | float64 }}`:          `"9007199254740993" has more digits`,
		`{{ floor .y.id }}`:                           `error calling floor: 9007199254740993 has more digits`,
		`{{ atoi "abc" }}`:                            `error calling atoi: want a whole number, not "abc"`,
		`{{ atoi "" }}`:                               `want a whole number, not ""`,
		`{{ atoi "99999999999999999999" }}`:           `"99999999999999999999" does not fit into 64 bits`,
		`{{ atoi "0x10" }}`:                           `want a whole number, not "0x10"`,
		`{{ toDecimal "0689" }}`:                      `error calling toDecimal: want an octal number, not "0689"`,
		`{{ toDecimal "" }}`:                          `want an octal number, not ""`,
		`{{ toDecimal .y.none }}`:                     `want an octal number, not nil`,
		`{{ toDecimal "7777777777777777777777777" }}`: `does not fit into 64 bits`,
		`{{ duration "5m" }}`:                         `error calling duration: want a whole number, not "5m"`,
		`{{ duration "99999999999999" }}`:             `99999999999999 seconds are more than a duration can have`,
		`{{ duration .y.none }}`:                      `want a whole number, not nil`,
		`{{ add "1,5" 2 }}`:                           `error calling add: want a whole number, not "1,5"`,
		`{{ add 1.5 2 }}`:                             `want a whole number, not 1.5: functions such as addf and mulf calculate with fractions, int drops them`,
		`{{ add .y.none 2 }}`:                         `want a whole number, not nil`,
		`{{ add1 "x" }}`:                              `error calling add1: want a whole number, not "x"`,
		`{{ sub "x" 1 }}`:                             `error calling sub`,
		`{{ mul 2 "x" }}`:                             `error calling mul`,
		`{{ div "x" 1 }}`:                             `error calling div`,
		`{{ mod 1 "x" }}`:                             `error calling mod`,
		`{{ max 1 "x" }}`:                             `error calling max: want a whole number, not "x"`,
		`{{ min "x" }}`:                               `error calling min`,
		`{{ biggest 1 2.5 }}`:                         `error calling biggest: want a whole number, not 2.5`,
		`{{ div 1 0 }}`:                               `error calling div: 1 divided by 0`,
		`{{ mod 1 "0" }}`:                             `error calling mod: 1 divided by 0`,
		`{{ divf 1 0 }}`:                              `error calling divf: 1 divided by 0`,
		`{{ divf 1 2 "0.0" }}`:                        `error calling divf: 1 divided by 0`,
		`{{ add .y.max 1 }}`:                          `9223372036854775807 + 1 does not fit into 64 bits`,
		`{{ add1 .y.max }}`:                           `does not fit into 64 bits`,
		`{{ add .y.min -1 }}`:                         `-9223372036854775808 + -1 does not fit into 64 bits`,
		`{{ sub .y.min 1 }}`:                          `-9223372036854775808 - 1 does not fit into 64 bits`,
		`{{ sub 0 .y.min }}`:                          `0 - -9223372036854775808 does not fit into 64 bits`,
		`{{ mul .y.max 2 }}`:                          `9223372036854775807 * 2 does not fit into 64 bits`,
		`{{ mul .y.min -1 }}`:                         `-9223372036854775808 * -1 does not fit into 64 bits`,
		`{{ mul -1 .y.min }}`:                         `-1 * -9223372036854775808 does not fit into 64 bits`,
		`{{ div .y.min -1 }}`:                         `-9223372036854775808 / -1 does not fit into 64 bits`,
		`{{ addf "x" 1 }}`:                            `error calling addf: want a number, not "x"`,
		`{{ subf 1 "x" }}`:                            `error calling subf`,
		`{{ mulf 1e300 1e300 }}`:                      `the result is larger than a number can be`,
		`{{ add1f "x" }}`:                             `error calling add1f`,
		`{{ maxf "x" }}`:                              `error calling maxf: want a number, not "x"`,
		`{{ minf 1 "x" }}`:                            `error calling minf`,
		`{{ floor "x" }}`:                             `error calling floor`,
		`{{ ceil .y.none }}`:                          `error calling ceil: want a number, not nil`,
		`{{ round "x" 1 }}`:                           `error calling round`,
		`{{ seq "3" }}`:                               `want an integer, not "3"`,
		`{{ until "3" }}`:                             `want an integer, not "3"`,
		`{{ repeat "3" "x" }}`:                        `want an integer, not "3"`,
		`{{ indent "3" "x" }}`:                        `want an integer, not "3"`,
		`{{ ternary 1 2 "true" }}`:                    `error calling ternary: want true or false, not string`,
		`{{ lt .y.uint "5" }}`:                        `incompatible types for comparison`,
		`{{ lt "5" 6 }}`:                              `incompatible types for comparison: string and int`,
		`{{ lt .y.none 6 }}`:                          `nil is neither less nor greater`,
		`{{ ge true false }}`:                         `neither less nor greater`,
		`{{ dict "a" .y.large | toYaml }}`:            `error calling toYaml: the number 18446744073709551616 does not fit into 64 bits`,
		`{{ dict "a" .y.uint | toToml }}`:             `error calling toToml: the number 18446744073709551615 does not fit`,
		`{{ fromYaml "a: .inf" }}`:                    `error calling fromYaml: ".inf" is not a number that JSON has`,
		`{{ fromToml "a = 9223372036854775808" }}`:    `error calling fromToml`,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
			if err != nil && strings.Contains(err.Error(), want) && strings.Contains(err.Error(), "main:1:") {
				return
			}
			t.Errorf("got %q, %v, want an error with %s", got, err, want)
		})
	}
}

// A long value is not repeated in full.
func TestLongValueInError(t *testing.T) {
	_, err := mustParse(t, Source{Name: "main", Text: `{{ .x | int }}`}).Execute(map[string]any{"x": strings.Repeat("ä", 10_000)})
	if text := fmt.Sprint(err); len(text) > 500 || !strings.Contains(text, `ää"…`) {
		t.Errorf("got %s", text)
	}
}
