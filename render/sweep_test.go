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
		".a" + number + ".old":           true,  // a backup
		".a" + number[:16] + ".old":      false, // one that is needed
		".gone" + number + ".old":        false, // the last of a file
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

	keep := []Old{{Backup: filepath.Join(dir, ".a"+number[:16]+".old")}}
	removed, err := Sweep(File{Dest: filepath.Join(dir, "link")}, 10*time.Minute, keep) // beside what it points to
	if err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(File{Dest: filepath.Join(dir, "gone")}, 10*time.Minute, nil); err != nil || len(removed) > 0 {
		t.Errorf("beside a file that is not there: removed %q (%v)", removed, err)
	}
	gone := []string{filepath.Join(dir, ".a"+number[:15]), filepath.Join(dir, ".a"+number), filepath.Join(dir, ".a"+number+".old")}
	if d := cmp.Diff(gone, removed); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(want)), namesIn(t, dir)); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

// A directory that is not there has nothing to sweep.
func TestSweepNothing(t *testing.T) {
	if removed, err := Sweep(File{Dest: filepath.Join(t.TempDir(), "none/a")}, 0, nil); err != nil || removed != nil {
		t.Errorf("got %q, %v, want nothing", removed, err)
	}
}
