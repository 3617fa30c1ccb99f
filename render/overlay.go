package render

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kconfd/kconfd/internal/safefs"
)

// Overlay has the candidates appear under the names of the live files. It is to be called on a thread
// with a mount namespace of its own, and has no effect elsewhere: nothing on disk changes.
//
// A candidate is mounted over the live file. Where there is no live file, a directory with the same
// entries and the candidate is mounted over the live directory. What a command writes to that
// directory itself is gone afterwards.
//
// An error is one of the kernel, which may not allow it, or of a directory that is not the one any more
// in which the file was staged.
func (b *Batch) Overlay() error {
	for _, dir := range b.dirs {
		files := slices.DeleteFunc(slices.Clone(b.Files), func(s *Staged) bool { return s.pending == nil || s.live.dir != dir })
		if len(files) == 0 {
			continue
		}
		if err := overlay(dir, files); err != nil {
			return err
		}
	}
	return nil
}

// overlay mounts the candidates of files in one directory.
func overlay(dir *safefs.Dir, files []*Staged) error {
	live, err := again(dir)
	if err != nil {
		return err
	}
	defer live.Close()
	top := live
	if slices.ContainsFunc(files, func(s *Staged) bool { return !s.existed }) {
		isNew := func(name string) bool {
			return slices.ContainsFunc(files, func(s *Staged) bool { return !s.existed && s.live.name == name })
		}
		if top, err = live.Cover(isNew); err != nil {
			return err
		}
		defer top.Close()
	}
	for _, s := range files {
		if err := s.overlay(live, top); err != nil {
			return err
		}
	}
	return nil
}

// overlay mounts the candidate over its name in top. It is found in live, unless it is elsewhere.
func (s *Staged) overlay(live, top *safefs.Dir) error {
	from := live
	if !s.pending.dir.Same(live) {
		elsewhere, err := again(s.pending.dir)
		if err != nil {
			return err
		}
		defer elsewhere.Close()
		from = elsewhere
	}
	if now, err := from.Lstat(s.pending.name); err != nil || !now.Same(s.pending.stat) {
		return cmp.Or(err, errSwapped)
	}
	if !s.existed {
		if err := top.Touch(s.live.name); err != nil {
			return err
		}
	}
	return from.Bind(s.pending.name, top, s.live.name)
}

// again opens a directory once more: descriptors from before the thread had its own mount namespace
// are of no use there.
func again(dir *safefs.Dir) (*safefs.Dir, error) {
	path := dir.RealPath("")
	now, err := safefs.OpenDir(path, safefs.Trusted)
	if err != nil {
		return nil, err
	}
	if !now.Same(dir) {
		now.Close()
		return nil, fmt.Errorf("%q has become another directory", path)
	}
	return now, nil
}
