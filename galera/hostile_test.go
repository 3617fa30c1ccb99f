package galera

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A victim is a directory of root beside a volume, with a file that anybody may
// read, and one that nobody else may.
type victim struct {
	t      *testing.T
	dir    string
	before map[string]string
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	dir, err := os.MkdirTemp("", "kconfd-victim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	v := &victim{t: t, dir: dir}
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(v.path("empty"), 0o755),
		os.WriteFile(v.path("open"), []byte("open"), 0o644), os.WriteFile(v.path("secret"), []byte("secret"), 0o600),
		os.WriteFile(v.path("grastate.dat"), []byte("uuid: "+oneUUID+"\nseqno: 7\nsafe_to_bootstrap: 0\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	v.before = v.state()
	return v
}

func (v *victim) path(name string) string { return filepath.Join(v.dir, name) }

// state is all that can be told of the directory and what is in it.
func (v *victim) state() map[string]string {
	v.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(v.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, _ := os.ReadFile(path) // a directory has none
		stat := info.Sys().(*syscall.Stat_t)
		all[path] = info.Mode().String() + " " + string(content) + " " + string(rune('0'+stat.Uid))
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return all
}

// wantUnharmed compares the directory with what it was.
func (v *victim) wantUnharmed() {
	v.t.Helper()
	if diff := cmp.Diff(v.before, v.state()); diff != "" {
		v.t.Errorf("root's files were changed (-want +got):\n%s", diff)
	}
}

// asMySQL does something as the server's user.
func asMySQL(t *testing.T, do func() error) error {
	t.Helper()
	uid, gid := mysqlUser(t)
	return safefs.As(uid, gid, do)
}

// Whatever the server's user has planted where the first boot writes, root's files
// stay as they are, and the random password is in a file of root's alone.
func TestFirstBootPlanted(t *testing.T) {
	for name, plant := range map[string]func(v *volume, root *victim) error{
		"the password file is a link to an open file": func(v *volume, root *victim) error {
			return os.Symlink(root.path("open"), v.data()+".root-password")
		},
		"the password file is a link into nowhere": func(v *volume, root *victim) error {
			return os.Symlink(root.path("new"), v.data()+".root-password")
		},
		"the password file is there": func(v *volume, _ *victim) error {
			return os.WriteFile(v.data()+".root-password", nil, 0o644)
		},
		"the password file is a second name": func(v *volume, _ *victim) error {
			err := os.WriteFile(filepath.Join(v.dir, "mine"), nil, 0o666)
			return errors.Join(err, os.Link(filepath.Join(v.dir, "mine"), v.data()+".root-password"))
		},
		"the password file is a FIFO": func(v *volume, _ *victim) error {
			return syscall.Mkfifo(v.data()+".root-password", 0o666)
		},
		"the new directory is a link": func(v *volume, root *victim) error {
			return os.Symlink(root.dir, v.next())
		},
		"the new directory has links": func(v *volume, root *victim) error {
			return errors.Join(os.MkdirAll(filepath.Join(v.next(), "mysql"), 0o755),
				os.Symlink(root.dir, filepath.Join(v.next(), "mysql", "link")), os.Symlink(root.path("open"), filepath.Join(v.next(), "ibdata1")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, root := newVolume(t), newVictim(t)
			v.env = map[string]string{"MYSQL_RANDOM_ROOT_PASSWORD": "yes"}
			if err := asMySQL(t, func() error { return plant(v, root) }); err != nil {
				t.Fatal(err)
			}
			v.run()
			root.wantUnharmed()
			info, err := os.Lstat(v.data() + ".root-password")
			if err != nil {
				t.Fatal(err)
			}
			if stat := info.Sys().(*syscall.Stat_t); info.Mode() != 0o600 || stat.Uid != 0 || stat.Nlink != 1 {
				t.Errorf("the password is in a file with mode %v of uid %d with %d names", info.Mode(), stat.Uid, stat.Nlink)
			}
		})
	}
}

func (v *volume) next() string { return v.data() + ".kconfd-init" }

// What is no file to be replaced, and a link to what is root's, is refused.
func TestFirstBootRefusesPlanted(t *testing.T) {
	for name, plant := range map[string]func(v *volume, root *victim) error{
		"the password file is a directory": func(v *volume, _ *victim) error {
			return os.MkdirAll(v.data()+".root-password/x", 0o755)
		},
		"the data directory is a link": func(v *volume, root *victim) error {
			return os.Symlink(root.path("empty"), v.data())
		},
		"the data directory is a link to what is not there": func(v *volume, root *victim) error {
			return os.Symlink(root.path("none"), v.data())
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, root := newVolume(t), newVictim(t)
			v.env = map[string]string{"MYSQL_RANDOM_ROOT_PASSWORD": "yes"}
			if err := asMySQL(t, func() error { return plant(v, root) }); err != nil {
				t.Fatal(err)
			}
			if err := v.firstBoot().Run(t.Context()); err == nil {
				t.Error("it is not refused")
			}
			root.wantUnharmed()
		})
	}
}

// While the first boot runs, the server's user renames the new directory and puts
// links in its place, again and again.
func TestFirstBootRenamed(t *testing.T) {
	v, root := newVolume(t), newVictim(t)
	v.env = map[string]string{"MYSQL_RANDOM_ROOT_PASSWORD": "yes"}
	ctx, cancel := context.WithCancel(t.Context())
	attacked := make(chan error, 1)
	go func() { // until cancel
		attacked <- asMySQL(t, func() error {
			for i := 0; ctx.Err() == nil; i++ {
				_ = os.Rename(v.next(), v.next()+".moved") // it may not be there
				_ = os.Symlink(root.dir, v.next())
				_ = os.Remove(v.data() + ".root-password")
				_ = os.Symlink(root.path("open"), v.data()+".root-password")
				if i%2 == 0 {
					_ = os.Remove(v.next())
					_ = os.Rename(v.next()+".moved", v.next())
				}
				time.Sleep(time.Millisecond)
			}
			return nil
		})
	}()
	for range 3 {
		_ = v.firstBoot().Run(t.Context()) // well or not
	}
	cancel()
	if err := <-attacked; err != nil {
		t.Fatal(err)
	}
	root.wantUnharmed()
}

// What a start does in the data directory of another user does not leave it.
func TestDataDirPlanted(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(dir string, root *victim) error
		fails bool // and not only where it would have to
	}{
		"all files are links": {func(dir string, root *victim) error {
			err := os.Mkdir(dir, 0o755)
			for _, name := range []string{grastateName, gvwstateName, markerName} {
				err = errors.Join(err, os.Symlink(root.path("grastate.dat"), filepath.Join(dir, name)))
			}
			return err
		}, true},
		"a link to a directory of root": {func(dir string, root *victim) error { return os.Symlink(root.dir, dir) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			v, root := newVolume(t), newVictim(t)
			if err := asMySQL(t, func() error { return c.plant(v.data(), root) }); err != nil {
				t.Fatal(err)
			}
			d := dataDir{path: v.data(), file: v.config()}
			if got, err := d.inspect(t.Context()); err == nil && got.position.UUID != "" {
				t.Errorf("root's file was read: %+v", got)
			}
			err := errors.Join(d.mark(), d.allowBootstrap(), d.discard(), d.remove(gvwstateName, markerName))
			if c.fails && err == nil {
				t.Error("nothing fails")
			}
			root.wantUnharmed()
		})
	}
}

// Files of the data directory are its owner's, whoever writes them.
func TestDataDirOwner(t *testing.T) {
	v := newVolume(t)
	if err := asMySQL(t, func() error { return os.Mkdir(v.data(), 0o700) }); err != nil {
		t.Fatal(err)
	}
	d := dataDir{path: v.data(), file: v.config()}
	if err := errors.Join(d.mark(), d.discard()); err != nil {
		t.Fatal(err)
	}
	uid, _ := mysqlUser(t)
	for _, name := range []string{markerName, grastateName} {
		info, err := os.Stat(d.join(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != uid || info.Mode()&0o007 != 0 {
			t.Errorf("%s: uid %d, mode %v", name, got, info.Mode())
		}
	}
}

// Of a directory of root that its group may write to, nothing is done with root's
// rights.
func TestGroupWritable(t *testing.T) {
	v, root := newVolume(t), newVictim(t)
	_, gid := mysqlUser(t)
	if err := errors.Join(os.Chown(v.dir, 0, gid), os.Chmod(v.dir, 0o2775)); err != nil {
		t.Fatal(err)
	}
	v.env = map[string]string{"MYSQL_RANDOM_ROOT_PASSWORD": "yes"}
	err := asMySQL(t, func() error {
		return errors.Join(os.Symlink(root.path("open"), v.data()+".root-password"), os.Symlink(root.dir, v.next()))
	})
	if err != nil {
		t.Fatal(err)
	}
	v.run()
	root.wantUnharmed()
}

// notFiles make what is not a file to be read, and would be waited for or read
// without end.
func notFiles() map[string]func(path string) error {
	return map[string]func(path string) error{
		"a FIFO":             func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a device":           func(path string) error { return os.Symlink("/dev/zero", path) },
		"a directory":        func(path string) error { return os.Mkdir(path, 0o755) },
		"a huge file":        func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40)) },
		"a file without end": func(path string) error { return os.Symlink("/proc/kmsg", path) },
		"a link to a FIFO": func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".fifo", 0o644), os.Symlink(path+".fifo", path))
		},
		"one byte too much":   func(path string) error { return os.WriteFile(path, make([]byte, 1<<20+1), 0o644) },
		"a link to a console": func(path string) error { return os.Symlink("/dev/tty", path) },
	}
}

// Wherever a file is read, what is none is an error, at once, that names it.
func TestReadsFilesOnly(t *testing.T) {
	dir := t.TempDir()
	for kind, make := range notFiles() {
		path := filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")+".cnf")
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		includes := write(t, "[mysqld]\n!include "+path+"\n")
		deep := write(t, "[mysqld]\n!include "+includes+"\n")
		state := t.TempDir()
		for _, name := range []string{grastateName, gvwstateName, "wsrep.json"} {
			if err := os.Symlink(path, filepath.Join(state, name)); err != nil {
				t.Fatal(err)
			}
		}
		settings := Settings{DataDir: state}
		for what, read := range map[string]func() error{
			"option file":     func() error { _, err := ReadSettings(path); return err },
			"include":         func() error { _, err := ReadSettings(includes); return err },
			"deep include":    func() error { _, err := ReadSettings(deep); return err },
			"server account":  func() error { _, err := serverAccount(path); return err },
			"check":           func() error { return Check{File: path}.Run(t.Context()) },
			"check, included": func() error { return Check{File: deep}.Run(t.Context()) },
			"check -in":       func() error { return Check{File: write(t, node), In: path, Dest: "/x"}.Run(t.Context()) },
			"grastate.dat":    func() error { _, err := dataDir{path: state}.grastate(); return err },
			"allow bootstrap": func() error { return dataDir{path: state}.allowBootstrap() },
			"status file":     func() error { _, err := settings.readStatus(t.Context()); return err },
			"password": func() error {
				environment := map[string]string{"MYSQL_ROOT_PASSWORD_FILE": path}
				_, err := readAccounts(func(name string) (string, bool) { return environment[name], environment[name] != "" })
				return err
			},
			"gvwstate.dat": func() error {
				if me, view := (dataDir{path: state}).lastView(); me != "" || view != nil {
					return nil
				}
				return errors.New(path) // it is not heard of
			},
		} {
			done := time.AfterFunc(patience, func() { panic(kind + " as " + what + ": it hangs") })
			if err := read(); err == nil || !strings.Contains(err.Error(), filepath.Base(path)) && !strings.Contains(err.Error(), state) {
				t.Errorf("%s as %s: got %v", kind, what, err)
			}
			done.Stop()
		}
	}
}

// Files that include themselves, and many that include many, come to an end.
func TestIncludesEnd(t *testing.T) {
	dir := t.TempDir()
	twice := filepath.Join(dir, "twice.cnf")
	once := filepath.Join(dir, "once.cnf")
	err := errors.Join(
		os.WriteFile(twice, []byte("[mysqld]\nuser=mysql\n!include "+twice+"\n!include "+twice+"\n"), 0o644),
		os.WriteFile(once, []byte("[mysqld]\nuser=mysql\nport=3307\n!include "+once+"\n"), 0o644),
		os.Mkdir(filepath.Join(dir, "d"), 0o755),
		os.WriteFile(filepath.Join(dir, "d", "all.cnf"), []byte("[mysqld]\n"+strings.Repeat("!includedir "+filepath.Join(dir, "d")+"\n", 100)), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	for file, wantErr := range map[string]bool{once: false, twice: true, filepath.Join(dir, "d", "all.cnf"): true} {
		_, err := ReadSettings(file)
		if errors.Is(err, errTooManyIncludes) != wantErr || err != nil && !wantErr {
			t.Errorf("%s: got %v", file, err)
		}
		err = Check{File: file, Server: "/bin/true"}.Run(t.Context())
		if errors.Is(err, errTooManyIncludes) != wantErr || err != nil && !wantErr {
			t.Errorf("checking %s: got %v", file, err)
		}
	}
}
