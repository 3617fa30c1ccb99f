package render

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/kconfd/kconfd/internal/safefs"
)

// ErrNotDurable is a commit after which all files are live, and a power cut
// could still bring the old ones back.
var ErrNotDurable = errors.New("live, but perhaps not yet on the disk")

// errSwapped is a file that another process replaced while it was at hand.
var errSwapped = errors.New("another process replaced it meanwhile")

// Commit makes the batch live. When one file fails, those before it are put
// back as they were, and the error says so if even that fails. The files are
// live when there is no error, or one that is [ErrNotDurable].
func (b *Batch) Commit() error {
	if err := b.backUp(); err != nil {
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
			b.done = true
			return errors.Join(errs...)
		}
	}
	b.done = true
	var errs []error
	var dirs []*safefs.Dir
	for _, s := range b.Files {
		if s.pending != nil && !s.InPlace && !slices.Contains(dirs, s.live.dir) {
			dirs = append(dirs, s.live.dir)
		}
		if !b.keepOld {
			s.forget()
		}
	}
	for _, dir := range dirs {
		if err := dir.Sync(); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrNotDurable, err))
		}
	}
	return errors.Join(errs...)
}

// Discard removes what was staged and is not live, and closes the batch.
func (b *Batch) Discard() {
	for _, s := range b.Files {
		s.dropCandidate()
		if !b.done {
			s.forget()
		}
	}
	for _, dir := range b.dirs {
		dir.Close()
	}
	b.dirs, b.Files = nil, nil
}

func (s *Staged) dropCandidate() {
	if s.pending != nil && !s.pending.live {
		s.pending.remove() // a dot file beside the target, and no harm
	}
}

// remove is best effort.
func (p place) remove() { _ = p.dir.Remove(p.name) }

// backUp gives the files that are to be replaced a second name, all of them
// before the first is. A file alone needs none: its rename works or it does not.
func (b *Batch) backUp() error {
	if len(b.Files) == 1 && !b.keepOld {
		return nil
	}
	for _, s := range b.Files {
		if s.pending == nil || s.InPlace && !b.keepOld || !s.existed || s.backup.name != "" {
			continue
		}
		if err := s.backUp(); err != nil {
			for _, kept := range b.Files {
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
		return s.correct()
	case s.InPlace:
		return s.overwrite()
	}
	if err := s.verifyCandidate(); err != nil {
		return err
	}
	err := s.live.dir.Rename(s.pending.name, s.live.name)
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%w: %w", ErrMountPoint, err)
	}
	s.pending.live = err == nil
	return err
}

// verifyCandidate sees that a candidate is still the one that was checked. One
// that another user can open is read: its owner can set back the time of a change.
func (s *Staged) verifyCandidate() error {
	c := s.pending
	now, err := c.dir.Lstat(c.name)
	same := err == nil && now.Same(c.stat) && now.Size == c.stat.Size && now.Modified.Equal(c.stat.Modified)
	if same && c.stat.UID != os.Geteuid() {
		same, err = c.holds(s.Content)
	}
	if err == nil && !same {
		err = fmt.Errorf("the candidate %q: %w", c.path(), errSwapped)
	}
	return err
}

// holds says whether a candidate has that content. Without the capability to
// read all files, root cannot tell, and it is taken for it.
func (c *candidate) holds(content []byte) (bool, error) {
	f, err := c.dir.Open(c.name)
	if errors.Is(err, fs.ErrPermission) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.Equal(content)
}

// backUp keeps the live file under a second name, for revert.
func (s *Staged) backUp() error {
	if !s.InPlace {
		if name, err := s.live.dir.LinkTemp(s.live.name, "."+s.live.name, backupSuffix); err == nil {
			s.backup = place{s.live.dir, name}
			return s.verifyBackup()
		}
		// Not every file system has hard links, nor are they always allowed.
	}
	if err := s.copyLive(); err != nil {
		return fmt.Errorf("keeping the old content: %w", err)
	}
	return nil
}

// verifyBackup sees that what was linked is what was looked at, and not a link
// or another file that came in its place.
func (s *Staged) verifyBackup() error {
	now, err := s.backup.dir.Lstat(s.backup.name)
	if err == nil && !now.Same(s.was) {
		err = errSwapped
	}
	return err
}

// copyLive copies the live file, to beside its candidate.
func (s *Staged) copyLive() error {
	from, err := s.openLive(s.live.dir.Open)
	if err != nil {
		return err
	}
	defer from.Close()
	to, name, err := s.pending.dir.CreateTemp("."+s.live.name, backupSuffix)
	if err != nil {
		return err
	}
	defer to.Close()
	s.backup = place{s.pending.dir, name}
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if !s.InPlace { // it may become the live file by rename
		if err := keepAs(to, from, s.was); err != nil {
			return err
		}
	}
	return to.Sync()
}

// openLive opens the live file, if it is still the one that was looked at.
func (s *Staged) openLive(open func(name string) (*safefs.File, error)) (*safefs.File, error) {
	f, err := open(s.live.name)
	if err != nil {
		return nil, err
	}
	now, err := f.Describe()
	if err == nil && !now.Same(s.was) {
		err = errSwapped
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *Staged) forget() {
	if s.backup.name != "" {
		s.backup.remove() // a dot file beside the target, and no harm
		s.backup = place{}
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
		return s.adjust(s.now())
	case s.InPlace:
		return s.writeBack()
	case s.backup.name != "":
		if err := s.live.dir.Rename(s.backup.name, s.live.name); err != nil {
			return err
		}
		s.forget() // where both are names of one file, rename leaves both
		return nil
	}
	return s.live.dir.Remove(s.live.name)
}

// correct gives the live file the wanted mode and owner, where they differ.
func (s *Staged) correct() error {
	if !s.existed || s.InSync() {
		return nil
	}
	f, err := s.openLive(s.live.dir.OpenChange)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.change(f)
}

// change gives an opened live file the wanted mode and owner, where they differ, and notes
// what it does not get.
func (s *Staged) change(f *safefs.File) error {
	stat, err := f.Describe()
	if err != nil {
		return err
	}
	if to := s.wanted; to.uid >= 0 && to.uid != stat.UID || to.gid >= 0 && to.gid != stat.GID {
		if err := f.Chown(to.uid, to.gid); err != nil {
			return err
		}
		if err := s.verifyOwner(f); err != nil {
			return err
		}
	}
	return s.chmod(f) // also after chown, which clears bits
}

// adjust gives the live file back another mode and owner, where they differ.
func (s *Staged) adjust(to owner) error {
	if !s.existed || to == s.now() && s.InSync() {
		return nil
	}
	f, err := s.openLive(s.live.dir.OpenChange)
	if err != nil {
		return err
	}
	defer f.Close()
	return setOwner(f, to)
}

// chownAt gives a file another mode and owner, where they differ.
func chownAt(p place, to owner) error {
	f, err := p.dir.OpenChange(p.name)
	if err != nil {
		return err
	}
	defer f.Close()
	return setOwner(f, to)
}

// setOwner gives an opened file another mode and owner, where they differ.
func setOwner(f *safefs.File, to owner) error {
	stat, err := f.Describe()
	if err != nil {
		return err
	}
	from := ownerOf(stat)
	if to.uid >= 0 && to.uid != from.uid || to.gid >= 0 && to.gid != from.gid {
		if err := f.Chown(to.uid, to.gid); err != nil {
			return err
		}
	} else if to.mode == from.mode {
		return nil
	}
	return f.Chmod(to.mode) // also after chown, which clears bits
}

// overwrite writes into the live file. A reader can see half of it, which is
// why it has to be asked for; what it held is kept beside the candidate until
// it is done, and written back when it fails.
func (s *Staged) overwrite() error {
	if s.existed && s.backup.name == "" {
		if err := s.backUp(); err != nil {
			s.forget()
			return err
		}
	}
	err := s.writeLive()
	if err != nil {
		err = errors.Join(err, s.writeBack())
	}
	s.dropCandidate() // it has served for the check
	return err
}

func (s *Staged) writeLive() error {
	f, err := s.openForWriting()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.tighten(f); err != nil {
		return err
	}
	if err := s.closeToOthers(f); err != nil {
		return err
	}
	if _, err := f.Write(s.Content); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(s.Content))); err != nil {
		return err
	}
	if err := s.change(f); err != nil {
		return err
	}
	return f.Sync()
}

func (s *Staged) openForWriting() (*safefs.File, error) {
	if s.existed {
		return s.openLive(s.live.dir.OpenWrite)
	}
	f, err := s.live.dir.Create(s.live.name)
	s.created = err == nil
	return f, err
}

// tighten takes away the rights that the file is to lose before it has what
// they would show.
func (s *Staged) tighten(f *safefs.File) error {
	if !s.existed || s.was.Mode.Perm()&^s.wanted.mode == 0 {
		return nil
	}
	_, err := f.SetMode(s.was.Mode.Perm() & s.wanted.mode)
	return err
}

// writeBack undoes overwrite, as far as it came. The backup stays when that
// fails.
func (s *Staged) writeBack() error {
	if s.existed {
		return writeBack(s.live, s.backup, s.now())
	}
	if !s.created {
		return nil
	}
	return s.live.dir.Remove(s.live.name)
}

// writeBack gives a file that was written in place the content, mode and owner
// back that it had. Then it removes the backup.
func writeBack(live, backup place, was owner) error {
	from, err := backup.dir.OpenChange(backup.name) // without a second name: it is a copy
	if err != nil {
		return err
	}
	defer from.Close()
	same, err := equal(live, from)
	if err == nil && !same {
		err = copyInto(live, from)
	}
	if err != nil {
		return fmt.Errorf("the old content is in %q: %w", backup.path(), err)
	}
	if err := chownAt(live, was); err != nil {
		return err
	}
	backup.remove()
	return nil
}

// equal says whether a file has the content of another.
func equal(live place, other *safefs.File) (bool, error) {
	f, err := live.dir.Open(live.name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	a, err := sumOf(f)
	if err != nil {
		return false, err
	}
	b, err := sumOf(other)
	return a == b, err
}

// copyInto writes a file's content into another, and syncs it.
func copyInto(live place, from *safefs.File) error {
	to, err := live.dir.OpenWrite(live.name)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(to, from)
	if err != nil {
		return err
	}
	if err := to.Truncate(n); err != nil {
		return err
	}
	return to.Sync()
}
