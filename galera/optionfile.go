package galera

import (
	"bytes"
	"iter"
	"strings"
)

// maxPiece is how many bytes of a line the server reads at a time, the newline
// included. It takes the rest of a longer line for the next line.
const maxPiece = 4094

// Option is one setting of an option file.
type Option struct {
	Line   int    // of the file, from 1
	Group  string // in lower case
	Name   string // in lower case, with _ for -, without loose_ and the like
	Value  string // without quotes and escapes
	Valued bool   // there was a "="
}

// ParseOptions reads content as the server reads an option file: groups, comments
// (# and ; at the start of a line, # anywhere outside quotes), quotes, escapes,
// blanks around "=", and long lines in pieces. It returns the settings of every
// group, in the order of the file, so the last of a name wins.
//
// It does not follow !include and !includedir, and it does not complain: what
// the server cannot read, the server names.
func ParseOptions(content []byte) []Option {
	var options []Option
	group := ""
	for number, line := range lines(content) {
		for piece := range pieces(line) {
			text := trimLeft(piece)
			switch {
			case text == "" || strings.ContainsRune("#;!", rune(text[0])):
			case text[0] == '[':
				group = parseGroup(text)
			default:
				option := parseOption(text)
				option.Line, option.Group = number, group
				options = append(options, option)
			}
		}
	}
	return options
}

// lines yields the lines of content with their numbers, from 1.
func lines(content []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		number := 0
		for line := range bytes.Lines(content) {
			number++
			if !yield(number, line) {
				return
			}
		}
	}
}

// pieces yields what the server sees of a line: it reads a limited number of
// bytes at a time, and of these it sees none after a NUL.
func pieces(line []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(line) > 0 {
			piece := line[:min(len(line), maxPiece)]
			line = line[len(piece):]
			seen, _, _ := bytes.Cut(piece, []byte{0})
			if !yield(string(seen)) {
				return
			}
		}
	}
}

// isBlank says whether the server takes the byte for a blank: its option files are
// in Latin-1, where 0xa0 is one too.
func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' || c == 0xa0 }

func trimLeft(text string) string {
	for text != "" && isBlank(text[0]) {
		text = text[1:]
	}
	return text
}

func trimRight(text string) string {
	for text != "" && isBlank(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

// lower makes ASCII letters small and leaves all other bytes alone.
func lower(text string) string {
	small := []byte(text)
	for i, c := range small {
		if 'A' <= c && c <= 'Z' {
			small[i] += 'a' - 'A'
		}
	}
	return string(small)
}

// parseGroup returns the name in "[name ] whatever".
func parseGroup(text string) string {
	name, _, _ := strings.Cut(text[1:], "]")
	return lower(trimRight(name))
}

// parseOption reads "name", "name = value" and what else a line may hold.
func parseOption(text string) Option {
	text = cutComment(text)
	name, value, valued := strings.Cut(text, "=")
	return withoutPrefixes(Option{
		Name:   normalName(trimRight(name)),
		Value:  unquote(trimLeft(trimRight(value))),
		Valued: valued,
	})
}

// cutComment removes a # that is not inside quotes, and all behind it.
func cutComment(text string) string {
	var quote byte
	escaped := false
	for i := range len(text) {
		c := text[i]
		switch {
		case (c == '\'' || c == '"') && !escaped && quote == 0:
			quote = c
		case c == quote && !escaped:
			quote = 0
		case c == '#' && quote == 0:
			return text[:i]
		}
		escaped = quote != 0 && c == '\\' && !escaped
	}
	return text
}

// unquote removes one pair of quotes around value, and resolves its escapes.
func unquote(value string) string {
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[0] == value[n-1] {
		value = value[1 : n-1]
	}
	return strings.NewReplacer(
		`\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b", `\s`, " ", `\"`, `"`, `\'`, "'", `\\`, `\`,
	).Replace(value)
}

// normalName makes the spellings of a name equal: case and - or _ are one to the
// server, and it ignores what stands before a dot.
func normalName(name string) string {
	if _, after, found := strings.Cut(name, "."); found && after != "" {
		name = after
	}
	return strings.ReplaceAll(lower(name), "-", "_")
}

// withoutPrefixes resolves the prefixes that the server allows before the name of
// any option. Names that begin with skip_ in their own right lose it too; nothing
// here asks for one of them.
func withoutPrefixes(o Option) Option {
	for {
		prefix, rest, _ := strings.Cut(o.Name, "_")
		switch prefix {
		case "loose", "maximum", "autoset":
		case "enable":
			o.Value, o.Valued = onUnlessZero(o, "1", "0"), true
		case "skip", "disable":
			o.Value, o.Valued = onUnlessZero(o, "0", "1"), true
		default:
			return o
		}
		o.Name = rest
	}
}

// onUnlessZero returns zero when the option's value is "0", and otherwise on.
func onUnlessZero(o Option, on, zero string) string {
	if o.Valued && o.Value == "0" {
		return zero
	}
	return on
}

// isServerGroup says whether some server reads the group: of any version, since
// the file may be read by another one than the one at hand, and with the digits by
// which mysqld_multi tells its servers apart.
func isServerGroup(group string) bool {
	switch strings.TrimSuffix(strings.TrimRight(group, "0123456789."), "-") {
	case "mysqld", "mariadbd", "mariadb", "server", "galera", "client-server":
		return true
	}
	return false
}

// lastOf returns the setting of name that wins.
func lastOf(options []Option, name string) (Option, bool) {
	for i := len(options) - 1; i >= 0; i-- {
		if options[i].Name == name {
			return options[i], true
		}
	}
	return Option{}, false
}

// isOn says whether the server takes the setting for true.
func (o Option) isOn() bool {
	switch strings.ToLower(o.Value) {
	case "1", "on", "true":
		return true
	}
	return !o.Valued
}
