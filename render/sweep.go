package render

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Sweep removes what a process left behind for dest when it was killed, and says
// what: candidates, and the backups that are not in keep. Candidates younger than
// olderThan stay: another process may be at work on them. So do the backups of a
// file that is not there: they may be all that is left of it.
func Sweep(dest string, olderThan time.Duration, keep []Old) (removed []string, err error) {
	target := Target(dest)
	entries, err := os.ReadDir(filepath.Dir(target))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // nothing is there, or one may write into it and not list it
	}
	_, missing := os.Lstat(target)
	errs := []error{err}
	for _, e := range entries {
		info, err := e.Info()
		name, backup := strings.CutSuffix(e.Name(), backupSuffix)
		path := filepath.Join(filepath.Dir(target), e.Name())
		kept := slices.ContainsFunc(keep, func(o Old) bool { return o.Backup == path })
		switch {
		case err != nil, !info.Mode().IsRegular(), !isCandidate(name, filepath.Base(target)):
			continue // where there is an error, it is gone
		case backup && (missing != nil || kept), time.Since(info.ModTime()) < olderThan:
			continue
		}
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
