package reload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A LineError is an argument or a variable that the kernel would not take, so
// that a child cannot be started with it.
type LineError struct{ Err error }

func (e *LineError) Error() string { return e.Err.Error() }
func (e *LineError) Unwrap() error { return e.Err }

const (
	// maxWord is the size in bytes of the longest argument, or variable with its
	// name, that Linux takes: MAX_ARG_STRLEN without the NUL byte at its end.
	maxWord = 128<<10 - 1

	// Linux takes a quarter of the stack's limit for all of them together, within
	// these bounds.
	leastWords, mostWords = 128 << 10, 6 << 20
	// spareWords is for what is added: the paths of the program and of its
	// interpreter, NOTIFY_SOCKET.
	spareWords = 8 << 10
)

// CheckWord reports a word that cannot be an argument, or NAME=VALUE in an
// environment. One that is too long is a [*LineError]; one with a NUL byte is no word at all.
func CheckWord(word string) error {
	switch {
	case strings.IndexByte(word, 0) >= 0:
		return errors.New("it has a NUL byte")
	case len(word) > maxWord:
		return &LineError{fmt.Errorf("it has %d bytes, and the kernel takes %d at most", len(word), maxWord)}
	}
	return nil
}

// CheckWords reports arguments and an environment that are too large together, as
// a [*LineError].
func CheckWords(argv, env []string) error {
	size, limit := spareWords, maxWords()
	for _, word := range slices.Concat(argv, env) {
		size += len(word) + 1 + 8 // with its end, and a pointer to it
	}
	if size > limit {
		return &LineError{fmt.Errorf("the arguments and the environment have %d bytes, and the kernel takes %d at most", size, limit)}
	}
	return nil
}

func maxWords() int {
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err != nil {
		return leastWords
	}
	return int(min(max(stack.Cur/4, leastWords), mostWords))
}

// A line is what of a child decides whether the kernel starts it.
type line struct {
	argv, env []string
	dir       string
	user      *Account
}

func (c Child) line() *line { return &line{c.Argv, c.Env, c.Dir, c.User} }

// on is the child with another line in place of before. What its pre_start command
// added stays.
func (c Child) on(l, before *line) Child {
	c.Argv = slices.Concat(l.argv, c.Argv[len(before.argv):])
	c.Env = slices.Concat(l.env, c.Env[len(before.env):])
	c.Dir, c.User = l.dir, l.user
	return c
}

func (l *line) equal(other *line) bool {
	return l != nil && other != nil && slices.Equal(l.argv, other.argv) && slices.Equal(l.env, other.env) &&
		l.dir == other.dir && reflect.DeepEqual(l.user, other.user)
}

// Check reports why a child could not be started, as far as that can be seen
// without starting it: its directory or its program is not there or may not be
// executed, or what should interpret the program is not. The error is a [*StartError].
func (l Launcher) Check(c Child) error {
	path, err := lookPath(c)
	if err != nil {
		return err
	}
	if c.Dir != "" {
		if info, err := os.Stat(c.Dir); err != nil {
			return &StartError{126, err}
		} else if !info.IsDir() {
			return &StartError{126, fmt.Errorf("%q: not a directory", c.Dir)}
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Dir, path)
		}
	}
	if err := checkProgram(path, maxInterpreters); err != nil {
		return startError(err)
	}
	return nil
}

// maxInterpreters is how many scripts may interpret each other, and a program at
// the end.
const maxInterpreters = 5

// checkProgram looks at a program, and at its interpreter if it names one.
func checkProgram(path string, interpreters int) error {
	if err := checkExecutable(path); err != nil {
		return err
	}
	begin, err := firstBytes(path)
	switch {
	case err != nil:
		return nil // whoever may not read it may execute it all the same
	case bytes.HasPrefix(begin, []byte("\x7fELF")):
		return nil
	case !bytes.HasPrefix(begin, []byte("#!")):
		return fmt.Errorf("%q: neither a program nor a script with an interpreter", path)
	}
	line, _, _ := strings.Cut(string(begin[2:]), "\n")
	words := strings.Fields(line)
	if len(words) == 0 {
		return fmt.Errorf("%q: its first line names no interpreter", path)
	}
	if interpreters == 0 {
		return fmt.Errorf("%q: too many interpreters", path)
	}
	if err := checkProgram(words[0], interpreters-1); err != nil {
		return fmt.Errorf("%q: its interpreter: %v", path, err) // the program itself is there
	}
	return nil
}

func checkExecutable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular(), info.Mode()&0o111 == 0:
		return fmt.Errorf("%q: %w", path, fs.ErrPermission)
	}
	return nil
}

// firstBytes are as many of a file as the kernel looks at.
func firstBytes(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	begin := make([]byte, 256)
	n, err := io.ReadFull(file, begin)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return begin[:n], err
}
