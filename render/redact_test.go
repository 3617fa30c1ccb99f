package render

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	const certificate = "-----BEGIN X-----\nMIIBszCC\n/+ab\"c\n-----END X-----\n"
	for name, test := range map[string]struct {
		secrets []string
		text    string
		want    string
	}{
		"none":                    {nil, "password=x", "password=x"},
		"an empty one":            {[]string{""}, "password=x", "password=x"},
		"of blanks":               {[]string{" \n\t"}, "a b\n\tc", "a b\n\tc"},
		"plain":                   {[]string{"hunter2"}, "password=hunter2;", "password=[redacted];"},
		"twice":                   {[]string{"hunter2"}, "hunter2 hunter2", "[redacted] [redacted]"},
		"as a whole":              {[]string{"hunter2"}, "hunter2", "[redacted]"},
		"not there":               {[]string{"hunter2"}, "hunter1", "hunter1"},
		"blanks around it":        {[]string{" hunter2\n"}, "a: hunter2,", "a: [redacted],"},
		"line by line":            {[]string{"one\ntwo\r\n\n three "}, "+ one\n+ two\n+ three\n+ four", "+ [redacted]\n+ [redacted]\n+ [redacted]\n+ four"},
		"lines together":          {[]string{"one\ntwo"}, "a one\ntwo b", "a [redacted] b"},
		"a certificate in a diff": {[]string{certificate}, "+" + strings.ReplaceAll(strings.TrimSpace(certificate), "\n", "\n+"), "+[redacted]\n+[redacted]\n+[redacted]\n+[redacted]"},
		"base64":                  {[]string{"hunter2"}, "aHVudGVyMg==", "[redacted]"},
		"base64 of lines":         {[]string{certificate}, "tls.crt: " + encode(certificate), "tls.crt: [redacted]"},
		"base64 of a line":        {[]string{"one\ntwo"}, encode("two"), "[redacted]"},
		"JSON":                    {[]string{`a"b\c<d>&`}, `{"p":"a\"b\\c\u003cd\u003e\u0026"}`, `{"p":"[redacted]"}`},
		"JSON of lines":           {[]string{"one\ntwo"}, `{"p":"one\ntwo"}`, `{"p":"[redacted]"}`},
		"raw JSON, or quoted":     {[]string{`a"b\c<d>&`}, `p = "a\"b\\c<d>&"`, `p = "[redacted]"`},
		"quoted, not ASCII":       {[]string{"ä\"\x7f\xff"}, strconv.Quote("ä\"\x7f\xff"), `"[redacted]"`},
		"quotes at its ends":      {[]string{`"x"`}, `\"x\" \x "`, `[redacted] \x "`},
		"a quote":                 {[]string{`"`}, `\ \" "`, `\ \" "`},
		"of a query":              {[]string{"a b/c&d"}, "?p=a+b%2Fc%26d&x", "?p=[redacted]&x"},
		"of a path":               {[]string{"a b/c&d"}, "/a%20b%2Fc&d/x", "/[redacted]/x"},
		"one in the other":        {[]string{"root", "rootpass"}, "root rootpass", "[redacted] [redacted]"},
		"the longer one first":    {[]string{"rootpass", "root"}, "root rootpass", "[redacted] [redacted]"},
		"one at the other's end":  {[]string{"toor", "passtoor"}, "toor passtoor", "[redacted] [redacted]"},
		"overlapping":             {[]string{"pp", "password"}, "ppassword", "[redacted]"},
		"overlapping itself":      {[]string{"abab"}, "xabababx", "x[redacted]x"},
		"next to another":         {[]string{"ab", "cd"}, "abcd", "[redacted]"},
		"one character":           {[]string{"x"}, "x=xx.yx", "x=xx.yx"},
		"one of the mark's":       {[]string{"e", "hunter2"}, "hunter2 e", "[redacted] e"},
		"like the mark":           {[]string{"[redacted]"}, "[redacted]", "[redacted]"},
		"the same one twice":      {[]string{"abc", "abc"}, "abc", "[redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Redactor(test.secrets)(test.text); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// formsOf are the ways in which templates write a secret.
func formsOf(t *testing.T, secret string) []string {
	t.Helper()
	inJSON, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	inside := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	return []string{
		secret, inside(string(inJSON)), inside(strconv.Quote(secret)), inside(fmt.Sprintf("%q", secret)),
		url.QueryEscape(secret), url.PathEscape(secret), encode(secret),
	}
}

// survives says whether s is in what a Redactor left.
func survives(redactedText, s string) bool {
	for _, rest := range strings.Split(redactedText, Redacted) {
		if strings.Contains(rest, s) {
			return true
		}
	}
	return false
}

// Protects secrets, in whatever form and wherever they stand: none survives,
// and of text without a secret nothing is lost.
func FuzzRedactor(f *testing.F) {
	f.Add("hunter2", "root", "password=")
	f.Add("pp", "password", "p")
	f.Add(`a"b\`, "<&>", `\`)
	f.Add("a", "[redacted]", "aa")
	f.Add("ä\xff\x00", " b ", "%")
	f.Add("one\ntwo", "two\nthree", "\n")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		hide := Redactor([]string{one, two})
		var all []string
		for _, secret := range []string{strings.TrimSpace(one), strings.TrimSpace(two)} {
			if len(secret) >= shortest {
				all = append(all, formsOf(t, secret)...)
			}
		}
		got := hide(text + strings.Join(all, text) + strings.Join(all, "") + text)
		for _, form := range all {
			if survives(got, form) {
				t.Fatalf("%q of the secrets %q and %q is in %q", form, one, two, got)
			}
		}
		if harmless := strings.Repeat("\n", 1+len(text)); hide(harmless) != harmless {
			t.Errorf("a text without a secret became %q", hide(harmless))
		}
	})
}

// Protects secrets of several lines, which a diff shows one by one behind a
// sign and a template indents.
func FuzzRedactorOfLines(f *testing.F) {
	f.Add("one\ntwo", "+  ")
	f.Add("a\r\n\r\n b\n", "-")
	f.Add("\n\n{\n  \"k\": \"v\"\n}\n", "")
	f.Add("x", "x")
	f.Fuzz(func(t *testing.T, secret, indent string) {
		lines := strings.Split(secret, "\n")
		got := Redactor([]string{secret})(indent + strings.Join(lines, "\n"+indent))
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= shortest && survives(got, line) {
				t.Fatalf("the line %q of the secret %q is in %q", line, secret, got)
			}
		}
	})
}
