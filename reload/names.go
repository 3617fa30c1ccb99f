package reload

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// commSize is how many bytes of its name the kernel keeps in a process's comm.
const commSize = 15

// names are what a process may be called by. Any of them may be empty.
func (p process) names() []string { return []string{p.comm, p.argv0, p.exe, p.script} }

// named tells whether the process goes by that name: it calls itself so, it was started under that
// name, its program has it, or the script that its program runs.
func (p process) named(name string) bool {
	return name != "" && slices.Contains(p.names(), name) || p.isCut(name)
}

// isCut tells whether comm is what the kernel keeps of a longer name. It is not when the process has
// another name of which it is the beginning.
func (p process) isCut(name string) bool {
	if len(name) <= commSize || p.comm != name[:commSize] {
		return false
	}
	return !slices.ContainsFunc(p.names(), func(other string) bool {
		return other != p.comm && strings.HasPrefix(other, p.comm)
	})
}

// An interpreter is a program that runs scripts.
type interpreter struct {
	// valued are the options that have a value in the next argument. Of a
	// single letter, they may also end a cluster such as -euo.
	valued []string
	// inline are the options after which there is no script: the program is in
	// the argument, or read from standard input.
	inline []string
	// script are the options whose value is the script.
	script []string
	// clusters says that several options of one letter may share a dash.
	clusters bool
}

var (
	shells = &interpreter{valued: []string{"-o", "-O", "+o", "+O", "--rcfile", "--init-file"}, inline: []string{"-c", "-s"}, clusters: true}
	python = &interpreter{valued: []string{"-W", "-X", "--check-hash-based-pycs"}, inline: []string{"-c", "-m"}, clusters: true}
	perl   = &interpreter{valued: []string{"-I"}, inline: []string{"-e", "-E"}}
	ruby   = &interpreter{valued: []string{"-r", "-I", "-C", "-E", "--encoding"}, inline: []string{"-e"}}
	node   = &interpreter{
		valued: []string{"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"},
		inline: []string{"-e", "--eval", "-p", "--print", "-i"},
	}
	php  = &interpreter{valued: []string{"-c", "-d", "-z", "-t"}, inline: []string{"-r", "-S", "-B", "-R"}, script: []string{"-f", "--file"}}
	java = &interpreter{
		valued: []string{"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports", "--add-reads"},
		inline: []string{"-m", "--module"}, script: []string{"-jar"},
	}
	plain = &interpreter{inline: []string{"-e", "-c"}}
)

// interpreters are known by their names, without versions.
var interpreters = map[string]*interpreter{
	"sh": shells, "ash": shells, "bash": shells, "dash": shells, "ksh": shells, "mksh": shells, "zsh": shells,
	"python": python, "pypy": python, "perl": perl, "ruby": ruby, "jruby": ruby, "node": node, "nodejs": node,
	"php": php, "java": java, "lua": plain, "luajit": plain, "tclsh": plain, "wish": plain, "Rscript": plain, "guile": plain,
}

// interpreterOf is the interpreter of that name, as python3.11 or -bash; nil if there is none.
func interpreterOf(name string) *interpreter {
	return interpreters[strings.TrimRight(strings.TrimPrefix(name, "-"), "0123456789.-")]
}

// scriptOf is the base name of the script that a process runs: of an interpreter's arguments, or what
// the kernel has started by a first line with #!. It is empty when there is none.
func scriptOf(comm, exe string, argv []string) string {
	if len(argv) > 1 && baseName(argv[0]) == "busybox" {
		argv = argv[1:]
	}
	if len(argv) < 2 {
		return ""
	}
	for _, arg := range argv[1:min(len(argv), 3)] { // the interpreter's one option, and the script
		if name := baseName(arg); len(name) > commSize && comm == name[:commSize] {
			return name
		}
	}
	by := interpreterOf(exe)
	if by == nil {
		by = interpreterOf(baseName(argv[0]))
	}
	switch {
	case by == nil:
		return ""
	case by == java:
		return by.optionValue(argv[1:])
	}
	return by.scriptIn(argv[1:])
}

// scriptIn finds the script among the arguments.
func (i *interpreter) scriptIn(args []string) string {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return firstName(args)
		case arg == "-" || arg == "":
			return "" // standard input
		case slices.Contains(i.script, arg):
			return firstName(args)
		case arg[0] != '-' && arg[0] != '+':
			return baseName(arg)
		case i.has(i.inline, arg):
			return ""
		case i.takesNext(arg):
			args = args[min(1, len(args)):]
		}
	}
	return ""
}

// optionValue is the script that an option names; the first argument that is none names something else.
func (i *interpreter) optionValue(args []string) string {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if slices.Contains(i.script, args[0]) {
			return firstName(args[1:])
		}
		skip := 1
		if slices.Contains(i.valued, args[0]) {
			skip = 2
		}
		args = args[min(skip, len(args)):]
	}
	return ""
}

// has tells whether an argument is one of the options, or begins with one of a letter, or has it in a
// cluster.
func (i *interpreter) has(options []string, arg string) bool {
	return slices.ContainsFunc(options, func(option string) bool {
		switch {
		case arg == option || strings.HasPrefix(arg, option+"="):
			return true
		case len(option) != 2 || strings.HasPrefix(arg, "--"):
			return false
		case i.clusters:
			return arg[0] == option[0] && strings.IndexByte(i.letters(arg), option[1]) >= 0
		}
		return strings.HasPrefix(arg, option)
	})
}

// letters are the options of a cluster, up to the first that has the rest as its value.
func (i *interpreter) letters(arg string) string {
	for n := 1; n < len(arg); n++ {
		if slices.Contains(i.valued, arg[:1]+arg[n:n+1]) {
			return arg[1 : n+1]
		}
	}
	return arg[1:]
}

// takesNext tells whether the value of an option is in the next argument.
func (i *interpreter) takesNext(arg string) bool {
	if slices.Contains(i.valued, arg) {
		return true
	}
	if !i.clusters || strings.HasPrefix(arg, "--") {
		return false
	}
	letters := i.letters(arg)
	return len(letters) == len(arg)-1 && letters != "" && slices.Contains(i.valued, arg[:1]+letters[len(letters)-1:])
}

func firstName(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return baseName(args[0])
}

// A NotFoundError is a name that no process has. Close are names that are like it, the most alike first.
type NotFoundError struct {
	Err   error
	Close []string
}

func (e *NotFoundError) Error() string { return e.Err.Error() }
func (e *NotFoundError) Unwrap() error { return e.Err }

// maxClose is how many close names are listed, and maxCloseSize how long one is in bytes.
const (
	maxClose     = 5
	maxCloseSize = 64
)

// closeNames are names of processes that are like the one that none has.
func closeNames(name string, all []process) []string {
	distances := map[string]int{}
	for _, p := range all {
		for _, other := range p.names() {
			// A longer one, or one with spaces, is a title such as "worker: idle".
			if other == "" || len(other) > maxCloseSize || strings.Contains(other, " ") {
				continue
			}
			if d, near := distance(name, other); near {
				distances[printable(other)] = d
			}
		}
	}
	var found []string
	for other := range distances {
		found = append(found, other)
	}
	slices.SortFunc(found, func(a, b string) int {
		if d := distances[a] - distances[b]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return found[:min(len(found), maxClose)]
}

// distance is how many letters differ, and whether that is little: a third, or a part that is left out.
func distance(name, other string) (letters int, near bool) {
	a, b := strings.ToLower(name), strings.ToLower(other)
	const least = 3 // letters in common that say something
	shorter := min(len(a), len(b))
	letters = levenshtein.Distance(a, b, nil)
	contains := shorter >= least && (strings.Contains(a, b) || strings.Contains(b, a))
	return letters, contains || letters <= (max(len(a), len(b))+1)/3
}

// notFound is the error for a name that no process has, of a user or of any.
func notFound(name string, user *int) error {
	err := fmt.Errorf("%w in this PID namespace", ErrNoProcess)
	if user != nil {
		err = fmt.Errorf("%w of user %d in this PID namespace", ErrNoProcess, *user)
	}
	all, _ := allProcesses() // what cannot be read has no names
	all = slices.DeleteFunc(all, func(p process) bool { return user != nil && p.uid != *user })
	return &NotFoundError{err, closeNames(name, all)}
}
