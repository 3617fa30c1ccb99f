package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kconfd/kconfd/test/process"
)

// TestMain makes the test binary a kconfd as well: scripts and tests find one
// in PATH that was built with their own flags, -race for instance. So is onsignal,
// the child that loses no signal.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write what the scripts compare with")
	chaosFlags()
	if err := os.Setenv("GORACE", raceOptions); err != nil {
		panic(err) // the name has no = in it
	}
	testscript.Main(m, map[string]func(){
		"kconfd":   mainToKill,
		"onsignal": func() { os.Exit(process.OnSignal(os.Args[1:])) },
	})
}

// killAt is the environment variable that has a kconfd kill itself at a step of
// a change: NAME:N is the step's Nth time, any:N the Nth step of all.
const killAt = "KILL_AT"

// killFile is the environment variable with the name of a file that says the
// same, and may do so at any time. Whoever dies of it puts the step's name into
// FILE.done and removes it: the next one lives.
const killFile = "KILL_FILE"

// mainToKill is main with a step to die at.
func mainToKill() {
	d := doom{file: os.Getenv(killFile)}
	d.read(os.Getenv(killAt))
	ctx := context.WithValue(context.Background(), stepsKey{}, d.step)
	s := streams{os.Stdin, os.Stdout, os.Stderr}
	os.Exit(exitCode(run(ctx, os.Args[1:], s), s.err))
}

// A doom counts the steps to the last one.
type doom struct {
	file string // empty: there is none

	mu   sync.Mutex
	text string // NAME:N
	name string
	left int // without a number it does not come
}

func (d *doom) read(text string) {
	if text == d.text {
		return
	}
	name, count, _ := strings.Cut(text, ":")
	d.text, d.name = text, name
	d.left, _ = strconv.Atoi(count)
}

func (d *doom) step(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file != "" {
		text, _ := os.ReadFile(d.file) // mostly there is none
		d.read(string(text))
	}
	if name != d.name && d.name != "any" {
		return
	}
	if d.left--; d.left != 0 {
		return
	}
	if d.file != "" {
		_ = os.WriteFile(d.file+".done", []byte(name), 0o644)
		_ = os.Remove(d.file)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// raceOptions keep the race detector from sleeping a second in every process
// that ends.
const raceOptions = "atexit_sleep_ms=0"

// TestScripts runs testdata/script, in which each script is headed by what it
// protects.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       flag.Lookup("update").Value.String() == "true",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values["snapshots"] = snapshots{}
			env.Setenv("GORACE", raceOptions)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"snapshot":  takeSnapshot,
			"unchanged": unchanged,
		},
	})
}

// exits runs a program that is to end with a certain code: exits CODE PROGRAM
// ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if neg || got != want {
		ts.Fatalf("got exit code %d, want %d", got, want)
	}
}

// snapshots are what directories held, by their names in the script.
type snapshots map[string]snapshot

// snapshot is all that could change about the files of a directory, by name.
type snapshot map[string]string

// takeSnapshot notes what is in a directory: snapshot DIR.
func takeSnapshot(ts *testscript.TestScript, _ bool, args []string) {
	s, err := look(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Value("snapshots").(snapshots)[args[0]] = s
}

// unchanged wants that nothing has been written, replaced, added or left behind
// in a directory since its snapshot: unchanged DIR.
func unchanged(ts *testscript.TestScript, _ bool, args []string) {
	now, err := look(ts.MkAbs(args[0]))
	ts.Check(err)
	if diff := cmp.Diff(ts.Value("snapshots").(snapshots)[args[0]], now); diff != "" {
		ts.Fatalf("%s changed (-before +now):\n%s", args[0], diff)
	}
}

// look is a snapshot of what is in and below dir now.
func look(dir string) (snapshot, error) {
	s := snapshot{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sys := info.Sys().(*syscall.Stat_t)
		s[path] = fmt.Sprintf("inode %d, %d:%d, %s, %s: %s", sys.Ino, sys.Uid, sys.Gid, info.Mode(), info.ModTime(), content)
		return nil
	})
	return s, err
}
