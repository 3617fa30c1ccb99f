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
	d := newDictionary(slices.Compact(forms))
	return func(text string) string { return cover(text, d.find(text)) }
}

// A dictionary finds many words in a text in one pass: a Secret may have as many
// lines as the text, and they may begin alike.
type dictionary struct {
	begin map[string][]string // words by their first bytes, sorted
	inner map[string]string   // of a word, the longest other that it begins with
}

func newDictionary(sorted []string) dictionary {
	d := dictionary{map[string][]string{}, map[string]string{}}
	var open []string // each begins with the one before
	for _, word := range sorted {
		d.begin[word[:shortest]] = append(d.begin[word[:shortest]], word)
		for len(open) > 0 && !strings.HasPrefix(word, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			d.inner[word] = open[len(open)-1]
		}
		open = append(open, word)
	}
	return d
}

// longest is the longest word that text begins with, or empty. Sorted, there is
// nothing between it and text but what begins with it too.
func (d dictionary) longest(text string) string {
	words := d.begin[text[:shortest]]
	i, same := slices.BinarySearch(words, text)
	if same {
		return text
	}
	if i == 0 {
		return ""
	}
	word := words[i-1]
	for !strings.HasPrefix(text, word) {
		word = d.inner[word]
	}
	return word
}

// find is where the words stand in text. They may overlap.
func (d dictionary) find(text string) []span {
	var found []span
	for at := 0; at+shortest <= len(text); at++ {
		if word := d.longest(text[at:]); word != "" {
			found = append(found, span{at, at + len(word)})
		}
	}
	return found
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
