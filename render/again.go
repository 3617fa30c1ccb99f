package render

import (
	"strings"
	"unicode"
)

// Again is Execute once more, on data with stand-ins in it. The bytes of the last
// Execute stay as they are.
func (t *Template) Again(data any) ([]byte, error) {
	kept := t.out
	t.Keep()
	defer func() { t.out = kept }()
	return t.Execute(data)
}

// StandIns are two functions that give for a secret another value of the same shape,
// for [Template.Again]. What is the same with both does not stem from a secret. The
// second gives longer texts, with which a template may fail: then the first decides.
func (t *Template) StandIns() [2]func(secret string) string {
	if t.shapers[0] == nil {
		for i := range t.shapers {
			t.shapers[i] = newShaper(t.names, t.separators(), i > 0)
		}
	}
	return [2]func(string) string{t.shapers[0].standIn, t.shapers[1].standIn}
}

// names says whether a word stands in the template's text or in a partial.
func (t *Template) names(word string) bool {
	if namesWord(t.source.Text, word) {
		return true
	}
	for _, text := range t.source.Partials {
		if namesWord(text, word) {
			return true
		}
	}
	return false
}

func namesWord(text, word string) bool {
	for at := 0; at+len(word) <= len(text); at++ {
		found := strings.Index(text[at:], word)
		if found < 0 {
			return false
		}
		at += found
		end := at + len(word)
		if (at == 0 || !isAlnum(text[at-1])) && (end == len(text) || !isAlnum(text[end])) {
			return true
		}
	}
	return false
}

// separators are the signs of the arguments that are nothing but signs: what the
// template splits at.
func (t *Template) separators() string {
	var signs strings.Builder
	for _, c := range t.calls {
		for _, arg := range c.Args {
			if arg != nil && !strings.ContainsFunc(*arg, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
				signs.WriteString(*arg)
			}
		}
	}
	return signs.String()
}

// keyLines are what lines of the template's own text begin with, and what follows an
// action in it, up to where a value may follow. A line of a file that begins so shows no secret with it.
func (t *Template) keyLines() map[string]bool {
	keys := map[string]bool{}
	add := func(text string) {
		if t.source.Right != "" {
			text = strings.ReplaceAll(text, t.source.Right, "\n")
		}
		for line := range strings.Lines(strings.ReplaceAll(text, "}}", "\n")) {
			if key := keyOf(line); key != "" {
				keys[strings.TrimLeft(key, " \t")] = true
			}
		}
	}
	add(t.source.Text)
	for _, text := range t.source.Partials {
		add(text)
	}
	return keys
}

// keyOf is what a line begins with, up to the first sign that a value follows.
func keyOf(line string) string {
	word := strings.TrimLeft(line, " \t")
	end := strings.IndexAny(word, "=:\"' \t")
	if end <= 0 {
		return ""
	}
	return line[:len(line)-len(word)+end+1]
}
