package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type document struct {
	Name  string
	Files []string
}

func example() document { return document{"a group", []string{"/etc/a", "<b>"}} }

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Save(path, example()); err != nil {
		t.Fatal(err)
	}
	var got document
	if found, err := Load(path, &got); !found || err != nil {
		t.Fatalf("got %v, %v", found, err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v (%v), want it for the owner only", info.Mode(), err)
	}
	for range 2 {
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := Load(path, &got); found || err != nil {
		t.Errorf("got %v, %v, want none", found, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) > 0 {
		t.Errorf("left: %v (%v)", entries, err)
	}
}

// A document that a crash or a person has spoilt is told from a good one,
// wherever it was cut.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Save(path, example()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]string{
		"garbage":         "\x00\x00\x00",
		"another version": strings.Replace(string(whole), `"version":1`, `"version":2`, 1),
		"changed":         strings.Replace(string(whole), "a group", "another", 1),
		"another form":    strings.Replace(string(whole), `{"Name"`, `["Name"`, 1),
	}
	for n := range whole {
		damages[fmt.Sprintf("cut at %d", n)] = string(whole[:n])
	}
	for name, text := range damages {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if found, err := Load(path, &document{}); found || !errors.As(err, &damaged) {
			t.Errorf("%s: got %v, %v, want that it is damaged", name, found, err)
		}
	}
}

// Two processes on one directory would undo each other's work: the second is
// refused and told who has it, until that one ends.
func TestOneProcessOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir")
	other := exec.Command(os.Args[0], "-test.run=TestHold")
	other.Env = append(os.Environ(), "HOLD="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	var busy *BusyError
	_, err = Open(path)
	if !errors.As(err, &busy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on host", other.Process.Pid)) {
		t.Errorf("got %v, want one that names process %d", err, other.Process.Pid)
	}
	in.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestHold is the other process of TestOneProcessOnly.
func TestHold(t *testing.T) {
	path := os.Getenv("HOLD")
	if path == "" {
		return
	}
	if _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	fmt.Println("open")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test lets go, or ends
}

func TestOpenWhereItCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *fs.PathError
	if _, err := Open(filepath.Join(file, "state")); !errors.As(err, &broken) {
		t.Errorf("got %v, want why it cannot be made", err)
	}
}

// What a process left that was killed while it replaced a file is removed by the
// next, and nothing else.
func TestSweep(t *testing.T) {
	path := t.TempDir()
	left := []string{".objects1234567890123456789", ".0123456789abcdef.json0234567890123456789"}
	other := []string{".hidden", "1234567890123456789", ".1234567890123456789", ".x20060102150405", "x1234567890123456789"}
	for _, name := range append(left, other...) {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range left {
		if _, err := os.Lstat(filepath.Join(path, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	for _, name := range other {
		if _, err := os.Lstat(filepath.Join(path, name)); err != nil {
			t.Error(err)
		}
	}
}
