package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Protects the live files when their directory cannot take another: nothing is
// changed, nothing left behind, and the error says where and why.
func TestDirectoryThatTakesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		is    error
	}{
		"read-only": {makeReadOnly, syscall.EROFS},
		"full":      {fill, syscall.ENOSPC},
		"somebody else's": {func(t *testing.T, _ string) {
			becomeUser(t, 1000)
		}, syscall.EACCES},
	} {
		t.Run(name, func(t *testing.T) {
			privateMounts(t)
			dir := sharedDir(t)
			mountTmpfs(t, dir, "256k")
			put(t, dir+"/live", state{version(1)[:60_000], 0o644, 1000, 1000})
			test.spoil(t, dir)
			before, names := stateOf(t, dir+"/live"), namesIn(t, dir)
			for _, dest := range []string{dir + "/live", dir + "/fresh"} {
				batch, err := Stage([]File{newFile(dest, version(2))})
				if err == nil {
					batch.Discard()
				}
				if !errors.Is(err, test.is) || !strings.HasPrefix(fmt.Sprint(err), fmt.Sprintf("staging %q: ", dest)) {
					t.Errorf("%s: got error %v, want %v", dest, err, test.is)
				}
			}
			if diff := cmp.Diff(before, stateOf(t, dir+"/live")); diff != "" {
				t.Errorf("the live file: -before +after:\n%s", diff)
			}
			if diff := cmp.Diff(names, namesIn(t, dir)); diff != "" {
				t.Errorf("left behind: -before +after:\n%s", diff)
			}
		})
	}
}

// fill leaves a page of room in a file system.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(dir + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, 4096))
		size += int64(n)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling %q: %v", dir, err)
	}
	if err := f.Truncate(size - 4096); err != nil {
		t.Fatal(err)
	}
}

// What could be staged of a set is gone when the last does not fit.
func TestSetThatDoesNotFit(t *testing.T) {
	privateMounts(t)
	dir := t.TempDir()
	mountTmpfs(t, dir, "256k")
	put(t, dir+"/a", state{"old", 0o600, 0, 0})
	before := treeOf(t, dir)
	batch, err := Stage([]File{newFile(dir+"/a", version(1)), newFile(dir+"/b", version(1)), newFile(dir+"/c", version(1)), newFile(dir+"/d", version(1))})
	if err == nil {
		batch.Discard()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want that there is no room", err)
	}
	if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// A mountedFile is a file that is mounted by itself, as with a subPath.
type mountedFile struct {
	dir  string // it is mounted in
	path string
	home string // the directory it lies in
}

func mountFile(t *testing.T, live state) mountedFile {
	t.Helper()
	privateMounts(t)
	m := mountedFile{dir: sharedDir(t), home: sharedDir(t)}
	m.path = m.dir + "/file.conf"
	put(t, m.path, state{"below the mount", 0o600, 0, 0})
	mountTmpfs(t, m.home, "256k")
	put(t, m.home+"/source", live)
	bind(t, m.home+"/source", m.path)
	return m
}

// check says whether the file is as wanted, and alone.
func (m mountedFile) check(t *testing.T, want state) {
	t.Helper()
	if diff := cmp.Diff(want, stateOf(t, m.path)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, stateOf(t, m.home+"/source")); diff != "" {
		t.Errorf("behind the mount: -want +got:\n%s", diff)
	}
	if got := namesIn(t, m.dir); len(got) != 1 {
		t.Errorf("got the files %q, want one", got)
	}
}

// Protects a file that cannot be replaced: the user is told so, and it is left
// alone until the user asks for it to be overwritten.
func TestMountedFileIsNotReplaced(t *testing.T) {
	live := state{"old", 0o604, 1000, 1001}
	for name, others := range map[string]int{"alone": 0, "in a set": 2} {
		t.Run(name, func(t *testing.T) {
			m := mountFile(t, live)
			elsewhere := t.TempDir()
			files := []File{newFile(m.path, "new")}
			for n := range others {
				files = append(files, newFile(fmt.Sprintf("%s/%d", elsewhere, n), "new"))
			}
			batch := mustStage(t, files...)
			err := batch.Commit()
			if !errors.Is(err, ErrMountPoint) || !errors.Is(err, syscall.EBUSY) {
				t.Errorf("got error %v, want %v", err, ErrMountPoint)
			}
			if got, want := fmt.Sprint(err), fmt.Sprintf("writing %q: the file is a mount point of its own: ", m.path); !strings.HasPrefix(got, want) {
				t.Errorf("got error %q, want one that starts with %q", got, want)
			}
			batch.Discard()
			m.check(t, live)
			if got := namesIn(t, elsewhere); len(got) != 0 {
				t.Errorf("the others of the set are there: %q", got)
			}
		})
	}
}

func TestInPlace(t *testing.T) {
	live := state{"old\nlines\n", 0o604, 1000, 1001}
	for name, test := range map[string]struct {
		content string
		change  func(f *File)
		want    state
	}{
		"longer":      {version(1), func(*File) {}, state{version(1), 0o604, 1000, 1001}},
		"shorter":     {"new", func(*File) {}, state{"new", 0o604, 1000, 1001}},
		"to nothing":  {"", func(*File) {}, state{"", 0o604, 1000, 1001}},
		"with a mode": {"new", func(f *File) { f.Mode, f.UID, f.GID = 0o640, 0, 2001 }, state{"new", 0o640, 0, 2001}},
		"secrets":     {"new", func(f *File) { f.Private = true }, state{"new", 0o600, 1000, 1001}},
	} {
		t.Run(name, func(t *testing.T) {
			m := mountFile(t, live)
			file := newFile(m.path, test.content)
			file.InPlace = true
			test.change(&file)
			before := statOf(t, m.path)
			batch := mustStage(t, file)
			if got, want := stateOf(t, batch.Files[0].Path), test.want; got != want {
				t.Errorf("the candidate is %v, want %v", got, want)
			}
			m.checkStaged(t, live)
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
			m.check(t, test.want)
			if after := statOf(t, m.path); after.Ino != before.Ino {
				t.Error("it is another file")
			}
		})
	}
}

// checkStaged says whether the file is as it was, with a candidate beside it.
func (m mountedFile) checkStaged(t *testing.T, live state) {
	t.Helper()
	if diff := cmp.Diff(live, stateOf(t, m.path)); diff != "" {
		t.Errorf("before the commit: -want +got:\n%s", diff)
	}
	names := namesIn(t, m.dir)
	if len(names) != 2 || !strings.HasPrefix(names[0], ".") || strings.HasSuffix(names[0], ".conf") {
		t.Errorf("got the files %q, want a candidate that starts with a dot, and the live one", names)
	}
}

// Protects the live file from being left half written.
func TestInPlaceThatDoesNotFit(t *testing.T) {
	live := state{version(1)[:20_000], 0o604, 1000, 1001}
	m := mountFile(t, live)
	fill(t, m.home)
	file := newFile(m.path, version(2))
	file.InPlace, file.Mode, file.UID = true, 0o640, 0
	batch := mustStage(t, file)
	err := batch.Commit()
	if got, want := fmt.Sprint(err), fmt.Sprintf("writing %q: ", m.path); !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(got, want) {
		t.Errorf("got error %q, want that there is no room", got)
	}
	batch.Discard()
	m.check(t, live)
}

// A new file that does not fit is not left half written either.
func TestInPlaceOfANewFileThatDoesNotFit(t *testing.T) {
	privateMounts(t)
	dir := t.TempDir()
	mountTmpfs(t, dir, "100k") // enough for the candidate
	file := newFile(dir+"/a", version(1)[:60_000])
	file.InPlace = true
	batch := mustStage(t, file)
	if err := batch.Commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want that there is no room", err)
	}
	if got := namesIn(t, dir); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// What cannot be kept first is not overwritten.
func TestInPlaceWithNoRoomForTheOldContent(t *testing.T) {
	privateMounts(t)
	dir := t.TempDir()
	mountTmpfs(t, dir, "150k") // for two of three
	live := state{version(1)[:60_000], 0o604, 1000, 1001}
	put(t, dir+"/a", live)
	file := newFile(dir+"/a", version(2)[:60_000])
	file.InPlace = true
	batch := mustStage(t, file)
	before := statOf(t, dir+"/a")
	if err := batch.Commit(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "keeping the old content: ") {
		t.Errorf("got error %v, want that there is no room to keep the old content", err)
	}
	batch.Discard()
	if diff := cmp.Diff(map[string]state{"": {}, "/a": live}, treeOf(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, statOf(t, dir+"/a")); diff != "" {
		t.Errorf("the file was touched: %s", diff)
	}
}

// Protects the only whole copy, when even the old content does not fit any
// more: it had holes.
func TestInPlaceThatCannotBePutBack(t *testing.T) {
	m := mountFile(t, state{"", 0o600, 0, 0})
	if err := os.Truncate(m.path, 1<<20); err != nil {
		t.Fatal(err)
	}
	file := newFile(m.path, strings.Repeat("new", 1<<20))
	file.InPlace = true
	batch := mustStage(t, file)
	err := batch.Commit()
	backup := batch.Files[0].backup.path()
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("the old content is in %q", backup)) {
		t.Errorf("got error %v, want one that names %s", err, backup)
	}
	batch.Discard()
	if got := stateOf(t, backup); got.Content != strings.Repeat("\x00", 1<<20) || got.Mode != 0o600 {
		t.Errorf("the backup has %d bytes and mode %v", len(got.Content), got.Mode)
	}
}

// A mount that is read-only itself can be neither replaced nor written.
func TestInPlaceOfAReadOnlyMount(t *testing.T) {
	live := state{"old", 0o644, 1000, 1001}
	m := mountFile(t, live)
	if err := syscall.Mount("", m.path, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	file := newFile(m.path, "new")
	file.InPlace = true
	batch := mustStage(t, file)
	if err := batch.Commit(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("got error %v, want that it is read-only", err)
	}
	batch.Discard()
	m.check(t, live)
}

// Nor does a new file come into a read-only directory, and nothing of it is
// left anywhere.
func TestInPlaceOfANewFileInAReadOnlyDirectory(t *testing.T) {
	privateMounts(t)
	dir, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	makeReadOnly(t, dir)
	file := newFile(dir+"/a", "new")
	file.InPlace = true
	batch := mustStage(t, file)
	err := batch.Commit()
	if got, want := fmt.Sprint(err), fmt.Sprintf("writing %q: open %s: read-only file system", file.Dest, file.Dest); got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
	if got := append(namesIn(t, dir), namesIn(t, temporary)...); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// The directory around a mounted file is the image's: read-only, or root's.
func TestInPlaceInADirectoryThatTakesNothing(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, m mountedFile){
		"read-only": func(t *testing.T, m mountedFile) {
			makeReadOnly(t, m.dir)
			bind(t, m.home+"/source", m.path)
		},
		"somebody else's": func(t *testing.T, _ mountedFile) { becomeUser(t, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			m := mountFile(t, state{"old", 0o604, 1000, 1000})
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			if err := os.Chmod(filepath.Dir(temporary), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(temporary, 0o777|fs.ModeSticky); err != nil {
				t.Fatal(err)
			}
			spoil(t, m)
			if err := os.WriteFile(m.dir+"/other", nil, 0o600); err == nil {
				t.Fatal("the directory takes files")
			}
			file := newFile(m.path, "new")
			if batch, err := Stage([]File{file}); err == nil {
				batch.Discard()
				t.Error("a candidate could be staged beside it")
			}
			file.InPlace = true
			batch := mustStage(t, file)
			if got := stateOf(t, batch.Files[0].Path); got.Content != "new" || filepath.Dir(batch.Files[0].Path) != temporary {
				t.Errorf("got the candidate %s with %v, want it in %s", batch.Files[0].Path, got, temporary)
			}
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
			m.check(t, state{"new", 0o604, 1000, 1000})
			if got := namesIn(t, temporary); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

// Who may write a file need not own it: what is merely kept is not set.
func TestInPlaceOfSomebodyElsesFile(t *testing.T) {
	dir := sharedDir(t)
	live := state{"old", 0o666, 0, 0}
	put(t, dir+"/a", live)
	if err := os.Chown(dir, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	becomeUser(t, 1000)
	file := newFile(dir+"/a", "new")
	file.InPlace = true
	mustCommit(t, file)
	if diff := cmp.Diff(state{"new", 0o666, 0, 0}, stateOf(t, dir+"/a")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	file = newFile(dir+"/a", "newer")
	file.InPlace, file.Mode = true, 0o600
	batch := mustStage(t, file)
	if err := batch.Commit(); !errors.Is(err, syscall.EPERM) {
		t.Errorf("got error %v, want that the mode may not be changed", err)
	}
	batch.Discard()
	if diff := cmp.Diff(map[string]state{"": {}, "/a": {"new", 0o666, 0, 0}}, treeOf(t, dir)); diff != "" {
		t.Errorf("after a failure: -want +got:\n%s", diff)
	}
}

// A process that is not root keeps what it may of a file's owner, and fails
// where another was asked for.
func TestOwnerAsAnotherUser(t *testing.T) {
	for name, test := range map[string]struct {
		live     state
		uid, gid int
		want     state
		err      error
	}{
		"its own":                {state{"old", 0o640, 1000, 1000}, -1, -1, state{"new", 0o640, 1000, 1000}, nil},
		"its own, given":         {state{"old", 0o640, 1000, 1000}, 1000, 1000, state{"new", 0o640, 1000, 1000}, nil},
		"somebody else's":        {state{"old", 0o644, 0, 0}, -1, -1, state{"new", 0o644, 1000, 1000}, nil},
		"of its group":           {state{"old", 0o644, 0, 1000}, -1, -1, state{"new", 0o644, 1000, 1000}, nil},
		"of a group besides":     {state{"old", 0o644, 0, 3000}, -1, -1, state{"new", 0o644, 1000, 3000}, nil},
		"a group besides given":  {state{"old", 0o644, 0, 0}, -1, 3000, state{"new", 0o644, 1000, 3000}, nil},
		"of another, own given":  {state{"old", 0o644, 0, 0}, 1000, -1, state{"new", 0o644, 1000, 1000}, nil},
		"another user given":     {state{"old", 0o644, 1000, 1000}, 2000, -1, state{"old", 0o644, 1000, 1000}, syscall.EPERM},
		"another group given":    {state{"old", 0o644, 1000, 1000}, -1, 2000, state{"old", 0o644, 1000, 1000}, syscall.EPERM},
		"another given for a 0s": {state{"old", 0o644, 0, 0}, 2000, 2000, state{"old", 0o644, 0, 0}, syscall.EPERM},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sharedDir(t)
			put(t, dir+"/a", test.live)
			if err := os.Chown(dir, 1000, 1000); err != nil {
				t.Fatal(err)
			}
			becomeUser(t, 1000)
			file := newFile(dir+"/a", "new")
			file.UID, file.GID = test.uid, test.gid
			batch, err := Stage([]File{file})
			if err == nil {
				defer batch.Discard()
				err = batch.Commit()
			}
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(map[string]state{"": {}, "/a": test.want}, treeOf(t, dir)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What cannot be read cannot be compared, and what may not be changed is said.
func TestFileOfAnotherUser(t *testing.T) {
	for name, test := range map[string]struct {
		mode    fs.FileMode
		content string
		uid     int
		says    string
	}{
		"unreadable":       {0o600, "new", -1, `staging "PATH": open PATH: permission denied`},
		"owner to be set":  {0o644, "old", 1000, `writing "PATH": chown PATH: operation not permitted`},
		"as it should be":  {0o644, "old", 0, "<nil>"},
		"another, and new": {0o644, "newer", 0, `staging "PATH": chown CANDIDATE: operation not permitted`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sharedDir(t)
			live := state{"old", test.mode, 0, 0}
			put(t, dir+"/a", live)
			before := statOf(t, dir+"/a")
			if err := os.Chown(dir, 1000, 1000); err != nil {
				t.Fatal(err)
			}
			becomeUser(t, 1000)
			file := newFile(dir+"/a", test.content)
			file.UID = test.uid
			batch, err := Stage([]File{file})
			if err == nil {
				defer batch.Discard()
				err = batch.Commit()
			}
			got := regexp.MustCompile(`\.a\d+`).ReplaceAllString(fmt.Sprint(err), ".aN")
			if want := strings.NewReplacer("PATH", file.Dest, "CANDIDATE", dir+"/.aN").Replace(test.says); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if diff := cmp.Diff(before, statOf(t, dir+"/a")); diff != "" {
				t.Errorf("the file was touched: %s", diff)
			}
		})
	}
}

// A file in place that cannot be written takes the set before it back.
func TestSetWithAMountedFileThatDoesNotFit(t *testing.T) {
	live := state{version(1)[:20_000], 0o604, 1000, 1001}
	m := mountFile(t, live)
	fill(t, m.home)
	dir := t.TempDir()
	files := everyKind(t, dir)
	last := newFile(m.path, version(2))
	last.InPlace = true
	before := treeOf(t, dir)
	batch := mustStage(t, append(files, last)...)
	if err := batch.Commit(); !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "putting back") {
		t.Errorf("got error %v, want that there is no room", err)
	}
	batch.Discard()
	m.check(t, live)
	if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}
