package render

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Sweep removes the candidates of dest that a process left behind when it was
// killed, and says which. Those younger than olderThan stay: another process may
// be at work on them. So do backups: they may be all that is left of a file.
func Sweep(dest string, olderThan time.Duration) (removed []string, err error) {
	return sweep(dest, func(name, target string, info fs.FileInfo) bool {
		return isCandidate(name, target) && time.Since(info.ModTime()) >= olderThan
	})
}

// SweepOld does the same with what was kept of dest when it was replaced, but for
// what is still needed. It is not for a file written in place: whoever dies in
// the middle of that has nothing else.
func SweepOld(dest string, needed []Old, olderThan time.Duration) (removed []string, err error) {
	dir := filepath.Dir(Target(dest))
	return sweep(dest, func(name, target string, info fs.FileInfo) bool {
		candidate, found := strings.CutSuffix(name, backupSuffix)
		if !found || !isCandidate(candidate, target) || time.Since(changed(info)) < olderThan {
			return false
		}
		return !slices.ContainsFunc(needed, func(o Old) bool { return o.Backup == filepath.Join(dir, name) })
	})
}

// changed is when a file got its name, or an older time. (When it was modified
// does not count: it may be the second name of a file.)
func changed(info fs.FileInfo) time.Time {
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}

// sweep removes the files beside dest that are to go.
func sweep(dest string, goes func(name, target string, info fs.FileInfo) bool) (removed []string, err error) {
	target := Target(dest)
	entries, err := os.ReadDir(filepath.Dir(target))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // nothing is there, or one may write into it and not list it
	}
	errs := []error{err}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !goes(e.Name(), filepath.Base(target), info) {
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
