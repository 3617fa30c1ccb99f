package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/kconfd/kconfd/internal/safefs"
)

// ErrNoModes is a volume that does not keep the mode or owner of a file that has secrets.
var ErrNoModes = errors.New("the volume does not keep it, and the file has secrets")

// Unkept is what the file did not get: a mode or owner that the volume does not keep, an
// attribute or list of access rights that could not be copied. It is complete after the
// commit.
func (s *Staged) Unkept() []string { return s.unkept }

// note adds to what the file has not got.
func (s *Staged) note(format string, args ...any) {
	if said := fmt.Sprintf(format, args...); !slices.Contains(s.unkept, said) {
		s.unkept = append(s.unkept, said)
	}
}

// dress gives a candidate what the file is to have beside its content. The owner comes
// first, since chown clears mode bits, and the mode last: nothing is open before it has its
// list of access rights.
func (s *Staged) dress(f *safefs.File) error {
	if s.InPlace { // it is there for the check only: the file keeps what it has
		return keepAs(f, nil, safefs.Stat{UID: s.wanted.uid, GID: s.wanted.gid, Mode: s.wanted.mode})
	}
	if err := s.chown(f); err != nil {
		return err
	}
	if err := s.copyAttributes(f); err != nil {
		return err
	}
	return s.chmod(f)
}

// copyAttributes gives a candidate the attributes of the file that it replaces.
func (s *Staged) copyAttributes(f *safefs.File) error {
	if !s.existed {
		return nil // it has what the directory gives to new files
	}
	attributes, same, err := s.live.dir.Attributes(s.live.name, s.was)
	if err == nil && !same {
		err = errSwapped
	}
	if err != nil {
		return err
	}
	if why := s.untrusted(); why != "" {
		attributes = attributes.Without(why)
	}
	lost, group := f.SetAttributes(attributes, s.wanted.mode)
	if s.Mode == 0 {
		s.wanted.mode &= 0o707 | group<<3
	}
	if len(lost) > 0 {
		s.note("attributes lost: %s", safefs.Losses(lost))
	}
	return nil
}

// untrusted says why the attributes of the live file are not to be kept, if so: a user who
// is to have no say about the new file could have made them.
func (s *Staged) untrusted() string {
	switch own := s.was.UID == 0 || s.was.UID == os.Geteuid(); {
	case s.linkedByOther():
		return "the file has a second name, in a directory that other users may write to"
	case !own && s.was.UID != s.wanted.uid:
		return fmt.Sprintf("they are of uid %d, and the file is to belong to another user", s.was.UID)
	}
	return ""
}

// chown gives a new file the wanted owner. One that is merely kept is kept as far as the
// process and the volume allow.
func (s *Staged) chown(f *safefs.File) (err error) {
	for _, o := range []owner{s.wanted, {uid: s.UID, gid: s.wanted.gid}, {uid: s.UID, gid: s.GID}} {
		if o.uid < 0 && o.gid < 0 {
			err = nil
			break
		}
		if err = f.Chown(o.uid, o.gid); !safefs.Refused(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	return s.verifyOwner(f)
}

// verifyOwner sees whether a chown that succeeded has done something.
func (s *Staged) verifyOwner(f *safefs.File) error {
	now, err := f.Describe()
	if err != nil {
		return err
	}
	if asked := (s.UID < 0 || s.UID == now.UID) && (s.GID < 0 || s.GID == now.GID); !asked && s.Private {
		return fmt.Errorf("its owner is %d:%d instead of %s: %w", now.UID, now.GID, s.wanted.ids(), ErrNoModes)
	}
	if uid, gid := s.wanted.uid, s.wanted.gid; uid >= 0 && uid != now.UID || gid >= 0 && gid != now.GID {
		s.note("owner %d:%d instead of %s", now.UID, now.GID, s.wanted.ids())
	}
	return nil
}

// ids is how the owner is written; what is left to the system is a dash.
func (o owner) ids() string {
	id := func(n int) string {
		if n < 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	return id(o.uid) + ":" + id(o.gid)
}

// chmod gives a file the wanted mode. Where neither a mode was asked for nor the file has
// secrets, a volume that has no modes will do.
func (s *Staged) chmod(f *safefs.File) error {
	now, err := f.SetMode(s.wanted.mode)
	switch more := now &^ s.wanted.mode; {
	case now == s.wanted.mode:
		return err
	case err != nil && (s.Mode != 0 || !safefs.Refused(err)):
		return err
	case s.Private && (s.Mode != 0 || more&0o077 != 0):
		return s.tooOpen(now, err)
	}
	if err != nil {
		s.note("mode %04o instead of %04o: %v", now, s.wanted.mode, errno(err))
	} else {
		s.note("mode %04o instead of %04o", now, s.wanted.mode)
	}
	return nil
}

// errno is what the kernel said, without the path of a candidate, which differs each time.
func errno(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// closeToOthers sees that other users cannot open a file that is to have secrets, before it has
// them. Others than the wanted mode allows, that is.
func (s *Staged) closeToOthers(f *safefs.File) error {
	if !s.Private {
		return nil
	}
	stat, err := f.Describe()
	if err != nil {
		return err
	}
	open := stat.Mode.Perm() &^ s.wanted.mode & 0o077
	if open == 0 {
		return nil
	}
	now, err := f.SetMode(stat.Mode.Perm() & s.wanted.mode)
	if now&^s.wanted.mode&0o077 == 0 {
		return nil
	}
	return s.tooOpen(now, err)
}

// tooOpen is the error of a file with secrets that has another mode; refused is what chmod said.
func (s *Staged) tooOpen(now fs.FileMode, refused error) error {
	err := fmt.Errorf("its mode is %04o instead of %04o: %w", now, s.wanted.mode, ErrNoModes)
	if refused != nil {
		err = fmt.Errorf("%w: %w", err, errno(refused))
	}
	return err
}

// keepAs gives the copy of a live file the owner and mode of was, and the attributes of from
// if there is one, as far as the volume keeps them. It never is more open.
func keepAs(to, from *safefs.File, was safefs.Stat) error {
	err := to.Chown(was.UID, was.GID)
	if safefs.Refused(err) {
		err = to.Chown(-1, was.GID)
	}
	if err != nil && !safefs.Refused(err) {
		return err
	}
	mode := was.Mode.Perm()
	if from != nil {
		_, group := to.SetAttributes(from.Attributes(), mode)
		mode &= 0o707 | group<<3
	}
	if _, err := to.SetMode(mode); err != nil && !safefs.Refused(err) {
		return err
	}
	return nil
}
