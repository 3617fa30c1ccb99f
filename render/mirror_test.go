package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
)

func mustMirror(t *testing.T, batch *Batch) *Mirror {
	t.Helper()
	m, err := batch.Mirror()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(m.home.RealPath(m.name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the mirror is left: %v", err)
		}
	})
	return m
}

func makeDirs(t *testing.T, dir string, modes map[string]state) {
	t.Helper()
	var names []string
	for name := range modes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := errors.Join(
			os.Mkdir(filepath.Join(dir, name), 0o700),
			os.Chown(filepath.Join(dir, name), modes[name].UID, modes[name].GID),
			os.Chmod(filepath.Join(dir, name), modes[name].Mode),
		); err != nil {
			t.Fatal(err)
		}
	}
}

// Protects secrets, and checks that run as another user: a user can read a file in the mirror exactly
// where the user can read it when it is live.
func TestMirrorAccess(t *testing.T) {
	needRoot(t)
	dir := sharedDir(t)
	makeDirs(t, dir, map[string]state{
		"open":         {Mode: 0o755},
		"group":        {Mode: 0o750, GID: 1000},
		"group/open":   {Mode: 0o777},
		"user":         {Mode: 0o700, UID: 1000, GID: 1000},
		"passing":      {Mode: 0o711},
		"closed":       {Mode: 0o700},
		"closed/open":  {Mode: 0o755},
		"sticky":       {Mode: 0o777 | fs.ModeSticky},
		"passing/less": {Mode: 0o500, UID: 2000},
		"listed":       {Mode: 0o770, GID: 1000},
		"unlisted":     {Mode: 0o750, GID: 1000},
	})
	// The group has less than the mask, by which the mode alone goes; and new directories inherit more.
	setAttributes(t, filepath.Join(dir, "listed"), map[string]string{accessACL: acl(7, 5, 0, 7, 0)})
	setAttributes(t, filepath.Join(dir, "unlisted"), map[string]string{accessACL: acl(7, 0, 5, 5, 0)})
	home := filepath.Join(dir, "home")
	makeDirs(t, dir, map[string]state{"home": {Mode: 0o755}})
	setAttributes(t, home, map[string]string{defaultACL: acl(7, 7, 7, 7, 7)})
	t.Setenv("TMPDIR", home)
	var files []File
	for _, d := range []string{"open", "group", "group/open", "user", "passing", "closed", "closed/open", "sticky", "passing/less", "listed", "unlisted"} {
		for name, s := range map[string]state{
			"public": {Mode: 0o644}, "secret": {Mode: 0o600, UID: 1000}, "shared": {Mode: 0o640, GID: 1000}, "new": {},
		} {
			path := filepath.Join(dir, d, name)
			f := newFile(path, "new")
			if name == "new" {
				f.Private, f.UID = true, 2000
			} else {
				put(t, path, state{"old", s.Mode, s.UID, s.GID})
			}
			f.Trust = safefs.Trusted
			f.Private = name == "new"
			files = append(files, f)
		}
	}
	batch := mustStage(t, files...)
	m, err := batch.mirrorIn(home)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Remove(); err != nil {
			t.Error(err)
		}
	}()
	if m.Live() != dir {
		t.Fatalf("the mirror is one of %q, want %q", m.Live(), dir)
	}
	readable := func(path string, user int) bool {
		err := safefs.As(user, user, func() error {
			_, err := os.ReadFile(path)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
		return err == nil
	}
	mirrored := map[string]bool{}
	users := []int{1000, 2000, 3000, 65534}
	key := func(name string, user int) string { return fmt.Sprint(name, user) }
	for _, f := range files {
		name := strings.TrimPrefix(f.Dest, dir)
		if got, err := os.ReadFile(m.Dir() + name); err != nil || string(got) != "new" {
			t.Errorf("%s: got %q, %v, want the candidate", name, got, err)
		}
		for _, user := range users {
			mirrored[key(name, user)] = readable(m.Dir()+name, user)
		}
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	can := 0
	for _, f := range files {
		name := strings.TrimPrefix(f.Dest, dir)
		for _, user := range users {
			want := readable(f.Dest, user)
			if got := mirrored[key(name, user)]; got != want {
				t.Errorf("user %d reads %s: in the mirror %t, live %t", user, name, got, want)
			}
			if want {
				can++
			}
		}
	}
	if can == 0 || can == len(files)*len(users) {
		t.Errorf("%d reads succeed: the test does not test what it should", can)
	}
}

// What stands beside the candidates is live, and leads where it leads there; links within lead to
// candidates.
func TestMirrorNeighbours(t *testing.T) {
	dir := t.TempDir()
	makeDirs(t, dir, map[string]state{"a": {Mode: 0o755}, "a/sub": {Mode: 0o755}, "b": {Mode: 0o755}, "c": {Mode: 0o755}})
	for _, name := range []string{"a/neighbour", "a/sub/deep", "b/two", "c/third", "beside", "a/real"} {
		put(t, filepath.Join(dir, name), state{"live " + name, 0o644, os.Getuid(), os.Getgid()})
	}
	for name, target := range map[string]string{
		"a/relative": "neighbour", "a/absolute": filepath.Join(dir, "a/neighbour"), "a/up": "../beside", "a/dangling": "nowhere",
		"a/to-candidate": "one", "a/to-candidate-absolute": filepath.Join(dir, "b/two"), "a/to-dir": "../b", "a/self": "self",
		"a/outside": filepath.Join(filepath.Dir(dir), "."), "a/dest": "real",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	before := treeOf(t, filepath.Join(dir, "c"))
	batch := mustStage(t, newFile(dir+"/a/one", "new one"), newFile(dir+"/b/two", "new two"), newFile(dir+"/a/dest", "new dest"))
	m := mustMirror(t, batch)
	for name, want := range map[string]string{
		"a/one": "new one", "b/two": "new two", "a/dest": "new dest", "a/real": "new dest",
		"a/neighbour": "live a/neighbour", "a/sub/deep": "live a/sub/deep", "c/third": "live c/third", "beside": "live beside",
		"a/relative": "live a/neighbour", "a/absolute": "live a/neighbour", "a/up": "live beside",
		"a/to-candidate": "new one", "a/to-candidate-absolute": "new two", "a/to-dir/two": "new two",
	} {
		if got, err := os.ReadFile(filepath.Join(m.Dir(), name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := os.ReadFile(filepath.Join(m.Dir(), "a/dangling")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nowhere: got %v", err)
	}
	if err := os.Remove(filepath.Join(m.Dir(), "beside")); err != nil { // a check that tidies up
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "beside")); err != nil {
		t.Error(err)
	}
	if after := treeOf(t, filepath.Join(dir, "c")); len(after) != len(before) {
		t.Errorf("a live directory: got %v, want %v", after, before)
	}
}

// One file's mirror is its directory, also where a link leads there.
func TestMirrorOfOne(t *testing.T) {
	dir := t.TempDir()
	makeDirs(t, dir, map[string]state{"real": {Mode: 0o755}, "elsewhere": {Mode: 0o755}})
	put(t, dir+"/elsewhere/target", state{"old", 0o644, os.Getuid(), os.Getgid()})
	for link, target := range map[string]string{"/link": "real", "/real/dest": "../elsewhere/target"} {
		if err := os.Symlink(target, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	m := mustMirror(t, mustStage(t, newFile(dir+"/link/dest", "new")))
	if want := dir + "/real"; m.Live() != want {
		t.Errorf("got the mirror of %q, want %q", m.Live(), want)
	}
	if got, err := os.ReadFile(m.Dir() + "/dest"); err != nil || string(got) != "new" {
		t.Errorf("got %q, %v, want the candidate", got, err)
	}
	if got := stateOf(t, dir+"/elsewhere/target").Content; got != "old" {
		t.Errorf("the live file is %q", got)
	}
}

// A user who owns a live directory owns its mirror, and can put links there: nothing outside is touched
// when the mirror goes, and what else the user left goes with it.
func TestMirrorOfHostileUser(t *testing.T) {
	needRoot(t)
	dir := sharedDir(t)
	makeDirs(t, dir, map[string]state{"theirs": {Mode: 0o755, UID: 1000}, "precious": {Mode: 0o755}})
	put(t, dir+"/precious/file", state{"precious", 0o600, 0, 0})
	m, err := mustStage(t, newFile(dir+"/theirs/a", "new")).Mirror()
	if err != nil {
		t.Fatal(err)
	}
	err = safefs.As(1000, 1000, func() error {
		return errors.Join(
			os.Remove(m.Dir()+"/a"), os.Symlink(dir+"/precious", m.Dir()+"/a"),
			os.MkdirAll(m.Dir()+"/x/y/z", 0o700), os.Symlink(dir+"/precious/file", m.Dir()+"/x/y/z/link"),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(); err != nil {
		t.Error(err)
	}
	if got := stateOf(t, dir+"/precious/file"); got != (state{"precious", 0o600, 0, 0}) {
		t.Errorf("the file of another: got %v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), mirrorPrefix+"*", dir)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Without root's rights a mirror is made all the same, of directories of other users too, and gives away
// nothing that the files do not.
func TestMirrorWithoutRoot(t *testing.T) {
	needRoot(t)
	dir := sharedDir(t)
	makeDirs(t, dir, map[string]state{
		"root": {Mode: 0o755}, "root/grouped": {Mode: 0o770, GID: 3000}, "root/own": {Mode: 0o700, UID: 1000}, "home": {Mode: 0o777 | fs.ModeSticky},
	})
	t.Setenv("TMPDIR", dir+"/home")
	becomeUser(t, 1000)
	secret := newFile(dir+"/root/own/secret", "new")
	secret.Private = true
	batch := mustStage(t, newFile(dir+"/root/grouped/a", "new"), secret)
	m, err := batch.mirrorIn(dir + "/home")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"": 0o755, "/own": 0o700, "/own/secret": 0o600, "/grouped/a": 0o644} {
		if info, err := os.Stat(m.Dir() + name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: got %v, %v, want %04o", name, info, err, want)
		}
	}
	if info, err := os.Stat(m.Dir() + "/grouped"); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("grouped: got %v, %v", info, err)
	}
	if err := m.Remove(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir + "/home"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A user who puts a link in the place of a directory gets to know nothing of where it leads.
func TestMirrorOfSwapped(t *testing.T) {
	needRoot(t)
	for _, swap := range []string{"theirs/sub", "theirs/sub/a"} {
		dir := sharedDir(t)
		makeDirs(t, dir, map[string]state{
			"theirs": {Mode: 0o755, UID: 1000}, "theirs/sub": {Mode: 0o755, UID: 1000}, "theirs/sub/a": {Mode: 0o755, UID: 1000},
			"theirs/sub/b": {Mode: 0o755, UID: 1000}, "precious": {Mode: 0o700},
		})
		makeDirs(t, dir, map[string]state{"precious/a": {Mode: 0o700}, "precious/b": {Mode: 0o700}})
		put(t, dir+"/precious/name", state{"precious", 0o600, 0, 0})
		put(t, dir+"/precious/a/name", state{"precious", 0o600, 0, 0})
		batch := mustStage(t, newFile(dir+"/theirs/sub/a/x", "new"), newFile(dir+"/theirs/sub/b/x", "new"))
		err := safefs.As(1000, 1000, func() error {
			return errors.Join(os.Rename(dir+"/"+swap, dir+"/theirs/away"), os.Symlink(dir+"/precious", dir+"/"+swap))
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := batch.Mirror()
		if err == nil {
			t.Errorf("%s: a mirror %q is made", swap, m.Dir())
			if err := m.Remove(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A directory in which others can rename what they like is not for mirrors, and secrets go to memory
// where there is some.
func TestMirrorHomes(t *testing.T) {
	needRoot(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := t.TempDir()
	inTmp := func(private bool) bool {
		f := newFile(dir+"/a", "new")
		f.Private = private
		m := mustMirror(t, mustStage(t, f))
		return strings.HasPrefix(m.Dir(), tmp+"/")
	}
	if !inTmp(false) {
		t.Error("the mirror is not in TMPDIR")
	}
	if inTmp(true) {
		t.Error("that of a secret is in TMPDIR")
	}
	for _, mode := range []fs.FileMode{0o777, 0o777 | fs.ModeSticky} {
		if err := os.Chmod(tmp, mode); err != nil {
			t.Fatal(err)
		}
		if got, want := inTmp(false), mode&fs.ModeSticky != 0; got != want {
			t.Errorf("mode %v: in TMPDIR %t, want %t", mode, got, want)
		}
	}
}

// What killed processes left goes; what is in use, young, another user's or something else stays.
func TestSweepMirrors(t *testing.T) {
	needRoot(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := os.Chmod(tmp, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	const number = "1234567890123456789"
	makeDirs(t, tmp, map[string]state{
		mirrorPrefix + number:             {Mode: 0o711},
		mirrorPrefix + number + "/a":      {Mode: 0o711},
		mirrorPrefix + number[1:] + "1":   {Mode: 0o711, UID: 1000},
		mirrorPrefix + number[1:]:         {Mode: 0o711},
		mirrorPrefix + number[1:] + "x":   {Mode: 0o711},
		mirrorPrefix + number[:18] + "2":  {Mode: 0o711}, // young
		mirrorPrefix + number[:18] + "33": {Mode: 0o711},
	})
	if err := os.Symlink(t.TempDir(), filepath.Join(tmp, mirrorPrefix+number[:18]+"7")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(tmp, mirrorPrefix+number[:18]+"8"), state{"", 0o600, 0, 0})
	inUse := mustMirror(t, mustStage(t, newFile(t.TempDir()+"/a", "new")))
	entries, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != mirrorPrefix+number[:18]+"2" && e.Type().IsDir() {
			age(t, filepath.Join(tmp, e.Name()))
		}
	}
	removed, err := SweepMirrors(10 * time.Minute)
	if want := []string{filepath.Join(tmp, mirrorPrefix+number)}; err != nil || !slices.Equal(removed, want) {
		t.Errorf("removed %q, %v, want %q", removed, err, want)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != len(entries)-1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := os.Stat(inUse.Dir() + "/a"); err != nil {
		t.Errorf("the one that is in use: %v", err)
	}
}

// A directory that has more than any configuration is not copied.
func TestMirrorOfTooMany(t *testing.T) {
	dir := t.TempDir()
	for i := range safefs.MaxEntries + 1 {
		if err := os.Link(firstOf(t, dir), filepath.Join(dir, "f"+time.Duration(i).String())); err != nil {
			t.Fatal(err)
		}
	}
	m, err := mustStage(t, newFile(dir+"/a", "new")).Mirror()
	if !errors.Is(err, safefs.ErrTooMany) {
		t.Errorf("got %v, %v, want %v", m, err, safefs.ErrTooMany)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), mirrorPrefix+"*", dir)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// firstOf is a file in the directory, which is made when there is none.
func firstOf(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "first")
	if _, err := os.Lstat(path); err != nil {
		put(t, path, state{"", 0o644, os.Getuid(), os.Getgid()})
	}
	return path
}
