package safefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Only what is missing is made, with owner and mode, whatever the umask is; what belongs to other
// users stays theirs.
func TestMakeParents(t *testing.T) {
	const keep = -1
	for name, test := range map[string]struct {
		tree     string
		path     string
		uid, gid int
		want     map[string]int // uid of each directory that was made
		refused  string         // part of the error
	}{
		"one":                            {"etc root 755", "etc/d/a", keep, keep, map[string]int{"etc/d": 0}, ""},
		"several":                        {"etc root 755", "etc/d/e/f/a", keep, keep, map[string]int{"etc/d": 0, "etc/d/e": 0, "etc/d/e/f": 0}, ""},
		"none":                           {"etc root 755", "etc/a", keep, keep, nil, ""},
		"given to a user":                {"etc root 755", "etc/d/a", alice, alice, map[string]int{"etc/d": alice}, ""},
		"several, given to a user":       {"etc root 755", "etc/d/e/a", alice, alice, map[string]int{"etc/d": alice, "etc/d/e": alice}, ""},
		"in a home":                      {"home alice 755", "home/d/e/a", keep, keep, map[string]int{"home/d": alice, "home/d/e": alice}, ""},
		"in a home, for its user":        {"home alice 755", "home/d/a", alice, keep, map[string]int{"home/d": alice}, ""},
		"in a home, for root":            {"home alice 755", "home/d/a", 0, keep, nil, "it would belong to uid 0"},
		"in a home, for another":         {"home alice 755", "home/d/a", bob, keep, nil, "it would belong to uid 1002"},
		"in a volume for all":            {"vol root 777", "vol/d/e/a", keep, keep, map[string]int{"vol/d": 0, "vol/d/e": 0}, ""},
		"in a volume, given to a user":   {"vol root 777", "vol/d/e/a", alice, alice, map[string]int{"vol/d": alice, "vol/d/e": alice}, ""},
		"in one for a group":             {"vol root 775", "vol/d/a", alice, alice, map[string]int{"vol/d": alice}, ""},
		"in a tmp":                       {"tmp root 1777", "tmp/d/a", keep, keep, map[string]int{"tmp/d": 0}, ""},
		"behind a link of root":          {"etc root 755\nvar root 755\netc/l root -> ../var", "etc/l/d/a", keep, keep, map[string]int{"var/d": 0}, ""},
		"a link of root that is ahead":   {"etc root 755\nvar root 755\netc/l root -> ../var/d", "etc/l/a", keep, keep, map[string]int{"var/d": 0}, ""},
		"behind a link of alice":         {"home alice 755\netc root 755\nhome/l alice -> ../etc", "home/l/d/a", keep, keep, nil, "not followed"},
		"a link of alice that is ahead":  {"home alice 755\netc root 755\nhome/l alice -> ../etc/d", "home/l/a", keep, keep, nil, "not followed"},
		"root's directory in a home":     {"home alice 755\nhome/d root 755", "home/d/e/a", keep, keep, nil, "not followed"},
		"a file where a directory is to": {"etc root 755\netc/d root", "etc/d/e/a", keep, keep, nil, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, test.tree)
			err := MakeParents(filepath.Join(dir, test.path), Checked, Making{Mode: 0o751, UID: test.uid, GID: test.gid})
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Fatalf("got %v, want %q", err, test.refused)
			}
			before := map[string]bool{".": true}
			for line := range strings.Lines(test.tree) {
				before[strings.Fields(line)[0]] = true
			}
			made := map[string]int{}
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
				relative, _ := filepath.Rel(dir, path)
				if before[relative] {
					return nil
				}
				info, _ := d.Info()
				made[relative] = int(info.Sys().(*syscall.Stat_t).Uid)
				if info.Mode() != fs.ModeDir|0o751 {
					t.Errorf("%s has mode %v", relative, info.Mode())
				}
				return nil
			})
			if len(made) != len(test.want) {
				t.Errorf("made %v, want %v", made, test.want)
			}
			for path, uid := range test.want {
				if got, ok := made[path]; !ok || got != uid {
					t.Errorf("%s: made %v of uid %d, want uid %d", path, ok, got, uid)
				}
			}
		})
	}
}

// The group of a directory with set-group-ID goes on, unless another is given.
func TestMakeParentsKeepGroup(t *testing.T) {
	for name, mode := range map[string]fs.FileMode{"root's": 0o755, "for all": 0o777} {
		for gid, want := range map[int]uint32{-1: bob, alice: alice} {
			dir := tree(t, "vol root 755")
			vol := dir + "/vol"
			if err := errors.Join(os.Chown(vol, 0, bob), os.Chmod(vol, mode|fs.ModeSetgid)); err != nil {
				t.Fatal(err)
			}
			if err := MakeParents(vol+"/d/a", Checked, Making{Mode: 0o750, UID: -1, GID: gid}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(vol + "/d")
			if err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o750 || info.Sys().(*syscall.Stat_t).Gid != want {
				t.Errorf("%s, gid %d: got %v, %v", name, gid, info, err)
			}
		}
	}
}

// A user who puts root's directory in the place of each new one does not get it.
func TestMakeParentsRace(t *testing.T) {
	dir := tree(t, "vol root 777\nhome alice 755")
	for _, parent := range []string{"vol", "home"} {
		at := filepath.Join(dir, parent)
		secret := filepath.Join(at, "secret") // root's, and another user may rename it
		if err := os.Mkdir(secret, 0o700); err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var swapper sync.WaitGroup
		swapper.Go(func() { // until stop
			for {
				select {
				case <-stop:
					return
				default:
				}
				names, _ := os.ReadDir(at)
				for _, n := range names {
					if n.Name() == "secret" || n.Name() == "kept" {
						continue
					}
					_ = unix.Renameat2(unix.AT_FDCWD, secret, unix.AT_FDCWD, filepath.Join(at, n.Name()), unix.RENAME_EXCHANGE)
					_ = unix.Renameat2(unix.AT_FDCWD, secret, unix.AT_FDCWD, filepath.Join(at, n.Name()), unix.RENAME_EXCHANGE)
				}
			}
		})
		uid := map[string]int{"vol": bob, "home": -1}[parent]
		for range 300 {
			_ = MakeParents(filepath.Join(at, "d", "a"), Checked, Making{Mode: 0o755, UID: uid, GID: -1})
			_ = unix.Rmdir(filepath.Join(at, "d"))
		}
		close(stop)
		swapper.Wait()
		_ = filepath.WalkDir(at, func(path string, d fs.DirEntry, _ error) error {
			info, err := d.Info()
			if err != nil || path == at {
				return nil
			}
			if sys := info.Sys().(*syscall.Stat_t); sys.Uid == 0 && info.Mode().Perm() != 0o700 {
				t.Errorf("%s of root has mode %v", path, info.Mode())
			}
			return nil
		})
		found, err := os.Stat(secret)
		if err == nil && (found.Mode().Perm() != 0o700 && found.Sys().(*syscall.Stat_t).Uid == 0) {
			t.Errorf("root's directory: %v, %v", found, err)
		}
	}
}

// What cannot be given to its owner does not stay.
func TestMakeParentsFails(t *testing.T) {
	dir := tree(t, "vol root 777")
	err := As(alice, alice, func() error {
		return MakeParents(dir+"/vol/d/a", Checked, Making{Mode: 0o755, UID: bob, GID: -1})
	})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir+"/vol/d") {
		t.Errorf("got %v, want that it is not permitted", err)
	}
	if names, err := os.ReadDir(dir + "/vol"); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
