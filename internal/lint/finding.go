package lint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// A Severity says what a finding does to the exit code.
type Severity string

// The severities: kconfd refuses an error, or the render would fail with it. A
// warning is allowed and probably not meant. A note changes no exit code.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Note}, s) }

// The rules. They are part of what users see.
const (
	RuleRead            = "read"              // a file or directory cannot be read
	RuleSyntax          = "syntax"            // of TOML, YAML or a template
	RuleUnknownKey      = "unknown-key"       // of a resource file
	RuleValue           = "value"             // a key's value is refused
	RuleUnknownFunction = "unknown-function"  // including those that are left out
	RuleMissingTemplate = "missing-template"  // named by template or include
	RuleArguments       = "arguments"         // their number or kind
	RuleOrder           = "argument-order"    // confd's or Go's instead of sprig's
	RuleType            = "type"              // a field, an index or a loop that the value does not have
	RuleName            = "name"              // no object can have it
	RuleData            = "data"              // a template's data has no such field
	RuleCheckCmd        = "check-cmd"         // it checks the live file
	RuleNoAction        = "no-action"         // neither check nor action
	RuleEnvironment     = "environment"       // a directory, user or group that is not on this machine
	RuleSecret          = "secret"            // it can be seen
	RuleWritable        = "writable"          // by every user
	RuleRestart         = "restart-on-change" // the command is not restarted for what it reads
	RuleIgnored         = "ignored-directory" // below conf.d
	RuleConfdKey        = "confd-key"         // without meaning in kconfd
)

// Rules returns all rules.
func Rules() []string {
	return []string{
		RuleRead, RuleSyntax, RuleUnknownKey, RuleValue, RuleUnknownFunction, RuleMissingTemplate, RuleArguments, RuleOrder, RuleType,
		RuleName, RuleData, RuleCheckCmd, RuleNoAction, RuleEnvironment, RuleSecret, RuleWritable, RuleRestart, RuleIgnored, RuleConfdKey,
	}
}

// A Finding is one mistake at one place. Lines and columns count from 1, columns
// in bytes. What is wrong with a whole file is at 1:1; line and column are 0 when
// File names no file.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"` // what to do; empty when that is not known
}

func (f Finding) String() string {
	place := f.File
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	text := fmt.Sprintf("%s: %s: %s [%s]", place, f.Severity, f.Message, f.Rule)
	if f.Hint != "" {
		text += "\n\thint: " + f.Hint
	}
	return text
}

// Sorted returns the findings by file and place, each once. Of two that differ in
// their severity only, the more severe one stays.
func Sorted(findings []Finding) []Finding {
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Severity.rank(), b.Severity.rank()))
	})
	return slices.CompactFunc(sorted, func(a, b Finding) bool {
		a.Severity, b.Severity = "", ""
		return a == b
	})
}

// Count returns how many findings have the severity.
func Count(findings []Finding, s Severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// WriteText prints the findings, one a line, with hints on lines of their own.
func WriteText(w io.Writer, findings []Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON prints the findings as an array, one a line.
func WriteJSON(w io.Writer, findings []Finding) error {
	var b bytes.Buffer
	b.WriteString("[")
	for i, f := range findings {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n")
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		if err := e.Encode(f); err != nil {
			return err
		}
		b.Write(bytes.TrimRight(line.Bytes(), "\n"))
	}
	if len(findings) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]\n")
	_, err := w.Write(b.Bytes())
	return err
}
