package render

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kconfd/kconfd/internal/safefs"
)

// An Old is a file that a commit replaces, in a form that can be kept: with it
// this process or a later one can put the file back.
type Old struct {
	Target  string      `json:"target"`           // the file, links followed
	Backup  string      `json:"backup,omitempty"` // what it was; empty when there was none
	Was     string      `json:"was,omitempty"`    // SHA-256 of that, in hex
	New     string      `json:"new"`              // SHA-256 of the content that replaces it
	InPlace bool        `json:"inPlace,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"` // of a file written in place, before
	UID     int         `json:"uid,omitempty"`
	GID     int         `json:"gid,omitempty"`
}

// KeepOld keeps what Commit will replace beside the files, and says where. It
// ends with [Undo] or [Forget], or, when there is no commit, with
// [Batch.Discard].
func (b *Batch) KeepOld() ([]Old, error) {
	b.keepOld = true
	if err := b.backUp(); err != nil {
		return nil, err
	}
	var olds []Old
	for _, s := range b.Files {
		if s.pending == nil {
			continue
		}
		sum := sha256.Sum256(s.Content)
		o := Old{Target: s.live.dir.RealPath(s.live.name), New: hex.EncodeToString(sum[:]), InPlace: s.InPlace}
		if s.existed {
			o.Backup = s.backup.dir.RealPath(s.backup.name)
			var err error
			if o.Was, err = sumAt(s.backup); err != nil {
				return nil, fmt.Errorf("reading %q: %w", s.Dest, err)
			}
		}
		if s.existed && s.InPlace {
			o.Mode, o.UID, o.GID = s.was.Mode.Perm(), s.was.UID, s.was.GID
		}
		olds = append(olds, o)
	}
	return olds, nil
}

const backupSuffix = ".old"

// Valid says whether an Old that was read from disk is one that KeepOld gave for
// a file whose target is target: its backup lies beside it under a name of the
// form that backups have.
func (o Old) Valid(target string) bool {
	if o.Target != target || o.Mode&^fs.ModePerm != 0 {
		return false
	}
	if o.Backup == "" {
		return true
	}
	name, backup := strings.CutSuffix(filepath.Base(o.Backup), backupSuffix)
	dir := filepath.Dir(o.Backup)
	beside := dir == filepath.Dir(target) || o.InPlace && dir == tempDir()
	return backup && beside && isCandidate(name, filepath.Base(target))
}

// tempDir is where the candidate is of a file that none can be beside of.
func tempDir() string {
	dir, err := safefs.OpenDir(os.TempDir(), safefs.Checked)
	if err != nil {
		return ""
	}
	defer dir.Close()
	return dir.RealPath("")
}

// Replaced says whether the new content is live.
func (o Old) Replaced() (replaced bool, err error) {
	err = o.open(func(live, _ place) (err error) {
		replaced, err = o.replaced(live)
		return err
	})
	return replaced, err
}

func (o Old) replaced(live place) (bool, error) {
	sum, err := sumAt(live)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && sum == o.New, err
}

// Changes says whether what replaces the file is something else. It may not be,
// when content that never was proven good went back to what had been before it.
func (o Old) Changes() bool { return o.Was != o.New }

// open opens the directories of target and backup.
func (o Old) open(do func(live, backup place) error) error {
	dir, name, err := safefs.LocateEntry(o.Target, safefs.Fixed)
	if err != nil {
		return err
	}
	defer dir.Close()
	live := place{dir, name}
	if o.Backup == "" {
		return do(live, place{})
	}
	backupDir, backup, err := safefs.LocateEntry(o.Backup, safefs.Fixed)
	if err != nil {
		return err
	}
	defer backupDir.Close()
	return do(live, place{backupDir, backup})
}

// sumAt is the SHA-256 of a regular file, in hex.
func sumAt(p place) (string, error) {
	f, err := p.dir.Open(p.name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sumOf(f)
}

func sumOf(f *safefs.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Undo puts the files back as they were, the last first, and removes those that
// were not there. It may be repeated when it was cut off or has failed. A file
// that was replaced but by the commit is put back all the same. A backup that is
// not what it was is removed, and that is an error once.
func Undo(olds []Old) error {
	var errs []error
	for i := len(olds) - 1; i >= 0; i-- {
		if err := olds[i].open(olds[i].undo); err != nil {
			errs = append(errs, fmt.Errorf("putting back %q: %w", olds[i].Target, err))
		}
	}
	return errors.Join(errs...)
}

func (o Old) undo(live, backup place) error {
	if o.Backup == "" {
		return o.remove(live)
	}
	if sum, err := sumAt(live); err == nil && sum == o.Was {
		return errors.Join(o.restoreOwner(live), forget(backup))
	}
	switch sum, err := sumAt(backup); {
	case errors.Is(err, fs.ErrNotExist):
		return nil // it was put back before, or never replaced
	case errors.As(err, new(*safefs.TypeError)), err == nil && sum != o.Was:
		return errors.Join(fmt.Errorf("its backup %q was changed", o.Backup), forget(backup))
	case err != nil:
		return err
	}
	if o.InPlace {
		return writeBack(live, backup, owner{o.UID, o.GID, o.Mode})
	}
	if err := live.dir.Rename(backup.name, live.name); err != nil {
		return err
	}
	// Where both are still names of one file, rename leaves both.
	return errors.Join(forget(backup), live.dir.Sync())
}

// restoreOwner gives a file that was written in place its owner and mode back.
func (o Old) restoreOwner(live place) error {
	if !o.InPlace {
		return nil // another file had them
	}
	return chownAt(live, owner{o.UID, o.GID, o.Mode})
}

// forget removes a backup, if it is there.
func forget(backup place) error {
	if err := backup.dir.Remove(backup.name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// remove removes a file that was not there, if it is the one that was written.
func (o Old) remove(live place) error {
	replaced, err := o.replaced(live)
	if err != nil || !replaced {
		return err
	}
	return errors.Join(live.dir.Remove(live.name), live.dir.Sync())
}

// Forget removes what was kept: there is no way back.
func Forget(olds []Old) {
	for _, o := range olds {
		if o.Backup != "" {
			_ = o.open(func(_, backup place) error { return forget(backup) }) // a dot file, and no harm
		}
	}
}
