package hostile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

// guarded are files of root's that must stay as they are.
type guarded struct {
	s     *stage
	files map[string]fs.FileInfo
}

// guard makes some of root's files, which the application's user may read.
func (s *stage) guard(names ...string) guarded {
	s.t.Helper()
	g := guarded{s, map[string]fs.FileInfo{}}
	for _, name := range names {
		path := s.path(name)
		s.must(os.MkdirAll(filepath.Dir(path), 0o755))
		s.must(os.WriteFile(path, []byte("root's "+name), 0o644))
		info, err := os.Stat(path)
		s.must(err)
		g.files[path] = info
	}
	return g
}

// check says when a file was touched in any way, or one came beside it.
func (g guarded) check() {
	g.s.t.Helper()
	for path, was := range g.files {
		info, err := os.Lstat(path)
		if err != nil {
			g.s.t.Errorf("root's file: %v", err)
			continue
		}
		before, now := was.Sys().(*syscall.Stat_t), info.Sys().(*syscall.Stat_t)
		if before.Ino != now.Ino || before.Mode != now.Mode || before.Uid != now.Uid || before.Gid != now.Gid || before.Mtim != now.Mtim {
			g.s.t.Errorf("root's file %s was changed: %+v became %+v: %s", path, before, now, g.s.read(path))
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		g.s.must(err)
		for _, e := range entries {
			if beside := filepath.Join(filepath.Dir(path), e.Name()); g.files[beside] == nil {
				g.s.t.Errorf("a file came to be among root's: %s", beside)
			}
		}
	}
}

// setValue is what the template prints from now on.
func (s *stage) setValue(value string) {
	s.t.Helper()
	s.write("objects.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\ndata: {value: "+value+"}\n")
}

// group is a resource file for home/app.conf; more are lines for the template.
func (s *stage) group(more ...string) {
	s.t.Helper()
	s.write("conf.d/a.toml", fmt.Sprintf(`
[[template]]
contents = '{{ (configMap "c").value }}'
dest = %q
%s
[reload]
action = "exec"
command = "cat %s >>%s"
retry = "50ms:200ms"
`, s.home+"/app.conf", strings.Join(more, "\n"), s.home+"/app.conf", s.path("actions")))
}

// Protects root's files from a journal that the application's user wrote.
func TestForgedJournals(t *testing.T) {
	for name, forge := range forgedJournals() {
		for _, flags := range [][]string{nil, {"-state-dir", "st"}} {
			t.Run(fmt.Sprint(name, flags), func(t *testing.T) {
				s := newStage(t)
				g := s.guard("etc/passwd")
				s.group()
				s.setValue("blue")
				journal := s.home + "/.app.conf.kconfd"
				s.as(other, func() error {
					return errors.Join(
						os.WriteFile(s.home+"/.app.conf1234567890123456789.old", []byte("forged"), 0o644),
						os.WriteFile(s.home+"/app.conf", []byte("old"), 0o644),
						forge(s, journal))
				})
				k := s.start(append(flags, "-wait", "0s")...)
				process.Await(t, "the file is live", func() bool { return s.read(s.home+"/app.conf") == "blue" })
				process.Await(t, "the action", func() bool { return strings.Contains(s.read(s.path("actions")), "blue") })
				k.Stop(syscall.SIGTERM)
				g.check()
				if strings.Contains(s.read(s.home+"/app.conf"), "forged") {
					t.Error("the forged backup went live")
				}
			})
		}
	}
}

// journal is a document with a right checksum.
func journal(olds ...map[string]any) []byte {
	document, err := json.Marshal(map[string]any{"group": "a", "files": []string{"x"}, "olds": olds, "undoing": true})
	if err != nil {
		panic(err) // it always marshals
	}
	sum := sha256.Sum256(document)
	text, err := json.Marshal(map[string]any{"version": 1, "sha256": hex.EncodeToString(sum[:]), "document": json.RawMessage(document)})
	if err != nil {
		panic(err)
	}
	return text
}

// Protects root's files, and the live file, from what comes into its directory
// while a check runs.
func TestPlantedDuringACheck(t *testing.T) {
	for name, plant := range plantings() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			g := s.guard("etc/passwd")
			s.must(syscall.Mkfifo(s.path("pause"), 0o600))
			s.group(`check_cmd = "echo {{.src}} >` + s.path("checking") + `; read x <` + s.path("pause") + `"`)
			s.setValue("blue")
			s.must(os.WriteFile(s.home+"/app.conf", []byte("old"), 0o644))
			s.must(os.Chown(s.home+"/app.conf", other, other))
			k := s.start("-wait", "0s")
			process.Await(t, "the check runs", func() bool { return strings.HasSuffix(s.read(s.path("checking")), "\n") })
			candidate := strings.TrimSpace(s.read(s.path("checking")))
			s.as(other, func() error { return plant(s, candidate) })
			s.must(os.Remove(s.path("checking")))
			resume(t, s)
			// Where what was planted keeps it from going live, another attempt does it.
			process.Await(t, "it is live", func() bool {
				if strings.HasSuffix(s.read(s.path("checking")), "\n") {
					s.must(os.Remove(s.path("checking")))
					resume(t, s)
				}
				info, err := os.Lstat(s.home + "/app.conf")
				if err == nil && !info.Mode().IsRegular() {
					s.must(os.Remove(s.home + "/app.conf"))
				}
				return err == nil && info.Mode().IsRegular() && s.read(s.home+"/app.conf") == "blue"
			})
			k.Stop(syscall.SIGTERM)
			g.check()
			if content := s.read(s.path("actions")); strings.Contains(content, "forged") {
				t.Errorf("what was not checked was live: %q", content)
			}
		})
	}
}

// resume lets a check that reads from the pipe pause end.
func resume(t *testing.T, s *stage) {
	t.Helper()
	s.must(os.WriteFile(s.path("pause"), []byte("go on\n"), 0))
}

// Protects root's files from links and directories in the path of a live file,
// before kconfd starts and while it runs. The error has a hint, and when the path
// is as it was, the file is written.
func TestPathsThatLeadAway(t *testing.T) {
	for name, lead := range leads() {
		for _, when := range []string{"before", "while"} {
			t.Run(name+", "+when, func(t *testing.T) {
				s := newStage(t)
				g := s.guard("etc/app.conf", "etc/passwd")
				s.group(`mode = "0666"`, `owner = "nobody"`)
				s.setValue("blue")
				var k *process.Process
				if when == "while" {
					k = s.start("-wait", "0s")
					process.Await(t, "the file is live", func() bool { return s.read(s.home+"/app.conf") == "blue" })
				}
				s.as(other, func() error { return lead.there(s) })
				s.setValue("green")
				if when == "before" {
					k = s.start("-wait", "0s")
				}
				if lead.refused {
					k.AwaitLog(0, "is not followed")
					k.AwaitLog(0, "trust_path")
				}
				if lead.back != nil {
					s.as(other, func() error { return lead.back(s) })
				}
				process.Await(t, "the file is live", func() bool {
					info, err := os.Lstat(s.home + "/app.conf")
					return err == nil && info.Mode().IsRegular() && s.read(s.home+"/app.conf") == "green"
				})
				k.Stop(syscall.SIGTERM)
				g.check()
			})
		}
	}
}

// With trust_path the same link is followed.
func TestTrustPath(t *testing.T) {
	s := newStage(t)
	s.guard("etc/app.conf")
	s.group("trust_path = true")
	s.setValue("blue")
	s.as(other, func() error { return os.Symlink(s.path("etc/app.conf"), s.home+"/app.conf") })
	k := s.start("-wait", "0s")
	process.Await(t, "the file behind the link is written", func() bool { return s.read(s.path("etc/app.conf")) == "blue" })
	k.Stop(syscall.SIGTERM)
}

// Protects root's files from a user who swaps links and files without pause,
// while kconfd repairs and writes.
func TestSwapRace(t *testing.T) {
	s := newStage(t)
	g := s.guard("etc/app.conf", "etc/passwd")
	s.group(`mode = "0600"`, `owner = "nobody"`)
	s.setValue("start")
	k := s.start("-wait", "0s")
	process.Await(t, "the file is live", func() bool { return s.read(s.home+"/app.conf") == "start" })
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() { // until the test says stop
		s.as(other, func() error {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				swapOnce(s, i)
			}
		})
	})
	for i := range 100 {
		mark := len(k.Log())
		s.setValue(fmt.Sprint("v", i))
		k.AwaitLog(mark, "\n") // it was written, or could not be
	}
	close(stop)
	swapping.Wait()
	s.as(other, func() error {
		_ = os.Remove(s.home + "/app.conf")
		return nil
	})
	s.setValue("end")
	process.Await(t, "the file is live", func() bool { return s.read(s.home+"/app.conf") == "end" })
	k.Stop(syscall.SIGTERM)
	g.check()
}

// swapOnce does one of the things that a user can do to a file of his directory.
// What fails has lost the race.
func swapOnce(s *stage, i int) {
	target, temporary := s.home+"/app.conf", s.home+"/swap"
	_ = os.Remove(temporary)
	switch i % 4 {
	case 0:
		_ = os.Symlink(s.path("etc/app.conf"), temporary)
	case 1:
		_ = os.WriteFile(temporary, []byte("mine"), 0o666)
	case 2:
		_ = os.Symlink(s.path("etc"), temporary)
	case 3:
		_ = os.Mkdir(target, 0o755)
		_ = os.Remove(target)
		return
	}
	_ = os.Rename(temporary, target)
}

// Protects kconfd, its child and its end from what is no file to be read, where
// configuration and objects are read.
func TestNotFiles(t *testing.T) {
	for name, plant := range notFiles() {
		for place, at := range placesOfFiles() {
			if name == "a directory" && place == "a manifest" {
				continue // manifests may be a directory
			}
			t.Run(name+" as "+place, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.group()
				s.setValue("blue")
				s.write("templates/b.tmpl", "b")
				k := s.start("-wait", "0s", "--", "sleep", "1000")
				k.AwaitLog(0, "child started")
				s.must(os.RemoveAll(s.path(at)))
				s.must(plant(s.path(at)))
				s.write("conf.d/b.toml", "[[template]]\nsrc = \"b.tmpl\"\ndest = \""+s.path("b.conf")+"\"\n")
				k.AwaitLog(0, "(WARN|ERROR).*"+filepath.Base(at))
				if strings.Contains(k.Log(), "child ended") {
					t.Error("the child was ended")
				}
				k.Signal(syscall.SIGTERM)
				if code := k.Wait(); code != 143 {
					t.Errorf("got exit code %d, want the child's 143", code)
				}
			})
		}
	}
}

// The same where kconfd keeps what outlives it: it starts as if nothing were
// there.
func TestNotFilesInState(t *testing.T) {
	for name, plant := range notFiles() {
		for place, at := range placesOfState() {
			t.Run(name+" as "+place, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.group()
				s.setValue("blue")
				s.must(os.Mkdir(s.path("st"), 0o700))
				s.must(plant(s.path(at)))
				var flags []string
				if strings.HasPrefix(at, "st/") {
					flags = []string{"-state-dir", "st"}
				}
				k := s.start(append(flags, "-wait", "0s", "-timeout", "100ms")...)
				process.Await(t, "the action", func() bool { return s.read(s.path("actions")) == "blue" })
				k.Stop(syscall.SIGTERM)
			})
		}
	}
}

// Protects what a link of another user in the state directory points to, and
// kconfd from a state directory of another user.
func TestStateDirectory(t *testing.T) {
	for name, test := range stateDirectories() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			g := s.guard("etc/passwd")
			s.group()
			s.setValue("blue")
			s.must(test.make(s))
			k := s.start("-wait", "0s", "-state-dir", s.path("st"))
			if test.refused {
				if code := k.Wait(); code != 1 {
					t.Errorf("got exit code %d, want 1", code)
				}
			} else {
				process.Await(t, "the file is live", func() bool { return s.read(s.home+"/app.conf") == "blue" })
				k.Stop(syscall.SIGTERM)
			}
			g.check()
		})
	}
}
