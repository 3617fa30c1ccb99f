package render

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func redactor(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Set(secrets, nil, []string{"/etc/rootpass/app.conf", "/etc/rootpass/"})
	return r
}

func TestRedact(t *testing.T) {
	const certificate = "-----BEGIN X-----\nMIIBszCC\n/+ab\"c\n-----END X-----\n"
	for name, test := range map[string]struct {
		secret string
		text   string
		want   string
	}{
		"an empty one":         {"", "password=x", "password=x"},
		"of blanks":            {" \n\t", "a b\n\tc", "a b\n\tc"},
		"plain":                {"hunter2", "password=hunter2;", "password=[redacted];"},
		"twice":                {"hunter2", "hunter2 hunter2", "[redacted] [redacted]"},
		"not there":            {"hunter2", "huntsman", "huntsman"},
		"a piece":              {"a-long-secret", "at g-secr of it", "at [redacted] of it"},
		"upper case":           {"hunter2", "HUNTER2", "[redacted]"},
		"backwards":            {"hunter2", "2retnuh", "[redacted]"},
		"a hash":               {"hunter2", "is f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7.", "is [redacted]."},
		"a hash of its line":   {"hunter2", "6a0f0731d84afa4082031e3a72354991  -", "[redacted]  -"},
		"the line of a hash":   {"hunter2\n", "F3BBBD66A63D4BF1747940578EC3D0103530E21D", "[redacted]"},
		"a hash in base64":     {"hunter2", "u:{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0=", "u:{SHA}[redacted]="},
		"the start of a hash":  {"hunter2", "sha512:6b97ed68d14eb3f1aa959ce5d49c7dc612e1eb1d", "sha512:[redacted]"},
		"another hash":         {"hunter2", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
		"a number of JSON":     {`{"pin":48392,"port":1}`, "48392 148392 1", "[redacted] 148392 1"},
		"what is not printed":  {"hunter2", "hun\x1bter\x002", "[redacted]"},
		"blanks around it":     {" hunter2\n", "a: hunter2,", "a: [redacted],"},
		"lines of it":          {certificate, "+MIIBszCC\n+x", "+[redacted]\n+x"},
		"a ruler of it":        {"a\n----------\nb", "----------", "----------"},
		"base64":               {"hunter2", "aHVudGVyMg==", "[redacted]=="},
		"base64 of a pair":     {"hunter2hunter2", "cm9vdDpodW50ZXIyaHVudGVyMg==", "cm9vdDp[redacted]=="},
		"base64 for URLs":      {"\xfb\xff\xbehunter2", "-_--aHVudGVyMg", "[redacted]"},
		"base32":               {"hunter2", base32.StdEncoding.EncodeToString([]byte("hunter2")), "[redacted]===="},
		"hex":                  {"hunter2", hex.EncodeToString([]byte("hunter2")), "[redacted]"},
		"hex by bytes":         {"hunter2", "68 75 6e 74 65 72 32 0a", "[redacted] 0a"},
		"hex with colons":      {"hunter2", "is 68:75:6E:74:65:72:32", "is [redacted]"},
		"hex by two bytes":     {"hunter2", "0000: 6875 6e74 6572 3200", "0000: [redacted]00"},
		"percent":              {"hunter2", "%68%75%6e%74%65%72%32", "%[redacted]"},
		"escapes":              {"hunter2", `\x68\x75\x6e\x74\x65\x72\x32`, `\x[redacted]`},
		"escapes of Unicode":   {"hunter2", `\u0068\u0075\u006e\u0074\u0065\u0072\u0032`, `\u00[redacted]`},
		"an array":             {"hunter2", "[104, 117, 110, 116, 101, 114, 50]", "[[redacted]]"},
		"octal":                {"hunter2", "150 165 156 164 145 162 062", "[redacted]"},
		"other numbers":        {"hunter2", "at 10.0.0.12:3306, 68 75 6e, 104 117 15:04:05", "at 10.0.0.12:3306, 68 75 6e, 104 117 15:04:05"},
		"JSON":                 {`a"b\c<d>&`, `{"p":"a\"b\\c\u003cd\u003e\u0026"}`, `{"p":"[redacted]"}`},
		"of a query":           {"a b/c&d", "?p=a+b%2Fc%26d&x", "?p=[redacted]&x"},
		"SQL":                  {"it's 'it'", "'it''s ''it'''", "'[redacted]'"},
		"a leaf of JSON":       {`{"a":{"b":"hunter2\"hunter2"}}`, `is hunter2"hunter2`, `is [redacted]`},
		"base64 in JSON":       {`{"auth":"` + encode("root:hunter2") + `"}`, "user root:hunter2", "user [redacted]"},
		"a leaf of YAML":       {"a: \"hunter2\\thunter2\"\n", "is hunter2\thunter2", "is [redacted]"},
		"a password of a URL":  {"pg://app:a%20b%20c@db/x", "is a b c", "is [redacted]"},
		"short, as a word":     {"abcd", "abcd abcde xabcd", "[redacted] abcde xabcd"},
		"short, in base64":     {"abcd", "is YWJjZA==", "is [redacted]"},
		"too short":            {"in", "in 00 true in", "in 00 true in"},
		"what all write":       {"true", "true, it is true", "true, it is true"},
		"a path":               {"rootpass", "/etc/rootpass/app.conf: rootpass", "/etc/rootpass/app.conf: [redacted]"},
		"next to a path":       {"rootpass", "/etc/rootpass/.app.conf123:1: rootpass", "/etc/rootpass/.app.conf123:1: [redacted]"},
		"two user names in it": {"root:secret!", "root secret!", "[redacted] [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redactor(test.secret).Redact(test.text); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// kconfd's own words, and the names in them, stay whatever the secrets are.
func TestRedactOwn(t *testing.T) {
	const text = `checking "/etc/rootpass/app.conf" of group "in": Secret "true" in namespace "default": command "a b": exit status 1: 00`
	r := redactor("in", "00", "true", "default", "rootpass", "a b", "exit", "command-line")
	if got := r.RedactOwn(text); got != text {
		t.Errorf("got %q", got)
	}
	if got, want := redactor("Tr0ub4dor&3").RedactOwn("is Tr0ub4dor&3."), "is [redacted]."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Pieces of files are hidden like secrets.
func TestRedactPieces(t *testing.T) {
	r := &Redactor{}
	r.Set(nil, []string{"c2VjcmV0\nabcd\n"}, nil)
	if got, want := r.Redact("token c2VjcmV0 and abcd"), "token [redacted] and [redacted]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// formsOf are ways in which programs write a secret, each with its length for a
// byte of the secret.
func formsOf(t *testing.T, secret string) []string {
	t.Helper()
	inJSON, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		secret, strings.ToUpper(secret), strings.ToLower(secret), backwards(secret),
		string(inJSON), strconv.Quote(secret), fmt.Sprintf("%q", secret),
		url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret), strings.ReplaceAll(secret, "'", "''"),
		encode(secret), encode("x" + secret), encode("xy" + secret + "z"), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		base32.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), fmt.Sprintf("%X", secret),
		fmt.Sprintf("% x", secret), fmt.Sprint([]byte(secret)),
	}
}

// Protects secrets, in whatever form and wherever they stand: no piece of six bytes
// survives, and of text without a secret nothing is lost.
func FuzzRedaction(f *testing.F) {
	f.Add("hunter2", "root", "password=")
	f.Add(`a"b\c"d\e`, "<&>", `\`)
	f.Add("Tr0ub4dor&3-horse", "admin", "'")
	f.Add("ä\xff\x00äääää", " b ", "%")
	f.Add("one\ntwothree", "two\nthree", "\n")
	f.Add(`{"auths":{"reg.example":{"password":"JsonInnerPass99"}}}`, "k: {a: [x, 'itsYamlPass']}", "auth ")
	f.Add("postgresql://app:Hunter2Hunter2@db:5432/app?sslpassword=Other-1", "a=b", "dsn ")
	f.Add("aaaaaaaaaa", "ababababab", "ab")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		if len(one)+len(two)+len(text) > 4096 {
			return
		}
		r := redactor(one, two)
		for _, secret := range []string{one, two} {
			for _, form := range formsOf(t, secret) {
				got := r.Redact(text + " " + form + " " + text)
				wantNoWindow(t, got, secret)
				if plain := text + form; len(printed(secret)) >= 2*window && !isBlank([]byte(secret)) && !strings.Contains(plain, Redacted) && strings.Contains(got, form) {
					t.Fatalf("%q of the secret %q is in %q", form, secret, got)
				}
			}
		}
		if harmless := strings.Repeat("\n", 1+len(text)); r.Redact(harmless) != harmless {
			t.Errorf("a text without a secret became %q", r.Redact(harmless))
		}
	})
}

// wantNoWindow fails when a piece of a secret is in a text, in any case, apart from
// blanks and rulers.
func wantNoWindow(t *testing.T, text, secret string) {
	t.Helper()
	secret = printed(secret)
	for _, rest := range strings.Split(printed(text), Redacted) {
		for i := 0; i+window <= len(secret); i++ {
			piece := secret[i : i+window]
			if !isBlank([]byte(piece)) && strings.Contains(rest, piece) {
				t.Fatalf("%q of the secret %q is in %q", piece, secret, text)
			}
		}
	}
}

// printed is a text without the bytes that are not.
func printed(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if counts(s[i]) {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
