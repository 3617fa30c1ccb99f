package render

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oldSet is a directory with two files and a batch that changes one, makes
// another and leaves the third alone, each in one of the two ways.
func oldSet(t *testing.T) (dir string, before map[string]state, batch *Batch, olds []Old) {
	t.Helper()
	dir = t.TempDir()
	put(t, dir+"/changed", state{"old", 0o640, 0, 0})
	put(t, dir+"/inplace", state{"old in place", 0o604, 0, 0})
	put(t, dir+"/same", state{"same", 0o644, 0, 0})
	before = treeOf(t, dir)
	inPlace := newFile(dir+"/inplace", "new")
	inPlace.InPlace = true
	batch = mustStage(t, newFile(dir+"/changed", "new"), newFile(dir+"/made", "new"), inPlace, newFile(dir+"/same", "same"))
	t.Cleanup(batch.Discard)
	olds, err := batch.KeepOld()
	if err != nil {
		t.Fatal(err)
	}
	return dir, before, batch, olds
}

// reread is what another process would read of what this one kept.
func reread(t *testing.T, olds []Old) (read []Old) {
	t.Helper()
	text, err := json.Marshal(olds)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func replaced(t *testing.T, olds []Old) (n int) {
	t.Helper()
	for _, o := range olds {
		done, err := o.Replaced()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			n++
		}
	}
	return n
}

// What a commit has replaced can be put back by another process, twice over.
func TestUndo(t *testing.T) {
	dir, before, batch, olds := oldSet(t)
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	olds = reread(t, olds)
	if got := replaced(t, olds); got != 3 {
		t.Errorf("%d files are new, want 3", got)
	}
	for range 2 {
		if err := Undo(olds); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
			t.Fatalf("-before +after:\n%s", diff)
		}
	}
	if got := replaced(t, olds); got != 0 {
		t.Errorf("%d files are new, want none", got)
	}
}

// A backup that another process changed is not put back: that is an error once,
// and what is live stays.
func TestUndoOfAChangedBackup(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"other content": func(path string) error { return os.WriteFile(path, []byte("forged"), 0o600) },
		"a link":        func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a FIFO":        func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":   func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, batch, olds := oldSet(t)
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
			for _, o := range olds {
				if o.Backup == "" {
					continue
				}
				if err := errors.Join(os.Remove(o.Backup), change(o.Backup)); err != nil {
					t.Fatal(err)
				}
			}
			if err := Undo(reread(t, olds)); err == nil || !strings.Contains(err.Error(), "was changed") {
				t.Errorf("got %v, want that the backups were changed", err)
			}
			if name != "a directory" { // which is not kconfd's to remove
				if err := Undo(reread(t, olds)); err != nil {
					t.Errorf("the second time: %v", err)
				}
			}
			for file, want := range map[string]string{"/changed": "new", "/inplace": "new"} {
				if got := stateOf(t, dir+file).Content; got != want {
					t.Errorf("%s: got %q, want %q", file, got, want)
				}
			}
		})
	}
}

// A file that was not replaced needs no backup: whatever became of that, it stays.
func TestUndoOfWhatWasNotReplaced(t *testing.T) {
	dir, before, batch, olds := oldSet(t)
	for _, o := range olds {
		if o.Backup != "" {
			if err := os.Remove(o.Backup); err != nil {
				t.Fatal(err)
			}
			put(t, o.Backup, state{"ol", 0o600, 0, 0})
		}
	}
	if err := Undo(reread(t, olds)); err != nil {
		t.Fatal(err)
	}
	batch.Discard()
	if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// A commit that was cut off after any of its steps is undone.
func TestUndoOfHalfACommit(t *testing.T) {
	for steps := range 5 {
		dir, before, batch, olds := oldSet(t)
		var err error
		if steps > 0 {
			err = batch.backUp()
		}
		for _, s := range batch.Files[:max(0, steps-1)] {
			err = errors.Join(err, s.commit())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := Undo(reread(t, olds)); err != nil {
			t.Fatal(err)
		}
		batch.Discard()
		if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
			t.Errorf("after %d steps: -before +after:\n%s", steps, diff)
		}
	}
}

// When there is no way back any more, nothing of what was kept is left.
func TestForget(t *testing.T) {
	dir, _, batch, olds := oldSet(t)
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	Forget(olds)
	left, err := filepath.Glob(dir + "/.*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q (%v)", left, err)
	}
	if err := Undo(olds[:1]); err != nil {
		t.Errorf("got %v, want nothing to undo", err)
	}
	if content, err := os.ReadFile(dir + "/changed"); string(content) != "new" {
		t.Errorf("got %q (%v), want what was committed", content, err)
	}
}

// A file that was not there before and has been replaced since by somebody else
// is not removed.
func TestUndoSparesWhatIsNotOurs(t *testing.T) {
	dir, _, batch, olds := oldSet(t)
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/made", state{"somebody's", 0o644, 0, 0})
	if err := Undo(olds); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(t, dir+"/made").Content; got != "somebody's" {
		t.Errorf("got %q", got)
	}
}
