package safefs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	alice = 1001
	bob   = 1002
)

// tree makes directories and links below a directory that is root's. A line is
// "PATH UID MODE" for a directory, "PATH UID" for a file, "PATH UID -> TO" for a
// link; DIR in it is the directory's path.
func tree(t *testing.T, lines string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root: they make files of several users")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.ReplaceAll(lines, "DIR", dir)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := plant(filepath.Join(dir, words[0]), words[1], words[2:]); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return dir
}

func plant(path, user string, rest []string) error {
	uid := map[string]int{"root": 0, "alice": alice, "bob": bob}[user]
	switch len(rest) {
	case 0:
		return errors.Join(os.WriteFile(path, []byte(path), 0o644), os.Chown(path, uid, uid))
	case 2:
		return errors.Join(os.Symlink(rest[1], path), os.Lchown(path, uid, uid))
	}
	modes := map[string]fs.FileMode{"755": 0o755, "775": 0o775, "777": 0o777, "1777": 0o777 | fs.ModeSticky}
	return errors.Join(os.Mkdir(path, 0o755), os.Chown(path, uid, uid), os.Chmod(path, modes[rest[0]]))
}

// Protects root's files from links and directories of other users, and the links
// that are as root wants them.
func TestLocate(t *testing.T) {
	for name, test := range map[string]struct {
		tree    string
		path    string
		want    string // below the directory
		refused string // or the end of what is not followed
	}{
		"a file":                              {"etc root 755", "etc/a", "etc/a", ""},
		"a file of alice":                     {"home alice 755", "home/a", "home/a", ""},
		"deep in a home":                      {"home alice 755\nhome/conf alice 755", "home/conf/a", "home/conf/a", ""},
		"a link of root":                      {"etc root 755\nvar root 755\netc/a root -> ../var/b", "etc/a", "var/b", ""},
		"an absolute link of root":            {"etc root 755\nvar root 755\netc/a root -> DIR/var/b", "etc/a", "var/b", ""},
		"a linked directory of root":          {"etc root 755\nvar root 755\netc/d root -> DIR/var", "etc/d/a", "var/a", ""},
		"a link of root to a home":            {"etc root 755\nhome alice 755\netc/a root -> ../home/a", "etc/a", "home/a", ""},
		"a chain of root":                     {"etc root 755\netc/a root -> b\netc/b root -> c\netc/c root -> d", "etc/a", "etc/d", ""},
		"a link of alice to root's":           {"home alice 755\netc root 755\nhome/a alice -> DIR/etc/b", "home/a", "", "etc"},
		"the same by ..":                      {"home alice 755\netc root 755\nhome/a alice -> ../etc/b", "home/a", "", "etc"},
		"the same by a chain":                 {"home alice 755\netc root 755\nhome/a alice -> b\nhome/b alice -> ../etc/b", "home/a", "", "etc"},
		"the same by a link of root":          {"home alice 755\netc root 755\nvar root 755\nvar/a root -> ../etc/a\nhome/a alice -> ../var/a", "home/a", "", "etc"},
		"a linked directory of alice":         {"home alice 755\netc root 755\nhome/d alice -> ../etc", "home/d/a", "", "etc"},
		"one behind another":                  {"home alice 755\netc root 755\nhome/d alice 755\nhome/d/e alice -> ../../etc", "home/d/e/a", "", "etc"},
		"a link of root's in a home":          {"home alice 755\netc root 755\nhome/a root -> ../etc/b", "home/a", "", "etc"},
		"a link of alice to her own":          {"home alice 755\nhome/a alice -> b", "home/a", "home/b", ""},
		"one to a directory of hers":          {"home alice 755\nhome/v1 alice 755\nhome/now alice -> v1", "home/now/a", "home/v1/a", ""},
		"one to her other home":               {"home alice 755\nsrv root 755\nsrv/alice alice 755\nhome/a alice -> ../srv/alice/a", "home/a", "srv/alice/a", ""},
		"one to bob's":                        {"home alice 755\nbob bob 755\nhome/a alice -> ../bob/a", "home/a", "", "bob"},
		"one by bob's link to alice's":        {"home alice 755\nbob bob 755\nhome/a alice -> ../bob/a\nbob/a bob -> ../home/b", "home/a", "", "bob/a"},
		"root's directory in a home":          {"home alice 755\nhome/d root 755", "home/d/a", "", "home/d"},
		"bob's directory in a home":           {"home alice 755\nhome/d bob 755", "home/d/a", "", "home/d"},
		"bob's directory in bob's":            {"home alice 755\nhome/d alice 755\nhome/d/e alice 755", "home/d/e/a", "home/d/e/a", ""},
		"in a volume for all":                 {"vol root 777", "vol/a", "vol/a", ""},
		"root's directory in it":              {"vol root 777\nvol/d root 755", "vol/d/a", "vol/d/a", ""},
		"alice's directory in it":             {"vol root 777\nvol/d alice 755", "vol/d/a", "vol/d/a", ""},
		"a link in it":                        {"vol root 777\netc root 755\nvol/a alice -> ../etc/a", "vol/a", "", "vol/a"},
		"a link of root's in it":              {"vol root 777\netc root 755\nvol/a root -> ../etc/a", "vol/a", "", "vol/a"},
		"a link in one for a group":           {"vol root 775\netc root 755\nvol/a root -> ../etc/a", "vol/a", "", "vol/a"},
		"a link of root's in a tmp":           {"tmp root 1777\netc root 755\ntmp/a root -> ../etc/a", "tmp/a", "etc/a", ""},
		"a link of alice in a tmp":            {"tmp root 1777\netc root 755\ntmp/a alice -> ../etc/a", "tmp/a", "", "etc"},
		"one of alice to hers":                {"tmp root 1777\nhome alice 755\ntmp/a alice -> ../home/a", "tmp/a", "home/a", ""},
		"one that points nowhere":             {"home alice 755\nhome/a alice -> b", "home/a", "home/b", ""},
		"one that points nowhere in root's":   {"home alice 755\netc root 755\nhome/a alice -> ../etc/none", "home/a", "", "etc"},
		"one through the directory of a proc": {"home alice 755\nhome/a alice -> /proc/self/root/etc/b", "home/a", "", "/etc"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, test.tree)
			d, base, err := Locate(filepath.Join(dir, test.path), Checked)
			if err == nil {
				defer d.Close()
			}
			if test.refused == "" {
				if want := filepath.Join(dir, test.want); err != nil || d.RealPath(base) != want {
					t.Errorf("got %v, %v, want %s", d, err, want)
				}
				return
			}
			var refused *PathError
			if !errors.As(err, &refused) || !strings.HasSuffix(refused.At, test.refused) {
				t.Fatalf("got %v, want that %s is not followed", err, test.refused)
			}
			if trusting, _, err := Locate(filepath.Join(dir, test.path), Trusted); err != nil {
				t.Errorf("with trust: %v", err)
			} else {
				trusting.Close()
			}
		})
	}
}

// A path that had no link must not get one.
func TestFixed(t *testing.T) {
	dir := tree(t, "etc root 755\nvar root 755\netc/d root -> ../var")
	if _, _, err := LocateEntry(dir+"/etc/d/a", Fixed); !errors.As(err, new(*PathError)) {
		t.Errorf("got %v, want that the link is not followed", err)
	}
	d, name, err := LocateEntry(dir+"/etc/d", Fixed)
	if err != nil || name != "d" {
		t.Errorf("got %q, %v for the entry that is a link", name, err)
	}
	d.Close()
}

// Protects what is behind an entry that became a link after its directory was
// opened, and what is in the place of a directory that was moved away.
func TestEntriesAreNotFollowed(t *testing.T) {
	dir := tree(t, "etc root 755\netc/shadow root\nhome alice 755\nhome/conf alice 755\nhome/conf/a alice")
	d, name, err := Locate(dir+"/home/conf/a", Checked)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, err := range []error{
		os.Rename(dir+"/home/conf", dir+"/home/away"), os.Symlink(dir+"/etc", dir+"/home/conf"),
		os.Remove(dir + "/home/away/a"), os.Symlink(dir+"/etc/shadow", dir+"/home/away/a"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, open := range map[string]func(string) (*File, error){"Open": d.Open, "OpenWrite": d.OpenWrite, "OpenChange": d.OpenChange} {
		if _, err := open(name); !errors.As(err, new(*TypeError)) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := d.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: got %v", err)
	}
	if stat, err := d.Lstat(name); err != nil || stat.Mode.Type() != fs.ModeSymlink {
		t.Errorf("Lstat: got %v, %v", stat.Mode, err)
	}
	f, temp, err := d.CreateTemp(".a", "")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := d.Rename(temp, name); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(dir + "/etc/shadow"); err != nil || string(got) != dir+"/etc/shadow" {
		t.Errorf("root's file became %q, %v", got, err)
	}
	if _, err := os.Lstat(dir + "/etc/a"); err == nil {
		t.Error("a file came to be behind the link")
	}
}

// Protects root's files that another user gave a second name.
func TestSecondNames(t *testing.T) {
	dir := tree(t, "etc root 755\netc/shadow root\nhome alice 755")
	if err := os.Link(dir+"/etc/shadow", dir+"/home/a"); err != nil {
		t.Fatal(err)
	}
	for parent, refused := range map[string]bool{"home": true, "etc": false} {
		d, name, err := Locate(filepath.Join(dir, parent, map[string]string{"home": "a", "etc": "shadow"}[parent]), Checked)
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.OpenWrite(name)
		if got := errors.As(err, new(*PathError)); got != refused {
			t.Errorf("in %s: got %v, want refused: %v", parent, err, refused)
		}
		if err == nil {
			f.Close()
		}
		d.Close()
	}
}

// Protects kconfd from files without end, or that are none.
func TestReadFile(t *testing.T) {
	const limit = 1 << 20
	for name, test := range map[string]struct {
		make  func(path string) error
		wrong bool
	}{
		"a file":               {func(path string) error { return os.WriteFile(path, []byte("content"), 0o600) }, false},
		"one of the limit":     {func(path string) error { return os.WriteFile(path, make([]byte, limit), 0o600) }, false},
		"a link":               {func(path string) error { return os.Symlink("/etc/hostname", path) }, false},
		"one of proc":          {func(path string) error { return os.Symlink("/proc/self/status", path) }, false},
		"one more":             {func(path string) error { return os.WriteFile(path, make([]byte, limit+1), 0o600) }, true},
		"a huge one":           {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) }, true},
		"a FIFO":               {func(path string) error { return syscall.Mkfifo(path, 0o600) }, true},
		"a device without end": {func(path string) error { return os.Symlink("/dev/zero", path) }, true},
		"the kernel's log":     {func(path string) error { return os.Symlink("/proc/kmsg", path) }, true},
		"a directory":          {func(path string) error { return os.Mkdir(path, 0o700) }, true},
		"a socket": {func(path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			return errors.Join(err, unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd))
		}, true},
		"nothing": {func(string) error { return nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/a"
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			got, err := ReadFile(path, limit)
			want, wantErr := []byte(nil), error(nil)
			if !test.wrong {
				want, wantErr = os.ReadFile(path)
			}
			if (err != nil) != test.wrong || wantErr != nil || len(got) != len(want) && !strings.Contains(name, "proc") {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

func TestMakeDirAll(t *testing.T) {
	dir := tree(t, "home alice 755\netc root 755\nhome/d alice -> ../etc")
	if err := MakeDirAll(dir + "/a/b/c"); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir + "/a/b/c"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := MakeDirAll(dir + "/a/b/c"); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if err := MakeDirAll(dir + "/home/d/e"); !errors.As(err, new(*PathError)) {
		t.Errorf("behind a link: got %v", err)
	}
}

// Errors and commands have a path as its user wrote it.
func TestPathAsWritten(t *testing.T) {
	t.Chdir(tree(t, "etc root 755\nlink root -> etc"))
	for path, want := range map[string]string{"etc/a": "etc/a", "./etc/a": "etc/a", "a": "a"} {
		d, name, err := Locate(path, Checked)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Path(name); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		d.Close()
	}
	if _, _, err := Locate("none/a", Checked); err == nil || !strings.HasPrefix(err.Error(), "open none/a: ") {
		t.Errorf("got %v", err)
	}
}

// Documents are kept on a volume that refuses to change modes, if they are not more open there.
func TestReplaceWithoutModes(t *testing.T) {
	dir := tree(t, "etc root 755\nhome alice 755")
	for mode, kept := range map[fs.FileMode]bool{0o600: true, 0o640: true} {
		d, err := OpenDir(dir+"/etc", Checked)
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error)
		go func() { // until it is replaced
			runtime.LockOSThread() // and never unlocked: the thread ends with its filter
			refuseChmod(t)
			result <- d.Replace("state", []byte("new"), mode)
		}()
		if err := <-result; (err == nil) != kept {
			t.Errorf("mode %04o: got %v", mode, err)
		}
		d.Close()
	}
}

// refuseChmod has the thread's fchmod fail from now on.
func refuseChmod(t *testing.T) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_FCHMOD},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Errorf("installing a filter for system calls: %v", errno)
	}
}
