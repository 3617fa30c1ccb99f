package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"text/template"
)

// functionOf is "error calling NAME: " when that is what an error of a run says.
func (t *Template) functionOf(err error) string {
	var exec template.ExecError
	if !errors.As(err, &exec) {
		return ""
	}
	parts := regexp.MustCompile(`>: (error calling (\w+): )`).FindStringSubmatch(exec.Error())
	if parts == nil || !slices.Contains(t.known(), parts[2]) {
		return ""
	}
	return parts[1]
}

// A StageError is a file that cannot be prepared beside its destination.
type StageError struct {
	Dest string
	Err  error
}

func (e *StageError) Error() string { return fmt.Sprintf("staging %q: %v", e.Dest, e.Err) }
func (e *StageError) Unwrap() error { return e.Err }
