package limits

import (
	"fmt"
	"strings"
)

// printf is fmt.Sprintf, unless the result might be too large.
func (m *Meter) printf(format string, args ...any) (string, error) {
	n, err := m.formatted(format, args)
	if err == nil && n > m.limits.Value {
		err = m.Exceeded(Value, "a text of up to "+count(n, "bytes"))
	}
	if err != nil {
		return "", err
	}
	s := fmt.Sprintf(format, args...)
	return s, m.Text(len(s))
}

// maxWidth is the largest width and precision of package fmt.
const maxWidth = 1_000_000

// formatted is how large the result may be.
func (m *Meter) formatted(format string, args []any) (int, error) {
	weights := make([]Weight, 0, 8)
	for _, a := range args {
		w, err := m.weight(a)
		if err != nil {
			return 0, err
		}
		weights = append(weights, w)
	}
	total, next := len(format), 0
	for total >= 0 {
		_, rest, found := strings.Cut(format, "%")
		if !found {
			break
		}
		v := readVerb(rest, args[min(next, len(args)):])
		format = rest[v.length:]
		total = Plus(total, v.size(pick(weights, next+v.stars, v.indexed)))
		if v.letter != '%' {
			next += 1 + v.stars
		}
	}
	for _, w := range weights[min(next, len(weights)):] {
		total = Plus(total, verb{letter: 'v'}.size(w)) // %!(EXTRA …)
	}
	return total, nil
}

// weight is a value's, with one node for what has no elements.
func (m *Meter) weight(v any) (Weight, error) {
	if s, ok := v.(string); ok {
		return Weight{Bytes: len(s), Nodes: 1}, nil
	}
	if !container(v) {
		return Weight{Bytes: scalarSize, Nodes: 1}, nil
	}
	return m.Weigh(v)
}

// pick is the argument that a verb prints: the largest where that is not clear.
func pick(weights []Weight, next int, any bool) (w Weight) {
	if !any && next < len(weights) {
		return weights[next]
	}
	for _, other := range weights {
		w = Weight{Bytes: max(w.Bytes, other.Bytes), Nodes: max(w.Nodes, other.Nodes)}
	}
	return w
}

// A verb is what follows a % in a format.
type verb struct {
	length  int
	pad     int // width and precision
	stars   int // widths and precisions that are arguments
	indexed bool
	flags   bool // one that may make each byte longer
	letter  byte
}

// readVerb reads one, with the arguments that are left.
func readVerb(s string, args []any) (v verb) {
	number := 0
	for ; v.length < len(s); v.length++ {
		switch c := s[v.length]; {
		case '0' <= c && c <= '9':
			number = min(number*10+int(c-'0'), maxWidth)
			continue
		case c == '*':
			v.pad += width(args, v.stars, v.indexed)
			v.stars++
		case c == '[' || c == ']':
			v.indexed = true
			number = 0
		case c == '#' || c == ' ' || c == '+':
			v.flags = true
		case c != '-' && c != '.':
			v.letter = c
			v.length++
			v.pad += number
			return v
		}
		v.pad += number
		number = 0
	}
	return v
}

// width is that of a star.
func width(args []any, star int, indexed bool) int {
	if !indexed && star < len(args) {
		if n, ok := args[star].(int); ok && -maxWidth <= n && n <= maxWidth {
			return max(n, -n)
		}
	}
	return maxWidth
}

// size is how much the verb may print of a value. Width and precision count for
// each of its elements.
func (v verb) size(w Weight) int {
	perNode, perByte := 32, 1
	switch v.letter {
	case '%':
		return 1
	case 'f', 'F', 'e', 'E', 'g', 'G':
		perNode = 340
	case 'b':
		perNode = 80
	case 'q':
		perByte = 4
	case 'x', 'X':
		perByte = 2
	}
	if v.flags {
		perNode, perByte = perNode+48, perByte+5
	}
	return Plus(Times(max(w.Nodes, 1), v.pad+perNode), Times(w.Bytes, perByte))
}
