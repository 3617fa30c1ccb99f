package render

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
)

// An expression is a compiled regular expression with how many instructions it
// has: matching takes as many steps for each byte, at worst.
type expression struct {
	*regexp.Regexp
	instructions int
}

const (
	// maxExpressions is how many are kept compiled.
	maxExpressions = 100
	// maxInstructions of an expression. Counted repetitions multiply: a{1000}.
	maxInstructions = 20_000
	// maxSteps is how many steps one match may take, some seconds.
	maxSteps = 250_000_000
	// surely is a text that is short.
	surely = 4 << 10
	// surelySteps is how many steps all matches in a text may take together that
	// is not watched, though each may begin at the next byte and look to the end.
	surelySteps = 1_000_000_000
)

// regexpFuncs are sprig's. Those that it has in two forms differ in what they
// make of a bad expression: here it is an error of all.
func (m *maker) regexpFuncs() map[string]any {
	return map[string]any{
		"regexMatch": m.regexMatch, "mustRegexMatch": m.regexMatch,
		"regexFind": m.regexFind, "mustRegexFind": m.regexFind,
		"regexFindAll": m.regexFindAll, "mustRegexFindAll": m.regexFindAll,
		"regexSplit": m.regexSplit, "mustRegexSplit": m.regexSplit,
		"regexReplaceAll": m.regexReplaceAll, "mustRegexReplaceAll": m.regexReplaceAll,
		"regexReplaceAllLiteral": m.regexReplaceAllLiteral, "mustRegexReplaceAllLiteral": m.regexReplaceAllLiteral,
	}
}

// expression compiles one, for use on a text.
func (m *maker) expression(pattern, text string) (*expression, error) {
	e := m.regexps[pattern]
	if e == nil {
		compiled, err := m.compile(pattern)
		if err != nil {
			return nil, err
		}
		e = compiled
		if len(m.regexps) < maxExpressions && len(pattern) <= surely {
			m.regexps[pattern] = e
		}
	}
	if steps := limits.Times(e.instructions, len(text)); steps < 0 || steps > maxSteps {
		return nil, m.Exceeded(limits.Time, fmt.Sprintf("a regular expression of %d instructions on a text of %d bytes", e.instructions, len(text)))
	}
	return e, m.Spend(len(text)*4 + 1<<12)
}

func (m *maker) compile(pattern string) (*expression, error) {
	if err := m.Text(len(pattern) * 64); err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := instructions(tree)
	if n > maxInstructions {
		return nil, m.Exceeded(limits.Memory, fmt.Sprintf("a regular expression of %.0f instructions", n))
	}
	compiled, err := regexp.Compile(pattern)
	return &expression{compiled, int(n)}, err
}

// instructions is how many there are at most.
func instructions(re *syntax.Regexp) float64 {
	n := 2.0 + float64(len(re.Rune))
	if re.Op == syntax.OpCharClass {
		n = 2
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= math.Max(1, float64(max(re.Min, re.Max)))
	}
	return n
}

// matches finds how many matches there are and how long they are together, and
// fails when that takes too long. Regexp itself cannot be interrupted but by the
// function that it calls for each match.
func (m *maker) matches(e *expression, text string) (count, bytes int, err error) {
	if steps := limits.Times(e.instructions, len(text)*len(text)); len(text) <= surely && steps <= surelySteps {
		return len(text) + 1, len(text), nil
	}
	begun := time.Now()
	defer func() {
		if r := recover(); r != nil {
			failed, ours := r.(*limits.Error)
			if !ours {
				panic(r)
			}
			err = failed
		}
	}()
	e.ReplaceAllStringFunc(text, func(match string) string {
		count++
		bytes += len(match)
		if count%64 == 0 || time.Since(begun) > time.Millisecond {
			if failed, ok := m.Clock().(*limits.Error); ok {
				panic(failed)
			}
		}
		return ""
	})
	if time.Since(begun) > m.Remaining() {
		return 0, 0, m.Late() // it is about to be done once more
	}
	return count, bytes, nil
}

func (m *maker) regexMatch(pattern, text string) (bool, error) {
	e, err := m.expression(pattern, text)
	if err != nil {
		return false, err
	}
	return e.MatchString(text), nil
}

func (m *maker) regexFind(pattern, text string) (string, error) {
	e, err := m.expression(pattern, text)
	if err != nil {
		return "", err
	}
	return e.FindString(text), nil
}

// searched is expression with matches.
func (m *maker) searched(pattern, text string) (e *expression, count, bytes int, err error) {
	if e, err = m.expression(pattern, text); err != nil {
		return nil, 0, 0, err
	}
	count, bytes, err = m.matches(e, text)
	return e, count, bytes, err
}

func (m *maker) regexFindAll(pattern, text string, n int) ([]string, error) {
	e, count, _, err := m.searched(pattern, text)
	if err == nil && len(text) > surely {
		err = m.List(count, 16)
	}
	if err != nil {
		return nil, err
	}
	return e.FindAllString(text, n), nil
}

func (m *maker) regexSplit(pattern, text string, n int) ([]string, error) {
	e, count, _, err := m.searched(pattern, text)
	if err == nil && len(text) > surely {
		err = m.List(count+1, 16)
	}
	if err != nil {
		return nil, err
	}
	return e.Split(text, n), nil
}

func (m *maker) regexReplaceAll(pattern, text, by string) (string, error) {
	e, count, bytes, err := m.searched(pattern, text)
	if err != nil {
		return "", err
	}
	// Each $1 in by may be all of a match.
	grown := limits.Plus(len(text), limits.Times(count, len(by)), limits.Times(strings.Count(by, "$"), bytes))
	if grown < 0 || grown > m.Limits().Value {
		if grown, err = m.expanded(e, text, by); err != nil {
			return "", err
		}
	}
	if err := m.Text(grown); err != nil {
		return "", err
	}
	return e.ReplaceAllString(text, by), nil
}

// expanded is how long the result is, found without making it.
func (m *maker) expanded(e *expression, text, by string) (int, error) {
	total := len(text)
	for _, match := range e.FindAllStringSubmatchIndex(text, -1) {
		one := len(by) + strings.Count(by, "$")*(match[1]-match[0])
		if one <= m.Limits().Value {
			one = len(e.ExpandString(nil, by, text, match))
		}
		if total += one; total > m.Limits().Value {
			return total, nil
		}
		if err := m.Spend(one); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func (m *maker) regexReplaceAllLiteral(pattern, text, by string) (string, error) {
	e, count, _, err := m.searched(pattern, text)
	if err == nil {
		err = m.Text(limits.Plus(len(text), limits.Times(count, len(by))))
	}
	if err != nil {
		return "", err
	}
	return e.ReplaceAllLiteralString(text, by), nil
}
