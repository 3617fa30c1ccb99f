package render

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// acl is a list of access rights: those of the owner, of user 65534, of the group, the mask,
// and of all others.
func acl(owner, named, group, mask, other uint16) string {
	const nobody, none = 65534, ^uint32(0)
	value := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner, none}, {2, named, nobody}, {4, group, none}, {16, mask, none}, {32, other, none}} {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return string(value)
}

func setAttributes(t *testing.T, path string, attributes map[string]string) {
	t.Helper()
	for name, value := range attributes {
		if err := unix.Setxattr(path, name, []byte(value), 0); err != nil {
			t.Fatalf("setting %s of %q: %v", name, path, err)
		}
	}
}

// attributesOf are all that a file has; the SELinux label is the system's.
func attributesOf(t *testing.T, path string) map[string]string {
	t.Helper()
	attributes := map[string]string{}
	names := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		t.Fatalf("listing the attributes of %q: %v", path, err)
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if name == "" || name == "security.selinux" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Getxattr(path, name, value)
		if err != nil {
			t.Fatalf("reading %s of %q: %v", name, path, err)
		}
		attributes[name] = string(value[:n])
	}
	return attributes
}

// An attributesCase is a file that has a list of access rights in which the group has less than
// the mask, and an attribute of its user.
type attributesCase struct {
	file   func(*File)
	before func(t *testing.T, dir string) // what follows the making of the live file

	mode   fs.FileMode
	acl    string // empty for none
	origin bool
	unkept []string // parts of what is said
}

func attributesCases() map[string]attributesCase {
	live := acl(6, 4, 0, 4, 0)
	refuseSetting := func(errno syscall.Errno) func(*testing.T, string) {
		return func(t *testing.T, _ string) { refuse(t, unix.SYS_FSETXATTR, errno) }
	}
	lost := []string{"attributes lost", accessACL, "user.origin"}
	return map[string]attributesCase{
		"kept":                   {mode: 0o640, acl: live, origin: true},
		"mode as it is":          {file: func(f *File) { f.Mode = 0o640 }, mode: 0o640, acl: live, origin: true},
		"mode given":             {file: func(f *File) { f.Mode = 0o664 }, mode: 0o664, acl: acl(6, 4, 0, 6, 4), origin: true},
		"mode without the group": {file: func(f *File) { f.Mode = 0o600 }, mode: 0o600, acl: acl(6, 4, 0, 0, 0), origin: true},
		"secrets":                {file: func(f *File) { f.Private = true }, mode: 0o600, acl: acl(6, 4, 0, 0, 0), origin: true},
		"the file system refuses": {
			before: refuseSetting(unix.ENOTSUP), mode: 0o600, unkept: lost,
		},
		"there is no room": {before: refuseSetting(unix.ENOSPC), mode: 0o600, unkept: lost},
		"it is refused, with a mode": { // which is what the administrator wants
			file: func(f *File) { f.Mode = 0o640 }, before: refuseSetting(unix.EPERM), mode: 0o640, unkept: lost,
		},
		"it is refused, in place": {
			file: func(f *File) { f.InPlace = true }, before: refuseSetting(unix.EPERM), mode: 0o640, acl: live, origin: true,
		},
		"the list cannot be read": {
			before: func(t *testing.T, _ string) { refuse(t, unix.SYS_FGETXATTR, unix.EIO) }, mode: 0o600, unkept: lost,
		},
		"without attributes in the kernel": {
			before: func(t *testing.T, _ string) {
				refuse(t, unix.SYS_FGETXATTR, unix.ENOSYS)
				refuse(t, unix.SYS_FLISTXATTR, unix.ENOSYS)
			}, mode: 0o640,
		},
		"a directory with a default list": {
			before: func(t *testing.T, dir string) {
				setAttributes(t, dir, map[string]string{defaultACL: acl(7, 7, 7, 7, 7)})
			}, mode: 0o640, acl: live, origin: true,
		},
		"a capability": {
			before: func(t *testing.T, dir string) {
				setAttributes(t, dir+"/live", map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"})
			}, mode: 0o640, acl: live, origin: true,
		},
		"of a user who is not to be the owner": {
			file:   func(f *File) { f.UID, f.GID = 0, 0 },
			before: func(t *testing.T, dir string) { chown(t, dir+"/live", 1000, 1000) },
			mode:   0o600, unkept: []string{accessACL, "user.origin", "they are of uid 1000"},
		},
		"of a user who stays the owner": {
			before: func(t *testing.T, dir string) { chown(t, dir+"/live", 1000, 1000) },
			mode:   0o640, acl: live, origin: true,
		},
		"a second name, where others may write": {
			before: func(t *testing.T, dir string) {
				chown(t, dir, 1000, 1000)
				if err := os.Link(dir+"/live", dir+"/second"); err != nil {
					t.Fatal(err)
				}
			}, mode: 0o600, unkept: []string{"second name"},
		},
	}
}

func chown(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// A file keeps what it has beside content, mode and owner; where that cannot be, the group
// gets no more than its own entry, and what was lost is said.
func TestAttributes(t *testing.T) {
	for name, test := range attributesCases() {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			dir := sharedDir(t)
			put(t, dir+"/live", state{"old", 0o600, 0, 1000})
			setAttributes(t, dir+"/live", map[string]string{accessACL: acl(6, 4, 0, 4, 0), "user.origin": "ops"})
			if test.before != nil {
				test.before(t, dir)
			}
			file := newFile(dir+"/live", "new")
			if test.file != nil {
				test.file(&file)
			}
			batch := mustStage(t, file)
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
			unkept := strings.Join(batch.Files[0].Unkept(), "\n")
			if test.unkept == nil && unkept != "" {
				t.Errorf("said to be lost: %s", unkept)
			}
			for _, part := range test.unkept {
				if name == "the list cannot be read" && part == "user.origin" {
					continue // its name is known, and its value is not
				}
				if !strings.Contains(unkept, part) {
					t.Errorf("got %q, want that %q is lost", unkept, part)
				}
			}
			test.check(t, dir+"/live")
		})
	}
}

// check looks from another thread: the kernel refuses attributes to that of the test.
func (test attributesCase) check(t *testing.T, path string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if got := stateOf(t, path); got.Mode != test.mode || got.Content != "new" {
			t.Errorf("got %q with mode %04o, want mode %04o", got.Content, got.Mode, test.mode)
		}
		want := map[string]string{}
		if test.acl != "" {
			want[accessACL] = test.acl
		}
		if test.origin {
			want["user.origin"] = "ops"
		}
		if diff := cmp.Diff(want, attributesOf(t, path)); diff != "" {
			t.Errorf("attributes: -want +got:\n%s", diff)
		}
	}()
	<-done
}

// A file without a list gets none from its directory, and a new file gets no more than the
// directory's list allows.
func TestDefaultACL(t *testing.T) {
	for name, test := range map[string]struct {
		list     string
		existing fs.FileMode
		file     func(*File)
		mode     fs.FileMode
		acl      string
	}{
		"existing":             {acl(7, 7, 7, 7, 7), 0o640, nil, 0o640, ""},
		"new":                  {acl(7, 7, 5, 7, 5), 0, nil, 0o644, acl(6, 7, 5, 4, 4)},
		"new, less is allowed": {acl(7, 7, 5, 0, 0), 0, nil, 0o600, acl(6, 7, 5, 0, 0)},
		"new, mode given":      {acl(7, 7, 5, 0, 0), 0, func(f *File) { f.Mode = 0o644 }, 0o644, acl(6, 7, 5, 4, 4)},
		"new, secrets":         {acl(7, 7, 7, 7, 7), 0, func(f *File) { f.Private = true }, 0o600, acl(6, 7, 7, 0, 0)},
		"new, in place":        {acl(7, 7, 5, 0, 0), 0, func(f *File) { f.InPlace = true }, 0o600, acl(6, 7, 5, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if test.existing != 0 {
				put(t, dir+"/live", state{"old", test.existing, 0, 0})
			}
			setAttributes(t, dir, map[string]string{defaultACL: test.list})
			file := newFile(dir+"/live", "new")
			if test.file != nil {
				test.file(&file)
			}
			mustCommit(t, file)
			attributesCase{mode: test.mode, acl: test.acl}.check(t, dir+"/live")
		})
	}
}

// Values of all sizes, and names of all kinds, are kept.
func TestManyAttributes(t *testing.T) {
	privateMounts(t)
	dir := t.TempDir()
	mountTmpfs(t, dir, "4m")
	put(t, dir+"/live", state{"old", 0o644, 0, 0})
	want := map[string]string{"user.large": strings.Repeat("x", 60_000), "user.empty": "", "user.\xff\n": "odd"}
	for i := range 100 {
		want["user."+strings.Repeat("n", 20+i)] = strings.Repeat("v", i)
	}
	setAttributes(t, dir+"/live", want)
	batch := mustStage(t, newFile(dir+"/live", "new"))
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, attributesOf(t, dir+"/live")); diff != "" || batch.Files[0].Unkept() != nil {
		t.Errorf("%v\n-want +got:\n%s", batch.Files[0].Unkept(), diff)
	}
}

// A file system without attributes has none to lose.
func TestNoAttributes(t *testing.T) {
	privateMounts(t)
	dir := t.TempDir()
	mount(t, "ramfs", dir, "ramfs", 0, "")
	put(t, dir+"/live", state{"old", 0o640, 0, 1000})
	batch := mustStage(t, newFile(dir+"/live", "new"), newFile(dir+"/fresh", "new"))
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, f := range batch.Files {
		if f.Unkept() != nil {
			t.Errorf("%q: said to be lost: %v", f.Dest, f.Unkept())
		}
	}
	if diff := cmp.Diff(state{"new", 0o640, 0, 1000}, stateOf(t, dir+"/live")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What is put back has its attributes, also where the file system has no second names.
func TestAttributesPutBack(t *testing.T) {
	for name, links := range map[string]bool{"link": true, "copy": false} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			dir := sharedDir(t)
			put(t, dir+"/live", state{"new", 0o600, 0, 1000})
			setAttributes(t, dir+"/live", map[string]string{accessACL: acl(6, 4, 0, 4, 0), "user.origin": "ops"})
			if !links {
				refuse(t, unix.SYS_LINKAT, unix.EPERM)
			}
			batch := mustStage(t, newFile(dir+"/live", "bad"))
			olds, err := batch.KeepOld()
			if err != nil {
				t.Fatal(err)
			}
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := Undo(olds); err != nil {
				t.Fatal(err)
			}
			attributesCase{mode: 0o640, acl: acl(6, 4, 0, 4, 0), origin: true}.check(t, dir+"/live")
		})
	}
}

// Without root's rights, the file's group gets no more either, and its owner's list stays.
func TestAttributesAsUser(t *testing.T) {
	needRoot(t)
	dir := sharedDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, uid := range map[string]int{"own": 1000, "other": 2000} {
		put(t, dir+"/"+name, state{"older", 0o600, uid, 1000})
		setAttributes(t, dir+"/"+name, map[string]string{accessACL: acl(6, 4, 0, 4, 0)})
	}
	becomeUser(t, 1000)
	mustCommit(t, newFile(dir+"/own", "new"))
	batch := mustStage(t, newFile(dir+"/other", "new")) // of another size: kconfd must not read it
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	attributesCase{mode: 0o640, acl: acl(6, 4, 0, 4, 0)}.check(t, dir+"/own")
	attributesCase{mode: 0o640, acl: acl(6, 4, 0, 4, 0)}.check(t, dir+"/other")
	if got := batch.Files[0].Unkept(); !slices.Contains(got, "owner 1000:1000 instead of 2000:1000") {
		t.Errorf("got %q, want that the owner changed", got)
	}
}

// chmodRefused and chmodIgnored are the two kinds of volumes that have no modes.
func chmodRefused(t *testing.T) { refuse(t, unix.SYS_FCHMOD, unix.EPERM) }
func chmodIgnored(t *testing.T) { refuse(t, unix.SYS_FCHMOD, 0) }

// A volume without modes will do where no mode is asked for; one that was asked for and is not
// there is said, and is an error with secrets.
func TestVolumeWithoutModes(t *testing.T) {
	mode := func(m fs.FileMode) func(*File) { return func(f *File) { f.Mode = m } }
	secrets := func(m fs.FileMode) func(*File) { return func(f *File) { f.Mode, f.Private = m, true } }
	for name, test := range map[string]struct {
		volume   func(*testing.T)
		existing fs.FileMode // 0: a new file, which the volume gives 0600
		file     func(*File)
		mode     fs.FileMode
		unkept   string
		is       error // at staging
	}{
		"refused":                        {chmodRefused, 0, nil, 0o600, "mode 0600 instead of 0644: operation not permitted", nil},
		"refused, not supported":         {func(t *testing.T) { refuse(t, unix.SYS_FCHMOD, unix.ENOTSUP) }, 0, nil, 0o600, "mode 0600", nil},
		"refused, with a failing disk":   {func(t *testing.T) { refuse(t, unix.SYS_FCHMOD, unix.EIO) }, 0, nil, 0, "", unix.EIO},
		"refused, existing":              {chmodRefused, 0o600, nil, 0o600, "", nil},
		"refused, existing and other":    {chmodRefused, 0o644, nil, 0o600, "mode 0600 instead of 0644", nil},
		"refused, mode":                  {chmodRefused, 0, mode(0o640), 0, "", unix.EPERM},
		"refused, mode that is there":    {chmodRefused, 0, mode(0o600), 0o600, "", nil},
		"refused, secrets":               {chmodRefused, 0, secrets(0), 0o600, "", nil},
		"refused, secrets and mode":      {chmodRefused, 0, secrets(0o640), 0, "", unix.EPERM},
		"ignored":                        {chmodIgnored, 0, nil, 0o600, "mode 0600 instead of 0644", nil},
		"ignored, mode":                  {chmodIgnored, 0, mode(0o640), 0o600, "mode 0600 instead of 0640", nil},
		"ignored, secrets":               {chmodIgnored, 0, secrets(0), 0o600, "", nil},
		"ignored, secrets and mode":      {chmodIgnored, 0, secrets(0o640), 0, "", ErrNoModes},
		"ignored, existing":              {chmodIgnored, 0o644, nil, 0o600, "mode 0600 instead of 0644", nil},
		"ignored, existing, in place":    {chmodIgnored, 0o644, func(f *File) { f.InPlace = true }, 0o644, "", nil},
		"refused, existing, in place":    {chmodRefused, 0o644, func(f *File) { f.InPlace = true }, 0o644, "", nil},
		"refused, new, in place":         {chmodRefused, 0, func(f *File) { f.InPlace = true }, 0o600, "mode 0600 instead of 0644", nil},
		"ignored, in place, mode":        {chmodIgnored, 0o644, func(f *File) { f.InPlace, f.Mode = true, 0o600 }, 0o644, "mode 0644 instead of 0600", nil},
		"refused, in place, mode as was": {chmodRefused, 0o640, func(f *File) { f.InPlace, f.Mode = true, 0o640 }, 0o640, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			dir := t.TempDir()
			if test.existing != 0 {
				put(t, dir+"/live", state{"old", test.existing, 0, 0})
			}
			before := treeOf(t, dir)
			test.volume(t)
			file := newFile(dir+"/live", "new")
			if test.file != nil {
				test.file(&file)
			}
			batch, err := tryCommit(t, file)
			if !errors.Is(err, test.is) {
				t.Fatalf("got error %v, want %v", err, test.is)
			}
			if test.is != nil {
				if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
					t.Errorf("-before +after:\n%s", diff)
				}
				return
			}
			if got := strings.Join(batch.Files[0].Unkept(), "; "); !strings.Contains(got, test.unkept) || (test.unkept == "") != (got == "") {
				t.Errorf("said %q, want %q", got, test.unkept)
			}
			if diff := cmp.Diff(state{"new", test.mode, 0, 0}, stateOf(t, dir+"/live")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// With a secret, content that is the same does not stay under a mode that the volume does not
// take away; without one, that the mode is another is said.
func TestModeThatCannotBeCorrected(t *testing.T) {
	needRoot(t)
	for name, test := range map[string]struct {
		private bool
		is      error
	}{"plain": {false, nil}, "secrets": {true, ErrNoModes}} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/live"
			put(t, path, state{"same", 0o644, 0, 0})
			chmodIgnored(t)
			file := newFile(path, "same")
			file.Mode, file.Private = 0o600, test.private
			batch := mustStage(t, file)
			if err := batch.Commit(); !errors.Is(err, test.is) {
				t.Errorf("got %v, want %v", err, test.is)
			}
			if got := batch.Files[0].Unkept(); !test.private && len(got) != 1 {
				t.Errorf("said %q, want the mode", got)
			}
		})
	}
}

// Secrets never are in a file that the volume opens to others, not even for a moment: the
// content is not written.
func TestSecretsOnOpenVolume(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	// A default list that permits all, of a volume that then ignores chmod: every file is open.
	put(t, dir+"/live", state{"old", 0o666, 0, 0})
	chmodIgnored(t)
	refuse(t, unix.SYS_WRITE, unix.ENOSPC)
	file := newFile(dir+"/live", "new")
	file.Private, file.InPlace = true, true
	s := &Staged{File: file, wanted: owner{0, 0, 0o600}}
	batch, err := Plan([]File{file})
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Discard()
	f, err := batch.Files[0].openForWriting()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.closeToOthers(f); !errors.Is(err, ErrNoModes) {
		t.Errorf("got %v, want that the volume does not keep modes", err)
	}
	if err := batch.Files[0].writeLive(); !errors.Is(err, ErrNoModes) {
		t.Errorf("got %v, want that nothing was written", err)
	}
}

// On a volume that fixes the owner, one that was asked for is an error where it is refused, and
// is said where it is ignored; one that is merely kept is never an error.
func TestVolumeWithoutOwners(t *testing.T) {
	for name, test := range map[string]struct {
		errno  syscall.Errno
		file   func(*File)
		unkept string
		is     error
	}{
		"kept, refused":            {unix.EPERM, nil, "owner 0:0 instead of 1000:1000", nil},
		"kept, unknown to it":      {unix.EINVAL, nil, "owner 0:0 instead of 1000:1000", nil},
		"kept, ignored":            {0, nil, "owner 0:0 instead of 1000:1000", nil},
		"kept, with a broken disk": {unix.EIO, nil, "", unix.EIO},
		"asked for, refused":       {unix.EPERM, func(f *File) { f.UID = 2000 }, "", unix.EPERM},
		"asked for, ignored":       {0, func(f *File) { f.UID = 2000 }, "owner 0:0 instead of 2000:1000", nil},
		"secrets, ignored":         {0, func(f *File) { f.UID, f.Private = 2000, true }, "", ErrNoModes},
		"secrets, kept":            {0, func(f *File) { f.Private = true }, "owner 0:0 instead of 1000:1000", nil},
	} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			path := t.TempDir() + "/live"
			put(t, path, state{"old", 0o600, 1000, 1000})
			refuse(t, unix.SYS_FCHOWN, test.errno)
			file := newFile(path, "new")
			if test.file != nil {
				test.file(&file)
			}
			batch, err := tryCommit(t, file)
			if !errors.Is(err, test.is) {
				t.Fatalf("got error %v, want %v", err, test.is)
			}
			if err == nil && strings.Join(batch.Files[0].Unkept(), "; ") != test.unkept {
				t.Errorf("said %q, want %q", batch.Files[0].Unkept(), test.unkept)
			}
		})
	}
}

// A group of files is replaced, and put back, on a volume that refuses second names, modes and
// owners.
func TestTransactionOnVolumeWithoutAnything(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	for _, name := range []string{"/a", "/b"} {
		put(t, dir+name, state{"old", 0o600, 0, 0})
	}
	for _, call := range []uint32{unix.SYS_FCHMOD, unix.SYS_FCHOWN, unix.SYS_LINKAT, unix.SYS_FSETXATTR} {
		refuse(t, call, unix.ENOTSUP)
	}
	batch := mustStage(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "new"))
	olds, err := batch.KeepOld()
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := Undo(olds); err != nil {
		t.Fatal(err)
	}
	want := map[string]state{"": {}, "/a": {"old", 0o600, 0, 0}, "/b": {"old", 0o600, 0, 0}}
	if diff := cmp.Diff(want, treeOf(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
