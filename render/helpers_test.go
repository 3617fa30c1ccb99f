package render

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mustParse is Parse for a template of which it is not the point of the test.
func mustParse(t *testing.T, src Source) *Template {
	t.Helper()
	parsed, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// mustRender is what the text gives.
func mustRender(t *testing.T, text string, data any) string {
	t.Helper()
	got, err := mustParse(t, Source{Name: "main", Text: text}).Execute(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// stopwatch gives the processor time that the test's goroutine has used since, so
// that a busy machine does not fail the test. The collector's own threads do not
// count.
func stopwatch(t *testing.T) func() time.Duration {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	used := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			t.Fatalf("reading the processor time of the thread: %v", err)
		}
		return time.Duration(now.Nano())
	}
	began := used()
	return func() time.Duration { return used() - began }
}

// newFile wants content in dest and leaves mode and owner alone.
func newFile(dest, content string) File {
	return File{Dest: dest, Content: []byte(content), UID: -1, GID: -1}
}

func mustStage(t *testing.T, files ...File) *Batch {
	t.Helper()
	batch, err := Stage(files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(batch.Discard)
	return batch
}

// tryCommit stages a file and commits it. The batch is nil when it could not be staged.
func tryCommit(t *testing.T, file File) (*Batch, error) {
	t.Helper()
	batch, err := Stage([]File{file})
	if err != nil {
		return nil, err
	}
	t.Cleanup(batch.Discard)
	return batch, batch.Commit()
}

func mustCommit(t *testing.T, files ...File) {
	t.Helper()
	batch := mustStage(t, files...)
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A state is what a file promises to its readers.
type state struct {
	Content  string
	Mode     fs.FileMode
	UID, GID int
}

func stateOf(t *testing.T, path string) state {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys := info.Sys().(*syscall.Stat_t)
	return state{string(content), info.Mode().Perm(), int(sys.Uid), int(sys.Gid)}
}

// put makes a file of that state.
func put(t *testing.T, path string, s state) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s.Content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, s.UID, s.GID); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, s.Mode); err != nil {
		t.Fatal(err)
	}
}

// treeOf is the state of every file below dir; one of a directory is empty.
func treeOf(t *testing.T, dir string) map[string]state {
	t.Helper()
	tree := map[string]state{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir)
		if tree[name] = (state{}); d.Type().IsRegular() {
			tree[name] = stateOf(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// statOf tells whether a file was touched: any write, rename, chmod or chown
// changes the inode or one of its times. That of the last access does not count.
func statOf(t *testing.T, path string) syscall.Stat_t {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	stat.Atim = syscall.Timespec{}
	return stat
}

// age makes files an hour old, for a change to show in their times.
func age(t *testing.T, paths ...string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	for _, path := range paths {
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
}

// namesIn are all names in a directory, sorted.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
