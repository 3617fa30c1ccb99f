package safefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

const otherUser = 65534

// home is a directory of another user, in one that all may enter.
func home(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("users are changed here: run the tests as root")
	}
	top, err := os.MkdirTemp("", "safefs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	dir := filepath.Join(top, "home")
	if err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(dir, 0o755), os.Chown(dir, otherUser, otherUser)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// As another user, what belongs to root is out of reach, and only there.
func TestAs(t *testing.T) {
	dir := home(t)
	mine := filepath.Join(filepath.Dir(dir), "mine")
	if err := os.WriteFile(mine, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"read":   func() error { _, err := os.ReadFile(filepath.Join(dir, "link")); return err },
		"write":  func() error { return os.WriteFile(filepath.Join(dir, "link"), nil, 0o644) },
		"remove": func() error { return os.Remove(mine) },
		"chown":  func() error { return os.Lchown(mine, otherUser, otherUser) },
		"chmod":  func() error { return os.Chmod(filepath.Join(dir, "link"), 0o666) },
	} {
		if err := As(otherUser, otherUser, do); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want that it is not permitted", name, err)
		}
	}
	made := filepath.Join(dir, "made")
	if err := As(otherUser, otherUser, func() error { return os.WriteFile(made, nil, 0o600) }); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(dir, Checked)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s, err := d.Lstat("made"); err != nil || s.UID != otherUser || s.GID != otherUser {
		t.Errorf("the file is of %d:%d (%v)", s.UID, s.GID, err)
	}
	for range 100 { // whatever threads there are by now
		if content, err := os.ReadFile(mine); err != nil || string(content) != "secret" {
			t.Fatalf("afterwards: got %q, %v", content, err)
		}
	}
}

func TestPrivate(t *testing.T) {
	dir := home(t)
	top := filepath.Dir(dir)
	below := filepath.Join(dir, "below")
	group := filepath.Join(top, "group")
	err := errors.Join(os.Mkdir(below, 0o700), os.Mkdir(group, 0o770), os.Chmod(group, 0o770))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/": true, "/etc": true, top: true, "/tmp": false, dir: false, group: false, below: false, below + "/none/none": false,
		top + "/none": true,
	} {
		d, err := OpenNearest(path, Trusted)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Private(); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
		d.Close()
	}
}
