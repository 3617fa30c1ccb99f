package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes are what a file has besides content, mode and owner, as far as a copy of it
// keeps it: the access control list, the SELinux label, and user.*.
//
// What the kernel derives from the content or takes as a right of it is left out:
// security.capability, security.ima, trusted.*.
type Attributes struct {
	ACL   ACL // nil when the mode says all
	other []attribute

	lost []string // what could not be read, and why
	// unknown says that the access control list could not be read: the group's part of the
	// mode may be its mask.
	unknown bool
}

type attribute struct {
	name  string
	value []byte
}

// The names of attributes.
const (
	accessACL   = "system.posix_acl_access"
	defaultACL  = "system.posix_acl_default"
	selinux     = "security.selinux"
	userPrefix  = "user."
	maxValue    = 64 << 10 // of an attribute, by Linux
	maxNames    = 64 << 10 // of the names of all, by Linux
	maxCopied   = 1 << 20  // of the values of all
	shownLosses = 3
)

// A source gives the attributes of one file.
type source struct {
	get  func(name string, value []byte) (int, error)
	list func(names []byte) (int, error)
}

func byDescriptor(fd int) source {
	return source{
		get:  func(name string, value []byte) (int, error) { return unix.Fgetxattr(fd, name, value) },
		list: func(names []byte) (int, error) { return unix.Flistxattr(fd, names) },
	}
}

// byPath is for a descriptor that was opened without the right to read (O_PATH): the link
// in /proc leads to the file itself, whatever its names are now.
func byPath(fd int) source {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	return source{
		get:  func(name string, value []byte) (int, error) { return unix.Getxattr(path, name, value) },
		list: func(names []byte) (int, error) { return unix.Listxattr(path, names) },
	}
}

// Attributes are those of the opened file.
func (f *File) Attributes() Attributes { return f.source().read() }

func (f *File) source() source { return byDescriptor(int(f.Fd())) }

// Attributes are those of a regular file, which may be one that kconfd must not read. The
// error says that the entry is not what want describes.
func (d *Dir) Attributes(name string, want Stat) (a Attributes, same bool, err error) {
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return d.attributesUnread(name, want)
	}
	if err != nil {
		return a, false, err
	}
	defer f.Close()
	now, err := f.Describe()
	if err != nil || !now.Same(want) {
		return a, false, err
	}
	return f.Attributes(), true, nil
}

func (d *Dir) attributesUnread(name string, want Stat) (a Attributes, same bool, err error) {
	fd, err := openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return a, false, d.fail("open", name, err)
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return a, false, d.fail("stat", name, err)
	}
	if now.Dev != want.Device || now.Ino != want.Inode {
		return a, false, nil
	}
	return byPath(fd).read(), true, nil
}

// DefaultACL is the list that new files in the directory get; nil without one, and where it
// cannot be read.
func (d *Dir) DefaultACL() ACL {
	from := byPath(d.fd)
	if f, err := d.reopen(); err == nil {
		defer f.Close()
		from = byDescriptor(int(f.Fd()))
	}
	value, err := from.value(defaultACL)
	if err != nil {
		return nil
	}
	acl, _ := parseACL(value)
	return acl
}

// none says whether an error means that there is no such attribute, or that the file system
// or the kernel has none of the kind.
func none(err error) bool {
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS)
}

// value is the value of an attribute; nil without it.
func (s source) value(name string) ([]byte, error) {
	for _, size := range []int{256, maxValue} {
		value := make([]byte, size)
		n, err := ignoringEINTR(func() (int, error) { return s.get(name, value) })
		switch {
		case errors.Is(err, unix.ERANGE) && size < maxValue:
			continue
		case err != nil && none(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return value[:n], nil
	}
	return nil, nil
}

func (s source) read() (a Attributes) {
	value, err := s.value(accessACL)
	if err == nil {
		a.ACL, err = parseACL(value)
	}
	if err != nil {
		a.unknown = true
		a.lose(accessACL, err)
	}
	names, err := s.names()
	if err != nil {
		a.lost = append(a.lost, fmt.Sprintf("extended attributes: %v", err))
	}
	left := maxCopied
	for _, name := range names {
		value, err := s.value(name)
		switch {
		case err != nil:
			a.lose(name, err)
		case value == nil: // gone
		case len(value) > left:
			a.lose(name, fmt.Errorf("more than %d bytes of attributes", maxCopied))
		default:
			left -= len(value)
			a.other = append(a.other, attribute{name, value})
		}
	}
	return a
}

// names are those of the attributes that are kept, the list of access rights apart.
func (s source) names() ([]string, error) {
	var buffer []byte
	for _, size := range []int{1 << 10, maxNames} {
		buffer = make([]byte, size)
		n, err := ignoringEINTR(func() (int, error) { return s.list(buffer) })
		switch {
		case errors.Is(err, unix.ERANGE) && size < maxNames:
			continue
		case err != nil && none(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		buffer = buffer[:n]
		break
	}
	var names []string
	for name := range strings.SplitSeq(string(buffer), "\x00") {
		if name == selinux || strings.HasPrefix(name, userPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (a *Attributes) lose(name string, err error) {
	a.lost = append(a.lost, fmt.Sprintf("%.60q: %v", name, err))
}

// Without are the attributes of a file that no copy may have: each of them is lost, for
// that reason. What the list permits to the group is not known to be right either.
func (a Attributes) Without(why string) Attributes {
	left := Attributes{unknown: a.unknown || a.ACL != nil, lost: a.lost}
	if a.ACL != nil {
		left.lose(accessACL, errors.New(why))
	}
	for _, o := range a.other {
		left.lose(o.name, errors.New(why))
	}
	return left
}

// SetAttributes gives a new file these attributes, with a list of access rights as it is
// after a chmod to mode. A list that the file got from its directory goes. It says what was
// lost, and what the mode may give to the owning group now, as three bits: where the list is
// lost, no more than the group's own entry.
func (f *File) SetAttributes(a Attributes, mode fs.FileMode) (lost []string, group fs.FileMode) {
	result := Attributes{lost: slices.Clone(a.lost)}
	group = 0o7
	if a.unknown {
		group = 0
	}
	if a.ACL != nil {
		if err := unix.Fsetxattr(int(f.Fd()), accessACL, a.ACL.withMode(mode).bytes(), 0); err != nil {
			result.lose(accessACL, err)
			group = a.ACL.Group()
			a.ACL = nil
		}
	}
	if a.ACL == nil {
		if err := f.removeACL(); err != nil {
			result.lost = append(result.lost, fmt.Sprintf("the list of the directory stays: %v", err))
			group = 0 // the mask
		}
	}
	for _, o := range a.other {
		if now, err := f.source().value(o.name); err == nil && now != nil && slices.Equal(now, o.value) {
			continue // the label of the directory
		}
		if err := unix.Fsetxattr(int(f.Fd()), o.name, o.value, 0); err != nil {
			result.lose(o.name, err)
		}
	}
	return result.lost, group
}

func (f *File) removeACL() error {
	value, err := f.source().value(accessACL)
	if err != nil || value == nil {
		return err
	}
	err = unix.Fremovexattr(int(f.Fd()), accessACL)
	if err != nil && none(err) {
		return nil
	}
	return err
}

// Losses is a short list of what was lost.
func Losses(lost []string) string {
	if len(lost) > shownLosses {
		return fmt.Sprintf("%s, and %d more", strings.Join(lost[:shownLosses], "; "), len(lost)-shownLosses)
	}
	return strings.Join(lost, "; ")
}

// SetMode gives the file a mode, if it has another one, and says which it has then: some
// file systems have no modes, and refuse the change or do nothing.
func (f *File) SetMode(mode fs.FileMode) (now fs.FileMode, err error) {
	stat, err := f.Describe()
	if err != nil || stat.Mode.Perm() == mode {
		return mode, err
	}
	refused := f.Chmod(mode)
	if stat, err = f.Describe(); err != nil {
		return 0, err
	}
	return stat.Mode.Perm(), refused
}

// Refused says whether an error means that a file system, or kconfd's rights, do not allow to
// change mode or owner, rather than that the change went wrong.
func Refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOVERFLOW)
}
