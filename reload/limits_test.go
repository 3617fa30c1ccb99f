package reload

import (
	"errors"
	"testing"

	"github.com/kconfd/kconfd/internal/limits"
)

// The {{ }} of a command run under limits as templates do.
func TestExpandIsLimited(t *testing.T) {
	for text, limit := range map[string]string{
		`{{ range 2000000000 }}{{ end }}`:                                                   limits.Iterations,
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`:                     limits.Depth,
		`{{ range 2000000000 }}` + "0123456789012345678901234567890123456789" + `{{ end }}`: limits.Output,
	} {
		for _, c := range []Command{{Shell: text}, {Argv: []string{text}}} {
			_, err := c.Expand(nil, nil)
			var over *limits.Error
			if !errors.As(err, &over) || over.Limit != limit {
				t.Errorf("%s: got error %v, want one of the limit %q", c.String(), err, limit)
			}
		}
	}
}
