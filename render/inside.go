package render

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// maxInside is the size in bytes of the largest secret that is taken apart.
const maxInside = 64 << 10

// inside are the secrets within a secret that are not pieces of its text as it
// stands: what base64 holds, and what a JSON or YAML document or a URL escapes.
func inside(secret string) []string {
	if len(secret) > maxInside || len(secret) < shortest {
		return nil
	}
	var found []string
	add := func(s string) {
		if len(s) >= shortest && (len(s) < window || !strings.Contains(secret, s)) {
			found = append(found, s)
		}
	}
	leaves(secret, 3, add)
	if user, password, ok := strings.Cut(secret, ":"); ok && !strings.ContainsAny(secret, " \n") {
		add(user)
		add(password)
	}
	return found
}

// leaves gives what a secret holds, and what that holds.
func leaves(secret string, depth int, add func(string)) {
	if depth == 0 {
		return
	}
	within := func(s string) {
		add(s)
		leaves(s, depth-1, add)
	}
	if plain, ok := decoded(secret); ok {
		within(plain)
	}
	if u, err := url.Parse(secret); err == nil && u.Host != "" {
		password, _ := u.User.Password()
		within(password)
		within(u.User.Username())
		for _, values := range u.Query() {
			for _, v := range values {
				within(v)
			}
		}
	}
	var document any
	if s := strings.TrimSpace(secret); strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		_ = json.Unmarshal([]byte(s), &document) // not a document: no leaves
	}
	if document == nil && strings.Contains(secret, ":") {
		_ = yaml.Unmarshal([]byte(secret), &document)
	}
	walkDocument(document, within)
}

func walkDocument(v any, leaf func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, value := range v {
			walkDocument(value, leaf)
		}
	case []any:
		for _, value := range v {
			walkDocument(value, leaf)
		}
	case string:
		leaf(v)
	case float64:
		leaf(strconv.FormatFloat(v, 'f', -1, 64))
	}
}

// decoded is what base64 holds, when that is a text.
func decoded(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) < 8 {
		return "", false
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	plain, err := encoding.DecodeString(strings.TrimRight(s, "="))
	return string(plain), err == nil && isText(string(plain))
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}
