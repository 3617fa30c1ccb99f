package render

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const commitForEverIn = "RENDER_TEST_COMMIT_FOR_EVER_IN"

// TestMain makes this program the one that TestCrash kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(commitForEverIn); dir != "" {
		fmt.Fprintln(os.Stderr, commitForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// version is a content that tells when it is not whole.
func version(n int) string {
	return strings.Repeat(fmt.Sprintf("version %08d\n", n), 4000)
}

func checkWhole(content string) error {
	first, _, _ := strings.Cut(content, "\n")
	if content != strings.Repeat(first+"\n", 4000) {
		return fmt.Errorf("a file of %d bytes that begins with %q is not whole", len(content), first)
	}
	return nil
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/existing", state{Content: "old", Mode: 0o640})
	put(t, dir+"/drifted", state{Content: "same", Mode: 0o666})
	put(t, dir+"/same", state{Content: "same", Mode: 0o604})
	drifted, inPlace := newFile(dir+"/drifted", "same"), newFile(dir+"/inplace", "in place")
	drifted.Mode, inPlace.InPlace = 0o600, true
	mustCommit(t, newFile(dir+"/existing", "new"), newFile(dir+"/fresh", "fresh"), drifted, newFile(dir+"/same", "same"), inPlace)
	want := map[string]state{
		"":          {},
		"/existing": {Content: "new", Mode: 0o640},
		"/fresh":    {Content: "fresh", Mode: 0o644},
		"/drifted":  {Content: "same", Mode: 0o600},
		"/same":     {Content: "same", Mode: 0o604},
		"/inplace":  {Content: "in place", Mode: 0o644},
	}
	if diff := cmp.Diff(want, treeOf(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Protects the process from a reload for nothing: a mode or an owner that
// somebody changed is put right, and the file is still the same.
func TestDriftIsPutRightWithoutWriting(t *testing.T) {
	needRoot(t)
	for name, drift := range map[string]func(path string) error{
		"mode":  func(path string) error { return os.Chmod(path, 0o666) },
		"owner": func(path string) error { return os.Chown(path, 3000, -1) },
		"group": func(path string) error { return os.Chown(path, -1, 3000) },
		"all":   func(path string) error { return errors.Join(os.Chown(path, 3000, 3000), os.Chmod(path, 0o777)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/a"
			file := newFile(path, "content")
			file.Mode, file.UID, file.GID = 0o640, 1000, 1001
			mustCommit(t, file)
			age(t, path)
			before := statOf(t, path)
			if err := drift(path); err != nil {
				t.Fatal(err)
			}
			mustCommit(t, file)
			if diff := cmp.Diff(state{"content", 0o640, 1000, 1001}, stateOf(t, path)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if after := statOf(t, path); after.Ino != before.Ino || after.Mtim != before.Mtim {
				t.Error("the file was written")
			}
		})
	}
}

// Protects readers: whoever opens the file at whatever moment sees one version,
// whole.
func TestReaderSeesWholeVersions(t *testing.T) {
	path := t.TempDir() + "/a"
	mustCommit(t, newFile(path, version(0)))
	done := make(chan struct{})
	seen := map[string]bool{}
	var reader sync.WaitGroup
	reader.Go(func() { // until done is closed
		for {
			content, err := os.ReadFile(path)
			if err == nil {
				err = checkWhole(string(content))
			}
			if err != nil {
				t.Errorf("reading: %v", err)
				return
			}
			seen[string(content)] = true
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for n := range 500 {
		mustCommit(t, newFile(path, version(n+1)))
	}
	close(done)
	reader.Wait()
	if len(seen) < 3 {
		t.Errorf("the reader saw %d versions, too few to mean anything", len(seen))
	}
}

// Protects the set: when one file cannot be written, those before it are back
// as they were, with mode and owner, new ones are gone, and so are the backups.
func TestFailedCommitPutsBack(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, target string){
		"the target became a directory": func(t *testing.T, target string) {
			if err := errors.Join(os.Remove(target), os.Mkdir(target, 0o755)); err != nil {
				t.Fatal(err)
			}
		},
		"its file system became read-only": func(t *testing.T, target string) {
			remountReadOnly(t, filepath.Dir(target))
		},
		"the target became a mount": func(t *testing.T, target string) {
			other := t.TempDir() + "/other"
			put(t, other, state{Content: "other", Mode: 0o600})
			bind(t, other, target)
		},
		"its directory went away": func(t *testing.T, target string) {
			if err := os.RemoveAll(filepath.Dir(target)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			privateMounts(t)
			dir := t.TempDir()
			target := dir + "/last/file"
			files := everyKind(t, dir)
			if name == "its file system became read-only" {
				bind(t, filepath.Dir(target), filepath.Dir(target))
			}
			batch := mustStage(t, files...)
			fail(t, target)
			before := liveIn(t, dir)
			err := batch.Commit()
			if err == nil {
				t.Fatal("got no error")
			}
			if got, want := err.Error(), fmt.Sprintf("writing %q: ", target); !strings.HasPrefix(got, want) || strings.Contains(got, "putting back") {
				t.Errorf("got error %q, want one that starts with %q and no other", got, want)
			}
			if diff := cmp.Diff(before, liveIn(t, dir)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
			batch.Discard()
			if name == "its file system became read-only" {
				return // what was staged there has to stay
			}
			if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
				t.Errorf("left behind: -before +after:\n%s", diff)
			}
		})
	}
}

// everyKind wants one file of each kind, each with another mode and owner than
// it has, and last/file.
func everyKind(t *testing.T, dir string) []File {
	t.Helper()
	if err := os.Mkdir(dir+"/last", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/existing", state{"old", 0o604, 1000, 1001})
	put(t, dir+"/drifted", state{"same", 0o604, 1000, 1001})
	put(t, dir+"/inplace", state{"a longer old one", 0o604, 1000, 1001})
	put(t, dir+"/last/file", state{"old", 0o604, 1000, 1001})
	files := []File{
		newFile(dir+"/existing", "new"), newFile(dir+"/drifted", "same"), newFile(dir+"/inplace", "new"),
		newFile(dir+"/fresh", "new"), newFile(dir+"/freshinplace", "new"), newFile(dir+"/last/file", "new"),
	}
	for i := range files {
		files[i].Mode, files[i].UID, files[i].GID = 0o640, 2000, 2001
		files[i].InPlace = strings.HasSuffix(files[i].Dest, "inplace")
	}
	return files
}

// liveIn is treeOf without what is staged.
func liveIn(t *testing.T, dir string) map[string]state {
	t.Helper()
	tree := treeOf(t, dir)
	for path := range tree {
		if name := filepath.Base(path); path != "" && strings.HasPrefix(name, ".") {
			delete(tree, path)
			if strings.HasSuffix(name, ".old") {
				t.Errorf("the backup %s is left", path)
			}
		}
	}
	return tree
}

// Protects the set on file systems without hard links, and where the kernel
// allows them only to a file's owner: the old content is kept as a copy.
func TestFailedCommitPutsBackWithoutLinks(t *testing.T) {
	needRoot(t)
	for name, test := range map[string]struct {
		user uintptr
		want state
	}{
		"root":         {0, state{"old", 0o604, 2000, 2001}},
		"another user": {1000, state{"old", 0o604, 1000, 1000}}, // who may not give it away
	} {
		t.Run(name, func(t *testing.T) {
			dir := sharedDir(t)
			put(t, dir+"/a", state{"old", 0o604, 2000, 2001})
			if err := os.Chown(dir, int(test.user), 0); err != nil {
				t.Fatal(err)
			}
			refuse(t, syscall.SYS_LINKAT, syscall.EPERM)
			if err := os.Link(dir+"/a", dir+"/c"); !errors.Is(err, syscall.EPERM) {
				t.Fatalf("a hard link gave %v", err)
			}
			if test.user != 0 {
				becomeUser(t, test.user)
			}
			batch := mustStage(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "new"))
			if err := os.Mkdir(dir+"/b", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := batch.Commit(); !errors.Is(err, syscall.EISDIR) || strings.Contains(err.Error(), "putting back") {
				t.Errorf("got error %v, want that b is a directory", err)
			}
			batch.Discard()
			if diff := cmp.Diff(test.want, stateOf(t, dir+"/a")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := namesIn(t, dir); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("got the files %q, want a and b", got)
			}
		})
	}
}

// Protects a set that goes well where there are no hard links.
func TestCommitWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a", state{"old", 0o644, 0, 0})
	refuse(t, syscall.SYS_LINKAT, syscall.ENOTSUP)
	mustCommit(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "new"))
	want := map[string]state{"": {}, "/a": {"new", 0o644, 0, 0}, "/b": {"new", 0o644, 0, 0}}
	if diff := cmp.Diff(want, treeOf(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Protects the only copy that is left when the old file cannot be put back.
func TestBackupStaysWhenPuttingBackFails(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a", state{"old", 0o600, 0, 0})
	put(t, dir+"/b", state{"old", 0o600, 0, 0})
	batch := mustStage(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "new"))
	// The first half of a commit that fails at b, and then a disk that fails too.
	if err := errors.Join(batch.backUp(), batch.Files[0].commit()); err != nil {
		t.Fatal(err)
	}
	refuse(t, syscall.SYS_RENAMEAT, syscall.EIO)
	backup := batch.Files[0].backup.path()
	err := errors.Join(revert(batch.Files[:1])...)
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), fmt.Sprintf("putting back %q: ", dir+"/a")) || !strings.Contains(err.Error(), backup) {
		t.Errorf("got error %v, want one that names %s", err, backup)
	}
	batch.done = true
	batch.Discard()
	if got := stateOf(t, backup).Content; got != "old" {
		t.Errorf("the backup holds %q", got)
	}
}

// Protects against a power cut: a file that the disk has not taken does not
// become the live one.
func TestUnsyncedFileDoesNotGoLive(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		t.Run(fmt.Sprintf("inplace=%v", inPlace), func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/a", state{Content: "old", Mode: 0o600})
			file := newFile(dir+"/a", "new")
			file.InPlace = inPlace
			refuse(t, syscall.SYS_FSYNC, syscall.EIO)
			if _, err := Stage([]File{file}); !errors.Is(err, syscall.EIO) {
				t.Errorf("got error %v, want that of the disk", err)
			}
			if got := namesIn(t, dir); len(got) != 1 {
				t.Errorf("left behind: %q", got)
			}
			if got := stateOf(t, dir+"/a").Content; got != "old" {
				t.Errorf("the live file is %q", got)
			}
		})
	}
}

// Protects against a power cut: the directory that has the new name is synced,
// too. The candidate was synced before it was checked.
func TestDirectoryIsSynced(t *testing.T) {
	dir := t.TempDir()
	batch := mustStage(t, newFile(dir+"/a", "new"))
	refuse(t, syscall.SYS_FSYNC, syscall.EIO)
	err := batch.Commit()
	if got, want := fmt.Sprint(err), fmt.Sprintf("syncing %q: ", dir); !errors.Is(err, ErrNotDurable) || !strings.Contains(got, want) {
		t.Errorf("got error %q, want one that starts with %q", got, want)
	}
}

// A directory that may be written into and not be listed cannot be synced, and
// is no reason to fail after the file is live.
func TestDirectoryThatCannotBeOpened(t *testing.T) {
	dir := sharedDir(t)
	if err := errors.Join(os.Chown(dir, 1000, 1000), os.Chmod(dir, 0o300)); err != nil {
		t.Fatal(err)
	}
	becomeUser(t, 1000)
	mustCommit(t, newFile(dir+"/a", "new"))
	if got := stateOf(t, dir+"/a").Content; got != "new" {
		t.Errorf("got %q, want new", got)
	}
}

// Protects the files from a crash at any moment: each is whole, and what lies
// about is found by no pattern for them.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	for lines := range 20 {
		crash(t, dir, lines)
		for _, name := range namesIn(t, dir) {
			if strings.HasPrefix(name, ".") {
				if match, _ := filepath.Match("*.conf", name); match {
					t.Errorf("a crash left %s", name)
				}
				continue
			}
			if !slices.Contains(crashFiles(), name) {
				t.Errorf("a crash left %s", name)
			}
			if err := checkWhole(stateOf(t, filepath.Join(dir, name)).Content); err != nil {
				t.Errorf("after a crash: %v", err)
			}
		}
	}
}

func crashFiles() []string { return []string{"a.conf", "b.conf", "c.conf"} }

// crash kills a process that commits, once it has done so some times.
func crash(t *testing.T, dir string, times int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), commitForEverIn+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range times + 1 {
		if !lines.Scan() {
			t.Error("the process that commits has ended by itself")
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}

// commitForEver writes sets of files until it is killed, and a line after each.
func commitForEver(dir string) error {
	for n := 0; ; n++ {
		var files []File
		for _, name := range crashFiles() {
			files = append(files, newFile(filepath.Join(dir, name), version(n)))
		}
		batch, err := Stage(files)
		if err == nil {
			err = batch.Commit()
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}
