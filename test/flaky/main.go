// Flaky finds tests that do not always pass. It runs each package many times with the
// race detector and a busy loop on each processor, one package at a time:
//
//	go run ./test/flaky -count 10 ./...
//
// Results are kept for as long as the checkout is the same, so that a call goes on where
// the one before it ended. It exits with 1 when a test failed even once.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	count := flag.Int("count", 10, "how often each package is run")
	results := flag.String("results", "", "directory of the results; default: in the user's cache")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	well, err := run(ctx, *results, *count, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "flaky:", err)
	}
	if err != nil || !well {
		stop()
		os.Exit(1)
	}
}

// run runs the packages that the patterns name, or all, and prints a line for each. It is
// true when no test ever failed.
func run(ctx context.Context, results string, count int, patterns []string) (bool, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	checkout, err := checkoutName(ctx)
	if err != nil {
		return false, err
	}
	if results == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return false, err
		}
		results = filepath.Join(cache, "kconfd", "flaky")
	}
	listed, err := output(ctx, "go", append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}, patterns...)...)
	if err != nil {
		return false, err
	}
	for range runtime.NumCPU() {
		go spin(ctx)
	}
	well := true
	for _, pkg := range strings.Fields(string(listed)) {
		dir := filepath.Join(results, checkout, strings.ReplaceAll(pkg, "/", "_"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, err
		}
		failed := map[string]int{}
		var longest time.Duration
		for n := range count {
			r, err := resultOf(ctx, filepath.Join(dir, fmt.Sprint(n+1)), pkg)
			if err != nil {
				return false, err
			}
			longest = max(longest, r.took)
			for _, test := range r.failed {
				failed[test]++
			}
		}
		fmt.Printf("%-50s %d times, at most %v\n", pkg, count, longest.Round(time.Second))
		for _, test := range slices.Sorted(maps.Keys(failed)) {
			fmt.Printf("\tfailed %d times: %s\n", failed[test], test)
			well = false
		}
	}
	return well, nil
}

// spin keeps a processor busy.
func spin(ctx context.Context) {
	for ctx.Err() == nil {
	}
}

// checkoutName names the commit and what was changed since.
func checkoutName(ctx context.Context) (string, error) {
	head, err := output(ctx, "git", "rev-parse", "--short", "HEAD")
	if err != nil {
		return "", err
	}
	changes, err := output(ctx, "git", "diff", "HEAD")
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(head))
	if len(changes) > 0 {
		name += fmt.Sprintf("-%.4x", sha256.Sum256(changes))
	}
	return name, nil
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out, nil
}

// A result is what one run of a package gave.
type result struct {
	failed []string // tests without failed subtests; the package, when it failed without a test
	took   time.Duration
}

// resultOf reads the output of a run from the file, and makes it first if there is none.
func resultOf(ctx context.Context, file, pkg string) (result, error) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		cmd := exec.CommandContext(ctx, "go", "test", "-race", "-count=1", "-timeout=30m", "-json", pkg)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
		out, err := cmd.Output()
		var exit *exec.ExitError
		if ctx.Err() != nil {
			return result{}, ctx.Err()
		} else if err != nil && !errors.As(err, &exit) {
			return result{}, err
		}
		if err := os.WriteFile(file+".new", out, 0o644); err != nil {
			return result{}, err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return result{}, err
		}
	}
	out, err := os.ReadFile(file)
	if err != nil {
		return result{}, err
	}
	return parse(out)
}

// parse reads what `go test -json` prints.
func parse(out []byte) (result, error) {
	var r result
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct {
			Action, Package, Test string
			Elapsed               float64 // seconds
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			continue // a program that the package ran has printed a line of its own
		}
		if event.Test == "" && event.Elapsed > 0 {
			r.took = time.Duration(event.Elapsed * float64(time.Second))
		}
		if event.Action != "fail" {
			continue
		}
		name := event.Test
		isParent := slices.ContainsFunc(r.failed, func(of string) bool { return strings.HasPrefix(of, name+"/") })
		switch {
		case name == "" && len(r.failed) == 0:
			r.failed = append(r.failed, "(the package)")
		case name != "" && !isParent:
			r.failed = append(r.failed, name)
		}
	}
	return r, lines.Err()
}
