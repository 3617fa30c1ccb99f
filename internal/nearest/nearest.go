// Package nearest finds the word that was probably meant.
package nearest

import (
	"strings"

	"github.com/agext/levenshtein"
)

// maxWord is the length of the longest word that is compared, in bytes: a word of any
// length takes as long for each that is known.
const maxWord = 100

// Of returns the known word nearest to word, or an empty string when none is near
// enough to be meant: when more than a third of the letters differ.
func Of(word string, known []string) string {
	best, least := "", 1+len(word)/3
	if len(word) > maxWord {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least || (d == least && best != "" && k < best) {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters differ. Two neighbours that changed places are one.
func distance(a, b string) int {
	if len(a) == len(b) {
		for i := 0; i+1 < len(a); i++ {
			if a[i] != b[i] {
				if a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:] {
					return 1
				}
				break
			}
		}
	}
	return levenshtein.Distance(a, b, nil)
}
