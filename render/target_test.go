package render

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Two names of one file are told to be that: a relative one, a link, also one that
// points to nothing yet, and a directory that is a link.
func TestTarget(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.MkdirAll("live/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, "live/a", state{"", 0o644, os.Getuid(), os.Getgid()})
	for link, to := range map[string]string{
		"link":         "live/a",
		"absolute":     dir + "/live/a",
		"chain":        "link",
		"dir":          "live",
		"nothing":      "live/new",
		"live/deep/up": "../a",
		"loop":         "loop",
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for dest, want := range map[string]string{
		"live/a":            "live/a",
		dir + "/live/a":     "live/a",
		"./live//deep/../a": "live/a",
		"link":              "live/a",
		"absolute":          "live/a",
		"chain":             "live/a",
		"dir/a":             "live/a",
		"live/deep/up":      "live/a",
		"dir/deep/up":       "live/a",
		"nothing":           "live/new",
		"dir/new":           "live/new",
		"none/a":            "none/a",
		"loop":              "loop",
	} {
		if got := (File{Dest: dest}).Target(); got != filepath.Join(dir, want) {
			t.Errorf("target of %q: got %q, want %q in %s", dest, got, want, dir)
		}
	}
}

// A file written in place that is to have fewer rights loses them before it has the
// content that they would show, and not after.
func TestInPlaceIsPrivateFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	put(t, path, state{"public\n", 0o644, os.Getuid(), os.Getgid()})
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.InotifyAddWatch(fd, path, syscall.IN_ATTRIB|syscall.IN_MODIFY); err != nil {
		t.Fatal(err)
	}

	f := newFile(path, "password = hunter2\n")
	f.Private, f.InPlace = true, true
	mustCommit(t, f)

	if got, want := stateOf(t, path).Mode, privateMode; got != want {
		t.Errorf("got mode %v, want %v", got, want)
	}
	events := make([]byte, 4096)
	n, err := syscall.Read(fd, events)
	if err != nil || n < 8 {
		t.Fatalf("nothing happened to the file: %d bytes of events, %v", n, err)
	}
	if mask := events[4]; mask != syscall.IN_ATTRIB {
		t.Errorf("got %#x as the first event, want %#x: the mode changes first", mask, syscall.IN_ATTRIB)
	}
}
