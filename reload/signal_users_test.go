package reload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Users that own nothing on a machine that tests run on.
const (
	appUser      = 65533
	attackerUser = 65534
)

// needRoot is for tests with processes of several users.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts processes of other users: run it as root")
	}
}

// as is the attribute of a process of another user.
func as(uid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
}

// openDir is a directory that everybody reaches and one user owns.
func openDir(t *testing.T, owner int, mode os.FileMode) string {
	t.Helper()
	base := t.TempDir()
	for dir := base; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		fatal(t, os.Chmod(dir, 0o755))
	}
	dir := filepath.Join(base, "run")
	fatal(t, os.Mkdir(dir, 0o755))
	fatal(t, os.Chown(dir, owner, owner))
	fatal(t, os.Chmod(dir, mode))
	return dir
}

// A pidWriter makes a pid file.
type pidWriter struct {
	owner   int
	mode    os.FileMode // 0: 0644
	dirUser int
	dirMode os.FileMode // 0: 0755
}

func (w pidWriter) write(t *testing.T, pid int) string {
	t.Helper()
	dir := openDir(t, w.dirUser, max(w.dirMode, 0o755))
	path := filepath.Join(dir, "app.pid")
	fatal(t, os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o644))
	fatal(t, os.Chown(path, w.owner, w.owner))
	if w.mode != 0 {
		fatal(t, os.Chmod(path, w.mode))
	}
	return path
}

// Whoever may write a pid file has root signal no process that is not that user's own.
func TestPIDFileOfAnotherUser(t *testing.T) {
	needRoot(t)
	app := appUser
	inAttackers := pidWriter{owner: attackerUser, dirUser: attackerUser}
	for what, test := range map[string]struct {
		process int // whose it is
		file    pidWriter
		user    *int
		refused string // empty: it is signalled
	}{
		"root's names root's":                {0, pidWriter{}, nil, ""},
		"root's names a user's":              {appUser, pidWriter{}, nil, ""},
		"a user's names the same user's":     {appUser, pidWriter{owner: appUser, dirUser: appUser}, nil, ""},
		"root's in a user's directory":       {0, pidWriter{dirUser: appUser}, nil, ""},
		"in an emptyDir":                     {appUser, pidWriter{owner: appUser, dirMode: 0o777}, nil, ""},
		"in /tmp":                            {appUser, pidWriter{dirMode: 0o777 | os.ModeSticky}, nil, ""},
		"an attacker's names root's":         {0, inAttackers, nil, "is of user 0, and the file of user 65534"},
		"an attacker's names a user's":       {appUser, inAttackers, nil, "is of user 65533, and the file of user 65534"},
		"an attacker's, and the user's name": {appUser, inAttackers, &app, ""},
		"an attacker's, another user's name": {0, inAttackers, &app, "is of user 0, and the file of user 65534"},
		"root's, moved by an attacker":       {appUser, pidWriter{dirUser: attackerUser}, nil, "is of user 65533, and the file of user 0"},
		"everybody's":                        {0, pidWriter{mode: 0o666}, nil, "others than its owner may write to it (mode 0666)"},
		"a group's":                          {0, pidWriter{mode: 0o664}, nil, "others than its owner may write to it (mode 0664)"},
	} {
		t.Run(what, func(t *testing.T) {
			s := startServerAs(t, test.process, uniqueName("u"))
			action := hup(test.file.write(t, s.pid()), "")
			action.UID = test.user
			err := action.Do(t.Context())
			if test.refused == "" {
				fatal(t, err)
				if got := s.next(); got != "master told" {
					t.Errorf("the process said %q, want that it was told", got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("got error %v, want %q in it", err, test.refused)
			}
			if said := s.end(); said != nil {
				t.Errorf("it was signalled: %q", said)
			}
		})
	}
}

// What is no plain file is not opened: that might wait for ever, or set off a device.
func TestPIDFileThatIsNone(t *testing.T) {
	needRoot(t)
	s := startServer(t, "", uniqueName("f"), 0)
	target := pidWriter{}.write(t, s.pid())
	for what, make := range map[string]func(path string) error{
		"link":       func(path string) error { return os.Symlink(target, path) },
		"FIFO":       func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"device":     func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) }, // zero
		"socket":     func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o644, 0) },
		"directory":  func(path string) error { return os.Mkdir(path, 0o755) },
		"other name": func(path string) error { return os.Link(target, path) },
	} {
		path := filepath.Join(openDir(t, attackerUser, 0o755), "app.pid")
		if what == "other name" {
			path = filepath.Join(filepath.Dir(target), "app.pid2")
			fatal(t, os.Chown(filepath.Dir(target), attackerUser, attackerUser))
			fatal(t, os.Chmod(filepath.Dir(target), 0o777))
		}
		fatal(t, make(path))
		err := hup(path, "").Do(t.Context())
		if err == nil || !strings.Contains(err.Error(), "it is not a regular file") && !strings.Contains(err.Error(), "it has 2 names") {
			t.Errorf("%s: got error %v, want that it is none", what, err)
		}
		if what == "other name" {
			fatal(t, os.Remove(path))
			fatal(t, os.Chown(filepath.Dir(target), 0, 0))
			fatal(t, os.Chmod(filepath.Dir(target), 0o755))
		}
	}
	if said := s.end(); said != nil {
		t.Errorf("it was signalled: %q", said)
	}
}

// startServerAs starts a server as a user.
func startServerAs(t *testing.T, uid int, argv0 string, env ...string) *server {
	t.Helper()
	return startServerWith(t, func(cmd *exec.Cmd) {
		cmd.Path = openCopy(t)
		cmd.SysProcAttr = as(uid)
	}, "", argv0, 0, env...)
}

// openCopy is the test binary where every user may run it.
func openCopy(t *testing.T) string {
	t.Helper()
	program, err := os.ReadFile(testBinary(t))
	fatal(t, err)
	path := filepath.Join(openDir(t, 0, 0o755), "server")
	fatal(t, os.WriteFile(path, program, 0o755))
	return path
}

// A name proves nothing. A process of another user that bears it is not signalled,
// and does not keep the one that is meant from being signalled.
func TestSpoofedNames(t *testing.T) {
	needRoot(t)
	app, none := appUser, 65532
	for what, test := range map[string]struct {
		meant   int // whose process is meant
		spoofs  []int
		user    *int
		refused string
	}{
		"beside kconfd's own":         {0, []int{attackerUser}, nil, ""},
		"two beside kconfd's own":     {0, []int{attackerUser, attackerUser, appUser}, nil, ""},
		"none, and another user's":    {appUser, nil, nil, ""},
		"beside another user's":       {appUser, []int{attackerUser}, nil, "processes of several users have the name"},
		"and the user is named":       {appUser, []int{attackerUser, attackerUser}, &app, ""},
		"kconfd's own, another named": {appUser, []int{0}, &app, ""},
		"and the user has none":       {appUser, []int{attackerUser}, &none, "no such process of user 65532"},
	} {
		t.Run(what, func(t *testing.T) {
			name := uniqueName("n")
			meant := startServerAs(t, test.meant, "/usr/sbin/"+name)
			var spoofs []*server
			for n, uid := range test.spoofs {
				if n%2 == 0 {
					spoofs = append(spoofs, startServerAs(t, uid, name))
				} else {
					spoofs = append(spoofs, startServerAs(t, uid, "x", "COMM="+name))
				}
			}
			action := hup("", name)
			action.UID = test.user
			err := action.Do(t.Context())
			switch {
			case test.refused == "":
				fatal(t, err)
				if got := meant.next(); got != "master told" {
					t.Errorf("the process said %q, want that it was told", got)
				}
			case err == nil || !strings.Contains(err.Error(), test.refused):
				t.Errorf("got error %v, want %q in it", err, test.refused)
			}
			for _, s := range append(spoofs, meant) {
				if said := s.end(); said != nil {
					t.Errorf("process %d of another was signalled: %q", s.pid(), said)
				}
			}
		})
	}
}

// What a set-user-ID program is called is up to whoever starts it. A program that has the
// name goes before it.
func TestProgramGoesBeforeItsName(t *testing.T) {
	name := uniqueName("g")
	called := startServer(t, "", name, 0)
	program := startServer(t, copyOfTestBinary(t, name), "other", 0, "COMM=other")
	fatal(t, hup("", name).Do(t.Context()))
	if got := program.next(); got != "master told" {
		t.Errorf("the program said %q, want that it was told", got)
	}
	if said := called.end(); said != nil {
		t.Errorf("what only calls itself so was signalled: %q", said)
	}
}

// A process that has become another user's since it was found is another one.
func TestUserChangedMeanwhile(t *testing.T) {
	name := uniqueName("w")
	s := startServer(t, "", name, 0)
	found, err := readProcess(s.pid())
	fatal(t, err)
	found.uid++
	if err := found.signal(syscall.SIGHUP, name); !errors.Is(err, ErrNoProcess) {
		t.Errorf("got error %v, want ErrNoProcess", err)
	}
	if said := s.end(); said != nil {
		t.Errorf("it was signalled: %q", said)
	}
}

func TestUserOfASignalToTheChild(t *testing.T) {
	uid := 1
	err := Action{Kind: Signal, Signal: syscall.SIGHUP, UID: &uid}.Validate()
	if want := `field "user": does nothing without pid_file or process`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
	err = Action{Kind: Exec, Command: Command{Shell: "true"}, UID: &uid}.Validate()
	if want := fmt.Sprintf("field %q: does nothing here", "user"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want %s", err, want)
	}
}
