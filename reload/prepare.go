package reload

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// startFile is the environment variable that names the file in which a
// pre_start command leaves arguments and environment for the one start that it
// comes before.
const startFile = "KCONFD_START_FILE"

// lastExit is the environment variable that tells the commands around an
// instance how the one before ended, or for PostStop the one that has gone.
const lastExit = "KCONFD_LAST_EXIT"

// logFile is the environment variable that names where these commands may write
// for the log: what they print is seen only when they fail.
const logFile = "KCONFD_LOG_FILE"

// environment is what the commands around an instance are told. There is nothing
// about the last instance as long as none of this supervisor has ended.
func (s *Supervisor) environment() []string {
	env := []string{fmt.Sprintf("%s=/proc/%d/fd/2", logFile, os.Getpid())}
	if s.hasEnded {
		env = append(env, fmt.Sprintf("%s=%d", lastExit, s.exit.Status()))
	}
	return env
}

// with is the command with more environment.
func (c Command) with(env []string) Command {
	c.Env = slices.Concat(c.Env, env)
	return c
}

// prepared runs PreStart, with env added to its environment, and takes over what
// it left: lines `arg VALUE`, in order behind the arguments that are there, and
// `env NAME=VALUE`.
func (c Child) prepared(ctx context.Context, env []string) (Child, error) {
	if c.PreStart == nil {
		return c, nil
	}
	file, err := newStartFile()
	if err != nil {
		return c, fmt.Errorf("pre_start: %w", err)
	}
	defer file.Close()
	command := c.PreStart.with(append(env, fmt.Sprintf("%s=/proc/%d/fd/%d", startFile, os.Getpid(), file.Fd())))
	if err := command.Run(ctx); err != nil {
		return c, fmt.Errorf("pre_start: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, mostWords+1))
	if err != nil {
		return c, fmt.Errorf("pre_start: reading $%s: %w", startFile, err)
	}
	if len(text) > mostWords {
		return c, fmt.Errorf("pre_start: $%s has more than %d bytes, and the kernel takes no more", startFile, mostWords)
	}
	return c.with(string(text))
}

// newStartFile makes a file that needs no directory to be writable.
func newStartFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("kconfd-start", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "$"+startFile), nil
}

// with is the child with what a start file holds added.
func (c Child) with(text string) (Child, error) {
	c.Argv, c.Env = slices.Clone(c.Argv), slices.Clone(c.Env)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		what, value, _ := strings.Cut(line, " ")
		switch {
		case line == "":
		case what == "arg":
			c.Argv = append(c.Argv, value)
		case what == "env" && strings.Index(value, "=") > 0:
			c.Env = append(c.Env, value)
		default:
			return c, fmt.Errorf("pre_start: want lines `arg VALUE` or `env NAME=VALUE` in $%s, not %q", startFile, line)
		}
	}
	return c, nil
}
