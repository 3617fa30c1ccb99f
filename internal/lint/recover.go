package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// How much is tried to find the next mistake behind one.
const (
	maxSyntaxErrors = 100
	maxReparsed     = 4 << 20 // bytes
)

// A source is a template's text while it is parsed with its mistakes taken out:
// each becomes white space of the same length, which leaves all places as they are.
type source struct {
	name, text  string
	left, right string
	findings    []syntaxError
	blanked     []string // actions that were taken out
	parsed      int      // bytes, of all attempts
	closing     int      // how many {{end}} were added
}

// A syntaxError is one at an offset in the text.
type syntaxError struct {
	offset  int
	message string
}

// parseAll parses a text, over its mistakes. Trees is nil when nothing is left that
// the parser accepts.
func (s *source) parseAll() (trees map[string]*parse.Tree) {
	for len(s.findings) < maxSyntaxErrors && s.parsed < maxReparsed {
		trees, err := s.parse(s.text)
		if err == nil {
			return trees
		}
		if !s.repair(err) {
			return nil
		}
	}
	return nil
}

func (s *source) parse(text string) (map[string]*parse.Tree, error) {
	s.parsed += len(text) + 1
	tree, trees := parse.New(s.name), map[string]*parse.Tree{}
	tree.Mode = parse.SkipFuncCheck
	text += strings.Repeat(s.left+"end"+s.right, s.closing)
	if _, err := tree.Parse(text, s.left, s.right, trees); err != nil {
		return nil, err
	}
	trees[s.name] = tree // also when it is empty
	return trees, nil
}

// split takes text/template's "template: NAME:LINE: MESSAGE" apart.
func (s *source) split(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "template: ")
	rest, ok := strings.CutPrefix(message, s.name+":")
	if !ok {
		return 1, message
	}
	number, text, ok := strings.Cut(rest, ": ")
	line, failed := strconv.Atoi(number)
	if !ok || failed != nil {
		return 1, message
	}
	return line, text
}

// repair notes the mistake that the parser stopped at, and takes it out of the
// text. It is false when there is no way to go on.
func (s *source) repair(err error) bool {
	line, message := s.split(err)
	actions := actionsOf(s.text, s.left, s.right)
	s.parsed += len(s.text)
	if message == "unexpected EOF" {
		return s.close(actions)
	}
	message, line = s.startedAt(message, line)
	rest := s.text
	candidates := s.candidates(actions, line)
	if strings.Contains(message, "multiple definition") { // the last is one too many
		slices.Reverse(candidates)
		candidates = slices.DeleteFunc(candidates, func(i int) bool { return actions[i].keyword != "define" && actions[i].keyword != "block" })
	}
	for _, i := range candidates {
		rest = without(rest, actions, i)
		if _, after := s.parse(rest); after != nil && after.Error() == err.Error() {
			continue // there may be several that are wrong in the same way
		}
		s.note(s.refine(actions[i], message), message)
		s.blanked = append(s.blanked, s.text[actions[i].start:actions[i].end])
		s.text = without(s.text, actions, i)
		return true
	}
	s.note(s.lineStart(line), message)
	return false
}

// startedAt is the line in which an action begins that has no end, and the message
// without it.
func (s *source) startedAt(message string, line int) (string, int) {
	text, place, ok := strings.Cut(message, " started at "+s.name+":")
	if n, err := strconv.Atoi(place); ok && err == nil {
		return text, n
	}
	return message, line
}

// maxCandidates is how many actions of a line are tried.
const maxCandidates = 20

// candidates are the actions that may be what is wrong in a line: those that the
// line has a part of, and of these first what has no end.
func (s *source) candidates(actions []action, line int) []int {
	start := s.lineStart(line)
	end := len(s.text)
	if next := strings.IndexByte(s.text[min(start, end):], '\n'); next >= 0 {
		end = start + next + 1
	}
	var found []int
	for i, a := range actions {
		if a.start < end && (a.end > start || a.end == start && a.open) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(i, j int) int {
		switch {
		case actions[i].open == actions[j].open:
			return 0
		case actions[i].open:
			return -1
		}
		return 1
	})
	return found[:min(len(found), maxCandidates)]
}

// without is a text without an action; with what ends it and its branches, when it
// begins a block.
func without(text string, actions []action, i int) string {
	out := []int{i}
	if actions[i].opens() {
		out = append(out, actions[i].elses...)
		if end := actions[i].closer; end >= 0 {
			out = append(out, end)
		}
	}
	b := []byte(text)
	for _, i := range out {
		for at := actions[i].start; at < actions[i].end; at++ {
			if b[at] != '\n' {
				b[at] = ' '
			}
		}
	}
	return string(b)
}

// close notes the blocks that have no end, and adds it.
func (s *source) close(actions []action) bool {
	added := false
	for _, a := range slices.Backward(actions) {
		if a.opens() && a.closer < 0 {
			s.note(a.start, "the "+s.left+a.keyword+s.right+" that begins here has no "+s.left+"end"+s.right)
			if s.closing++; s.closing > maxSyntaxErrors {
				return false
			}
			added = true
		}
	}
	if !added {
		s.note(len(s.text), "unexpected end of the template")
	}
	return added
}

func (s *source) note(offset int, message string) {
	s.findings = append(s.findings, syntaxError{offset, message})
}

func (s *source) lineStart(line int) int {
	at := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(s.text[at:], '\n')
		if next < 0 {
			return at
		}
		at += next + 1
	}
	return at
}

// refine is where in an action a message points to: at the word that it quotes.
func (s *source) refine(a action, message string) int {
	if strings.Contains(message, "unterminated") && a.quote >= 0 {
		return a.quote
	}
	text := s.text[a.start:a.end]
	quoted := regexp.MustCompile(`"((?:[^"\\]|\\.)+)"`).FindStringSubmatch(message)
	bad := regexp.MustCompile(`U\+[0-9A-F]+ '(.+)'`).FindStringSubmatch(message)
	inside := min(len(s.left), len(text))
	switch {
	case bad != nil:
		if at := strings.Index(text[inside:], bad[1]); at >= 0 {
			return a.start + inside + at
		}
	case quoted != nil:
		word, err := strconv.Unquote(quoted[0])
		if err != nil {
			word = quoted[1]
		}
		if at := wordIn(text[inside:], word); at >= 0 {
			return a.start + inside + at
		}
	}
	return a.start
}

// wordIn is where a word is in a text, not as a part of a longer one.
func wordIn(text, word string) int {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return -1
		}
		at += i
		if end := at + len(word); end == len(text) || !isWord(text[end]) || !isWord(word[len(word)-1]) {
			return at
		}
		at++
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
