package render

import (
	"strconv"
	"strings"
)

// newCodeWindows finds the windows of the bytes that a text has as numbers, as in
// "54 72 30", "54:72:30", "%54%72%30", "\x54\x72\x30" or "84, 114, 48".
func newCodeWindows(marks []bool, text string, base int) *windows {
	w := &windows{marks: marks, width: window, fold: foldByte, at: map[string][]int{}}
	var folded []byte
	for at := 0; at < len(text); at++ {
		end := at
		for end < len(text) && isDigit(text[end], base) {
			end++
		}
		for _, code := range codesOf(text[at:end], base) {
			c, err := strconv.ParseUint(text[at+code.first:at+code.last+1], base, 8)
			if err == nil && counts(byte(c)) {
				folded, w.origin = append(folded, foldByte(byte(c))), append(w.origin, span{at + code.first, at + code.last})
			}
		}
		at = end
	}
	w.index(folded)
	return w
}

func isDigit(c byte, base int) bool {
	return c >= '0' && c <= '9' && int(c-'0') < base || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
}

// codesOf are the parts of a run of digits that are a byte each: pairs of
// hexadecimal ones, of which "00" in front is what \u0054 has, or else the whole.
func codesOf(digits string, base int) []span {
	switch {
	case base != 16 && (len(digits) == 2 || len(digits) == 3):
		return []span{{0, len(digits) - 1}}
	case base != 16 || len(digits)%2 != 0:
		return nil
	case len(digits) == 4 && strings.HasPrefix(digits, "00"):
		return []span{{2, 3}}
	}
	var pairs []span
	for at := 0; at < len(digits); at += 2 {
		pairs = append(pairs, span{at, at + 1})
	}
	return pairs
}
