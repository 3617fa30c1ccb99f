package render

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a killed process left goes; all that is or may be somebody's stays.
func TestSweep(t *testing.T) {
	const number = "1234567890123456789"
	dir := t.TempDir()
	old := map[string]bool{ // whether it goes
		"a":                              false,
		".a" + number:                    true,
		".a" + number[:15]:               true,
		".a" + number + ".old":           false, // a backup
		".a" + number + "0":              false,
		".a" + number[:14]:               false, // a date and a time
		".a2":                            false,
		".a":                             false,
		"a" + number:                     false,
		".b" + number:                    false,
		".a.conf" + number:               false,
		".a" + number[:8] + "x" + number: false,
	}
	var want []string
	for name, goes := range old {
		put(t, filepath.Join(dir, name), state{name, 0o644, os.Getuid(), os.Getgid()})
		age(t, filepath.Join(dir, name))
		if !goes {
			want = append(want, name)
		}
	}
	batch := mustStage(t, newFile(filepath.Join(dir, "a"), "new")) // at work
	want = append(want, filepath.Base(batch.Files[0].Path), ".a"+number[:17], "link")
	if err := os.Mkdir(filepath.Join(dir, ".a"+number[:17]), 0o755); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(dir, ".a"+number[:17]))
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}

	removed, err := Sweep(filepath.Join(dir, "link"), 10*time.Minute) // beside what it points to
	if err != nil {
		t.Fatal(err)
	}
	gone := []string{filepath.Join(dir, ".a"+number[:15]), filepath.Join(dir, ".a"+number)}
	if d := cmp.Diff(gone, removed); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(want)), namesIn(t, dir)); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

// What was kept of a file goes when nobody needs it, and is not new.
func TestSweepOld(t *testing.T) {
	const number = "1234567890123456789"
	dir := t.TempDir()
	for _, name := range []string{"a", ".a" + number, ".a" + number + ".old", ".a" + number[1:] + ".old", ".a.old", ".b" + number + ".old"} {
		put(t, filepath.Join(dir, name), state{name, 0o644, os.Getuid(), os.Getgid()})
		age(t, filepath.Join(dir, name)) // which what is kept may be, as the second name of a file
	}
	needed := []Old{{Target: dir + "/a", Backup: filepath.Join(dir, ".a"+number[1:]+".old")}}
	if removed, err := SweepOld(dir+"/a", needed, time.Hour); err != nil || removed != nil {
		t.Errorf("got %q, %v, want nothing of what is new", removed, err)
	}
	removed, err := SweepOld(dir+"/a", needed, 0)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{filepath.Join(dir, ".a"+number+".old")}, removed); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
}

// A directory that is not there has nothing to sweep.
func TestSweepNothing(t *testing.T) {
	if removed, err := Sweep(filepath.Join(t.TempDir(), "none/a"), 0); err != nil || removed != nil {
		t.Errorf("got %q, %v, want nothing", removed, err)
	}
}
