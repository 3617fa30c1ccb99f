package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrImpure is the use of a function that kconfd leaves out on purpose.
var ErrImpure = errors.New("it would give another result at every render, and so a reload for nothing")

// An UnknownFunctionError is the use of a function that there is not.
type UnknownFunctionError struct {
	Function string
	Similar  string // one that there is, or empty
	err      error
}

func (e *UnknownFunctionError) Error() string { return e.err.Error() }
func (e *UnknownFunctionError) Unwrap() error { return e.err }

// known are the names of all functions.
func (t *Template) known() []string {
	var names []string
	for _, funcs := range t.funcs {
		names = slices.AppendSeq(names, maps.Keys(funcs))
	}
	return names
}

// explainParse adds to text/template's error the column, which it does not
// give for an unknown function, and what is known about that function.
func explainParse(err error, text string, known []string) error {
	message := strings.TrimPrefix(err.Error(), "template: ")
	parts := regexp.MustCompile(`^(.*):(\d+): function "(\w+)" not defined$`).FindStringSubmatch(message)
	if parts == nil {
		return fmt.Errorf("parsing template: %s", message)
	}
	name, function := parts[1], parts[3]
	line, _ := strconv.Atoi(parts[2])
	if slices.Contains(impure(), function) {
		return fmt.Errorf("parsing template: %s:%d:%d: function %q is left out: %w", name, line, column(text, line, function), function, ErrImpure)
	}
	return &UnknownFunctionError{
		Function: function,
		Similar:  similar(function, known),
		err:      fmt.Errorf("parsing template: %s:%d:%d: there is no function %q", name, line, column(text, line, function), function),
	}
}

// column is where word stands in a line of text, from 1.
func column(text string, line int, word string) int {
	lines := strings.Split(text, "\n")
	if line > len(lines) {
		return 1
	}
	at := regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).FindStringIndex(lines[line-1])
	if at == nil {
		return 1
	}
	return at[0] + 1
}

// similar is the known word nearest to word, if it is near enough to be meant.
func similar(word string, known []string) string {
	best, least := "", 1+len(word)/3
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least || (d == least && best != "" && k < best) {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters to add, drop or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
