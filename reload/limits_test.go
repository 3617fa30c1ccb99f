package reload

import (
	"errors"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/internal/limits"
)

// The {{ }} of a command run under limits as templates do.
func TestExpandIsLimited(t *testing.T) {
	for text, limit := range map[string]string{
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`:               limits.Depth,
		`{{ range 2000000000 }}` + strings.Repeat("x", 1<<16) + `{{ end }}`:           limits.Output,
		`{{ range 2000 }}{{ range 2000 }}{{ range 2000 }}{{ end }}{{ end }}{{ end }}`: "", // of rounds or of time
	} {
		for _, c := range []Command{{Shell: text}, {Argv: []string{text}}} {
			_, err := c.Expand(nil, nil)
			var over *limits.Error
			if !errors.As(err, &over) || limit != "" && over.Limit != limit {
				t.Errorf("%s: got error %v, want one of the limit %q", c.String(), err, limit)
			}
		}
	}
}
