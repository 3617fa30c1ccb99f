package render

import (
	"encoding/json"
	"strings"
	"testing"
)

func strictData() map[string]any {
	return map[string]any{
		"m": map[string]any{"a": 1}, "s": map[string]string{"a": "1"}, "l": []any{1, "b", nil}, "n": nil, "bytes": "a\xffb", "maps": []any{map[string]any{"a": 1}},
		"structs": []*struct{ A string }{{"x"}}, "large": json.Number("18446744073709551616"), "binary": map[string]string{"ca.crt": "x", "ks": "\xfe\xed"},
		"percent": "100%!d(x)", "text": "8",
	}
}

// What sprig's functions do with good arguments stays.
func TestStrict(t *testing.T) {
	data := strictData()
	for text, want := range map[string]string{
		`{{ b64dec "cGFzc3dvcmQ=" }} {{ b64dec "cGFz\nc3dvcmQ=\n" }} {{ b64dec "" }}`:                                            "password password ",
		`{{ b32dec "MFRGG===" }} {{ "x" | b64enc | b64dec }} {{ "x" | b32enc | b32dec }}`:                                        "abc x x",
		`{{ (toDate "2006-01-02" "2024-02-29").Year }}`:                                                                          "2024",
		`{{ substr 0 5 "hello world" }}|{{ substr 6 -1 "hello world" }}|{{ substr -1 5 "hello" }}|{{ substr 3 99 "hello" }}`:     "hello|world|hello|lo",
		`{{ trunc 5 "hello world" }}|{{ trunc -5 "hello world" }}|{{ trunc 99 "hello" }}|{{ trunc 3 "aä" }}|{{ trunc -2 "aä" }}`: "hello|world|hello|aä|ä",
		`{{ slice (list 1 2 3) 1 }} {{ slice (list 1 2 3) 0 "2" }} {{ slice .l }}`:                                               "[2 3] [1 2] [1 b <nil>]",
		`{{ first .l }} {{ rest .l | join "," }} {{ append .l 4 | len }} {{ chunk 2 (list 1 2 3) }} {{ initial .l }}`:            "1 b 4 [[1 2] [3]] [1 b]",
		`{{ join "," .l }} {{ join "," "a" }} {{ join "," .n }} {{ join "," (list) }} {{ toStrings .l }}`:                        "1,b a   [1 b]",
		`{{ sortAlpha (list 3 "b" "a") }} {{ sortAlpha "x" }}`:                                                                   "[3 a b] [x]",
		`{{ printf "%d%% of %s, %v, %5.2f, %t" 5 "x" .l 1.5 true }}`:                                                             "5% of x, [1 b <nil>],  1.50, true",
		`{{ printf "%s %s" .percent "%!s(MISSING)" }} {{ printf "100%%!" }} {{ printf "%d" .large }}`:                            "100%!d(x) %!s(MISSING) 100%! 18446744073709551616",
		`{{ print "a" 1 2 "b" }} {{ println "x" }}`:                                                                              "a1 2b x\n",
		`{{ regexMatch "^a" "abc" }} {{ regexMatch "^b" "abc" }}`:                                                                "true false",
		`{{ (semver "1.2.3").Minor }} {{ semverCompare ">=1.2" "v1.3.0" }}`:                                                      "2 true",
		`{{ .binary.ks }}|{{ .binary.ks | b64enc }}|{{ .binary.ks | sha256sum | trunc 8 }}`:                                      "\xfe\xed|/u0=|5077e9b0",
		`{{ quote "ä" 1 nil }} {{ upper "ä" }} {{ lower "Ä" }} {{ title "ab cd" }} {{ "\ufffd" | quote }}`:                       "\"ä\" \"1\" Ä ä Ab Cd \"\ufffd\"",
		`{{ dict "a" "\ufffd" | toJson }} {{ dict "a" "\ufffd" | toYaml }}`:                                                      "{\"a\":\"\ufffd\"} a: \ufffd",
		`{{ hostPort "h" "http" }} {{ hostPort "h" "80\n" }} {{ hostPort "" 80 }}`:                                               "h:http h:80 :80",
		`{{ merge (dict "a" 1) (dict "b" 2) }} {{ toString 5 }} {{ toString .l }}`:                                               "map[a:1 b:2] 5 [1 b <nil>]",
		`{{ derivePassword 1 "pin" "a" "b" "c" | len }}`:                                                                         "4",
		`{{ tpl "\ufeffx" . }}{{ fromJson "\ufeff{}" }}{{ fromToml "\ufeff" }}{{ fromYaml "\ufeffa: 1" }}`:                       "xmap[]map[]map[a:1]",
	} {
		t.Run(text, func(t *testing.T) {
			if got := mustRender(t, text, data); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// What cannot be done fails the render, with the function and the value. sprig gives a
// text about it, or something else in its place.
func TestStrictRefuses(t *testing.T) {
	data := strictData()
	for text, want := range map[string]string{
		`{{ b64dec "cGFzc3dvcmQ" }}`:                  `<b64dec "cGFzc3dvcmQ">: error calling b64dec: want base64, not "cGFzc3dvcmQ": illegal base64 data at input byte 8`,
		`{{ "not base64!" | b64dec }}`:                `<b64dec>: error calling b64dec: want base64, not "not base64!"`,
		`{{ b64dec " cGFz" }}`:                        `error calling b64dec`,
		`{{ b32dec "1" }}`:                            `error calling b32dec: want base32, not "1": illegal base32 data`,
		`{{ toDate "2006-01-02" "yesterday" }}`:       `error calling toDate: parsing time "yesterday"`,
		`{{ regexMatch "(" "x" }}`:                    "error calling regexMatch: error parsing regexp: missing closing ): `(`",
		`{{ mustRegexMatch "(" "x" }}`:                "error calling mustRegexMatch: error parsing regexp",
		`{{ regexFind "a**" "x" }}`:                   "error calling regexFind: error parsing regexp",
		`{{ regexFindAll "[" "x" -1 }}`:               "error calling regexFindAll: error parsing regexp",
		`{{ regexReplaceAll "\\8" "x" "y" }}`:         "error calling regexReplaceAll: error parsing regexp",
		`{{ regexReplaceAllLiteral "(" "x" "" }}`:     "error calling regexReplaceAllLiteral: error parsing regexp",
		`{{ regexSplit "(?z)" "x" -1 }}`:              "error calling regexSplit: error parsing regexp",
		`{{ semver "one" }}`:                          `error calling semver: "one": Invalid Semantic Version`,
		`{{ semverCompare "^x.y" "1.2.3" }}`:          `error calling semverCompare: "^x.y" "1.2.3": `,
		`{{ semverCompare ">1" "new" }}`:              `error calling semverCompare: ">1" "new": Invalid Semantic Version`,
		`{{ urlParse "http://[::1" }}`:                `error calling urlParse: unable to parse url: parse "http://[::1"`,
		`{{ substr 4 9 "abc" }}`:                      `error calling substr: want a part of 3 bytes, not from 4 to 3`,
		`{{ substr 2 1 "abc" }}`:                      `want a part of 3 bytes, not from 2 to 1`,
		`{{ substr -1 9 "abc" }}`:                     `want a part of 3 bytes, not from 0 to 9`,
		`{{ substr 0 2 "aä" }}`:                       `byte 2 of "aä" is in the middle of a character`,
		`{{ trunc 2 "aä" }}`:                          `error calling trunc: byte 2 of "aä" is in the middle of a character`,
		`{{ trunc -1 "aä" }}`:                         `is in the middle of a character`,
		`{{ slice (list 1) "x" }}`:                    `error calling slice: want a whole number, not "x"`,
		`{{ slice (list 1) 0 5 }}`:                    `want a part of 1 elements, not from 0 to 5`,
		`{{ slice .m 0 }}`:                            `error calling slice: want a list, not a map`,
		`{{ chunk 0 (list 1) }}`:                      `error calling chunk: want chunks of at least 1 element, not of 0`,
		`{{ chunk 2 .m }}`:                            `error calling chunk: want a list, not a map`,
		`{{ first .m }}`:                              `error calling first: want a list, not a map`,
		`{{ last .s }}`:                               `error calling last: want a list, not a map`,
		`{{ rest "abc" }}`:                            `error calling rest: want a list, not "abc"`,
		`{{ initial .n }}`:                            `error calling initial: want a list, not nil`,
		`{{ mustReverse .m }}`:                        `error calling mustReverse: want a list, not a map`,
		`{{ compact 5 }}`:                             `error calling compact: want a list, not 5`,
		`{{ append .m 1 }}`:                           `error calling append: want a list, not a map`,
		`{{ prepend .n 1 }}`:                          `error calling prepend: want a list, not nil`,
		`{{ mustPush "x" 1 }}`:                        `error calling mustPush: want a list, not "x"`,
		`{{ without .m 1 }}`:                          `error calling without: want a list, not a map`,
		`{{ concat .l .m }}`:                          `error calling concat: Cannot concat type map as list`,
		`{{ join "," .m }}`:                           `error calling join: want a list, not a map`,
		`{{ join "," .s }}`:                           `error calling join: want a list, not a map`,
		`{{ join "," .maps }}`:                        `error calling join: want a list of texts: its element 0 is a map`,
		`{{ join "," .structs }}`:                     `its element 0 is a struct`,
		`{{ join "," (list .l) }}`:                    `its element 0 is a list`,
		`{{ toStrings .m }}`:                          `error calling toStrings: want a list, not a map`,
		`{{ sortAlpha .m }}`:                          `error calling sortAlpha: want a list, not a map`,
		`{{ toString .n }}`:                           `error calling toString: want a value, not nil`,
		`{{ printf "%d" .text }}`:                     `error calling printf: the format "%d" gives %!d(string=8)`,
		`{{ printf "%s" 5 }}`:                         `the format "%s" gives %!s(int=5)`,
		`{{ printf "%d" 1.0 }}`:                       `gives %!d(float64=1)`,
		`{{ printf "%d %d" 1 }}`:                      `gives %!d(MISSING)`,
		`{{ printf "%d" 1 2 }}`:                       `gives %!(EXTRA int=2)`,
		`{{ printf "50%" }}`:                          `the format "50%" gives %!(NOVERB)`,
		`{{ printf "%s is %d" .percent .text }}`:      `gives %!d(string=8)`,
		`{{ printf "%v" .n }}`:                        `error calling printf: want a value, not nil, as argument 1`,
		`{{ print "a" .n }}`:                          `error calling print: want a value, not nil, as argument 2`,
		`{{ derivePassword 1 "strong" "a" "b" "c" }}`: `error calling derivePassword: want a kind of password, one of maximum, long, medium, short, basic, pin, not "strong"`,
		`{{ hostPort "h" .n }}`:                       `error calling hostPort: want a port, not nil`,
		`{{ hostPort "h" "" }}`:                       `error calling hostPort: want a port, not an empty text`,
		`{{ hostPort "h" .l }}`:                       `error calling hostPort: want a port, not a list`,
		`{{ toJson .binary }}`:                        `error calling toJson: at .ks: the text is not UTF-8`,
		`{{ .binary | toYaml }}`:                      `error calling toYaml: at .ks: the text is not UTF-8`,
		`{{ .binary | toToml }}`:                      `error calling toToml: at .ks: the text is not UTF-8`,
		`{{ dict "x" (list .bytes) | toPrettyJson }}`: `error calling toPrettyJson: at .x[0]: the text is not UTF-8`,
		`{{ toRawJson .bytes }}`:                      `error calling toRawJson: the text is not UTF-8`,
		`{{ quote .bytes }}`:                          `error calling quote: the text is not UTF-8`,
		`{{ upper .bytes }}`:                          `error calling upper: the text is not UTF-8`,
		`{{ fromJson (printf "{\"a\": %q}" "x" | replace "x" .bytes) }}`:           `error calling fromJson: the text is not UTF-8`,
		`{{ merge (dict "a" (list 1)) (dict "a" .m) | toJson }}{{ fromYaml "[" }}`: `error calling fromYaml`,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "main:1:") {
				t.Errorf("got %q, %v, want an error with %s", got, err, want)
			}
		})
	}
}

// A byte order mark in front of a template or a partial is no part of it.
func TestByteOrderMarks(t *testing.T) {
	parsed := mustParse(t, Source{Name: "main", Text: "\ufeffa {{ include \"_p\" . }}{{ template \"_p\" . }}", Partials: map[string]string{"_p": "\ufeff{{ 1 }}\ufeff"}})
	got, err := parsed.Execute(nil)
	if want := "a 1\ufeff1\ufeff"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
