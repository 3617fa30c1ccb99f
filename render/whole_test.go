package render

import (
	"strings"
	"testing"
)

// Functions that take an int take a whole number of any type.
func TestWholeNumbersOfAnyTypeAreTaken(t *testing.T) {
	data := numberData(t)
	data["three"] = map[string]any{"toml": int64(3), "json": 3.0, "large": 1e18, "minus": -2.0}
	for text, want := range map[string]string{
		`{{ until .three.toml }} {{ until .three.json }} {{ .three.toml | until }} {{ until 3.0 }} {{ until 3 }}`: "[0 1 2] [0 1 2] [0 1 2] [0 1 2] [0 1 2]",
		`{{ until (.three.none | default .three.toml) }} {{ until (int .three.toml) }} {{ until (add 1 2) }}`:     "[0 1 2] [0 1 2] [0 1 2]",
		`{{ untilStep 0 .y.small .three.toml }} {{ untilStep .three.toml .three.minus -1 }}`:                      "[0 3] [3 2 1 0 -1]",
		`{{ seq .three.toml }} {{ seq 1 .three.json }} {{ seq }}`:                                                 "1 2 3 1 2 3 ",
		`{{ list 1 2 3 | atLeast .three.toml | len }} {{ chunk .three.toml (list 1 2 3 4) }}`:                     "3 [[1 2 3] [4]]",
		`{{ "x" | indent .three.toml }} {{ repeat .three.toml "a" }} {{ trunc .three.toml "abcdef" }}`:            "   x aaa abc",
		`{{ trunc .three.minus "abcdef" }} {{ substr 1 .three.toml "abcdef" }} {{ abbrev .y.small "abcdefgh" }}`:  "ef bc ab...",
		`{{ round 3.14159 .three.toml }} {{ plural "one" "many" .three.toml }} {{ wrap .three.toml "a b c d" }}`:  "3.142 many a b\nc d",
		`{{ (splitn "," 2 "a,b,c")._1 }} {{ regexFindAll "a" "aaaa" .three.toml }} {{ until .int32 | len }}`:      "b,c [a a a] 3306",
		`{{ tpl "{{ until .toml }}" .three }} {{ until .pointer | len }}`:                                         "[0 1 2] 3306",
	} {
		got, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %q, %v\nwant %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{{ until 2.5 }}`:        `error calling until: want an integer, not 2.5`,
		`{{ until .y.ratio }}`:   `error calling until: want an integer, not 0.75`,
		`{{ until "3" }}`:        `error calling until: want an integer, not "3"`,
		`{{ until true }}`:       `error calling until: want an integer, not true`,
		`{{ until .y.none }}`:    `error calling until: want an integer, not nil`,
		`{{ until .y.uint }}`:    `"18446744073709551615" does not fit into 64 bits`,
		`{{ until .y.list }}`:    `error calling until: want an integer, not a list`,
		`{{ seq 1 .y.ratio }}`:   `error calling seq: want an integer, not 0.75`,
		`{{ until .three.xyz }}`: `map has no entry for key "xyz"`,
		`{{ derivePassword .y.mib "long" "p" "u" "s" | len }}{{ derivePassword .y.id "long" "p" "u" "s" }}`: `9007199254740993 does not fit into the type uint32`,
	} {
		_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "main:1:") {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}
