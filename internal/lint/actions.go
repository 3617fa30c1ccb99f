package lint

import (
	"strings"
)

// An action is what is between two delimiters, with these.
type action struct {
	start, end int    // in the text
	keyword    string // if, range, end …; empty for others
	name       string // of a define or block
	comment    bool
	open       bool // it has no right delimiter
	quote      int  // where a string begins that has no end; -1 when there is none
	closer     int  // of a block: the index of its end; -1 when there is none
	elses      []int
}

// actionsOf finds the actions of a text, and which end belongs to which block. It
// accepts every text: what it is for is a text that the parser does not accept.
func actionsOf(text, left, right string) []action {
	var all []action
	var blocks []int
	for at := 0; ; {
		begin := strings.Index(text[at:], left)
		if begin < 0 {
			return all
		}
		a := readAction(text, at+begin, left, right)
		at = a.end
		index := len(all)
		switch a.keyword {
		case "if", "with", "range", "define", "block":
			blocks = append(blocks, index)
		case "else":
			if last := len(blocks) - 1; last >= 0 {
				all[blocks[last]].elses = append(all[blocks[last]].elses, index)
			}
		case "end":
			if last := len(blocks) - 1; last >= 0 {
				all[blocks[last]].closer = index
				blocks = blocks[:last]
			}
		}
		all = append(all, a)
	}
}

func (a action) opens() bool {
	switch a.keyword {
	case "if", "with", "range", "define", "block":
		return true
	}
	return false
}

// readAction reads the action that begins at start.
func readAction(text string, start int, left, right string) action {
	a := action{start: start, quote: -1, closer: -1}
	at := start + len(left)
	if rest := text[at:]; len(rest) >= 2 && rest[0] == '-' && isSpace(rest[1]) {
		at += 2
	}
	if strings.HasPrefix(text[at:], "/*") {
		a.comment = true
		a.end = len(text)
		if end := strings.Index(text[at:], "*/"); end >= 0 {
			at += end
			if end := strings.Index(text[at:], right); end >= 0 {
				a.end = at + end + len(right)
			}
		}
		return a
	}
	word, rest := firstWord(text[at:])
	a.keyword = keyword(word, right)
	if a.keyword == "define" || a.keyword == "block" {
		name, _ := firstWord(rest)
		a.name = strings.Trim(strings.TrimSuffix(name, right), "\"`")
	}
	for at < len(text) {
		switch c := text[at]; {
		case strings.HasPrefix(text[at:], right):
			a.end = at + len(right)
			return a
		case strings.HasPrefix(text[at:], left): // the one before has no end
			a.end, a.open = at, true
			return a
		case c == '"' || c == '\'' || c == '`':
			end, closed := quotedEnd(text, at)
			if !closed {
				a.quote, a.open = at, true
				a.end = unclosedEnd(text, at, right)
				return a
			}
			at = end
		default:
			at++
		}
	}
	a.end, a.open = len(text), true
	return a
}

// firstWord is what a text begins with up to white space, and the rest. It is short:
// keywords are, and the names of templates.
func firstWord(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t\r\n")
	const longest = 200
	end := strings.IndexAny(text[:min(len(text), longest)], " \t\r\n")
	if end < 0 {
		end = min(len(text), longest)
	}
	return text[:end], text[end:]
}

// keyword is the word that an action begins with, if it is one.
func keyword(word, right string) string {
	word, _, _ = strings.Cut(word, right)
	switch word {
	case "if", "with", "range", "define", "block", "else", "end", "template", "break", "continue":
		return word
	}
	return ""
}

// quotedEnd is behind the quote that closes the one at start.
func quotedEnd(text string, start int) (end int, closed bool) {
	quote := text[start]
	for at := start + 1; at < len(text); at++ {
		switch c := text[at]; {
		case c == quote:
			return at + 1, true
		case quote == '`':
		case c == '\n':
			return at, false
		case c == '\\':
			at++
		}
	}
	return len(text), false
}

// unclosedEnd is where an action ends in which a string has no end: at the next
// right delimiter, or with the line.
func unclosedEnd(text string, quote int, right string) int {
	line := len(text)
	if end := strings.IndexByte(text[quote:], '\n'); end >= 0 {
		line = quote + end
	}
	if end := strings.Index(text[quote:line], right); end >= 0 {
		return quote + end + len(right)
	}
	return line
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
