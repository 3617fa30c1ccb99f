package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/render"
)

// A decodeError is a mistake at a place of a resource file.
type decodeError struct {
	line, column int // from 1; 0 when that is not known
	rule         string
	message      string
	hint         string
	final        bool // what is behind it is not looked at
}

func (e *decodeError) Error() string {
	switch {
	case e.line == 0:
		return e.message
	case e.column == 0:
		return fmt.Sprintf("line %d: %s", e.line, e.message)
	}
	return fmt.Sprintf("line %d, column %d: %s", e.line, e.column, e.message)
}

// all are the errors that errors.Join made one of.
func all(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, all(e)...)
	}
	return errs
}

// decodeResource reads TOML or YAML, by the name's ending. A key that does not
// exist is an error with its place, and does not keep the others from being read.
func decodeResource(name string, content []byte) (*rawResource, error) {
	decode, count := decodeTOML, countTOML
	if filepath.Ext(name) != ".toml" {
		decode, count = decodeYAML, countYAML
	}
	if err := count(content); err != nil {
		return nil, err
	}
	var shape struct {
		Template any `toml:"template" yaml:"template"`
	}
	if err := decode(content, &shape, false); err != nil {
		return nil, err
	}
	if _, single := shape.Template.(map[string]any); !single {
		var raw rawResource
		return &raw, decode(content, &raw, true)
	}
	var one rawFile[rawTemplate]
	err := decode(content, &one, true)
	return &rawResource{one.Wait, one.CheckCmd, one.CheckTimeout, one.Drift, one.Values, []rawTemplate{one.Templates}, one.Guards, one.Reload, one.Process, one.Limits}, err
}

// maxMistakes is how many keys that do not exist are named.
const maxMistakes = 100

// maxRepairs is how many lines are left out of a resource file to find the next
// mistake.
const maxRepairs = 50

// decodeAll is decodeResource that goes on behind a mistake. A line of TOML that
// cannot be read is left out, if it is a key with its value, and the rest read. The
// resource file is nil when there is no way to go on. The content is the one without
// these lines.
func decodeAll(name string, content []byte) (raw *rawResource, rest []byte, errs []error) {
	for range maxRepairs {
		raw, err := decodeResource(name, content)
		found := all(err)
		var wrong *decodeError
		if len(found) != 1 || !errors.As(err, &wrong) || wrong.rule == lint.RuleUnknownKey || wrong.final || filepath.Ext(name) != ".toml" {
			return raw, content, append(errs, found...)
		}
		errs = append(errs, err)
		without, ok := withoutLine(content, wrong.line)
		if !ok {
			return nil, content, errs
		}
		content = without
	}
	return nil, content, errs
}

// withoutLine is a TOML document without a line, if the line is a key with its value
// and no part of something longer.
func withoutLine(content []byte, line int) ([]byte, bool) {
	text := lineOf(content, line)
	balanced := strings.Count(text, "[") == strings.Count(text, "]") && strings.Count(text, "{") == strings.Count(text, "}")
	if !balanced || strings.Contains(text, `"""`) || strings.Contains(text, "'''") || !regexp.MustCompile(`^\s*[A-Za-z0-9_."'-]+\s*=`).MatchString(text) {
		return nil, false
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines[line-1] = []byte("\n")
	return bytes.Join(lines, nil), true
}

func decodeTOML(content []byte, into any, strict bool) error {
	d := toml.NewDecoder(bytes.NewReader(content))
	if strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(into)
	var unknown *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var errs []error
		for _, e := range unknown.Errors[:min(len(unknown.Errors), maxMistakes)] {
			line, column := e.Position()
			errs = append(errs, unknownKey(line, column, e.Key()))
		}
		return errors.Join(errs...)
	case errors.As(err, &syntax):
		line, column := syntax.Position()
		message, rule := strings.TrimPrefix(syntax.Error(), "toml: "), lint.RuleSyntax
		if key := strings.Join(syntax.Key(), "."); key != "" {
			message, rule = fmt.Sprintf("key %q: %s", key, inWords(goField().ReplaceAllString(message, "a value"))), lint.RuleValue
		}
		return &decodeError{line: line, column: column, rule: rule, message: message, hint: cmp.Or(otherFormatHint(content), quoteHint(lineOf(content, line), column), tableHint(message, lineOf(content, line), "[%s] on a line of its own, and under it action = %s"))}
	}
	return err
}

// quoteHint is for a text without quotes, and for one that ends at the quotes of a name in {{ }}.
func quoteHint(line string, column int) string {
	if column > len(line)+1 || column < 1 {
		return ""
	}
	if regexp.MustCompile(`^\s*[A-Za-z0-9_."'-]+\s*=\s*".*\{\{[^{}]*"$`).MatchString(line[:column-1]) {
		return `quotes within a text in quotes: write '…{{ env "NAME" }}…', or "…{{ env \"NAME\" }}…"`
	}
	word := regexp.MustCompile(`^([A-Za-z/][A-Za-z0-9_./-]*|0[0-7]+\b)`).FindString(line[column-1:])
	if !regexp.MustCompile(`=\s*$`).MatchString(line[:column-1]) || word == "" {
		return ""
	}
	return fmt.Sprintf("a text is in quotes: %q", word)
}

// otherFormatHint is for YAML in a file whose name says TOML.
func otherFormatHint(content []byte) string {
	var keys map[string]any
	if yaml.Unmarshal(content, &keys) != nil || len(keys) == 0 {
		return ""
	}
	return "this looks like YAML: let the name of the file end with .yaml"
}

// unknownKey is a key that does not exist, given by the names that lead to it.
func unknownKey(line, column int, key []string) error {
	name := key[len(key)-1]
	table := strings.Join(key[:len(key)-1], ".")
	hint := lint.ConfdKey(table, name)
	if similar := cmp.Or(otherNames(table, name), similarKey(table, name)); hint == "" && similar != "" {
		hint = fmt.Sprintf("did you mean %q?", similar)
	}
	hint = cmp.Or(hint, elsewhereAdvice(name))
	return &decodeError{line: line, column: column, rule: lint.RuleUnknownKey, message: fmt.Sprintf("there is no key %q", strings.Join(key, ".")), hint: hint}
}

func decodeYAML(content []byte, into any, strict bool) error {
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(strict)
	err := d.Decode(into)
	var wrong *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil // an empty file
	case errors.As(err, &wrong):
		var errs []error
		index, lines := lint.IndexYAML(content), strings.Split(string(content), "\n")
		for _, message := range wrong.Errors[:min(len(wrong.Errors), maxMistakes)] {
			errs = append(errs, yamlError(index, lines, message))
		}
		return errors.Join(errs...)
	case err != nil:
		return yamlSyntax(content, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document: a resource file has one")
	}
	return nil
}

// yamlError is one of the decoder's messages, each of which begins with its line.
func yamlError(index *lint.Index, lines []string, message string) error {
	parts := regexp.MustCompile(`(?s)^line ([0-9]+): (.*)$`).FindStringSubmatch(message)
	if parts == nil {
		return errors.New(message)
	}
	line, err := strconv.Atoi(parts[1])
	if err != nil {
		return errors.New(message)
	}
	text := lines[min(max(line, 1), len(lines))-1]
	if unknown := goUnknown().FindStringSubmatch(parts[2]); unknown != nil {
		at := lint.Place{Line: line, Column: max(strings.Index(text, unknown[1]), 0) + 1}
		path := slices.DeleteFunc(index.PathAt(at), isNumber)
		if len(path) == 0 {
			path = []string{unknown[1]}
		}
		return unknownKey(at.Line, at.Column, path)
	}
	message = inWords(parts[2])
	return &decodeError{line: line, column: firstColumn(text), rule: lint.RuleValue, message: message, hint: tableHint(message, text, "%s: {action: %s}")}
}

// yamlSyntax is an error of the YAML parser, which mostly has a line.
func yamlSyntax(content []byte, err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	parts := regexp.MustCompile(`(?s)^line ([0-9]+): (.*)$`).FindStringSubmatch(message)
	if parts == nil {
		return &decodeError{rule: lint.RuleSyntax, message: message}
	}
	line, _ := strconv.Atoi(parts[1]) // digits; too many of them are line 0
	return &decodeError{line: line, column: firstColumn(lineOf(content, line)), rule: lint.RuleSyntax, message: parts[2]}
}

func lineOf(content []byte, line int) string {
	for range line - 1 {
		_, rest, ok := bytes.Cut(content, []byte("\n"))
		if !ok {
			return ""
		}
		content = rest
	}
	text, _, _ := bytes.Cut(content, []byte("\n"))
	return string(text)
}

// firstColumn is the column of the first character that is no white space.
func firstColumn(text string) int {
	return len(text) - len(strings.TrimLeft(text, " \t-")) + 1
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// similarKey is the key of a table that is meant by one that does not exist, or an
// empty string. The table is given by its name: reload.rolling.
func similarKey(table, key string) string {
	t := reflect.TypeFor[rawResource]()
	for name := range strings.SplitSeq(table, ".") {
		if table == "" {
			break
		}
		f := fieldFor(t, name)
		if f == nil {
			return ""
		}
		t = f
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	var known []string
	for _, f := range reflect.VisibleFields(t) {
		known = append(known, f.Tag.Get("toml"))
	}
	return render.Similar(key, known)
}

// fieldFor is the type of what is under a key of a table.
func fieldFor(t reflect.Type, key string) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("toml") != key {
			continue
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		return inner
	}
	return nil
}

// inWords is a message about a value of the wrong type in the words of the file.
func inWords(message string) string {
	for _, form := range []string{`cannot decode TOML ([\w ]+) into a value of type (\S+)`, `cannot decode TOML ([\w ]+) into (a value)`, "(?s)cannot unmarshal !!(\\w+)(?: `.*`)? into (\\S+)"} {
		if parts := regexp.MustCompile("^" + form + "$").FindStringSubmatch(message); parts != nil {
			return fmt.Sprintf("want %s, not %s", ofGo(parts[2]), ofFormat(parts[1]))
		}
	}
	return message
}

// ofGo is what a value of a Go type is in a resource file.
func ofGo(name string) string {
	name = strings.TrimLeft(name, "*")
	switch {
	case name == "string":
		return "a text in quotes"
	case name == "bool":
		return "true or false"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	case strings.HasPrefix(name, "[]main."):
		return "a list of tables"
	case strings.HasPrefix(name, "[]"):
		return "a list"
	case strings.HasPrefix(name, "main."), strings.HasPrefix(name, "map["):
		return "a table"
	}
	return "another value"
}

// ofFormat is what the decoders call a value of TOML or YAML.
func ofFormat(name string) string {
	switch name {
	case "str", "string":
		return "a text"
	case "int", "integer":
		return "a whole number"
	case "float":
		return "a number"
	case "bool", "boolean":
		return "true or false"
	case "seq", "array":
		return "a list"
	case "map", "table", "inline table":
		return "a table"
	case "null":
		return "nothing"
	}
	return "a " + name
}

// tableHint is for an action that is written as the value of reload.
func tableHint(message, line, form string) string {
	parts := regexp.MustCompile(`^\s*(reload)\s*[=:]\s*["']?([a-z]+)["']?\s*$`).FindStringSubmatch(line)
	if parts == nil || !strings.Contains(message, "want a table") {
		return ""
	}
	if strings.HasPrefix(form, "[") {
		parts[2] = strconv.Quote(parts[2])
	}
	return fmt.Sprintf("write "+form, parts[1], parts[2])
}

// goField and goUnknown are what the decoders say in the words of Go rather
// than of the file.
func goField() *regexp.Regexp   { return regexp.MustCompile(`struct field \S+`) }
func goUnknown() *regexp.Regexp { return regexp.MustCompile(`field (\S+) not found in type [^;]+`) }
