package render

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A Mirror is a directory for a check: the candidates of a batch are in it under the names that they
// are to have, beside links to the live files around them. The directories have the owners and modes
// of the live ones, from the root directory on, so that a file in it is within reach of the users who
// can reach the live one.
type Mirror struct {
	dir  string
	base string // the live directory that dir stands for
	name string // in home
	home *safefs.Dir
	root *safefs.Dir
	lock *os.File

	trust safefs.Trust // in the paths of live directories, which have had no links
}

// Dir stands for the directory of the batch's files or, with several, for the nearest one above all of
// them.
func (m *Mirror) Dir() string { return m.dir }

// Live is the live directory that Dir stands for.
func (m *Mirror) Live() string { return m.base }

const mirrorPrefix = "kconfd-check-"

// sharedMemory is a directory whose files are not on a disk.
const sharedMemory = "/dev/shm"

// mirrorHomes are the directories that mirrors can be in, in the order in which they are tried.
func mirrorHomes(private bool) []string {
	homes := []string{os.TempDir(), sharedMemory}
	if private {
		slices.Reverse(homes)
	}
	return homes
}

// Mirror makes a [Mirror], outside of all live directories. [Mirror.Remove] ends it; what a killed
// process leaves is for [SweepMirrors].
func (b *Batch) Mirror() (*Mirror, error) {
	private := slices.ContainsFunc(b.Files, func(s *Staged) bool { return s.Private })
	var errs []error
	for _, home := range mirrorHomes(private) {
		m, err := b.mirrorIn(home)
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("making the directory of the check: %w", errors.Join(errs...))
}

func (b *Batch) mirrorIn(home string) (*Mirror, error) {
	top, err := safefs.OpenDir(home, safefs.Checked)
	if err != nil {
		return nil, err
	}
	m := &Mirror{home: top, trust: safefs.Fixed}
	if slices.ContainsFunc(b.Files, func(s *Staged) bool { return s.Trust == safefs.Trusted }) {
		m.trust = safefs.Trusted
	}
	if !top.NamesAreSafe() {
		top.Close()
		return nil, fmt.Errorf("%q is not used: other users can rename what is in it", home)
	}
	if m.name, err = top.MakeTempDir(mirrorPrefix); err != nil {
		top.Close()
		return nil, err
	}
	if err = m.fill(b); err != nil {
		return nil, errors.Join(err, m.Remove())
	}
	return m, nil
}

// Remove removes the mirror.
func (m *Mirror) Remove() error {
	defer m.home.Close()
	m.root.Close()
	err := removeAll(m.home, m.name)
	m.lock.Close() // nil is an error that says nothing
	return err
}

// removeAll removes a directory of mirrors' home, without following links in it.
func removeAll(home *safefs.Dir, name string) error {
	root, err := os.OpenRoot(home.RealPath(""))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(name)
}

// A mirrored is a candidate's place in the mirror.
type mirrored struct {
	dir, name string // of the live file
	staged    *Staged
}

func (m *Mirror) fill(b *Batch) (err error) {
	if m.root, err = m.home.OpenDir(m.name); err != nil {
		return err
	}
	if m.lock, err = m.root.Lock(); err != nil {
		return err
	}
	files, err := b.mirrored()
	if err != nil {
		return err
	}
	m.base = files[0].dir
	for _, f := range files[1:] {
		for !within(m.base, f.dir) {
			m.base = filepath.Dir(m.base)
		}
	}
	root := m.home.RealPath(m.name)
	m.dir = filepath.Join(root, m.base)
	// A link may lead to a place within, by which it is found too.
	for _, s := range b.Files {
		if dir := s.liveDir(); within(m.base, dir) {
			files = append(files, mirrored{dir, s.live.name, s})
		}
	}
	places := map[string]map[string]*Staged{}
	for _, f := range files {
		for dir := f.dir; within(m.base, dir); dir = filepath.Dir(dir) {
			if places[dir] == nil {
				places[dir] = map[string]*Staged{}
			}
			if dir == "/" {
				break
			}
		}
		places[f.dir][f.name] = f.staged
	}
	return m.build(places)
}

// mirrored are the batch's files by the names that they are asked for.
func (b *Batch) mirrored() ([]mirrored, error) {
	var files []mirrored
	for _, s := range b.Files {
		dir, name, err := safefs.LocateEntry(s.Dest, s.Trust)
		if err != nil {
			return nil, err
		}
		files = append(files, mirrored{filepath.Clean(dir.RealPath("")), name, s})
		dir.Close()
	}
	return files, nil
}

func (s *Staged) liveDir() string { return filepath.Clean(s.live.dir.RealPath("")) }

// within says whether a path is that of dir or of something in it.
func within(dir, path string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// build makes the directories, and what is in them. They are for their owner only until all is there.
func (m *Mirror) build(places map[string]map[string]*Staged) error {
	all := map[string]bool{}
	for dir := range places {
		for ; !all[dir]; dir = filepath.Dir(dir) {
			all[dir] = true
		}
	}
	paths := slices.Sorted(maps.Keys(all)) // those around others first
	opened := map[string]*safefs.Dir{}
	defer func() {
		for _, dir := range opened {
			dir.Close()
		}
	}()
	for _, path := range paths {
		dir, err := m.makeDir(opened, path)
		if err != nil {
			return err
		}
		opened[path] = dir
		if places[path] == nil {
			continue
		}
		isDir := func(name string) bool { return all[filepath.Join(path, name)] }
		if err := m.fillDir(dir, path, places[path], isDir); err != nil {
			return err
		}
	}
	for _, path := range slices.Backward(paths) {
		like, err := safefs.OpenDir(path, m.trust)
		if err != nil {
			return err
		}
		most := fs.FileMode(0o711) // there is nothing to see in it
		if places[path] != nil {
			most = 0o755
		}
		err = opened[path].AccessAs(like, most)
		like.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) makeDir(opened map[string]*safefs.Dir, path string) (*safefs.Dir, error) {
	if path == "/" {
		return m.home.OpenDir(m.name)
	}
	parent, name := opened[filepath.Dir(path)], filepath.Base(path)
	if err := parent.MakeDir(name); err != nil {
		return nil, err
	}
	return parent.OpenDir(name)
}

// fillDir puts into dir, which stands for the live directory path, the candidates and links to all else.
func (m *Mirror) fillDir(dir *safefs.Dir, path string, files map[string]*Staged, isDir func(name string) bool) error {
	live, err := safefs.OpenDir(path, m.trust)
	if err != nil {
		return err
	}
	defer live.Close()
	names, err := live.Names()
	if err != nil && !errors.Is(err, fs.ErrPermission) { // one may use it and not list it
		return err
	}
	if len(names) > safefs.MaxEntries {
		return fmt.Errorf("%q: %w", path, safefs.ErrTooMany)
	}
	for _, name := range names {
		if s := files[name]; s != nil && s.pending != nil || isDir(name) {
			continue
		}
		if err := dir.Symlink(m.leadTo(live, path, name), name); err != nil {
			return err
		}
	}
	for name, s := range files {
		if s.pending == nil {
			continue
		}
		if err := s.copyTo(dir, name); err != nil {
			return fmt.Errorf("copying %q for the check: %w", s.Dest, err)
		}
	}
	return nil
}

// leadTo is where the link leads that stands for an entry: to the entry, or where that is itself a link
// to something that is in the mirror too, to that.
func (m *Mirror) leadTo(live *safefs.Dir, path, name string) string {
	entry := filepath.Join(path, name)
	target, err := live.Readlink(name)
	if err != nil {
		return entry
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(path, target)
	}
	if target = filepath.Clean(target); target != entry && within(m.base, target) {
		return filepath.Join(m.home.RealPath(m.name), target)
	}
	return entry
}

// copyTo makes a copy of the candidate, with the same access.
func (s *Staged) copyTo(dir *safefs.Dir, name string) error {
	f, err := dir.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(s.Content); err != nil {
		return err
	}
	want := s.pending.stat
	attributes, same, err := s.pending.dir.Attributes(s.pending.name, want)
	if err == nil && !same {
		err = errSwapped
	}
	if err != nil {
		return err
	}
	if err := f.Chown(want.UID, want.GID); err != nil && !safefs.Refused(err) {
		return err
	}
	now, err := f.Describe()
	if err != nil {
		return err
	}
	mode := want.Mode.Perm()
	if now.GID != want.GID {
		mode = mode&0o707 | mode&0o007<<3
		attributes = safefs.Attributes{}
	}
	_, group := f.SetAttributes(attributes, mode)
	got, err := f.SetMode(mode & (0o707 | group<<3))
	if got&^mode != 0 {
		return fmt.Errorf("it would have the mode %04o instead of %04o: %w", got, mode, errors.Join(ErrNoModes, err))
	}
	return nil
}

// SweepMirrors removes the mirrors that killed processes of this user have left, and says which. Those
// younger than olderThan stay, and those that another process uses.
func SweepMirrors(olderThan time.Duration) (removed []string, err error) {
	var errs []error
	for _, home := range mirrorHomes(false) {
		gone, err := sweepMirrors(home, olderThan)
		removed = append(removed, gone...)
		errs = append(errs, ignoring(err, fs.ErrNotExist, fs.ErrPermission))
	}
	return removed, errors.Join(errs...)
}

func sweepMirrors(home string, olderThan time.Duration) (removed []string, err error) {
	top, err := safefs.OpenDir(home, safefs.Checked)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	if !top.NamesAreSafe() {
		return nil, nil // there are none in it
	}
	names, err := top.Names()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range names {
		number, found := strings.CutPrefix(name, mirrorPrefix)
		if !found || len(number) != 19 || strings.Trim(number, "0123456789") != "" {
			continue
		}
		if stat, err := top.Lstat(name); err != nil || !stat.Mode.IsDir() || stat.UID != os.Geteuid() || time.Since(stat.Modified) < olderThan {
			continue
		}
		switch err := sweepMirror(top, name); {
		case err == nil:
			removed = append(removed, top.Path(name))
		case !errors.Is(err, unix.EWOULDBLOCK): // it is in use
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

func sweepMirror(home *safefs.Dir, name string) error {
	dir, err := home.OpenDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	return removeAll(home, name)
}
