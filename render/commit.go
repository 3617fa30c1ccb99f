package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotDurable is a commit after which all files are live, and a power cut
// could still bring the old ones back.
var ErrNotDurable = errors.New("live, but perhaps not yet on the disk")

// Commit makes the batch live. When one file fails, those before it are put
// back as they were, and the error says so if even that fails. The files are
// live when there is no error, or one that is [ErrNotDurable].
func (b *Batch) Commit() error {
	if err := b.keep(); err != nil {
		return err
	}
	for i, s := range b.Files {
		if err := s.commit(); err != nil {
			err = fmt.Errorf("writing %q: %w", s.Dest, err)
			errs := append([]error{err}, revert(b.Files[:i])...)
			for _, rest := range b.Files[i:] {
				if !rest.InPlace { // which sees to its own
					rest.forget()
				}
			}
			return errors.Join(errs...)
		}
	}
	var errs []error
	dirs := map[string]bool{}
	for _, s := range b.Files {
		if s.pending != nil && !s.InPlace {
			dirs[filepath.Dir(s.target)] = true
		}
		if !b.keepOld {
			s.forget()
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrNotDurable, err))
		}
	}
	return errors.Join(errs...)
}

// Discard removes what was staged and is not live.
func (b *Batch) Discard() {
	for _, s := range b.Files {
		if s.pending != nil {
			_ = s.pending.Cleanup() // best effort: it is a dot file beside the target
		}
	}
}

// keep gives the files that are to be replaced a second name, all of them before
// the first is. A file alone needs none: its rename works or it does not.
func (b *Batch) keep() error {
	if len(b.Files) == 1 && !b.keepOld {
		return nil
	}
	for i, s := range b.Files {
		if s.pending == nil || s.InPlace || !s.existed {
			continue
		}
		if err := s.keep(); err != nil {
			for _, kept := range b.Files[:i+1] {
				kept.forget()
			}
			return fmt.Errorf("writing %q: %w", s.Dest, err)
		}
	}
	return nil
}

func (s *Staged) commit() error {
	switch {
	case s.pending == nil:
		return s.adjust(s.now, s.owner)
	case s.InPlace:
		return s.overwrite()
	}
	err := s.pending.CloseAtomicallyReplace()
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%w: %w", ErrMountPoint, err)
	}
	return err
}

// keep leaves the live file a second name, for revert.
func (s *Staged) keep() error {
	s.backup = s.backupPath()
	if os.Link(s.target, s.backup) == nil {
		return nil
	}
	// Not every file system has hard links, nor are they always allowed.
	before, err := os.ReadFile(s.target)
	if err != nil {
		return err
	}
	if err := write(s.backup, before); err != nil {
		return fmt.Errorf("keeping the old content: %w", err)
	}
	if err := os.Chown(s.backup, s.now.uid, s.now.gid); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return os.Chmod(s.backup, s.now.mode)
}

func (s *Staged) forget() {
	if s.backup != "" {
		_ = os.Remove(s.backup) // a dot file beside the target, and no harm
		s.backup = ""
	}
}

// revert puts files back, the last first.
func revert(files []*Staged) (errs []error) {
	for i := len(files) - 1; i >= 0; i-- {
		if err := files[i].revert(); err != nil {
			errs = append(errs, fmt.Errorf("putting back %q: %w", files[i].Dest, err))
		}
	}
	return errs
}

func (s *Staged) revert() error {
	switch {
	case s.pending == nil:
		return s.restore()
	case s.InPlace:
		return s.writeBack()
	case s.backup != "":
		return os.Rename(s.backup, s.target)
	}
	return os.Remove(s.target)
}

// adjust gives the live file another mode and owner, where they differ.
func (s *Staged) adjust(from, to owner) error {
	if to.uid != from.uid || to.gid != from.gid {
		if err := os.Chown(s.target, to.uid, to.gid); err != nil {
			return err
		}
	}
	if to == from {
		return nil
	}
	return os.Chmod(s.target, to.mode) // also after chown, which clears bits
}

// overwrite writes into the live file. A reader can see half of it, which is
// why it has to be asked for; what it held is kept beside the candidate until
// it is done, and written back when it fails.
func (s *Staged) overwrite() error {
	if s.existed {
		var err error
		if s.before, err = os.ReadFile(s.target); err != nil {
			return err
		}
		s.backup = s.backupPath()
		if err := write(s.backup, s.before); err != nil {
			s.forget()
			return fmt.Errorf("keeping the old content: %w", err)
		}
	}
	err := s.tighten()
	if err == nil {
		err = write(s.target, s.Content)
	}
	if err == nil {
		err = s.adjust(s.now, s.owner)
	}
	if err != nil {
		err = errors.Join(err, s.writeBack())
	}
	_ = s.pending.Cleanup() // the candidate has served for the check
	return err
}

// tighten takes away the rights that the file is to lose before it has what
// they would show.
func (s *Staged) tighten() error {
	if !s.existed || s.now.mode&^s.owner.mode == 0 {
		return nil
	}
	return os.Chmod(s.target, s.now.mode&s.owner.mode)
}

// writeBack undoes overwrite, as far as it came. The backup stays when that
// fails.
func (s *Staged) writeBack() error {
	now, err := os.ReadFile(s.target)
	switch {
	case !s.existed && errors.Is(err, fs.ErrNotExist):
		return nil
	case !s.existed:
		return os.Remove(s.target)
	case err != nil || !bytes.Equal(now, s.before):
		if err := write(s.target, s.before); err != nil {
			return fmt.Errorf("the old content is in %q: %w", s.backup, err)
		}
	}
	s.forget()
	return s.restore()
}

// restore gives the live file the mode and owner back that it had.
func (s *Staged) restore() error {
	info, err := os.Stat(s.target)
	if err != nil {
		return err
	}
	return s.adjust(ownerOf(info), s.now)
}

// write replaces a file's content in place, and syncs it.
func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, privateMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) { // one may write into it, and not list it
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // file systems that cannot say so
		return fmt.Errorf("syncing %q: %w", dir, err)
	}
	return nil
}
