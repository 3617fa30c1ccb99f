package render

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/process/tree"
)

// inOverlay is what a shell prints that sees the candidates, in a working directory.
func inOverlay(t *testing.T, batch *Batch, wd, script string) (string, error) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, wd
	process, err := tree.StartIsolated(cmd, batch.Overlay)
	if err != nil {
		return "", err
	}
	if err := process.Wait(); err != nil {
		t.Errorf("sh: %v", err)
	}
	content, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(content), nil
}

// mustSee demands what the script prints.
func mustSee(t *testing.T, batch *Batch, script, want string) {
	t.Helper()
	got, err := inOverlay(t, batch, "", script)
	if err != nil || got != want {
		t.Errorf("%s: got %q, %v, want %q", script, got, err, want)
	}
}

// The candidates have the names of the live files, whether there are some or not, in directories that are
// within each other, behind links, and on mounts; all else is what it was. Nothing of it is seen outside.
func TestOverlay(t *testing.T) {
	needRoot(t)
	dir := sharedDir(t)
	makeDirs(t, dir, map[string]state{
		"a": {Mode: 0o755}, "a/sub": {Mode: 0o750, UID: 1000, GID: 2000}, "a/sub/deep": {Mode: 0o777 | fs.ModeSticky, UID: 1000}, "b": {Mode: 0o755},
	})
	for name, s := range map[string]state{
		"a/old": {"old a", 0o640, 1000, 2000}, "a/sub/old": {"old sub", 0o644, 0, 0}, "a/neighbour": {"neighbour", 0o600, 1000, 2000},
		"a/sub/deep/neighbour": {"deep", 0o644, 0, 0}, "b/target": {"old b", 0o644, 0, 0},
	} {
		put(t, filepath.Join(dir, name), s)
	}
	for link, target := range map[string]string{"a/link": "neighbour", "b/link": "target", "a/to-new": "new", "a/sub/up": "../../b/target"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(dir+"/a/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", dir+"/a/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	before := treeOf(t, dir+"/b")
	batch := mustStage(t,
		newFile(dir+"/a/sub/deep/new", "new deep"), newFile(dir+"/a/sub/old", "new sub"), newFile(dir+"/b/link", "new b"),
		newFile(dir+"/a/old", "new a"), newFile(dir+"/a/new", "new new"), newFile(dir+"/a/neighbour", "neighbour"))
	t.Chdir(dir + "/a")
	for path, want := range map[string]string{
		"a/old": "new a", "a/new": "new new", "a/sub/old": "new sub", "a/sub/deep/new": "new deep", "b/link": "new b", "b/target": "new b",
		"a/neighbour": "neighbour", "a/link": "neighbour", "a/to-new": "new new", "a/sub/deep/neighbour": "deep", "a/sub/up": "new b",
	} {
		mustSee(t, batch, "cat "+dir+"/"+path, want)
	}
	mustSee(t, batch, "cat old new sub/deep/new ../b/target", "new anew newnew deepnew b") // from a directory that is mounted over
	got, err := inOverlay(t, batch, dir+"/a/sub/deep", "cat new ../old ../../new")
	if err != nil || got != "new deepnew subnew new" {
		t.Errorf("from a given directory: got %q, %v", got, err)
	}
	mustSee(t, batch, "stat -c '%F %a %u %g' "+dir+"/a "+dir+"/a/sub "+dir+"/a/sub/deep "+dir+"/a/old "+dir+"/a/neighbour "+dir+"/a/fifo "+dir+"/a/socket",
		"directory 755 0 0\ndirectory 750 1000 2000\ndirectory 1777 1000 0\nregular file 640 1000 2000\nregular file 600 1000 2000\nfifo 600 0 0\nsocket 755 0 0\n")
	candidate := filepath.Base(batch.Files[3].Path)
	mustSee(t, batch, "cd "+dir+"/a; for f in *; do echo $f; done; cat "+candidate, "fifo\nlink\nneighbour\nnew\nold\nsocket\nsub\nto-new\nnew a")

	if got := stateOf(t, dir+"/a/old"); got != (state{"old a", 0o640, 1000, 2000}) {
		t.Errorf("the live file: got %v", got)
	}
	if _, err := os.Lstat(dir + "/a/new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that was missing: got %v", err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounted: %s, %v", mounts, err)
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	batch.Discard()
	delete(before, "/target")
	after := treeOf(t, dir+"/b")
	delete(after, "/target")
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("-before +after:\n%s", d)
	}
}

// A file can go live while a process that a check has left still has its namespace.
func TestOverlayOutlived(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	put(t, dir+"/old", state{"old", 0o644, 0, 0})
	batch := mustStage(t, newFile(dir+"/old", "new old"), newFile(dir+"/new", "new new"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("sh", "-euc", "read x")
	cmd.Stdin = r
	process, err := tree.StartIsolated(cmd, batch.Overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"old": "new old", "new": "new new"} {
		if got := stateOf(t, filepath.Join(dir, name)).Content; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	w.Close()
	_ = process.Wait() // it has not read a line
}

// A file that is a mount point, which is written in place.
func TestOverlayOfMountPoint(t *testing.T) {
	privateMounts(t) // of this thread, and of those that it starts
	dir := t.TempDir()
	put(t, dir+"/source", state{"old", 0o644, 0, 0})
	put(t, dir+"/live", state{"", 0o644, 0, 0})
	mount(t, dir+"/source", dir+"/live", "", syscall.MS_BIND, "")
	f := newFile(dir+"/live", "new")
	f.InPlace = true
	batch := mustStage(t, f)
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := batch.Overlay(); err != nil {
		t.Fatal(err)
	}
	if got := stateOf(t, dir+"/live").Content; got != "new" {
		t.Errorf("got %q, want the candidate", got)
	}
	if err := syscall.Unmount(dir+"/live", syscall.MNT_DETACH); err != nil { // the candidate
		t.Error(err)
	}
}

// Where a directory or candidate is another one by then, no command is started with it.
func TestOverlayOfSwapped(t *testing.T) {
	needRoot(t)
	for name, swap := range map[string]func(dir string, batch *Batch) error{
		"directory": func(dir string, _ *Batch) error {
			return errors.Join(os.Rename(dir+"/a", dir+"/away"), os.Mkdir(dir+"/a", 0o755))
		},
		"directory is a link": func(dir string, _ *Batch) error {
			return errors.Join(os.Rename(dir+"/a", dir+"/away"), os.Symlink("/etc", dir+"/a"))
		},
		"candidate": func(dir string, batch *Batch) error {
			return errors.Join(os.Remove(batch.Files[0].Path), os.Symlink("/etc/shadow", batch.Files[0].Path))
		},
		"live file": func(dir string, _ *Batch) error {
			return errors.Join(os.Remove(dir+"/a/old"), os.Symlink("/etc/shadow", dir+"/a/old"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			makeDirs(t, dir, map[string]state{"a": {Mode: 0o755}})
			put(t, dir+"/a/old", state{"old", 0o644, 0, 0})
			batch := mustStage(t, newFile(dir+"/a/old", "new"))
			if err := swap(dir, batch); err != nil {
				t.Fatal(err)
			}
			got, err := inOverlay(t, batch, "", "echo started")
			if isolation := (*tree.IsolationError)(nil); !errors.As(err, &isolation) {
				t.Errorf("got %q, %v, want an IsolationError", got, err)
			}
		})
	}
}
