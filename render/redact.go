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

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// shortest is the length in bytes of the shortest secret that is hidden: to
// hide a single letter wherever it stands would tell which it is.
const shortest = 2

// Redactor gives a function that hides secrets in a text: as they are, line by
// line, and in the forms that templates commonly give them (base64, JSON or
// quoted, URL). A single letter is left.
func Redactor(secrets []string) func(string) string {
	var forms []string
	for _, s := range secrets {
		for _, part := range append(strings.Split(s, "\n"), s) {
			if part = strings.TrimSpace(part); len(part) >= shortest {
				forms = append(forms, spellings(part)...)
			}
		}
		if len(s) >= shortest {
			forms = append(forms, base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	slices.Sort(forms)
	begin := map[string][]string{} // forms by their first bytes
	for _, f := range slices.Compact(forms) {
		begin[f[:shortest]] = append(begin[f[:shortest]], f)
	}
	return func(text string) string { return cover(text, find(text, begin)) }
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

// find is where the forms stand in text, found in one pass: a Secret may have
// as many lines as the text. They may overlap.
func find(text string, begin map[string][]string) []span {
	var found []span
	for at := 0; at+shortest <= len(text); at++ {
		for _, f := range begin[text[at:at+shortest]] {
			if strings.HasPrefix(text[at:], f) {
				found = append(found, span{at, at + len(f)})
			}
		}
	}
	return found
}

// cover writes one mark for spans that touch. Secrets may overlap, and the
// rest of one is not to stay for having been covered by another.
func cover(text string, spans []span) string {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	end := 0
	for i, s := range spans {
		if i == 0 || s.start > end {
			b.WriteString(text[end:s.start] + Redacted)
		}
		end = max(end, s.end)
	}
	return b.String() + text[end:]
}
