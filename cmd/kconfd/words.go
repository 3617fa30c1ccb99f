package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// An advisedError is an error with its way out.
type advisedError struct {
	err    error
	advice string
}

func (e *advisedError) Error() string { return e.err.Error() }
func (e *advisedError) Unwrap() error { return e.err }

// usageErrorf is a usageError with its way out.
func usageErrorf(advice, format string, args ...any) error {
	return &advisedError{&usageError{fmt.Errorf(format, args...)}, advice}
}

// commandNames are the commands for users.
func commandNames() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(commands())), func(name string) bool { return name == "" || name == drainName })
}

// unknownCommand is the error for a first word that is no command.
func unknownCommand(name string) error {
	advice := "the commands are " + strings.Join(commandNames(), ", ") + "; to run a program: kconfd [flags] -- PROGRAM"
	if similar := render.Similar(name, commandNames()); similar != "" {
		advice = fmt.Sprintf("did you mean %q?", similar)
	}
	return usageErrorf(advice, "there is no command %q", name)
}

// refuseCommand refuses a word behind the flags that is a command of kconfd, or nearly
// one: without a -- in front of it, it is more likely a command in the wrong place than
// a program to run. A path is a program.
func refuseCommand(set *flag.FlagSet, args []string) error {
	if set.NArg() == 0 || strings.Contains(set.Arg(0), "/") || endsWithDashes(set, args[:len(args)-set.NArg()]) {
		return nil
	}
	word := set.Arg(0)
	program := fmt.Sprintf("to run a program of that name: kconfd [flags] -- %s", strings.Join(set.Args(), " "))
	if slices.Contains(commandNames(), word) {
		return usageErrorf(fmt.Sprintf("kconfd %s [flags]; %s", word, program), "the command %q must come before the flags", word)
	}
	if similar := render.Similar(word, commandNames()); similar != "" {
		return usageErrorf(fmt.Sprintf("did you mean kconfd %s [flags]? %s", similar, program), "there is no command %q, and a command must come before the flags", word)
	}
	return nil
}

// endsWithDashes reports whether args, all of which a flag set has taken, end with the
// -- that ends flags. One that is the value of a flag does not.
func endsWithDashes(set *flag.FlagSet, args []string) bool {
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return true
		}
		name := strings.TrimPrefix(strings.TrimPrefix(args[i], "-"), "-")
		if !strings.Contains(name, "=") && !isBool(set.Lookup(name)) {
			i++ // its value
		}
	}
	return false
}

func isBool(f *flag.Flag) bool {
	if f == nil {
		return false
	}
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// flagError is an error of the flag package in the words of a user. Of a flag that
// does not exist, it names the one that was probably meant.
func flagError(set *flag.FlagSet, err error) error {
	text := strings.TrimPrefix(err.Error(), "error parsing commandline arguments: ")
	unknown := regexp.MustCompile(`^flag provided but not defined: -(.*)$`).FindStringSubmatch(text)
	if unknown == nil {
		return &usageError{errors.New(flagInWords(text))}
	}
	var names []string
	set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	advice := "see kconfd -help"
	if similar := render.Similar(unknown[1], names); similar != "" {
		advice = fmt.Sprintf("did you mean -%s?", similar)
	}
	of := ""
	if set.Name() != "kconfd" {
		of = " of " + set.Name()
	}
	return usageErrorf(advice, "there is no flag -%s%s", unknown[1], of)
}

// flagInWords is what the flag package and ff say of a value, in the form of all other
// messages about a flag.
func flagInWords(text string) string {
	for _, form := range []string{
		`^invalid (?:boolean )?value "(?P<value>.*)" for (?:flag )?(?P<name>-[\w-]+): (?P<why>.*)$`,
		`^error parsing environment variables: error setting flag "[\w-]+" from environment variable "(?P<name>\w+)": (?P<why>.*)$`,
	} {
		r := regexp.MustCompile(form)
		found := r.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		name, why := found[r.SubexpIndex("name")], found[r.SubexpIndex("why")]
		level := regexp.MustCompile(`^slog: level string (".*"): unknown name$`).FindStringSubmatch(why)
		switch {
		case level != nil:
			why = "want debug, info, warn or error, not " + level[1]
		case why == "parse error" && r.SubexpIndex("value") > 0:
			why = fmt.Sprintf("want true or false, not %q", found[r.SubexpIndex("value")])
		}
		return name + ": " + why
	}
	return text
}

// refuseFlags refuses flags behind the words of a command.
func (f *flags) refuseFlags(name string) error {
	if f.dashes {
		return nil
	}
	for i, word := range f.args {
		if i > 0 && len(word) > 1 && strings.HasPrefix(word, "-") {
			return usageErrorf(fmt.Sprintf("kconfd %s %s … %s; for a name that begins with a dash: -- in front of the names", name, word, f.args[0]), "the flag %s must come before %q", word, f.args[0])
		}
	}
	return nil
}

// ofSeveral is an error of a command of the group, given by its key. Where it names
// the one file of a group that has several, the error says what to write instead.
func (g *groupConfig) ofSeveral(key string, err error) error {
	name := regexp.MustCompile(`map has no entry for key "(src|dest)"`).FindStringSubmatch(err.Error())
	if name == nil || len(g.templates) < 2 {
		return g.commandAdvice(fmt.Errorf("%s: %w", key, err))
	}
	dest := g.templates[0].written
	advice := fmt.Sprintf("write the name of the file, such as %q", dest)
	if key == "check_cmd" {
		advice = fmt.Sprintf("{{.dir}}/%s is the candidate among the others under their final names, {{staged %q}} its path alone; or give each [[template]] a check_cmd", filepath.Base(dest), dest)
	}
	return &advisedError{fmt.Errorf("%s: {{.%s}} names one file, and this group has %d", key, name[1], len(g.templates)), advice}
}

// explainSyntax is an error of a template's syntax. Of a block without an end it says
// where the block begins.
func explainSyntax(source render.Source, err error) error {
	if !strings.HasSuffix(err.Error(), ": unexpected EOF") {
		return err
	}
	texts := map[string]string{source.Name: source.Text}
	for name, text := range source.Partials {
		texts[name] = text
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, f := range lint.Template(lint.Source{File: name, Name: name, Text: texts[name], Left: source.Left, Right: source.Right}, nil) {
			if f.Rule == lint.RuleSyntax && strings.Contains(f.Message, " that begins here has no ") {
				return fmt.Errorf("parsing template: %s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
			}
		}
	}
	return err
}

// adviseAction adds to the error for an action that does not exist the one that was
// probably meant.
func adviseAction(action string, err error) error {
	var kinds []string
	for k := reload.None; k <= reload.Restart; k++ {
		kinds = append(kinds, k.String())
	}
	advice := "signal sends a signal to a process, exec runs a command, http asks a URL, restart restarts the command behind the flags"
	if similar := render.Similar(action, kinds); similar != "" {
		advice = fmt.Sprintf("did you mean %q?", similar)
	}
	return &advisedError{err, advice}
}
