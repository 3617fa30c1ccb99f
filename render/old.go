package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// KeepOld has Commit leave what it replaces beside the files, and says before
// it what that will be. It ends with [Undo] or [Forget].
func (b *Batch) KeepOld() []Old {
	b.keepOld = true
	var olds []Old
	for _, s := range b.Files {
		if s.pending == nil {
			continue
		}
		sum := sha256.Sum256(s.Content)
		o := Old{Target: s.target, New: hex.EncodeToString(sum[:]), InPlace: s.InPlace}
		if s.existed {
			o.Backup = s.backupPath()
			o.Was, _ = sumOf(s.target) // without it a backup is taken to be whole
		}
		if s.existed && s.InPlace {
			o.Mode, o.UID, o.GID = s.now.mode, s.now.uid, s.now.gid
		}
		olds = append(olds, o)
	}
	return olds
}

const backupSuffix = ".old"

func (s *Staged) backupPath() string { return s.Path + backupSuffix }

// Replaced says whether the new content is live.
func (o Old) Replaced() (bool, error) {
	sum, err := sumOf(o.Target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && sum == o.New, err
}

// Changes says whether what replaces the file is something else. It may not be,
// when content that never was proven good went back to what had been before it.
func (o Old) Changes() bool { return o.Was != o.New }

// untouched says whether the old content is live. Then there is nothing to put
// back, and the backup may not be whole yet.
func (o Old) untouched() bool {
	sum, err := sumOf(o.Target)
	return err == nil && sum == o.Was
}

// sumOf is the SHA-256 of a file, in hex.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Undo puts the files back as they were, the last first, and removes those that
// were not there. It may be repeated when it was cut off or has failed. A file
// that was replaced but by the commit is put back all the same.
func Undo(olds []Old) error {
	var errs []error
	dirs := map[string]bool{}
	for i := len(olds) - 1; i >= 0; i-- {
		if err := olds[i].undo(); err != nil {
			errs = append(errs, fmt.Errorf("putting back %q: %w", olds[i].Target, err))
		}
		dirs[filepath.Dir(olds[i].Target)] = true
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (o Old) undo() error {
	switch {
	case o.Backup == "":
		return o.remove()
	case o.InPlace:
		return o.writeBack()
	case o.untouched():
		return o.forget()
	}
	err := os.Rename(o.Backup, o.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // it was put back before, or never replaced
	case err != nil:
		return err
	}
	// Where both are still names of one file, rename leaves both.
	return o.forget()
}

func (o Old) forget() error {
	if err := os.Remove(o.Backup); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// remove removes a file that was not there, if it is the one that was written.
func (o Old) remove() error {
	if replaced, err := o.Replaced(); err != nil || !replaced {
		return err
	}
	return os.Remove(o.Target)
}

func (o Old) writeBack() error {
	content, err := os.ReadFile(o.Backup)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := os.ReadFile(o.Target)
	if err != nil || !bytes.Equal(now, content) && !o.untouched() {
		if err := write(o.Target, content); err != nil {
			return fmt.Errorf("the old content is in %q: %w", o.Backup, err)
		}
	}
	if err := os.Chown(o.Target, o.UID, o.GID); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := os.Chmod(o.Target, o.Mode); err != nil {
		return err
	}
	return os.Remove(o.Backup)
}

// Forget removes what was kept: there is no way back.
func Forget(olds []Old) {
	for _, o := range olds {
		if o.Backup != "" {
			_ = os.Remove(o.Backup) // a dot file, and no harm
		}
	}
}
