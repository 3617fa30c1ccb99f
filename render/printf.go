package render

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/kconfd/kconfd/internal/document"
)

// printf is fmt.Sprintf, but fails where that writes %!d(string=8): for a verb that does
// not fit its argument, for too few arguments and for too many. It prints a whole number
// that is larger than 64 bits with %d, too.
func (m *maker) printf(format string, args ...any) (string, error) {
	if err := noNil(args); err != nil {
		return "", err
	}
	print := m.builtins()["printf"].(func(string, ...any) (string, error))
	s, err := print(format, args...)
	if err != nil || !strings.Contains(s, "%!") {
		return s, err
	}
	args, large := largeNumbers(args)
	if large {
		if s, err = print(format, args...); err != nil || !strings.Contains(s, "%!") {
			return s, err
		}
	}
	fault, err := m.misfit(print, format, args)
	if err != nil || fault == "" {
		return s, err
	}
	return "", fmt.Errorf("the format %q gives %s", format, fault)
}

// maxDigits is how many digits a large number may have that is printed as one: to read
// it takes the square of that.
const maxDigits = 1000

// largeNumbers are the arguments with numbers in the place of the texts that large ones are.
func largeNumbers(args []any) (with []any, found bool) {
	for _, a := range args {
		if n, ok := a.(json.Number); ok && len(n) <= maxDigits && document.IsWhole(string(n)) {
			if large, ok := new(big.Int).SetString(string(n), 10); ok {
				a, found = largeNumber{large}, true
			}
		}
		with = append(with, a)
	}
	return with, found
}

// A largeNumber is printed as the text that it was with %q, and else as a number.
type largeNumber struct{ *big.Int }

func (n largeNumber) Format(s fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(s, "%q", n.String())
		return
	}
	n.Int.Format(s, verb)
}

// misfit is what fmt writes in the place of what it cannot format, or empty when the
// arguments themselves have such a text in them.
func (m *maker) misfit(print func(string, ...any) (string, error), format string, args []any) (string, error) {
	var plain []any
	for _, a := range args {
		text, isText := a.(string)
		if isText {
			plain = append(plain, strings.ReplaceAll(text, "%!", "__"))
			continue
		}
		if err := m.Printable(a); err != nil {
			return "", err
		}
		if strings.Contains(fmt.Sprint(a), "%!") {
			return "", nil
		}
		plain = append(plain, a)
	}
	s, err := print(strings.ReplaceAll(format, "%%", "__"), plain...)
	if err != nil {
		return "", err
	}
	_, fault, found := strings.Cut(s, "%!")
	if !found {
		return "", nil
	}
	if end := strings.IndexByte(fault, ')'); end >= 0 {
		fault = fault[:end+1]
	}
	return "%!" + fault, nil
}
