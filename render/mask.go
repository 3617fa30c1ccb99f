package render

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"text/template"
)

// MaxProof is the size in bytes of the largest file of which it is found out
// which of its lines stem from secrets. In a larger one, all values are masked.
const MaxProof = 1 << 20

// A Mask says how much may be shown of each line of a file whose template read a
// secret: all of it when it stays the same with other secrets, else what it begins
// with, up to the first word that does not. It holds no secret itself.
type Mask struct {
	seed   maphash.Seed
	shown  map[uint64]int // bytes, by the hash of the line; -1 for all
	pieces string         // what differs, without what is too short
	keys   map[string]bool
	all    bool // every value is masked
}

// Mask compares a file with those that the template gives for other secrets. When
// there is none, all values are masked.
func (t *Template) Mask(content []byte, others ...[]byte) *Mask {
	m := &Mask{seed: maphash.MakeSeed(), keys: t.keyLines(), all: len(others) == 0 || len(content) > MaxProof}
	if m.all {
		if len(content) <= MaxProof {
			m.pieces = pieces(lines(content), t.names)
		}
		return m
	}
	m.shown = map[uint64]int{}
	is := lines(content)
	for _, other := range others {
		m.prove(is, lines(other))
	}
	return m
}

// prove finds out how much is the same with other secrets.
func (m *Mask) prove(is, would []string) {
	same := min(len(is), len(would))
	head := 0
	for head < same && is[head] == would[head] {
		m.show(is[head], -1)
		head++
	}
	tail := 0
	for tail < same-head && is[len(is)-1-tail] == would[len(would)-1-tail] {
		m.show(is[len(is)-1-tail], -1)
		tail++
	}
	m.compare(is[head:len(is)-tail], would[head:len(would)-tail])
}

// lines are those of a file, without their ends.
func lines(content []byte) []string { return strings.Split(string(content), "\n") }

// compare masks the lines between the first and the last that differ. When they
// are not as many, none is known to belong to another.
func (m *Mask) compare(is, would []string) {
	words := map[string]bool{}
	var differ []string
	for i, line := range is {
		switch {
		case len(is) != len(would):
			m.show(line, m.key(line))
		case line == would[i]:
			m.show(line, -1)
			continue
		default:
			m.show(line, max(m.key(line), sharedWords(line, would[i])))
		}
		differ = append(differ, line)
	}
	for _, line := range would {
		for _, word := range strings.FieldsFunc(line, isBoundaryRune) {
			words[word] = true
		}
	}
	for known := range strings.Lines(m.pieces) { // of another comparison
		words[strings.TrimSuffix(known, "\n")] = true
	}
	m.pieces += pieces(differ, func(word string) bool { return words[word] })
}

// pieces are the words of lines that are not harmless, one a line. Of those that
// are too short to be told from other words there are none.
func pieces(lines []string, harmless func(string) bool) string {
	var b strings.Builder
	for _, line := range lines {
		for _, word := range strings.FieldsFunc(line, isBoundaryRune) {
			if len(word) >= shortest && !harmless(word) {
				b.WriteString(word + "\n")
			}
		}
	}
	return b.String()
}

func (m *Mask) show(line string, shown int) {
	h := maphash.String(m.seed, line)
	if before, again := m.shown[h]; again && (shown < 0 || before >= 0 && before < shown) {
		return
	}
	m.shown[h] = shown
}

// key is the length of what a line begins with when lines of the template do too.
func (m *Mask) key(line string) int {
	if key := keyOf(line); key != "" && m.keys[strings.TrimLeft(key, " \t")] {
		return len(key)
	}
	return 0
}

// sharedWords is the length of what two lines begin with, in whole words.
func sharedWords(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	for n > 0 && !isBoundary(a[n-1]) {
		n--
	}
	return n
}

func isBoundaryRune(r rune) bool { return r < 0x80 && isBoundary(byte(r)) }

// isBoundary says whether a sign stands between words.
func isBoundary(c byte) bool { return strings.IndexByte(" \t\r=:,;\"'`()[]{}<>", c) >= 0 }

// Pieces are the words of the file that stem from secrets, one a line, as far as
// they are long enough to be looked for in other texts.
func (m *Mask) Pieces() string {
	if m == nil {
		return ""
	}
	return m.pieces
}

// of is how much of a line may be shown, -1 for all; known is false when the file
// has no such line.
func (m *Mask) of(line string) (shown int, known bool) {
	if m.all {
		return m.key(line), true
	}
	shown, known = m.shown[maphash.String(m.seed, line)]
	return shown, known
}

// visible is what a line of the file may be shown of.
func (m *Mask) visible(line string) string {
	if m == nil || strings.TrimSpace(line) == "" {
		return line
	}
	if shown, _ := m.of(line); shown >= 0 {
		return line[:shown]
	}
	return line
}

// apply is a line with what may not be shown masked.
func (m *Mask) apply(line string) string {
	if shown := m.visible(line); len(shown) < len(line) {
		return shown + Redacted
	}
	return line
}

// A FileDiff is a diff with what is known of its two sides.
type FileDiff struct {
	Unified string // with a header of two lines
	Content []byte // the new one
	Before  *Mask  // nil when the old content has no secrets, or is not known
	After   *Mask  // nil when the new content has none
	Open    bool   // the old content has no secrets beside what Before says
}

// Redacted is the diff with every value masked that may stem from a secret. Of a
// line that goes, and that neither side knows, no more is shown than what a line of
// the new content begins with too.
func (d FileDiff) Redacted() string {
	var out strings.Builder
	header, starts := 2, map[string]bool(nil)
	for line := range strings.Lines(d.Unified) {
		if header > 0 || line[0] == '@' || line[0] == '\\' {
			header--
			out.WriteString(line)
			continue
		}
		sign, content := line[:1], strings.TrimSuffix(line[1:], "\n")
		shown, ok := d.known(sign, content)
		if !ok {
			if starts == nil {
				starts = d.starts()
			}
			shown = longestStart(content, starts) + Redacted
		}
		out.WriteString(sign + shown + "\n")
	}
	return out.String()
}

// known is a line as it may be shown, if one of the sides knows it.
func (d FileDiff) known(sign, line string) (string, bool) {
	if sign != "-" {
		return d.After.apply(line), true
	}
	if d.Before != nil {
		if _, known := d.Before.of(line); known {
			return d.Before.apply(line), true
		}
	}
	if d.After != nil && !d.After.all {
		if _, known := d.After.of(line); known {
			return d.After.apply(line), true
		}
	}
	return line, d.Open && d.Before == nil || strings.TrimSpace(line) == ""
}

// starts are what lines of the new content show in front of a secret, and the keys
// of the others.
func (d FileDiff) starts() map[string]bool {
	starts := map[string]bool{}
	for _, line := range lines(d.Content) {
		shown := d.After.visible(line)
		if len(shown) < len(line) {
			starts[shown] = true
		}
		starts[keyOf(shown)] = true
	}
	return starts
}

// longestStart is the longest of the starts that a line has.
func longestStart(line string, starts map[string]bool) string {
	for n := len(line); n > 0; n-- {
		if isBoundary(line[n-1]) && starts[line[:n]] {
			return line[:n]
		}
	}
	return ""
}

// RedactError masks the words of an error of [Template.Execute] that it does not
// share with the error for other secrets. When that is nil, no more is shown than
// the place and the function. What kind of error it is stays.
func (t *Template) RedactError(err, other error) error {
	if other == nil {
		return &placed{placeOf(err, t.name) + t.functionOf(err) + Redacted, err}
	}
	return &placed{sharedText(err.Error(), other.Error()), err}
}

// placeOf is where an error happened, as errors of templates begin.
func placeOf(err error, name string) string {
	start := fmt.Sprintf("rendering %q: ", name)
	var exec template.ExecError
	if errors.As(err, &exec) {
		if place, _, ok := strings.Cut(execText(exec), ": executing "); ok {
			return start + place + ": "
		}
	}
	return start
}

// sharedText is a text with the words masked that another does not have in the
// same place.
func sharedText(is, would string) string {
	a, b := strings.Fields(is), strings.Fields(would)
	same := min(len(a), len(b))
	head, tail := 0, 0
	if len(a) != len(b) {
		for head < same && a[head] == b[head] {
			head++
		}
		for tail < same-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
			tail++
		}
	}
	var words []string
	for i, word := range a {
		switch {
		case len(a) == len(b) && word == b[i], len(a) != len(b) && (i < head || i >= len(a)-tail):
			words = append(words, word)
		case len(words) == 0 || words[len(words)-1] != Redacted:
			words = append(words, Redacted)
		}
	}
	return strings.Join(words, " ")
}
