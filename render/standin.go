package render

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A shaper makes stand-ins for secrets: other values, of the same shape, so that
// a template runs with them as it ran with the secrets. Every letter and digit is
// another one, and so is every sign that is not part of a structure.
//
// There are two: what is the same by chance with one is another with the other, whose
// texts are longer too.
//
// What stays: white space, and lengths in the first; keys of JSON, YAML and key=value documents
// that the template itself names, without which it would find nothing; signs at
// which it splits.
type shaper struct {
	named func(word string) bool // by the template's text; nil for no word
	signs string                 // that the template has as arguments
	other bool                   // it makes the second stand-in

	number, url, percent, keyed, item *regexp.Regexp
}

func newShaper(named func(string) bool, signs string, other bool) *shaper {
	return &shaper{
		named: named, signs: signs, other: other,
		number:  regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`), // as JSON has it
		url:     regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://)(?:([^\s/?#:]*)(?::([^\s/?#]*))?@)?([^\s]*)$`),
		percent: regexp.MustCompile(`%[0-9A-Fa-f]{2}`),
		keyed:   regexp.MustCompile(`^(\s*(?:- +)*)("[^"]*"|'[^']*'|[^\s:="'#&*!|>%@\[\]{},-][^:=]*?)(\s*[:=]\s*)(.*)$`),
		item:    regexp.MustCompile(`^(\s*(?:- +)+)(.*)$`), // of a YAML list
	}
}

// maxShapes is how many structures are looked for within one another.
const maxShapes = 8

// standIn is the value that takes the place of a secret.
func (s *shaper) standIn(secret string) string {
	other := s.value(secret, maxShapes)
	if other == secret { // nothing but signs that would stay
		return (&shaper{other: s.other}).opaque(secret)
	}
	return other
}

func (s *shaper) value(v string, depth int) string {
	trimmed := strings.TrimSpace(v)
	switch {
	case trimmed == "" || isNull(trimmed):
		return v
	case depth == 0:
		return s.opaque(v)
	case isBool(trimmed):
		return strings.Replace(v, trimmed, otherBool(trimmed), 1)
	case s.number.MatchString(trimmed):
		return s.alphanumeric(v)
	case (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid([]byte(trimmed)):
		return s.flow(v, depth)
	case strings.Contains(v, "-----BEGIN "):
		return s.alphanumeric(v)
	}
	if plain, ok := decoded(trimmed); ok && len(plain) >= window {
		return strings.Replace(v, trimmed, reencode(trimmed, s.value(plain, depth-1)), 1)
	}
	if isPadded(trimmed) {
		return s.alphanumeric(v)
	}
	if m := s.url.FindStringSubmatch(trimmed); m != nil {
		return strings.Replace(v, trimmed, s.otherURL(m), 1)
	}
	return s.lines(v, depth)
}

func isBool(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

func isNull(s string) bool { return s == "null" || s == "~" }

// otherBool is the other of the two, in the same case.
func otherBool(s string) string {
	other := "false"
	if strings.EqualFold(s, other) {
		other = "true"
	}
	switch {
	case s == strings.ToUpper(s):
		return strings.ToUpper(other)
	case s[0] < 'a':
		return strings.ToUpper(other[:1]) + other[1:]
	}
	return other
}

// isPadded says whether a text is base64 with signs of that in it. With other letters and
// digits it stays so.
func isPadded(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil && strings.ContainsAny(s, "+/=")
}

// reencode is plain in base64 as encoded has it.
func reencode(encoded, plain string) string {
	encoding := base64.StdEncoding
	if strings.ContainsAny(encoded, "-_") {
		encoding = base64.URLEncoding
	}
	if len(encoded)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	return encoding.EncodeToString([]byte(plain))
}

// otherURL takes scheme, user, password and the rest of a URL.
func (s *shaper) otherURL(parts []string) string {
	whole, scheme, user, password, rest := parts[0], parts[1], parts[2], parts[3], parts[4]
	text := s.alphanumeric(scheme) + s.escaped(user, s.opaque)
	before := strings.TrimSuffix(strings.TrimPrefix(whole, scheme), rest)
	if strings.HasPrefix(before, user+":") {
		text += ":" + s.escaped(password, s.opaque)
	}
	if strings.HasSuffix(before, "@") {
		text += "@"
	}
	rest, query, asked := strings.Cut(rest, "?")
	text += s.escaped(rest, s.alphanumeric)
	if asked {
		text += "?" + s.query(query)
	}
	return text
}

func (s *shaper) query(query string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, set := strings.Cut(part, "=")
		parts[i] = s.key(name)
		if set {
			parts[i] += "=" + s.escaped(value, s.opaque)
		}
	}
	return strings.Join(parts, "&")
}

// escaped exchanges what is between percent-escapes, which stay escapes.
func (s *shaper) escaped(v string, other func(string) string) string {
	var b strings.Builder
	for at := s.percent.FindStringIndex(v); at != nil; at = s.percent.FindStringIndex(v) {
		b.WriteString(other(v[:at[0]]) + s.otherEscape(v[at[0]:at[1]]))
		v = v[at[1]:]
	}
	return b.String() + other(v)
}

func (s *shaper) otherEscape(e string) string {
	first, second := "%44", "%55"
	if s.other {
		first, second = "%66", "%77"
	}
	if e == first {
		return second
	}
	return first
}

// lines is for what has keys, as in YAML, TOML, or KEY=VALUE, and for what has
// no structure at all. Behind a key are a sign and the value.
func (s *shaper) lines(v string, depth int) string {
	var b strings.Builder
	for line := range strings.Lines(v) {
		content := strings.TrimRight(line, "\r\n")
		end := line[len(content):]
		if m := s.keyed.FindStringSubmatch(content); m != nil {
			b.WriteString(m[1] + s.key(m[2]) + m[3] + s.scalar(m[4], depth-1) + end)
			continue
		}
		b.WriteString(s.unkeyed(content, depth) + end)
	}
	return b.String()
}

func (s *shaper) unkeyed(line string, depth int) string {
	trimmed := strings.TrimSpace(line)
	switch {
	case strings.Trim(trimmed, "-[]{},.") == "": // the frame of a document
		return line
	case strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]"): // a section
		return strings.Replace(line, trimmed, "["+s.key(trimmed[1:len(trimmed)-1])+"]", 1)
	case strings.HasPrefix(trimmed, "#"):
		return strings.Replace(line, trimmed, "#"+s.opaque(trimmed[1:]), 1)
	}
	if m := s.item.FindStringSubmatch(line); m != nil {
		return m[1] + s.scalar(m[2], depth-1)
	}
	return s.opaque(line)
}

// key stays when the template names it.
func (s *shaper) key(k string) string {
	name := strings.TrimPrefix(strings.TrimSpace(k), "export ") // as shells have it
	if bare := strings.Trim(name, `"'`); bare != "" && s.named != nil && s.named(bare) {
		return s.alphanumeric(strings.TrimSuffix(k, name)) + name
	}
	return s.exchange(k, func(c byte) byte {
		if strings.IndexByte("-_. \"'", c) >= 0 {
			return c
		}
		return '_'
	})
}

// scalar is a value in a line of a document.
func (s *shaper) scalar(v string, depth int) string {
	trimmed := strings.TrimSpace(v)
	if trimmed == "" {
		return v
	}
	switch first, last := trimmed[0], trimmed[len(trimmed)-1]; {
	case (first == '|' || first == '>') && len(trimmed) <= 3: // a block follows
		return v
	case (first == '&' || first == '*') && !strings.ContainsAny(trimmed, " \t"): // an anchor, which others name
		return v[:strings.IndexByte(v, first)+1] + s.alphanumeric(trimmed[1:])
	case first == '{' || first == '[' || first == '"' && last == '"' && len(trimmed) > 1:
		return s.flow(v, depth)
	case first == '\'' && last == '\'' && len(trimmed) > 1:
		return strings.Replace(v, trimmed, "'"+s.value(trimmed[1:len(trimmed)-1], depth)+"'", 1)
	}
	return s.value(v, depth)
}

// flow is for JSON, and for what YAML and TOML have of it.
func (s *shaper) flow(v string, depth int) string {
	var b strings.Builder
	for at := 0; at < len(v); {
		end := at + 1
		switch c := v[at]; {
		case c == '"' || c == '\'':
			end = at + quotedEnd(v[at:])
			b.WriteString(s.quoted(v[at:end], isKey(v[end:]), depth))
		case strings.IndexByte("{}[]:, \t\r\n", c) >= 0:
			b.WriteByte(c)
		default:
			end = at + wordEnd(v[at:])
			b.WriteString(s.bare(v[at:end], isKey(v[end:])))
		}
		at = end
	}
	return b.String()
}

// quotedEnd is behind the quote that closes the text that begins with one.
func quotedEnd(v string) int {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case v[0]:
			return i + 1
		}
	}
	return len(v)
}

func wordEnd(v string) int {
	if end := strings.IndexAny(v, "{}[]:, \t\r\n\"'"); end > 0 {
		return end
	}
	return len(v)
}

// isKey says whether what a text follows is a key.
func isKey(rest string) bool { return strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":") }

func (s *shaper) quoted(v string, key bool, depth int) string {
	inner := strings.TrimSuffix(v[1:], v[:1])
	closing := v[1+len(inner):]
	switch {
	case key:
		inner = s.key(inner)
	case strings.ContainsAny(inner, "\\\n"):
		inner = s.withEscapes(inner)
	default:
		inner = s.value(inner, depth-1)
	}
	return v[:1] + inner + closing
}

// withEscapes is opaque for a text in which backslashes escape.
func (s *shaper) withEscapes(v string) string {
	var b strings.Builder
	for at := 0; at < len(v); {
		end := strings.IndexByte(v[at:], '\\')
		if end < 0 {
			end = len(v) - at
		}
		b.WriteString(s.opaque(v[at : at+end]))
		at += end
		if at == len(v) {
			break
		}
		size := 2
		if at+1 < len(v) && v[at+1] == 'u' {
			size = 6
		}
		size = min(size, len(v)-at)
		b.WriteString(v[at : at+size])
		at += size
	}
	return b.String()
}

func (s *shaper) bare(v string, key bool) string {
	switch {
	case key:
		return s.key(v)
	case isBool(v):
		return otherBool(v)
	case isNull(v):
		return v
	case s.number.MatchString(v):
		return s.alphanumeric(v)
	}
	return s.opaque(v)
}

// opaque replaces everything but white space and the signs that the template
// splits at. The second stand-in is longer than the text.
func (s *shaper) opaque(v string) string {
	sign, instead := byte('_'), byte('.')
	if s.other {
		sign, instead = '-', ','
	}
	stands := s.exchange(v, func(c byte) byte {
		switch {
		case strings.IndexByte(s.signs, c) >= 0:
			return c
		case c == sign:
			return instead
		}
		return sign
	})
	if end := strings.LastIndexFunc(stands, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }); s.other && end >= 0 {
		_, size := utf8.DecodeRuneInString(stands[end:])
		return stands[:end+size] + "q" + stands[end+size:]
	}
	return stands
}

// alphanumeric replaces letters and digits, and leaves signs.
func (s *shaper) alphanumeric(v string) string { return s.exchange(v, func(c byte) byte { return c }) }

// exchange has another letter for each letter, another digit for each digit, and
// what sign says for each sign.
func (s *shaper) exchange(v string, sign func(byte) byte) string {
	b := make([]byte, 0, len(v))
	inWord := false
	turn := byte(13)
	if s.other {
		turn = 7
	}
	for i := 0; i < len(v); {
		c := v[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(v[i:])
			b = append(b, otherRune(r, v[i:i+size])...)
			i, inWord = i+size, true
			continue
		}
		exponent := (c == 'e' || c == 'E') && inWord && isNumberAround(v, i)
		switch {
		case c >= 'a' && c <= 'z' && !exponent:
			c = 'a' + (c-'a'+turn)%26
		case c >= 'A' && c <= 'Z' && !exponent:
			c = 'A' + (c-'A'+turn)%26
		case c >= '0' && c <= '9':
			c = s.otherDigit(c, !inWord)
		case exponent || unicode.IsSpace(rune(c)):
		case c < ' ' || c == 0x7f:
			c = otherControl(c)
		default:
			c = sign(c)
		}
		inWord = isAlnum(v[i])
		b = append(b, c)
		i++
	}
	return string(b)
}

// isNumberAround says whether a letter is the exponent of a number.
func isNumberAround(v string, at int) bool {
	start := at
	for start > 0 && (v[start-1] >= '0' && v[start-1] <= '9' || v[start-1] == '.') {
		start--
	}
	end := at + 1
	if end < len(v) && (v[end] == '+' || v[end] == '-') {
		end++
	}
	digits := end
	for end < len(v) && v[end] >= '0' && v[end] <= '9' {
		end++
	}
	return start < at && end > digits && (start == 0 || !isAlnum(v[start-1])) && (end == len(v) || !isAlnum(v[end]))
}

// otherDigit leaves a number one of as many digits, and not much larger: it may be
// a port, or how often something is done.
func (s *shaper) otherDigit(c byte, first bool) byte {
	switch {
	case !first && s.other:
		return '0' + (c-'0'+7)%10
	case !first:
		return '0' + (c-'0'+5)%10
	case s.other && c <= '2':
		return c + 2
	case s.other:
		return c - 2
	case c <= '1':
		return c + 1
	}
	return c - 1
}

// otherRune is a letter for a letter that takes as many bytes.
func otherRune(r rune, as string) string {
	if r == utf8.RuneError {
		return string([]byte{'a' + as[0]%26}) // encoders write all such bytes alike
	}
	for _, other := range []rune{r ^ 1, r + 1, r - 1, r ^ 2, r ^ 4} {
		if utf8.RuneLen(other) == len(as) && unicode.IsPrint(other) == unicode.IsPrint(r) && !unicode.IsSpace(other) {
			return string(other)
		}
	}
	return as
}

func otherControl(c byte) byte {
	if c >= 0x19 || c == 2 {
		return 1
	}
	if c == 1 {
		return 2
	}
	return c ^ 0x10
}
