package render

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
)

// A safe holds the secrets of a test. Its function secret gives them, or their
// stand-ins.
type safe struct {
	values  map[string]string
	standIn func(string) string
}

func (s *safe) secret() map[string]string {
	given := map[string]string{}
	for k, v := range s.values {
		if s.standIn != nil {
			v = s.standIn(v)
		}
		given[k] = v
	}
	return given
}

// A shownFile is what a template gives, as a diff of a new file and as an error.
type shownFile struct {
	template *Template
	content  []byte
	mask     *Mask
	err      error
}

// proved runs a template twice, as kconfd does.
func proved(t *testing.T, text string, values map[string]string) shownFile {
	t.Helper()
	s := &safe{values: values}
	partials := map[string]string{}
	if strings.Contains(text, `"p"`) {
		partials["partial"] = `{{ define "p" }}password = {{ .password }}{{ end }}`
	}
	tmpl, err := Parse(Source{Name: "t", Text: text, Partials: partials, Funcs: map[string]any{"secret": s.secret}})
	if err != nil {
		t.Fatal(err)
	}
	f := shownFile{template: tmpl}
	f.content, f.err = tmpl.Execute(nil)
	standIns := tmpl.StandIns()
	s.standIn = standIns[0]
	other, otherErr := tmpl.Again(nil)
	s.standIn = standIns[1]
	longer, longerErr := tmpl.Again(nil)
	s.standIn = nil
	switch {
	case f.err != nil:
		f.err = tmpl.RedactError(f.err, otherErr)
	case otherErr != nil:
		f.mask = tmpl.Mask(f.content)
	case longerErr != nil:
		f.mask = tmpl.Mask(f.content, other)
	default:
		f.mask = tmpl.Mask(f.content, other, longer)
	}
	return f
}

// lines are those of the file as they are shown.
func (f shownFile) lines() string {
	unified := string(diff.Diff("a", nil, "b", f.content))
	_, unified, _ = strings.Cut(unified, "\n")
	shown := FileDiff{Unified: unified, Content: f.content, After: f.mask}.Redacted()
	var b strings.Builder
	for i, line := range strings.SplitAfter(shown, "\n") {
		if i > 2 {
			b.WriteString(strings.TrimPrefix(line, "+"))
		}
	}
	return b.String()
}

func secretsOfTest() map[string]string {
	return map[string]string{
		"username": "admin1234", "password": "Tr0ub4dor&3-horse", "quote": "it's: a Secr3tvalue",
		"uri":         "postgresql://app:Hunter2Hunter2@db.internal:5432/app?sslpassword=Pr1vate%2Fthing",
		"config.json": `{"auths":{"reg.example":{"username":"bot-user","password":"JsonInnerPass99","auth":"Ym90LXVzZXI6SnNvbklubmVyUGFzczk5"}},"port":8443,"debug":true}`,
		"config.yaml": "database:\n  password: 'YamlInnerPass77'\n  ports: [5432, 6432]\nlist:\n- first-of-list\n- second-of-list\n",
		"tokens.json": `{"hunter2token":"admin"}`,
		"env":         "export DB_PASS=EnvInnerPass55\nOTHER=\"with spaces\"\n",
		"key":         "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n",
		"signs":       "!@#$%^&*()-+=", "number": "8443", "flag": "true", "short": "in", "zero": "00", "pin": "4711",
		"template": `{{ printf "%s" "RendrdInS3cret" }}`, "phrase": "correct horse battery staple",
	}
}

// innerSecrets are the parts of them that are nowhere else.
func innerSecrets() []string {
	return []string{
		"admin1234", "Tr0ub4dor&3-horse", "it's: a Secr3tvalue", "Hunter2Hunter2@db.internal:5432", "Pr1vate%2Fthing", "JsonInnerPass99", "bot-user", "Ym90LXVz",
		"YamlInnerPass77", "first-of-list", "second-of-list", "hunter2token", "EnvInnerPass55", "with spaces", "!@#$%^&*()-+=", "RendrdInS3cret",
		"correct horse battery staple", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", "AgEAAoIBAQC7", "BEGIN PRIVATE KEY", "export DB_PASS",
	}
}

// Whatever a template makes of a secret, nothing of it is shown: the key is, and
// what is not secret is.
func TestMask(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":        {"a = 1\nb = 2\n", "a = 1\nb = 2\n"},
		"plain":          {`password = {{ .password }}`, "password = [redacted]"},
		"between":        {"a = 1\npassword = {{ .password }}\nb = 2\n", "a = 1\npassword = [redacted]\nb = 2\n"},
		"pair":           {`auth {{ printf "%s:%s" .username .password | b64enc }}`, "auth [redacted]"},
		"public pair":    {`auth {{ printf "root:%s" .password | b64enc }}`, "auth [redacted]"},
		"upper":          {`a: {{ .password | upper }}`, "a: [redacted]"},
		"trunc":          {`a: {{ .password | trunc 7 }}`, "a: [redacted]"},
		"first letter":   {`a: {{ .password | trunc 1 }}`, "a: [redacted]"},
		"last letters":   {`a: {{ substr 10 17 .password }}`, "a: [redacted]"},
		"split":          {`a: {{ (split "-" .password)._1 }}`, "a: [redacted]"},
		"splitList":      {"{{ range splitList \"\" .password }}c {{ . }}\n{{ end }}", strings.Repeat("c [redacted]\n", 17)},
		"hex":            {`a = {{ printf "%x" .password }}`, "a = [redacted]"},
		"codes":          {`a = {{ range .password | splitList "" }}{{ printf "%d " (index . 0) }}{{ end }}`, "a = [redacted]"},
		"base32":         {`a = {{ b32enc .password }}`, "a = [redacted]"},
		"unpadded":       {`a = {{ b64enc .password | trimSuffix "=" | trimSuffix "=" }}`, "a = [redacted]"},
		"sha":            {`a = {{ sha256sum .password }}`, "a = [redacted]"},
		"reverse":        {`a = {{ range (splitList "" .password | reverse) }}{{ . }}{{ end }}`, "a = [redacted]"},
		"SQL":            {`a = '{{ .quote | replace "'" "''" }}'`, "a = '[redacted]"},
		"squote":         {`a = {{ squote .quote }}`, "a = '[redacted]"},
		"toYaml":         {`{{ dict "k" .quote | toYaml }}`, "k: '[redacted]"},
		"toJson":         {`{{ dict "k" .quote | toJson }}`, `{"k":"[redacted]`},
		"a regexp":       {`a = {{ regexFind "[a-z]+$" .password }}`, "a = [redacted]"},
		"indent":         {"a: |\n{{ .key | indent 2 }}\nb: 1", "a: |\n  [redacted]\n  [redacted]\n  [redacted]\n  [redacted]\n  \nb: 1"},
		"JSON leaf":      {`a = {{ (index (fromJson (index . "config.json")).auths "reg.example").password }}`, "a = [redacted]"},
		"b64 in JSON":    {`a = {{ (index (fromJson (index . "config.json")).auths "reg.example").auth | b64dec }}`, "a = [redacted]"},
		"JSON port":      {`a = {{ (fromJson (index . "config.json")).port }}`, "a = [redacted]"},
		"JSON flag":      {`a = {{ (fromJson (index . "config.json")).debug }}`, "a = [redacted]"},
		"JSON key":       {`{{ range $k, $v := fromJson (index . "tokens.json") }}a = {{ $k }}{{ end }}`, "a = [redacted]"},
		"all JSON":       {`{{ index . "config.json" }}`, `{"[redacted]`},
		"YAML leaf":      {`a = {{ (fromYaml (index . "config.yaml")).database.password }}`, "a = [redacted]"},
		"YAML list":      {`a = {{ index (fromYaml (index . "config.yaml")).list 1 }} {{ index (fromYaml (index . "config.yaml")).database.ports 1 }}`, "a = [redacted]"},
		"env":            {`{{ .env }}`, "[redacted]\n[redacted]\n"},
		"user":           {`a = {{ (urlParse .uri).userinfo }}`, "a = [redacted]"},
		"host":           {`a = {{ (urlParse .uri).host }}`, "a = [redacted]"},
		"query":          {`a = {{ (urlParse .uri).query }}`, "a = [redacted]"},
		"composed URL":   {`uri = pg://{{ .username }}:{{ .password }}@{{ "db" }}:5432/x`, "uri = pg:[redacted]"},
		"signs":          {`a = {{ .signs }}`, "a = [redacted]"},
		"number":         {`a = {{ .number }}`, "a = [redacted]"},
		"sum":            {`a = {{ add .number 1 }}`, "a = [redacted]"},
		"flag":           {`a = {{ .flag }}`, "a = [redacted]"},
		"short":          {`a = {{ .short }}`, "a = [redacted]"},
		"zeros":          {`a = {{ .zero }}`, "a = [redacted]"},
		"phrase":         {`a = {{ .phrase | title }}`, "a = [redacted]"},
		"a block of it":  {"x\n{{ if eq .flag \"true\" }}tls = yes\nport = 1\n{{ end }}y\n", "x\ntls [redacted]\nport [redacted]\ny\n"},
		"another word":   {`a = {{ if eq .flag "true" }}yes{{ else }}no{{ end }}`, "a = [redacted]"},
		"its length":     {`a = {{ len .password }}`, "a = [redacted]"},
		"a remainder":    {`a = {{ mod (int .pin) 5 }}`, "a = [redacted]"},
		"no more":        {"a = {{ len .password }}\nb = {{ len .phrase | mul 0 }}", "a = [redacted]\nb = 0"},
		"a fixed length": {"{{ if ne (len .password) 17 }}{{ fail \"17 is wanted\" }}{{ end }}a = {{ .password }}\nb = 1", "a = [redacted]\nb = 1"},
		"define":         {`{{ template "p" . }}`, "password = [redacted]"},
		"tpl":            {`a = {{ tpl "{{ .password | lower }}" . }}`, "a = [redacted]"},
		"tpl of it":      {`a = {{ tpl .template . }}`, "a = [redacted]"},
		"all of it":      {`{{ toYaml . }}`, ""},
		"a certificate":  {`{{ range splitList "\n" .key }}{{ . }}{{ end }}`, "[redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			values := secretsOfTest()
			f := proved(t, "{{ with secret }}"+test.text+"{{ end }}", values)
			if f.err != nil {
				t.Fatal(f.err)
			}
			got := f.lines()
			if got = strings.TrimSuffix(got, "\\ No newline at end of file\n"); !strings.HasSuffix(test.want, "\n") {
				got = strings.TrimSuffix(got, "\n")
			}
			if test.want != "" && got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			for _, secret := range innerSecrets() {
				wantNoWindow(t, got, secret)
			}
		})
	}
}

// An error quotes its input: what of it stems from a secret is masked, and what kind
// of error it is stays.
func TestRedactError(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"urlParse":  {`{{ urlParse (printf "pg://%s" .signs) }}`, `rendering "t": t:1:21: error calling urlParse: [redacted]`},
		"fromYaml":  {`{{ fromYaml .password }}`, `error calling fromYaml: `},
		"toDate":    {`{{ mustToDate "2006-01-02" .password }}`, `error calling mustToDate: parsing time [redacted] as "2006-01-02": cannot parse [redacted] as "2006"`},
		"regexp":    {`{{ mustRegexFind (printf "(%s" .phrase) "x" }}`, `error calling mustRegexFind: error parsing regexp: missing closing ): [redacted]`},
		"int":       {`{{ .password | int }}`, `error calling int: want a whole number, not [redacted]`},
		"atoi":      {`{{ atoi .password }}`, `error calling atoi: want a whole number, not [redacted]`},
		"float64":   {`{{ .phrase | float64 }}`, `error calling float64: want a number, not [redacted]`},
		"add":       {`{{ add 1 .password }}`, `error calling add: want a whole number, not [redacted]`},
		"b64dec":    {`{{ b64dec .password }}`, `error calling b64dec: want base64, not [redacted] illegal base64 data at input byte`},
		"b32dec":    {`{{ b32dec .phrase }}`, `error calling b32dec: want base32, not [redacted]`},
		"a pattern": {`{{ regexMatch (printf "[%s" .password) "x" }}`, `error calling regexMatch: error parsing regexp: missing closing ]: [redacted]`},
		"semver":    {`{{ semverCompare ">1" .password }}`, `error calling semverCompare: ">1" [redacted] Invalid Semantic Version`},
		"printf":    {`{{ printf "%d" .password }}`, `error calling printf: the format "%d" gives [redacted]`},
		"fromJson":  {`{{ fromJson .password }}`, `error calling fromJson: `},
		"join":      {`{{ join "," (dict "a" .password) }}`, `error calling join: want a list, not a map`},
		"fail":      {`{{ fail (printf "the password %s is bad" .password) }}`, `t:1:21: the password [redacted] is bad`},
		"required":  {`{{ required (printf "no %s" .password) "" }}`, `t:1:21: no [redacted]`},
		"a branch":  {`{{ if eq .flag "true" }}{{ fail "flag is true" }}{{ end }}`, `rendering "t": t:1:45: error calling fail: [redacted]`},
		"public":    {`{{ fail "no such thing" }}`, `rendering "t": t:1:21: no such thing`},
		"a range":   {`{{ range .password }}{{ break }}{{ end }}{{ index . "x" | fromJson }}{{ range $i := tpl "x" . }}{{ end }}`, ``},
		"a field":   {`{{ .password.field }}`, `a string has no field .field`},
		"a tpl":     {`{{ tpl (printf "{{ %s }}" .phrase) . }}`, `error calling tpl`},
		"a pointer": {`{{ index (fromJson (index . "config.json")).auths .password "x" "y" }}`, `error calling index`},
	} {
		t.Run(name, func(t *testing.T) {
			values := secretsOfTest()
			f := proved(t, "{{ with secret }}"+test.text+"{{ end }}", values)
			if f.err == nil {
				if test.want == "" {
					return
				}
				t.Fatal("no error")
			}
			if !strings.Contains(f.err.Error(), test.want) {
				t.Errorf("got  %s\nwant %s", f.err, test.want)
			}
			for _, secret := range innerSecrets() {
				wantNoWindow(t, f.err.Error(), secret)
			}
		})
	}
}

// What base64 holds need not be a text: the file is proved all the same.
func TestStandInOfBase64(t *testing.T) {
	for _, secret := range []string{"/+7dAA==", "cGFzcw==", "c2h1dA==\n", "3q2+7w==", "AAECAwQFBgcICQ=="} {
		f := proved(t, "user = app\nkey = {{ b64dec secret.key | b64enc }}\n", map[string]string{"key": secret})
		if f.err != nil {
			t.Fatal(f.err)
		}
		if got := f.lines(); !strings.Contains(got, "user = app") || strings.Contains(got, strings.TrimSpace(secret)) {
			t.Errorf("%q: got\n%s", secret, got)
		}
	}
}

// Of lines that go, the old file's mask says what is shown; without one, a line
// shows what it has in common with the new file.
func TestRedactedDiff(t *testing.T) {
	values := map[string]string{"password": "hunter2hunter2"}
	old := proved(t, "user = app\npassword = {{ secret.password }}\nmembers = one\n", values)
	after := proved(t, "user = app\npassword = {{ secret.password }}x\nmembers = two\n", values)
	without := shownFile{content: []byte("user = other\nmembers = two\n")}
	const unknown = "user = s3cret\ns3cret: s3cret\n  members = s3cret\n"
	for name, test := range map[string]struct {
		before string
		mask   *Mask
		after  shownFile
		open   bool
		want   string
	}{
		"both known":            {string(old.content), old.mask, after, false, " user = app\n-password = [redacted]\n-members = one\n+password = [redacted]\n+members = two\n"},
		"the old one not":       {string(old.content), nil, after, false, " user = app\n-password = [redacted]\n-members [redacted]\n+password = [redacted]\n+members = two\n"},
		"touched":               {unknown, old.mask, after, true, "-user [redacted]\n-[redacted]\n-[redacted]\n+user = app\n+password = [redacted]\n+members = two\n"},
		"secret before only":    {string(old.content), old.mask, without, true, "-user = app\n-password = [redacted]\n-members = one\n+user = other\n+members = two\n"},
		"private before":        {unknown, nil, without, false, "-user [redacted]\n-[redacted]\n-[redacted]\n+user = other\n+members = two\n"},
		"never a secret":        {"user = x\n", nil, without, true, "-user = x\n+user = other\n+members = two\n"},
		"secret for the first":  {"user = x\n", nil, after, true, "-user = x\n+user = app\n+password = [redacted]\n+members = two\n"},
		"a line that has moved": {"members = two\n", nil, after, false, "+user = app\n+password = [redacted]\n members = two\n"},
	} {
		t.Run(name, func(t *testing.T) {
			unified := string(diff.Diff("a", []byte(test.before), "b", test.after.content))
			_, unified, _ = strings.Cut(unified, "\n")
			got := FileDiff{Unified: unified, Content: test.after.content, Before: test.mask, After: test.after.mask, Open: test.open}.Redacted()
			got = regexp.MustCompile(`(?s)^.*?@@.*?\n`).ReplaceAllString(got, "")
			if got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// In a file that is too large, or that cannot be rendered with other secrets, all
// values are masked.
func TestMaskWithoutProof(t *testing.T) {
	tmpl, err := Parse(Source{Name: "t", Text: "address = {{ .a }}\n"})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"no other": []byte("address = 1\nx 2\n"),
		"large":    append([]byte("address = 1\nx 2\n"), bytes.Repeat([]byte("\n"), MaxProof)...),
	} {
		others := [][]byte{content}
		if name == "no other" {
			others = nil
		}
		m := tmpl.Mask(content, others...)
		if got := m.apply("address = 1") + m.apply("x 2"); got != "address [redacted][redacted]" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// What is written is not kept waiting by what is hidden in it: a Secret may have as
// many lines as a file, and these may begin alike.
func TestMaskOfManyLines(t *testing.T) {
	var value strings.Builder
	for i := range 14000 {
		fmt.Fprintf(&value, "the-same-beginning-of-every-secret-%d-and-its-end\n", i)
	}
	used := stopwatch(t)
	f := proved(t, "{{ range splitList \"\\n\" secret.value }}key = {{ . }}\n{{ end }}", map[string]string{"value": value.String()})
	unified := "--- a\n+++ b\n" + strings.Repeat("-key = old\n", 14000)
	shown := FileDiff{Unified: unified, Content: f.content, After: f.mask}.Redacted()
	took := used()
	t.Logf("%d bytes in %v", len(f.content), took)
	if limit := 5 * time.Second; took > limit { // a tenth of a second, but for the race detector
		t.Errorf("took %v of processor time, want less than %v", took, limit)
	}
	if strings.Contains(shown, "old") {
		t.Error("an old line is shown")
	}
}

// Stand-ins have the shape of the secret, so that templates run with them, and
// nothing of it.
func TestStandIn(t *testing.T) {
	shaper := newShaper(func(word string) bool { return word == "auths" || word == "password" }, "@", false)
	for secret, want := range map[string]string{
		"":                              "",
		" \n":                           " \n",
		"true":                          "false",
		"FALSE":                         "TRUE",
		"null":                          "ahyy",
		"hunter2":                       "uhagre7",
		"p@ss!w_rd":                     "c@ff_j.eq",
		"8443":                          "7998",
		"100":                           "255",
		"-1.5e10":                       "-2.4e65",
		"00":                            "15",
		"in":                            "va",
		"a,b c":                         "n_o p",
		`{"auths":{"x":[1,true,null]}}`: `{"auths":{"k":[2,false,null]}}`,
		`{"password":"a\"b","n":"!!"}`:  `{"password":"n\"o","a":"__"}`,
		"password: hunter2\nx: [a, 1]":  "password: uhagre7\nk: [n, 2]",
		"- a\n- 'b!'":                   "- n\n- 'o_'",
		"[s]\npassword = \"x\"  \n":     "[f]\npassword = \"k\"  \n",
		"user:pass":                     "hfre:cnff",
		"pg://app:a%20!@h:5432/x?q=a&z": "ct://ncc:n%44_@u:4987/k?d=n&m",
		encode("root:hunter2"):          encode("ebbg:uhagre7"),
		"-----BEGIN A-----\nMI+/=\n":    "-----ORTVA N-----\nZV+/=\n",
		"äöü":                           "å÷ý",
		"\x00\x01\xff":                  "\x10\x02v",
		"@@@@":                          "____",
	} {
		if got := shaper.standIn(secret); got != want {
			t.Errorf("%q: got %q, want %q", secret, got, want)
		}
	}
}

// The second stand-in is another one, and longer where the secret is text.
func TestSecondStandIn(t *testing.T) {
	shaper := newShaper(func(word string) bool { return word == "password" }, "@", true)
	for secret, want := range map[string]string{
		"":                             "",
		"true":                         "false",
		"hunter2":                      "obualy9q",
		"p@ss!w_rd\n":                  "w@zz-d-ykq\n",
		"8443":                         "6110",
		"00":                           "27",
		"a,b c":                        "h-i jq",
		`{"password":"a\"b","n":"!_"}`: `{"password":"hq\"iq","u":"--"}`,
		"password: hunter2\nx: [a, 1]": "password: obualy9q\ne: [hq, 3]",
		"user:pass":                    "bzly:whzzq",
		"pg://app:a%20!@h:5432/x?q=a":  "wn://hwwq:hq%66-@o:3109/e?x=hq",
		encode("root:hunter2"):         encode("yvva:obualy9q"),
		"äöü":                          "å÷ýq",
		"!@_":                          "-@-",
	} {
		if got := shaper.standIn(secret); got != want {
			t.Errorf("%q: got %q, want %q", secret, got, want)
		}
	}
}

// For any secret: the stand-in has as many lines, and is different.
func FuzzStandIn(f *testing.F) {
	for _, secret := range secretsOfTest() {
		f.Add(secret)
	}
	f.Add("a: &x 1\nb: *x\n")
	f.Add("\xff\xfe\x00")
	f.Fuzz(func(t *testing.T, secret string) {
		for _, other := range []bool{false, true} {
			got := newShaper(func(word string) bool { return word == "auths" }, ":", other).standIn(secret)
			if a, b := strings.Count(secret, "\n"), strings.Count(got, "\n"); a != b && !isBase64(secret) {
				t.Errorf("%q has %d lines, and %q has %d", secret, a, got, b)
			}
			if strings.ContainsFunc(secret, func(r rune) bool { return r > ' ' && r < 0x7f }) && got == secret && !isNull(strings.TrimSpace(secret)) {
				t.Errorf("%q stays as it is", secret)
			}
		}
	})
}

func isBase64(s string) bool {
	_, ok := decoded(s)
	return ok
}

// Whatever the secret is, no template shows a piece of it in a diff or an error.
func FuzzDiff(f *testing.F) {
	f.Add("hunter2hunter2", "app")
	for _, secret := range secretsOfTest() {
		f.Add(secret, "user")
	}
	f.Add("a=b\nc: d\n", "x")
	f.Add("\"'\\\x01 '': ", "\n")
	templates := []string{
		`a = {{ .one }} {{ .two }}`, `{{ toYaml . }}`, `{{ toJson . }}`, `{{ toToml . }}`, `a: {{ .one | quote }}`,
		`{{ printf "%s:%s" .two .one | b64enc }}`, `a {{ printf "%x" .one }}`, `a {{ .one | upper | b32enc }}`,
		"{{ range splitList \"\\n\" .one }}- {{ . }}\n{{ end }}", `{{ .one | indent 4 }}`, `{{ fromYaml .one }}`, `{{ fromJson .one }}`,
		`{{ urlParse .one }}`, `{{ fail .one }}`, `{{ int .one }}`, `{{ .one | replace "=" ":" }}`, `a {{ .one | trunc 9 }}`,
		`{{ tpl .one . }}`, `{{ if contains "a" .one }}{{ .one }}{{ else }}b{{ end }}`, `{{ mustRegexMatch .one "x" }}`, `{{ index . .two }}`,
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if len(one)+len(two) > 2048 {
			return
		}
		values := map[string]string{"one": one, "two": two}
		for _, text := range templates {
			shown := ""
			if f := proved(t, "{{ with secret }}"+text+"{{ end }}", values); f.err != nil {
				shown = strings.TrimPrefix(f.err.Error(), text)
			} else {
				shown = f.lines()
			}
			for _, secret := range values {
				wantNoPiece(t, text, shown, secret)
			}
		}
	})
}

// wordsOfErrors are some that decoders use.
const wordsOfErrors = "cannot unmarshal string into Go value of type map[string]interface {} unmarshaling JSON while decoding json yaml converting to line " +
	"invalid character looking for beginning unexpected end input after top-level parsing regexp parse first path segment URL contain colon there is no function " +
	"missing closing bad number syntax unclosed action unterminated quoted string unrecognized character number object array literal error iterate"

// wantNoPiece is wantNoWindow for what a template shows, whose own text may be like
// the secret.
func wantNoPiece(t *testing.T, template, shown, secret string) {
	t.Helper()
	public := template + " rendering executing error calling redacted with secret range " + wordsOfErrors
	for i := 0; i+window <= len(secret); i++ {
		piece := secret[i : i+window]
		if isBlank([]byte(piece)) || strings.TrimSpace(piece) != piece || strings.Contains(public, piece) || strings.Trim(piece, "{}[]:,.\"'-= \t\r\n#@&*|>\\nul0123456789~%ABCDEF") == "" {
			continue
		}
		for _, rest := range strings.Split(shown, Redacted) {
			if strings.Contains(rest, piece) {
				t.Fatalf("%q of the secret %q is shown by %q:\n%s", piece, secret, template, shown)
			}
		}
	}
}

// A rotation of a large secret keeps no more than the last.
func BenchmarkProve(b *testing.B) {
	for name, lines := range map[string]int{"10 KB": 250, "256 KB": 6400} {
		s := &safe{values: map[string]string{"password": "hunter2hunter2"}}
		text := "{{ with secret }}password = {{ .password }}{{ end }}\n{{ range until " + fmt.Sprint(lines) + " }}server s{{ . }} 10.0.0.{{ . }}:80 check inter 2s\n{{ end }}"
		tmpl, err := Parse(Source{Name: "t", Text: text, Funcs: map[string]any{"secret": s.secret}})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/once", func(b *testing.B) {
			for b.Loop() {
				if _, err := tmpl.Execute(nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/proved", func(b *testing.B) {
			for b.Loop() {
				content, err := tmpl.Execute(nil)
				if err != nil {
					b.Fatal(err)
				}
				var others [][]byte
				for _, s.standIn = range tmpl.StandIns() {
					other, err := tmpl.Again(nil)
					if err != nil {
						b.Fatal(err)
					}
					others = append(others, other)
				}
				s.standIn = nil
				tmpl.Mask(content, others...)
			}
		})
	}
}
