package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"
)

// A File is what one template wants on disk.
type File struct {
	Dest    string // a symlink is followed: the file it points to is replaced
	Content []byte
	Mode    fs.FileMode // 0 keeps that of the file; a new one gets 0644
	Private bool        // has secrets: without a Mode it is for its owner only
	UID     int         // -1 keeps the owner, of a new file that of the process
	GID     int         // -1 keeps the group
	InPlace bool        // write into the file rather than replace it, for one that is a mount point
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

	target    string // Dest with its links followed
	existed   bool
	rewritten bool
	owner     owner // wanted
	now       owner
	pending   *renameio.PendingFile // nil where the content is the same, or only planned
	backup    string
	before    []byte // of a file written in place, while it is
}

// owner is what is kept about a file beside its content.
type owner struct {
	uid, gid int // -1 for what a new file gets by itself
	mode     fs.FileMode
}

func ownerOf(info fs.FileInfo) owner {
	sys := info.Sys().(*syscall.Stat_t)
	return owner{uid: int(sys.Uid), gid: int(sys.Gid), mode: info.Mode().Perm()}
}

// Rewritten says whether the content differs from the live file's.
func (s *Staged) Rewritten() bool { return s.rewritten }

// InSync says whether content, mode and owner are the live file's.
func (s *Staged) InSync() bool { return !s.Rewritten() && s.owner == s.now }

// MayBeSecret says whether the live file may hold secrets: the template reads
// some, or nobody but the owner may read the file.
func (s *Staged) MayBeSecret() bool {
	return s.Private || (s.existed && s.now.mode&0o077 == 0)
}

// Diff is the change in unified form, empty when there is none. It is to be
// asked for before the commit.
func (s *Staged) Diff() (string, error) {
	from, before := os.DevNull, []byte(nil)
	if !s.Rewritten() {
		return "", nil
	}
	if s.existed {
		var err error
		from = s.Dest
		if before, err = os.ReadFile(s.target); err != nil {
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

// A Batch is a set of files on their way to disk.
type Batch struct {
	Files []*Staged

	keepOld bool
}

// Stage writes the candidates beside their targets. Nothing is left behind
// when it fails; when it does not, call [Batch.Discard], which is safe after
// [Batch.Commit].
func Stage(files []File) (*Batch, error) {
	b := &Batch{}
	for _, f := range files {
		s, err := stage(f)
		if err != nil {
			b.Discard()
			return nil, fmt.Errorf("staging %q: %w", f.Dest, err)
		}
		b.Files = append(b.Files, s)
	}
	return b, nil
}

// Plan is Stage without writing anything: the files' Path is that of the live
// file.
func Plan(files []File) (*Batch, error) {
	b := &Batch{}
	for _, f := range files {
		s, err := compare(f)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", f.Dest, err)
		}
		b.Files = append(b.Files, s)
	}
	return b, nil
}

func stage(f File) (*Staged, error) {
	s, err := compare(f)
	if err != nil || !s.Rewritten() {
		return s, err
	}
	s.pending, err = candidate(s)
	if err != nil {
		return nil, err
	}
	s.Path = s.pending.Name()
	return s, nil
}

// compare looks at the live file.
func compare(f File) (*Staged, error) {
	target, err := follow(f.Dest)
	if err != nil {
		return nil, err
	}
	s := &Staged{File: f, Path: target, target: target}
	info, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.now = owner{uid: -1, gid: -1}
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("is not a regular file but %s", info.Mode().Type())
	default:
		s.now = ownerOf(info)
		s.existed = true
	}
	if s.rewritten, err = differs(s, info); err != nil {
		return nil, err
	}
	s.owner = wanted(f, s.now, s.existed)
	return s, nil
}

// differs compares with the live file, and reads no more of it than it takes.
func differs(s *Staged, info fs.FileInfo) (bool, error) {
	if !s.existed || info.Size() != int64(len(s.Content)) {
		return true, nil
	}
	f, err := os.Open(s.target)
	if err != nil {
		return false, err
	}
	defer f.Close()
	chunk := make([]byte, min(32<<10, len(s.Content)))
	for rest := s.Content; len(rest) > 0; {
		n, err := f.Read(chunk)
		if n > len(rest) || !bytes.Equal(chunk[:n], rest[:n]) || err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		rest = rest[n:]
	}
	return false, nil
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
func Target(dest string) string {
	path, err := filepath.Abs(dest)
	if err != nil {
		return filepath.Clean(dest)
	}
	if target, err := follow(path); err == nil {
		path = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// follow resolves links, also those that point at nothing yet.
func follow(path string) (string, error) {
	for range 40 { // as many as Linux follows
		resolved, err := filepath.EvalSymlinks(path)
		if err == nil {
			return resolved, nil
		}
		to, linkErr := os.Readlink(path)
		if linkErr != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return path, nil
			}
			return "", err
		}
		if !filepath.IsAbs(to) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path)) // before any .. in the link
			if err != nil {
				return "", err
			}
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", syscall.ELOOP
}

// candidate writes the new content beside the target, with the wanted mode and
// owner. The name begins with a dot and ends in digits, so that no include of
// a directory's *.conf picks it up.
func candidate(s *Staged) (_ *renameio.PendingFile, err error) {
	dir := filepath.Dir(s.target)
	p, err := renameio.NewPendingFile(s.target, renameio.WithTempDir(dir), renameio.WithPermissions(privateMode))
	if s.InPlace && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)) {
		// A file mounted into somebody else's directory: beside it is no room,
		// and there need not be, since it is not renamed.
		p, err = renameio.NewPendingFile(s.target, renameio.WithTempDir(os.TempDir()), renameio.WithPermissions(privateMode))
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.Cleanup()
		}
	}()
	if _, err := p.Write(s.Content); err != nil {
		return nil, err
	}
	// The owner first: chown clears mode bits.
	if err := s.chown(p.Chown); err != nil {
		return nil, err
	}
	return p, p.Chmod(s.owner.mode)
}

// chown gives the candidate the wanted owner. One that is merely kept is kept
// as far as the process may.
func (s *Staged) chown(chown func(uid, gid int) error) (err error) {
	for _, o := range []owner{s.owner, {uid: s.UID, gid: s.owner.gid}, {uid: s.UID, gid: s.GID}} {
		if err = chown(o.uid, o.gid); !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return err
}
