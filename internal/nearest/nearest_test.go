package nearest

import (
	"strings"
	"testing"
)

// The nearest word is found where at most a third of the letters differ, and one that
// is not near is not guessed.
func TestOf(t *testing.T) {
	known := []string{"lint", "render", "status", "web"}
	for word, want := range map[string]string{
		"lint": "lint", "lnit": "lint", "Lint": "lint", "lintt": "lint", "mint": "lint", "rendr": "render", "statsu": "status",
		"wbe": "web", "ewb": "web", "bew": "", "cat": "", "": "", "nonsense": "", strings.Repeat("lint", 26): "",
	} {
		if got := Of(word, known); got != want {
			t.Errorf("Of(%q) is %q, want %q", word, got, want)
		}
	}
}
