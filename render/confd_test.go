package render

import (
	"fmt"
	"strings"
	"testing"
)

func TestFunctionsOfHelmAndConfd(t *testing.T) {
	t.Setenv("RENDER_TEST", "from outside")
	data := map[string]any{
		"any":     map[string]any{"b": 2, "a": map[string]any{"x": true}, "c": nil},
		"strings": map[string]string{"b": "2", "a": "1", "c": ""},
		"list":    []any{1, "two", map[string]any{"three": 3.5}},
	}
	for text, want := range map[string]string{
		`{{ getenv "RENDER_TEST" }} {{ getenv "RENDER_TEST" "x" }}`:                               "from outside from outside",
		`{{ getenv "RENDER_TEST_UNSET" }}{{ getenv "RENDER_TEST_UNSET" "x" }}`:                    "x",
		`{{ (json "{\"a\": [1]}").a }} {{ range jsonArray "[1, 2]" }}{{ . }}{{ end }}`:            "[1] 12",
		`{{ toUpper "aB" }} {{ toLower "aB" }} {{ base64Encode "aB" }} {{ base64Decode "YUI=" }}`: "AB ab YUI= aB",
		`{{ if parseBool "true" }}a{{ end }}{{ if parseBool " 0\n" }}b{{ end }}`:                  "a",
		`{{ toYamlPretty .any }}`:                                   "a:\n  x: true\nb: 2\nc: null",
		`{{ toYamlPretty .list }} {{ toYamlPretty "" }}`:            "- 1\n- two\n- three: 3.5 \"\"",
		`{{ dict "l" (list "yes" 1) "s" "a\nb\n" | toYamlPretty }}`: "l:\n  - \"yes\"\n  - 1\ns: |\n  a\n  b",
		`{{ mustToYaml .list }} {{ mustToJson .list }}`:             "- 1\n- two\n- three: 3.5 [1,\"two\",{\"three\":3.5}]",
		`{{ (fromToml (mustToToml .strings)).a }}`:                  "1",
		`{{ durationSeconds "1m30s" }} {{ durationMinutes 90 }} {{ durationDays "36h" }} {{ mustToDuration "1.5" }}`: "90 1.5 1.5 1.5s",
		`{{ durationMilliseconds 1.5 }} {{ durationRoundTo 93 "1m" }} {{ durationTruncateTo "93s" 60 }}`:             "1500 2m0s 1m0s",
	} {
		t.Run(text, func(t *testing.T) {
			if got := mustRender(t, text, data); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestFunctionsOfHelmAndConfdRefuse(t *testing.T) {
	for text, want := range map[string]string{
		`{{ json "[1]" }}`:            "error calling json: ",
		`{{ jsonArray "{" }}`:         "error calling jsonArray: ",
		`{{ base64Decode "§" }}`:      `error calling base64Decode: want base64, not "§": illegal base64 data`,
		`{{ parseBool "yes" }}`:       `error calling parseBool: want true or false: strconv.ParseBool: parsing "yes"`,
		`{{ durationDays "soon" }}`:   `error calling durationDays: want a duration such as 1h30m or a number of seconds, not "soon"`,
		`{{ mustToDuration (list) }}`: "error calling mustToDuration: want a duration, not []interface {}",
		`{{ durationHours 9e18 }}`:    "error calling durationHours: 9e+18 seconds are more than a duration can have",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := mustParse(t, Source{Name: "main", Text: text}).Execute(nil)
			if got := fmt.Sprint(err); !strings.Contains(got, want) {
				t.Errorf("got error %s, want one with %s", got, want)
			}
		})
	}
}
