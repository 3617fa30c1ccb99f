package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A File is what one template wants on disk.
type File struct {
	Dest    string // a symlink is followed: the file it points to is replaced
	Trust   safefs.Trust
	Content []byte
	Mode    fs.FileMode // 0 keeps that of the file; a new one gets 0644
	Private bool        // has secrets: without a Mode it is for its owner only
	UID     int         // -1 keeps the owner, of a new file that of the process
	GID     int         // -1 keeps the group
	InPlace bool        // write into the file rather than replace it, for one that is a mount point
	MakeDir fs.FileMode // of the directories above it that are missing; 0 makes none
}

// ErrMountPoint is a target that cannot be renamed over, as when a single file
// is mounted into a container.
var ErrMountPoint = errors.New("the file is a mount point of its own")

const (
	defaultMode = fs.FileMode(0o644)
	privateMode = fs.FileMode(0o600)
)

// Staged is a file of a batch.
type Staged struct {
	File
	Path string // of the candidate, or of the live file where the content is the same

	live      place // Dest with its links followed
	existed   bool
	was       safefs.Stat // of the live file, if it existed
	rewritten bool
	wanted    owner
	pending   *candidate // nil where the content is the same, or only planned
	backup    place      // without a name when there is none
	created   bool       // in place, where there was none
	unkept    []string   // what the file has not got of what it should have beside its content
}

// A place is a name in an opened directory.
type place struct {
	dir  *safefs.Dir
	name string
}

func (p place) path() string { return p.dir.Path(p.name) }

// A candidate is new content beside its target. In place of a mounted file it
// may be elsewhere.
type candidate struct {
	place
	stat safefs.Stat
	live bool // renamed
}

// owner is what is kept about a file beside its content.
type owner struct {
	uid, gid int // -1 for what a new file gets by itself
	mode     fs.FileMode
}

func ownerOf(s safefs.Stat) owner { return owner{s.UID, s.GID, s.Mode.Perm()} }

// Rewritten says whether the content differs from the live file's.
func (s *Staged) Rewritten() bool { return s.rewritten }

// Existed says whether there was a live file.
func (s *Staged) Existed() bool { return s.existed }

// InSync says whether content, mode and owner are the live file's.
func (s *Staged) InSync() bool { return !s.Rewritten() && s.wanted == s.now() }

// now is the live file's owner and mode.
func (s *Staged) now() owner {
	if !s.existed {
		return owner{uid: -1, gid: -1}
	}
	return ownerOf(s.was)
}

// MayBeSecret says whether the live file may hold secrets: the template reads
// some, only the owner may read the file, or another user gave one of root's
// files this name.
func (s *Staged) MayBeSecret() bool {
	return s.Private || s.existed && (s.was.Mode.Perm()&0o077 == 0 || s.linkedByOther())
}

// linkedByOther says whether the live file may be one that another user linked
// here from elsewhere.
func (s *Staged) linkedByOther() bool { return s.existed && s.live.dir.Shared && s.was.Names > 1 }

// maxCompared is how much of a live file is read for a diff.
const maxCompared = 64 << 20

// Diff is the change in unified form, empty when there is none. It is to be
// asked for before the commit.
func (s *Staged) Diff() (string, error) {
	if !s.Rewritten() {
		return "", nil
	}
	from, before := os.DevNull, []byte(nil)
	if s.existed {
		from = s.Dest
		f, err := s.live.dir.Open(s.live.name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if before, err = f.ReadAll(maxCompared); err != nil {
			return "", err
		}
	}
	unified := diff.Diff(from, before, s.Dest, s.Content)
	if unified == nil { // a new file that is empty
		return fmt.Sprintf("--- %s\n+++ %s\n", from, s.Dest), nil
	}
	_, unified, _ = bytes.Cut(unified, []byte("\n")) // "diff FROM TO" says it twice
	return string(unified), nil
}

// A Batch is a set of files on their way to disk. It holds the directories open
// that they are in, until [Batch.Discard].
type Batch struct {
	Files []*Staged

	dirs    []*safefs.Dir
	keepOld bool
	done    bool // committed: what is left besides is meant to stay
}

// Stage writes the candidates beside their targets. Nothing is left behind
// when it fails; when it does not, call [Batch.Discard], also after
// [Batch.Commit].
func Stage(files []File) (*Batch, error) {
	b := &Batch{}
	for _, f := range files {
		if err := b.stage(f); err != nil {
			b.Discard()
			return nil, &StageError{f.Dest, err}
		}
	}
	return b, nil
}

// Plan is Stage without writing anything: the files' Path is that of the live
// file. [Batch.Discard] ends it too.
func Plan(files []File) (*Batch, error) {
	b := &Batch{}
	for _, f := range files {
		if _, err := b.compare(f); err != nil {
			b.Discard()
			return nil, fmt.Errorf("reading %q: %w", f.Dest, err)
		}
	}
	return b, nil
}

func (b *Batch) stage(f File) error {
	if err := f.makeDir(); err != nil {
		return err
	}
	s, err := b.compare(f)
	if err != nil || !s.Rewritten() {
		return err
	}
	if err := b.writeCandidate(s); err != nil {
		return err
	}
	s.Path = s.pending.path()
	return nil
}

// compare looks at the live file, and adds it to the batch.
func (b *Batch) compare(f File) (*Staged, error) {
	dir, name, err := safefs.Locate(f.Dest, f.Trust)
	if errors.Is(err, fs.ErrNotExist) && f.MakeDir != 0 { // planned only
		s := &Staged{File: f, Path: f.Dest, rewritten: true, wanted: wanted(f, owner{uid: -1, gid: -1}, false)}
		b.Files = append(b.Files, s)
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	dir = b.share(dir)
	s := &Staged{File: f, live: place{dir, name}, Path: dir.Path(name)}
	s.was, err = dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case s.was.Mode.IsDir():
		return nil, syscall.EISDIR
	case !s.was.Mode.IsRegular():
		return nil, fmt.Errorf("is not a regular file but %s", s.was.Mode.Type())
	default:
		s.existed = true
	}
	s.wanted = wanted(f, s.now(), s.existed)
	if !s.existed && f.Mode == 0 {
		s.wanted.mode = dir.DefaultACL().Limit(s.wanted.mode)
	}
	if s.rewritten, err = s.differs(); err != nil {
		return nil, err
	}
	b.Files = append(b.Files, s)
	return s, nil
}

// makeDir makes the directory of the file, and those above it, where they are missing and that
// is wanted. They belong to the file's owner, and stay when the file is not written after all.
func (f File) makeDir() error {
	if f.MakeDir == 0 {
		return nil
	}
	dir, _, err := safefs.Locate(f.Dest, f.Trust)
	dir.Close()
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong shows when it is used
	}
	if err := safefs.MakeParents(f.Dest, f.Trust, safefs.Making{Mode: f.MakeDir, UID: f.UID, GID: f.GID}); err != nil {
		return fmt.Errorf("making its directory: %w", err)
	}
	return nil
}

// share gives the batch's own descriptor for a directory: a set may have many
// files in one.
func (b *Batch) share(dir *safefs.Dir) *safefs.Dir {
	for _, d := range b.dirs {
		if d.Same(dir) {
			dir.Close()
			return d
		}
	}
	b.dirs = append(b.dirs, dir)
	return dir
}

// differs compares with the live file, and reads no more of it than it takes.
func (s *Staged) differs() (bool, error) {
	if !s.existed || s.was.Size != int64(len(s.Content)) {
		return true, nil
	}
	if s.linkedByOther() && s.wanted != s.now() {
		return true, nil // a new file: the owner of this one is not ours to change
	}
	f, err := s.live.dir.Open(s.live.name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	same, err := f.Equal(s.Content)
	return !same, err
}

func wanted(f File, now owner, existed bool) owner {
	o := now
	if f.UID >= 0 {
		o.uid = f.UID
	}
	if f.GID >= 0 {
		o.gid = f.GID
	}
	switch {
	case f.Mode != 0:
		o.mode = f.Mode.Perm()
	case existed && f.Private:
		o.mode &= privateMode
	case f.Private:
		o.mode = privateMode
	case !existed:
		o.mode = defaultMode
	}
	return o
}

// Target is the file that Dest names: absolute, with links followed, as far as
// they can be. It tells whether two names are of one file.
func (f File) Target() string {
	if dir, name, err := safefs.Locate(f.Dest, f.Trust); err == nil {
		defer dir.Close()
		return dir.RealPath(name)
	}
	path, err := filepath.Abs(f.Dest)
	if err != nil {
		return filepath.Clean(f.Dest)
	}
	return path
}

// writeCandidate writes the new content beside the target, with the wanted mode
// and owner. The name begins with a dot and ends in digits, so that no include of
// a directory's *.conf picks it up.
func (b *Batch) writeCandidate(s *Staged) (err error) {
	dir := s.live.dir
	f, name, err := dir.CreateTemp("."+s.live.name, "")
	if s.InPlace && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)) {
		// A file mounted into a directory of another user: beside it is no room, and
		// there need not be, since it is not renamed.
		if dir, err = safefs.OpenDir(os.TempDir(), safefs.Checked); err != nil {
			return err
		}
		dir = b.share(dir)
		f, name, err = dir.CreateTemp("."+s.live.name, "")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s.pending = &candidate{place: place{dir, name}} // from now on discarded with the batch
	if err := s.closeToOthers(f); err != nil {
		return err
	}
	if _, err := f.Write(s.Content); err != nil {
		return err
	}
	if err := s.dress(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.pending.stat, err = f.Describe()
	return err
}
