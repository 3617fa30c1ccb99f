package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/kconfd/kconfd/render"
)

// templateAdvice is what to do about a mistake in a template, by what the error says.
// Empty when that is not known.
func templateAdvice(err error) string {
	var key *render.MissingKeyError
	var include *render.IncludeError
	switch {
	case errors.As(err, &key):
		return keyAdvice(key)
	case errors.As(err, &include) && include.Similar != "":
		return fmt.Sprintf("did you mean %q?", include.Similar)
	case errors.As(err, &include):
		return "partials are the files _*.tmpl beside the template, and what {{ define }} in them names"
	}
	text := err.Error()
	for _, m := range []struct{ pattern, advice string }{
		{`: malformed character constant: '(.*)'$`, `a text is in double quotes: "$1"`},
		{`: unexpected \{\{end\}\}$`, "there is one {{end}} more than there are blocks: if, range, with, define"},
		{`: undefined variable "(\$\w+)"$`, "set it before, in the same block or in one around it: {{ $1 := … }}"},
		{`: range can only initialize variables$`, "the name of a variable begins with $$: {{ range $$i, $$e := … }}"},
		{`: unclosed action`, "its }} is missing"},
		{`: unexpected "\}" in operand$`, "an action ends with }}"},
		{`: (\w+) is not a method but has arguments$`, "a function has no dot in front: $1"},
		{`: wrong number of args for Port: want 1 got 0$`, `write .Port "NAME" with the name of the port`},
		{`: wrong number of args for (\w+): `, "docs/reference.md has the arguments of $1; a call that is an argument stands in parentheses"},
		{`: unexpected "\[" in operand$`, "an element of a list: index LIST 0"},
		{`: range can't iterate over a value that is no list`, "range goes through lists and maps; with takes one value"},
		{`: incompatible types for comparison`, "a number has no quotes, and a text has: atoi makes a number of a text"},
		{`: error calling b64dec: `, "secret gives values that are decoded already; only those of lookup are base64"},
		{`: error calling (\w+): "([^"/]*=[^"]*)" is no name of an object`, `$1 takes a name; those of a selector: range services "$2", and in it .Endpoints`},
		{`: error calling (\w+): "([a-z0-9-]+)/([a-z0-9-]+)" is no name of an object`, `a namespace is the second argument: $1 "$3" "$2"`},
	} {
		r := regexp.MustCompile(m.pattern)
		if found := r.FindStringSubmatchIndex(text); found != nil && strings.Contains(text, "template") || found != nil && strings.Contains(text, "rendering ") {
			return string(r.ExpandString(nil, m.advice, text, found))
		}
	}
	return ""
}

// maxKeysNamed is how many keys of a map are named.
const maxKeysNamed = 20

func keyAdvice(e *render.MissingKeyError) string {
	of, _, _ := strings.Cut(e.Of, " ")
	data := strings.EqualFold(e.Key, "data") || strings.EqualFold(e.Key, "stringData") || strings.EqualFold(e.Key, "binaryData")
	near := render.Similar(e.Key, e.Keys)
	var has string
	if n := len(e.Keys); n > 0 && n <= maxKeysNamed {
		has = "it has " + quoted(e.Keys)
	}
	switch {
	case data && (of == "configMap" || of == "secret"):
		advice := fmt.Sprintf("(%s) is the data itself, without .%s", e.Of, e.Key)
		if has != "" {
			advice += "; " + has
		}
		return advice
	case near != "":
		return fmt.Sprintf("did you mean .%s?", near)
	case of == "lookup" && len(e.Keys) == 0:
		return "lookup gives an empty map when there is no such object"
	case of == "." && len(e.Keys) == 1 && e.Keys[0] == "Values":
		return "the data of a template is .Values, from [values] of its resource file"
	case of == ".Values" && len(e.Keys) == 0:
		return fmt.Sprintf(`.Values is [values] of the resource file; for what may be missing: {{ .Values.%s | default "VALUE" }}`, e.Key)
	case has != "":
		return has + `; for what may be missing: | default "VALUE"`
	case strings.HasPrefix(e.Of, "secret "):
		return `for what may be missing: | default "VALUE"`
	}
	return ""
}
