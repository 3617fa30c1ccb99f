package render

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// Redactor gives a function that hides secrets in a text: as they are, line by
// line, and in the forms that templates commonly give them (base64, JSON or
// quoted, URL).
func Redactor(secrets []string) func(string) string {
	var forms []string
	for _, s := range secrets {
		for _, part := range append(strings.Split(s, "\n"), s) {
			if part = strings.TrimSpace(part); part != "" {
				forms = append(forms, spellings(part)...)
			}
		}
		if s != "" {
			forms = append(forms, base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	// The longest first: one may be part of another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, redacted)
	}
	return strings.NewReplacer(pairs...).Replace
}

func spellings(s string) []string {
	quoted, _ := json.Marshal(s) // a string always marshals
	return []string{
		s,
		strings.Trim(string(quoted), `"`),
		url.QueryEscape(s),
		base64.StdEncoding.EncodeToString([]byte(s)),
	}
}
