package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
)

// hint is what to do about err, where that is known. Of several errors in one, it is what
// to do about each.
func hint(err error) string {
	errs := severalIn(err)
	if len(errs) < 2 {
		return hintOf(err)
	}
	var hints []string
	for _, e := range errs {
		if h := hint(e); h != "" && !slices.Contains(hints, h) {
			hints = append(hints, h)
		}
	}
	if len(hints) == 0 {
		return hintOf(err)
	}
	return strings.ReplaceAll(strings.Join(hints, "; "), "?; ", "? ")
}

// severalIn are the errors that err or what it wraps has been joined of.
func severalIn(err error) []error {
	for ; err != nil; err = errors.Unwrap(err) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			return slices.DeleteFunc(slices.Clone(joined.Unwrap()), func(e error) bool { return e == nil })
		}
	}
	return nil
}

// nearestFile is the path that was probably meant by one that does not exist: another
// name in the same directory. Empty: none is near.
func nearestFile(path string) string {
	dir, name := filepath.Split(filepath.Clean(path))
	entries, _ := os.ReadDir(filepath.Clean("./" + dir)) // one that cannot be read has no names to propose
	if filepath.IsAbs(path) {
		entries, _ = os.ReadDir(dir)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := render.Similar(name, names); near != "" {
		return dir + near
	}
	return ""
}

// confDirAdvice is for a -confdir that has no conf.d.
func (f *flags) confDirAdvice(err error) error {
	parent, name := filepath.Split(filepath.Clean(f.confDir))
	if parent == "" {
		parent = "."
	}
	switch {
	case name == "conf.d":
		return &advisedError{err, fmt.Sprintf("-confdir is the directory that conf.d is in: -confdir %s", filepath.Clean(parent))}
	case isResourceFile(name):
		return &advisedError{err, "-confdir is a directory that has resource files in conf.d, and templates in templates"}
	case errors.Is(err, fs.ErrNotExist):
		return &advisedError{err, fmt.Sprintf("resource files are in %s; a template without one is given with -template SRC:DEST", filepath.Join(f.confDir, "conf.d"))}
	}
	return err
}

// pathAdvice is for a file of the command line that does not exist.
func pathAdvice(err error) string {
	var missing *fs.PathError
	if !errors.As(err, &missing) || !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if near := nearestFile(missing.Path); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// adviseSignal adds to the error for a signal that does not exist the one that was probably
// meant.
func adviseSignal(signal string, err error) error {
	var names []string
	for n := 1; n <= 31; n++ {
		names = append(names, reload.SignalName(syscall.Signal(n)))
	}
	advice := "a name such as HUP, USR1 or TERM, or a number"
	if near := render.Similar(strings.TrimPrefix(strings.ToUpper(signal), "SIG"), names); near != "" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	return &advisedError{err, advice}
}

// elsewhereAdvice is for a key that another table has: where it is to be written. Empty
// when no table has it.
func elsewhereAdvice(key string) string {
	if fieldFor(reflect.TypeFor[rawResource](), key) != nil {
		if key == "template" || key == "guard" {
			return fmt.Sprintf("write [[%s]]", key)
		}
		return fmt.Sprintf("%s is a key of the file: write it at the top, above the first table", key)
	}
	for _, table := range []string{"[[template]]", "[reload]", "[process]", "[[guard]]", "[limits]"} {
		t := fieldFor(reflect.TypeFor[rawResource](), strings.Trim(table, "[]"))
		if t != nil && fieldFor(t, key) != nil {
			return fmt.Sprintf("%s is a key of %s", key, table)
		}
	}
	return ""
}

// otherNames are what other tools call keys, by the table.
func otherNames(table, key string) string {
	names := map[string]string{
		"template.source": "src", "template.template": "src", "template.destination": "dest", "template.target": "dest",
		"template.content": "contents", "template.perms": "mode", "template.check": "check_cmd",
		"reload.type": "action", "reload.cmd": "command", "reload.exec": "command", "reload.pidfile": "pid_file",
	}
	return names[table+"."+key]
}

// commandAdvice is for {{ }} in a command that is not as it must be.
func (g *groupConfig) commandAdvice(err error) error {
	name := regexp.MustCompile(`map has no entry for key "(\w+)"|function "(\w+)" not defined`).FindStringSubmatch(err.Error())
	dest := regexp.MustCompile(`no template of this group writes "(.*)"$`).FindStringSubmatch(err.Error())
	switch {
	case name != nil:
		word := name[1] + name[2]
		near := render.Similar(word, []string{"src", "dest", "dir", "staged"})
		switch near {
		case "":
			return &advisedError{err, `{{.src}} is the candidate, {{.dest}} the live file, {{staged "DEST"}} the candidate of several, {{.dir}} a directory with all of them`}
		case "staged":
			return &advisedError{err, `write {{staged "DEST"}}`}
		}
		return &advisedError{err, fmt.Sprintf("write {{.%s}}", near)}
	case dest != nil:
		var dests []string
		for _, t := range g.templates {
			dests = append(dests, t.written)
		}
		if near := render.Similar(dest[1], dests); near != "" {
			return &advisedError{err, fmt.Sprintf("did you mean %q?", near)}
		}
		return &advisedError{err, "it writes " + quoted(dests)}
	}
	return err
}

// listenAdvice is for an address without a port.
func listenAdvice(err error) string {
	var address *net.AddrError
	if !errors.As(err, &address) || !strings.Contains(address.Err, "missing port") {
		return ""
	}
	if regexp.MustCompile(`^[0-9]+$`).MatchString(address.Addr) {
		return fmt.Sprintf("write :%s", address.Addr)
	}
	return fmt.Sprintf("write %s:PORT", address.Addr)
}

// lookedElsewhere says whether a command with the relative path of a file has looked for
// it in a directory of its own: then its output has that path below another directory.
func lookedElsewhere(command, output string) bool {
	if !strings.Contains(output, "No such file or directory") {
		return false
	}
	for word := range strings.FieldsSeq(command) {
		if word = strings.Trim(word, `'"`); strings.Contains(word, ".") && !strings.HasPrefix(word, "/") && strings.Contains(output, "/"+word+`"`) {
			return true
		}
	}
	return false
}

// quoted are words in quotes, with commas in between.
func quoted(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, strconv.Quote(w))
	}
	return strings.Join(all, ", ")
}

// namesAdvice are the files that there are, or the one that was probably meant.
func namesAdvice(name string, groups []*group) string {
	var names []string
	for _, g := range groups {
		for _, t := range g.templates {
			names = append(names, t.config.source.Name, t.config.file.Dest)
		}
	}
	if near := render.Similar(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	slices.Sort(names)
	return "there is " + quoted(slices.Compact(names))
}
