package watcher

import (
	"hash/maphash"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// slowLook is how often files are compared with what they were, whatever inotify says: on NFS,
// SMB and overlays, the changes that another host or layer makes have no events.
const slowLook = 30 * time.Second

// marks say how the entries of directories were, by the directory and the entry's name; the
// directory itself has the name ".". Equal marks mean that nothing changed.
type marks map[string]map[string]uint64

// lookSlowly compares until Close. It has a goroutine of its own: a file system of another host
// may hang.
func (f *Files) lookSlowly() {
	ticker := time.NewTicker(slowLook)
	defer ticker.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-ticker.C:
			f.look()
		}
	}
}

// look pokes when an entry that matters is not as it was.
func (f *Files) look() {
	f.mu.Lock()
	dirs, was := f.dirs, f.marks
	f.mu.Unlock()
	now := f.markAll(dirs, nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	for dir, entries := range now {
		if _, ok := f.marks[dir]; !ok {
			continue // not watched any more
		}
		changed = changed || !maps.Equal(was[dir], entries)
		f.marks[dir] = entries
	}
	if changed {
		f.poke()
	}
}

// markAll marks what matters in directories. What is in known stays as it was then: what has
// changed since is still to be found.
func (f *Files) markAll(dirs map[string]names, known marks) marks {
	all := marks{}
	for dir, entries := range dirs {
		before := known[dir]
		if entries == nil && before != nil {
			all[dir] = before
			continue
		}
		now := map[string]uint64{}
		for _, entry := range entries.in(dir) {
			mark, ok := before[entry]
			if !ok {
				mark = f.mark(dir, entry)
			}
			now[entry] = mark
		}
		all[dir] = now
	}
	return all
}

// in are the names of the entries of a directory that matter, and of the directory itself.
func (n names) in(dir string) []string {
	list := []string{".", dataLink}
	for entry := range n {
		if entry != dataLink {
			list = append(list, entry)
		}
	}
	if n != nil {
		return list
	}
	d, err := os.Open(dir)
	if err != nil {
		return list
	}
	defer d.Close()
	found, _ := d.Readdirnames(-1) // what there was before the error counts
	for _, entry := range found {
		if entry != dataLink && n.matter(entry) {
			list = append(list, entry)
		}
	}
	return list
}

// mark describes an entry without reading it, behind a link too; 0 without one.
func (f *Files) mark(dir, entry string) uint64 {
	path := filepath.Join(dir, entry)
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	if entry == "." { // its times change with entries that do not matter
		sys := info.Sys().(*syscall.Stat_t)
		return maphash.Comparable(f.seed, [...]uint64{sys.Dev, sys.Ino, uint64(info.Mode())})
	}
	both := [2]syscall.Stat_t{withoutAccess(info)}
	if info.Mode()&os.ModeSymlink != 0 {
		if target, err := os.Stat(path); err == nil && !target.IsDir() {
			both[1] = withoutAccess(target)
		}
	}
	return maphash.Comparable(f.seed, both)
}

// withoutAccess is all that is known about a file but when it was read last. Of a directory
// its times do not count, nor does its size: they change with entries that have marks of their own.
func withoutAccess(info os.FileInfo) syscall.Stat_t {
	stat := *info.Sys().(*syscall.Stat_t)
	stat.Atim = syscall.Timespec{}
	if info.IsDir() {
		stat.Mtim, stat.Ctim, stat.Size, stat.Blocks, stat.Nlink = syscall.Timespec{}, syscall.Timespec{}, 0, 0, 0
	}
	return stat
}

// remark marks the entry of an event, so that it is not found again.
func (f *Files) remark(path string) {
	dir, entry := filepath.Dir(path), filepath.Base(path)
	mark := f.mark(dir, entry)
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.marks[dir]
	if known == nil || !f.dirs[dir].matter(entry) {
		return
	}
	changed := maps.Clone(known) // a look may have it
	if changed[entry] = mark; mark == 0 && f.dirs[dir] == nil && entry != dataLink {
		delete(changed, entry)
	}
	f.marks[dir] = changed
}
