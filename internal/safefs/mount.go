package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// MaxEntries is how many entries a directory may have of which a copy is made.
const MaxEntries = 4096

// ErrTooMany is a directory with more than [MaxEntries] entries.
var ErrTooMany = fmt.Errorf("more than %d entries", MaxEntries)

// Bind mounts an entry over an entry of another directory, in the mount namespace of the calling
// thread, in which both directories must have been opened. Neither entry may be a link.
func (d *Dir) Bind(name string, over *Dir, overName string) error {
	source, err := d.entry(name)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := over.entry(overName)
	if err != nil {
		return err
	}
	defer target.Close()
	if err := unix.Mount(byFD(source.Fd()), byFD(target.Fd()), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return over.fail("mount over", overName, err)
	}
	return nil
}

// byFD is a path that leads to an opened entry, wherever that is by now.
func byFD(fd uintptr) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// entry opens a file or directory without any rights to its content.
func (d *Dir) entry(name string) (*os.File, error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	f := os.NewFile(uintptr(fd), d.Path(name))
	info, err := f.Stat()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = &TypeError{d.Path(name), fs.ModeSymlink}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Cover mounts an empty directory with the same owner and mode over this one, in the mount
// namespace of the calling thread, and gives it the same entries, each mounted. The directory
// returned is the one on top, to which more can be added. Entries that the function skip names are
// left out. This directory still gives access to what is below.
//
// The error is [ErrTooMany] where it has too many entries.
func (d *Dir) Cover(skip func(name string) bool) (*Dir, error) {
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	if len(names) > MaxEntries {
		return nil, d.fail("copy", ".", ErrTooMany)
	}
	if d.path == "/" {
		return nil, d.fail("mount over", ".", unix.EBUSY) // a process does not leave its root directory by a mount
	}
	top, err := d.coverEmpty()
	if err != nil {
		return nil, d.fail("mount over", ".", err)
	}
	for _, name := range names {
		if skip(name) {
			continue
		}
		if err := d.repeat(name, top); err != nil && !errors.Is(err, fs.ErrNotExist) {
			top.Close()
			return nil, err
		}
	}
	return top, nil
}

// coverEmpty mounts an empty directory over this one. It is had by descriptor: the path may lead elsewhere
// by then.
func (d *Dir) coverEmpty() (*Dir, error) {
	fsfd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fsfd)
	for key, value := range map[string]string{
		"source": "kconfd", "mode": fmt.Sprintf("%o", d.stat.Mode&0o7777), "uid": fmt.Sprint(d.stat.Uid), "gid": fmt.Sprint(d.stat.Gid),
	} {
		if err := unix.FsconfigSetString(fsfd, key, value); err != nil {
			return nil, err
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, err
	}
	if err := unix.MoveMount(fd, "", d.fd, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newDir(fd, d.path)
}

// repeat has an entry appear in another directory too: a link as a link, all else by a mount.
func (d *Dir) repeat(name string, in *Dir) error {
	stat, err := d.Lstat(name)
	if err != nil {
		return err
	}
	if stat.Mode&fs.ModeSymlink != 0 {
		target, err := d.Readlink(name)
		if err != nil {
			return err
		}
		if err := in.Symlink(target, name); err != nil {
			return err
		}
		// In a sticky directory the kernel follows links by their owner.
		return in.fail("chown", name, unix.Fchownat(in.fd, name, stat.UID, stat.GID, unix.AT_SYMLINK_NOFOLLOW))
	}
	if stat.Mode.IsDir() {
		err = in.MakeDir(name)
	} else {
		err = in.Touch(name)
	}
	if err != nil {
		return err
	}
	return d.Bind(name, in, name)
}

// Touch makes an empty file, for its owner only.
func (d *Dir) Touch(name string) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// Readlink is where a link leads.
func (d *Dir) Readlink(name string) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, name, target)
	if err != nil {
		return "", d.fail("readlink", name, err)
	}
	return string(target[:n]), nil
}

// Symlink makes a link.
func (d *Dir) Symlink(target, name string) error {
	return d.fail("symlink", name, unix.Symlinkat(target, d.fd, name))
}

// MakeTempDir makes a directory for its owner only, under a name that is free: prefix, 19 digits.
func (d *Dir) MakeTempDir(prefix string) (name string, err error) {
	err = unused(prefix, "", func(free string) error {
		name = free
		return d.MakeDir(free)
	})
	return name, err
}

// Lock locks the directory until the file that is returned is closed or this process has ended. The
// error is EWOULDBLOCK when another process has locked it.
func (d *Dir) Lock() (*os.File, error) {
	f, err := d.reopen()
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, d.fail("lock", ".", err)
	}
	return f, nil
}

// AccessAs gives the directory, which is of kconfd's making, the owner of another one, and of its mode
// no more than most. Where it cannot have the group, its own has the access of others.
func (d *Dir) AccessAs(like *Dir, most fs.FileMode) error {
	f, err := d.reopen()
	if err != nil {
		return err
	}
	defer f.Close()
	mode := fs.FileMode(like.stat.Mode) & most
	if err := f.Chown(int(like.stat.Uid), int(like.stat.Gid)); err != nil && !Refused(err) {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	now := describe(info)
	acl := like.accessACL()
	if now.GID != int(like.stat.Gid) {
		mode = mode&0o707 | mode&0o007<<3 // for the live one, this group is among the others
		acl = nil
	}
	if now.UID == os.Geteuid() {
		mode |= 0o700 // it has to be removed again
	}
	for _, inherited := range []string{accessACL, defaultACL} {
		if err := unix.Fremovexattr(int(f.Fd()), inherited); err != nil && !none(err) && !Refused(err) {
			return fmt.Errorf("%q: removing the access list that it has inherited: %w", d.said, err)
		}
	}
	if acl == nil {
		return f.Chmod(mode)
	}
	if err := f.Chmod(mode & (0o707 | acl.Group()<<3)); err != nil { // without the list, the mode is all
		return err
	}
	_ = unix.Fsetxattr(int(f.Fd()), accessACL, acl.withMode(mode).bytes(), 0) // or named users have no access
	return nil
}

// accessACL is the list of the directory itself; nil without one.
func (d *Dir) accessACL() ACL {
	value, err := byPath(d.fd).value(accessACL)
	if err != nil || value == nil {
		return nil
	}
	acl, err := parseACL(value)
	if err != nil {
		return nil
	}
	return acl
}
