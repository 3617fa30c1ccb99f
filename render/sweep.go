package render

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Sweep removes the candidates of dest that a process left behind when it was
// killed, and says which. Those younger than olderThan stay: another process may
// be at work on them. So do backups: they may be all that is left of a file.
func Sweep(dest string, olderThan time.Duration) (removed []string, err error) {
	target := Target(dest)
	entries, err := os.ReadDir(filepath.Dir(target))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // nothing is there, or one may write into it and not list it
	}
	errs := []error{err}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !isCandidate(e.Name(), filepath.Base(target)) || time.Since(info.ModTime()) < olderThan {
			continue // where there is an error, it is gone
		}
		path := filepath.Join(filepath.Dir(target), e.Name())
		if err := os.Remove(path); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, path)
	}
	return removed, errors.Join(errs...)
}

// isCandidate says whether a file is called as the candidates of a target are: a
// dot, its name, and a random number of 63 bits. Nearly all of these have so many
// digits, and no version or date that somebody wrote there has.
func isCandidate(name, target string) bool {
	number, found := strings.CutPrefix(name, "."+target)
	return found && len(number) >= 15 && len(number) <= 19 && strings.Trim(number, "0123456789") == ""
}
