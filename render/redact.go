package render

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
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
	slices.Sort(forms)
	forms = slices.Compact(forms)
	return func(text string) string {
		var secret []span
		for _, f := range forms {
			secret = append(secret, find(text, f)...)
		}
		return cover(text, secret)
	}
}

func spellings(s string) []string {
	inJSON, _ := json.Marshal(s) // a string always marshals
	quoted := strconv.Quote(s)   // as quote does, which leaves <, > and & alone
	return []string{
		s,
		string(inJSON[1 : len(inJSON)-1]),
		quoted[1 : len(quoted)-1],
		url.QueryEscape(s),
		url.PathEscape(s),
		base64.StdEncoding.EncodeToString([]byte(s)),
	}
}

// A span is a part of a text, without its end.
type span struct {
	start, end int
}

// find is where s stands in text.
func find(text, s string) []span {
	var found []span
	for from := 0; ; {
		at := strings.Index(text[from:], s)
		if at < 0 {
			return found
		}
		found = append(found, span{from + at, from + at + len(s)})
		from += at + 1 // it may overlap itself
	}
}

// cover writes one mark for spans that touch. Secrets may overlap, and the
// rest of one is not to stay for having been covered by another.
func cover(text string, spans []span) string {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	end := 0
	for i, s := range spans {
		if i == 0 || s.start > end {
			b.WriteString(text[end:s.start] + redacted)
		}
		end = max(end, s.end)
	}
	return b.String() + text[end:]
}
