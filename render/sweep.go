package render

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kconfd/kconfd/internal/safefs"
)

// Sweep removes what a process left behind for file when it was killed, and says
// what: candidates, and the backups that are not in keep. Candidates younger than
// olderThan stay: another process may be at work on them. So do the backups of a
// file that is not there: they may be all that is left of it.
func Sweep(file File, olderThan time.Duration, keep []Old) (removed []string, err error) {
	dir, target, err := safefs.Locate(file.Dest, file.Trust)
	if err != nil {
		return nil, ignoring(err, fs.ErrNotExist, fs.ErrPermission)
	}
	defer dir.Close()
	names, err := dir.Names()
	if err != nil {
		return nil, ignoring(err, fs.ErrPermission) // one may write into it and not list it
	}
	_, missing := dir.Lstat(target)
	var errs []error
	for _, name := range names {
		candidate, backup := strings.CutSuffix(name, backupSuffix)
		if !isCandidate(candidate, target) {
			continue
		}
		stat, err := dir.Lstat(name)
		kept := slices.ContainsFunc(keep, func(o Old) bool { return o.Backup == dir.RealPath(name) })
		switch {
		case err != nil, !stat.Mode.IsRegular():
			continue // where there is an error, it is gone
		case backup && (missing != nil || kept), time.Since(stat.Modified) < olderThan:
			continue
		}
		if err := dir.Remove(name); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, dir.Path(name))
	}
	return removed, errors.Join(errs...)
}

// ignoring is err, but for the kinds that are none here.
func ignoring(err error, kinds ...error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return nil
		}
	}
	return err
}

// isCandidate says whether a file is called as the candidates of a target are: a
// dot, its name, and a random number of 63 bits. Nearly all of these have so many
// digits, and no version or date that somebody wrote there has.
func isCandidate(name, target string) bool {
	number, found := strings.CutPrefix(name, "."+target)
	return found && len(number) >= 15 && len(number) <= 19 && strings.Trim(number, "0123456789") == ""
}
