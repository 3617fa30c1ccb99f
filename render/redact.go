package render

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

const (
	// window is the length in bytes of the shortest piece of a secret that is
	// hidden in a text. A secret that is shorter itself is hidden as a whole word.
	window = 6
	// shortest is the length in bytes of the shortest secret that is hidden in
	// texts: to hide "in" wherever it stands would tell what it is, and leave
	// nothing to read.
	shortest = 4
	// manyForms is the size in bytes up to which a secret is looked for in all
	// forms. The rare ones of a larger one cost too much time.
	manyForms = 64 << 10
)

// A Redactor takes secrets out of texts. Its zero value knows none. It keeps
// nothing but the secrets themselves, and looks for them only when there is a
// text to show. It may be used by several goroutines.
type Redactor struct {
	known atomic.Pointer[knowledge]
}

type knowledge struct {
	secrets []string // with what is inside them
	pieces  []string // parts of files that stem from secrets
	keep    []string // names, which are shown whatever the secrets are
}

// Set replaces what is known: the secrets, the pieces of files that stem from them
// as [Mask.Pieces] gives them, and paths that are shown even where they are like a
// secret.
func (r *Redactor) Set(secrets, pieces, keep []string) {
	k := &knowledge{pieces: pieces, keep: slices.DeleteFunc(slices.Clone(keep), func(s string) bool { return s == "" })}
	for _, s := range secrets {
		k.secrets = append(append(k.secrets, s), inside(s)...)
	}
	r.known.Store(k)
}

// Redact takes secrets out of a text that others made: the output of a command,
// the answer of a server. No piece of window bytes of a secret stays, be it
// plain, in another case, backwards, escaped, in base64, base32 or hex, or as numbers.
func (r *Redactor) Redact(text string) string {
	k := r.known.Load()
	if k == nil || len(text) < shortest || len(k.secrets)+len(k.pieces) == 0 {
		return text
	}
	s := newSearch(text)
	for _, secret := range k.secrets {
		s.forms(secret)
	}
	for _, piece := range k.pieces {
		s.plain.find(piece)
		for word := range strings.Lines(piece) {
			s.word(word)
		}
	}
	s.clear(k.keep)
	s.trim()
	return s.covered()
}

// RedactOwn takes whole secrets out of a text of kconfd's own, which has names
// and paths in it, and parts of others' texts that have been through Redact. A
// secret that looks like a name is left.
func (r *Redactor) RedactOwn(text string) string {
	k := r.known.Load()
	if k == nil || len(text) < window {
		return text
	}
	var s search
	for _, secret := range k.secrets {
		secret = strings.TrimSpace(secret)
		if len(secret) < window || len(secret) > len(text) || looksLikeName(secret) || !strings.Contains(text, secret) {
			continue
		}
		if s.marks == nil {
			s.text, s.marks = text, make([]bool, len(text))
		}
		s.all(secret, func(int, int) bool { return true })
	}
	if s.marks == nil {
		return text
	}
	s.clear(k.keep)
	return s.covered()
}

// looksLikeName says whether a secret is what objects, users and programs are
// called: to hide it in kconfd's own words would hide those.
func looksLikeName(s string) bool {
	return len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '-' && r != '.' && r != '_'
	})
}

// A search looks for secrets in a text.
type search struct {
	text  string
	marks []bool // the bytes that stem from a secret

	plain *windows // in any case
	code  *windows // base64, in either alphabet
	b32   *windows
	hex   *windows
	codes []*windows // bytes as numbers, with anything between them

	digests bool // the text has a word that is long enough for a hash
}

func newSearch(text string) *search {
	s := &search{text: text, marks: make([]bool, len(text))}
	s.plain = newWindows(s.marks, text, window, foldByte)
	s.code = newWindows(s.marks, text, 7, standardByte)
	s.b32 = newWindows(s.marks, text, 8, foldByte)
	s.hex = newWindows(s.marks, text, 2*window, foldByte)
	for _, base := range []int{8, 10, 16} {
		s.codes = append(s.codes, newCodeWindows(s.marks, text, base))
	}
	s.digests = longestWord(text) >= shortestDigest
	return s
}

// forms looks for a secret in all forms.
func (s *search) forms(secret string) {
	s.plain.find(secret)
	s.word(secret)
	for shift := range min(3, len(secret)) {
		s.code.find(base64.RawStdEncoding.EncodeToString([]byte(secret[shift:])))
	}
	s.hex.find(hex.EncodeToString([]byte(secret)))
	for _, codes := range s.codes {
		codes.find(secret)
	}
	if len(secret) > manyForms {
		return
	}
	for shift := range min(5, len(secret)) {
		s.b32.find(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(secret[shift:])))
	}
	if s.digests {
		s.hashes(secret)
	}
	s.plain.find(backwards(secret))
	if strings.ContainsFunc(secret, func(r rune) bool { return r >= utf8.RuneSelf }) {
		s.plain.find(strings.ToUpper(secret))
		s.plain.find(strings.ToLower(secret))
	}
	for _, escaped := range escapes(secret) {
		if escaped != secret {
			s.plain.find(escaped)
		}
	}
}

// shortestDigest is the length of the shortest hash in base64, without padding.
const shortestDigest = 22

// hashes looks for the hashes of a secret, in hex and in base64: to know one is enough to
// find out a weak password. A shell's echo adds the end of a line.
func (s *search) hashes(secret string) {
	trimmed := strings.TrimSpace(secret)
	forms := []string{trimmed, trimmed + "\n"}
	if secret != trimmed {
		forms = append(forms, secret)
	}
	for _, form := range forms {
		content := []byte(form)
		md, sha, sha2, sha3 := md5.Sum(content), sha1.Sum(content), sha256.Sum256(content), sha512.Sum512(content)
		for _, sum := range [][]byte{md[:], sha[:], sha2[:], sha3[:]} {
			s.hex.find(hex.EncodeToString(sum))
			s.code.find(base64.RawStdEncoding.EncodeToString(sum))
		}
	}
}

// longestWord is the length of the longest run of letters, digits and signs of base64.
func longestWord(text string) int {
	longest, length := 0, 0
	for i := range len(text) {
		if c := text[i]; isAlnum(c) || c == '+' || c == '/' || c == '-' || c == '_' {
			length++
			longest = max(longest, length)
			continue
		}
		length = 0
	}
	return longest
}

// escapes are the ways to write a text within another.
func escapes(s string) []string {
	inJSON, _ := json.Marshal(s) // a string always marshals
	return []string{
		strings.Trim(string(inJSON), `"`), strings.Trim(strconv.Quote(s), `"`), strings.Trim(strconv.QuoteToASCII(s), `"`),
		url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s),
		strings.ReplaceAll(s, `'`, `''`), strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(s), strings.ReplaceAll(s, `'`, `'\''`),
	}
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// word looks for a secret that is shorter than a window: as a whole word, plain
// and in base64.
func (s *search) word(secret string) {
	secret = strings.TrimSpace(secret)
	if len(secret) < shortest || len(secret) >= window || isPlainWord(secret) {
		return
	}
	for _, form := range []string{secret, strings.ToUpper(secret), base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
		s.all(form, s.isWord)
	}
}

// isPlainWord says whether a value is one of the few that every program writes.
func isPlainWord(s string) bool {
	return slices.Contains([]string{"true", "false", "null", "none"}, strings.ToLower(s))
}

// all marks each place of word that fits.
func (s *search) all(word string, fits func(start, end int) bool) {
	for at := 0; at+len(word) <= len(s.text); at++ {
		found := strings.Index(s.text[at:], word)
		if found < 0 {
			return
		}
		at += found
		if fits(at, at+len(word)) {
			s.mark(at, at+len(word), true)
		}
	}
}

func (s *search) isWord(start, end int) bool {
	return (start == 0 || !isAlnum(s.text[start-1])) && (end == len(s.text) || !isAlnum(s.text[end]))
}

func (s *search) mark(start, end int, secret bool) {
	for i := start; i < end; i++ {
		s.marks[i] = secret
	}
}

// clear takes back the marks on names.
func (s *search) clear(names []string) {
	if !slices.Contains(s.marks, true) {
		return
	}
	for _, name := range names {
		for at := 0; at < len(s.text); at += len(name) {
			found := strings.Index(s.text[at:], name)
			if found < 0 {
				break
			}
			at += found
			s.mark(at, at+len(name), false)
		}
	}
}

// trim takes back the marks on white space around secrets.
func (s *search) trim() {
	for i := range len(s.text) {
		if isSpace(s.text[i]) && (i == 0 || !s.marks[i-1]) {
			s.marks[i] = false
		}
	}
	for i := len(s.text) - 1; i >= 0; i-- {
		if isSpace(s.text[i]) && (i == len(s.text)-1 || !s.marks[i+1]) {
			s.marks[i] = false
		}
	}
}

func isSpace(c byte) bool { return strings.IndexByte(" \t\r\n", c) >= 0 }

// covered is the text with a mark in the place of each secret.
func (s *search) covered() string {
	var b strings.Builder
	for i := range len(s.text) {
		switch {
		case !s.marks[i]:
			b.WriteByte(s.text[i])
		case i == 0 || !s.marks[i-1]:
			b.WriteString(Redacted)
		}
	}
	return b.String()
}

// windows are the pieces of one length that a text has. To look for the pieces
// of a secret among them takes no memory, however large the secret.
type windows struct {
	marks  []bool
	width  int
	fold   func(byte) byte
	filter [1 << 10]uint64 // by the hash of a piece's first bytes, as a set of bits
	at     map[string][]int
	origin []span // of each byte that counts, where it is in the text
	buf    []byte
}

// A span is a part of a text, from its first byte to its last.
type span struct{ first, last int }

// newWindows finds the windows of a text. What is not printed does not count:
// it may be dropped before the text is shown.
func newWindows(marks []bool, text string, width int, fold func(byte) byte) *windows {
	w := &windows{marks: marks, width: width, fold: fold, at: map[string][]int{}}
	var folded []byte
	for i := range len(text) {
		if counts(text[i]) {
			folded, w.origin = append(folded, fold(text[i])), append(w.origin, span{i, i})
		}
	}
	w.index(folded)
	return w
}

// index notes where in the text each piece is.
func (w *windows) index(folded []byte) {
	width := w.width
	for i := 0; i+width <= len(folded); i++ {
		piece := folded[i : i+width]
		h := hashOf(piece)
		w.filter[h>>6] |= 1 << (h & 63)
		w.at[string(piece)] = append(w.at[string(piece)], i)
	}
}

// counts says whether a byte is one that is printed.
func counts(c byte) bool { return c >= ' ' && c != 0x7f || c == '\n' || c == '\t' }

// find marks the pieces of a secret that are in the text.
func (w *windows) find(secret string) {
	if len(w.at) == 0 || len(secret) < w.width {
		return
	}
	w.buf = w.buf[:0]
	for i := range len(secret) {
		if counts(secret[i]) {
			w.buf = append(w.buf, w.fold(secret[i]))
		}
	}
	for i := 0; i+w.width <= len(w.buf); i++ {
		piece := w.buf[i : i+w.width]
		if h := hashOf(piece); w.filter[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		if isBlank(piece) {
			continue
		}
		for _, start := range w.at[string(piece)] {
			for at := w.origin[start].first; at <= w.origin[start+w.width-1].last; at++ {
				w.marks[at] = true
			}
		}
		delete(w.at, string(piece)) // once is enough
	}
	if cap(w.buf) > manyForms {
		w.buf = nil
	}
}

// hashOf is a number of 16 bits for the first six bytes.
func hashOf(piece []byte) uint64 {
	x := uint64(piece[0]) | uint64(piece[1])<<8 | uint64(piece[2])<<16 | uint64(piece[3])<<24 | uint64(piece[4])<<32 | uint64(piece[5])<<40
	return x * 0x9e3779b97f4a7c15 >> 48
}

// isBlank says whether there is nothing in a piece but white space and one and
// the same sign, as in an indentation or a ruler.
func isBlank(piece []byte) bool {
	var sign byte
	for _, c := range piece {
		switch {
		case isSpace(c) || c == sign:
		case sign == 0 && !isAlnum(c):
			sign = c
		default:
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func foldByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// standardByte writes base64 for URLs as the common one.
func standardByte(c byte) byte {
	switch c {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return c
}
