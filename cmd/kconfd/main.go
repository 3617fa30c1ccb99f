// Command kconfd keeps configuration files in step with a Kubernetes cluster,
// and the process that reads them in step with the files.
//
// Flags, configuration files and the help text are here, and the loop that
// joins the packages: watcher tells that something changed, render makes files
// of it, reload tells the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kconfd/kconfd/apiclient"
	"github.com/kconfd/kconfd/reload"
)

// version is set when a release is linked.
var version = "dev"

func main() {
	s := streams{os.Stdin, os.Stdout, os.Stderr}
	os.Exit(exitCode(run(context.Background(), os.Args[1:], s), s.err))
}

// streams are the standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is kconfd. Its error decides the exit code.
func run(ctx context.Context, args []string, s streams) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	command, ok := commands()[name]
	if !ok {
		return unknownCommand(name)
	}
	defer apiclient.EndPlugins()
	return command(ctx, args, s)
}

// commands are what the first word may be. It is empty for -onetime and the daemon.
func commands() map[string]func(context.Context, []string, streams) error {
	return map[string]func(context.Context, []string, streams) error{
		"":        runMain,
		"claim":   runClaim,
		drainName: runDrain,
		"galera":  runGalera,
		"help":    runHelp,
		"lint":    runLint,
		"rbac":    runRBAC,
		"render":  runRender,
		"status":  runStatus,
		"version": runVersion,
	}
}

// drainName is the command that kconfd itself runs for what its commands leave in
// the background.
const drainName = "drain-output"

// drain has the commands of this process leave their pipes to one of that name.
func drain() { reload.DrainWith("/proc/self/exe", drainName) }

func runDrain(_ context.Context, args []string, _ streams) error {
	if len(args) > 0 {
		return &usageError{errors.New(drainName + " takes no arguments")}
	}
	return reload.Drain()
}

// The exit codes, beside those of the command that -onetime becomes.
const (
	exitError       = 1
	exitUsage       = 2
	exitDeadline    = 3
	exitNotRunnable = 126
	exitNotFound    = 127
)

// A codeError ends the process with a code of its own.
type codeError struct {
	code int
	err  error // nil when there is nothing to say
}

func (e *codeError) Error() string { return fmt.Sprint(e.err) }
func (e *codeError) Unwrap() error { return e.err }

// A usageError is a command line that makes no sense.
type usageError struct {
	err error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitCode prints err, with a hint where the way out is known, and gives the
// code to end with.
func exitCode(err error, stderr io.Writer) int {
	code := exitError
	var coded *codeError
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		code = coded.code
		if coded.err == nil {
			return code
		}
	case errors.As(err, &usage):
		code = exitUsage
	}
	fmt.Fprintf(stderr, "kconfd: error: %v\n", err)
	if output := outputOf(err); output != "" {
		fmt.Fprintf(stderr, "kconfd: output:\n%s\n", hideIn(output, err))
	}
	if h := hint(err); h != "" {
		fmt.Fprintf(stderr, "kconfd: hint: %s\n", h)
	}
	return code
}
