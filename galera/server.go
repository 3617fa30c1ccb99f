package galera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// answer is what a server says about an option file without starting.
type answer struct {
	mariadb  bool
	groups   []string          // that it reads
	values   map[string]string // of its variables, by name with _
	messages []string          // what it wrote to standard error, line by line
	exit     int
}

// ask runs `server --defaults-file=file --verbose --help`, which reads the file as
// a start would, opens nothing of Galera's and ends by itself. The text is the
// file's. An exit code other than 0 is part of the answer; an error means that there
// is none. When ctx or this process ends, the server is killed.
//
// The server gets more open files as descriptors from 3 on: see [inherited].
func ask(ctx context.Context, server, file string, text []byte, open ...*os.File) (answer, error) {
	args := append([]string{"--defaults-file=" + file}, notIntoStatusFile(text)...)
	if filepath.Base(server) == "mysqld" {
		args = append(args, "--wsrep-provider=none")
	}
	cmd := exec.Command(server, append(args, "--verbose", "--help")...)
	cmd.ExtraFiles = open
	var stdout, stderr limited
	cmd.Stdout, cmd.Stderr = &stdout, &stderr

	err := runProgram(ctx, cmd)
	if ctx.Err() != nil {
		return answer{}, fmt.Errorf("running %q: %w", server, ctx.Err())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return answer{}, fmt.Errorf("running %q: %w", server, err)
	}
	a := parseHelp(stdout.String())
	a.messages = nonEmptyLines(stderr.String())
	a.exit = exitCode(cmd.ProcessState)
	return a, nil
}

// inherited is how a program opens the nth of its ExtraFiles.
func inherited(n int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+n) }

// notIntoStatusFile are arguments for a server that is only asked: it would overwrite
// the status file of the one that runs, and say there that it has no cluster. A server
// that does not know the option is not given it, unless the file does so.
func notIntoStatusFile(text []byte) []string {
	if _, found := lastOf(ParseOptions(text), "wsrep_status_file"); !found {
		return nil
	}
	return []string{"--wsrep-status-file="}
}

// exitCode is the process's, or 128+n when signal n ended it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// parseHelp reads what --verbose --help prints: the version on the first line, the
// groups further down, and at the end a table of variables under a line of dashes.
func parseHelp(text string) answer {
	a := answer{values: map[string]string{}}
	version, _, _ := strings.Cut(text, "\n")
	a.mariadb = strings.Contains(version, "MariaDB")
	inTable := false
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, len(text)+1)
	for scanner.Scan() {
		line := scanner.Text()
		switch groups, found := strings.CutPrefix(line, "The following groups are read: "); {
		case found:
			a.groups = strings.Fields(groups)
		case strings.HasPrefix(line, "-----"):
			inTable = true
		case inTable && line == "":
			inTable = false
		case inTable:
			name, value, _ := strings.Cut(line, " ")
			a.values[normalName(name)] = strings.TrimSpace(value)
		}
	}
	return a
}

// nonEmptyLines returns the lines of text that hold more than blanks.
func nonEmptyLines(text string) []string {
	var kept []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return kept
}

// findServer returns the path of a server program: the one named, or else mariadbd
// or mysqld. A service's PATH often lacks the directories that servers are in.
func findServer(name string) (string, error) {
	names := []string{name}
	if name == "" {
		names = []string{"mariadbd", "mysqld"}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("finding a server program: no %s in PATH", strings.Join(names, " or "))
}
