package limits

import (
	"regexp"
	"strconv"
)

// FromOne returns the text of an error of text/template's Execute with its columns
// counted from 1, as its lines are, and as editors and all other errors count them.
// text/template counts columns from 0.
func FromOne(text string) string {
	return executing().ReplaceAllStringFunc(text, func(place string) string {
		parts := executing().FindStringSubmatch(place)
		return parts[1] + next(parts[2]) + parts[3]
	})
}

func executing() *regexp.Regexp { return regexp.MustCompile(`(:[0-9]+:)([0-9]+)(: executing ")`) }

// placeFromOne is FromOne for NAME:LINE:COLUMN alone.
func placeFromOne(place string) string {
	parts := regexp.MustCompile(`(?s)^(.*:[0-9]+:)([0-9]+)$`).FindStringSubmatch(place)
	if parts == nil {
		return place
	}
	return parts[1] + next(parts[2])
}

func next(column string) string {
	n, err := strconv.Atoi(column)
	if err != nil {
		return column
	}
	return strconv.Itoa(n + 1)
}

// execError is an error of text/template with its columns counted from 1.
type execError struct {
	err error
}

func (e *execError) Error() string { return FromOne(e.err.Error()) }
func (e *execError) Unwrap() error { return e.err }
