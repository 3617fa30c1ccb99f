package watcher

import (
	"fmt"
	"hash/maphash"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A directory of a fileCase looks like this at first:
//
//	file  other  .hidden  sub/file  link -> file  linked -> sub
//	mount/..1/file  mount/..2/file  mount/..data -> ..1  mount/file -> ..data/file
//	mount/..1/dir/file  mount/..2/dir/file  mount/dir -> ..data/dir
type fileCase struct {
	watch []string // in the directory; "" is itself
	act   func(t *testing.T, dir string)
	want  bool // that it is worth a look
}

func fileCases() map[string]fileCase {
	write := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, name), "new") }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, name))) }
	}
	rename := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
		}
	}
	relink := func(name, target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.Symlink(target, filepath.Join(dir, ".tmp-link")))
			must(t, os.Rename(filepath.Join(dir, ".tmp-link"), filepath.Join(dir, name)))
		}
	}
	all, one := []string{""}, []string{"file"}
	return map[string]fileCase{
		"directory: a file is written":             {all, write("file"), true},
		"directory: a file is made":                {all, write("more"), true},
		"directory: a file is removed":             {all, remove("file"), true},
		"directory: a file is replaced":            {all, rename(".hidden", "file"), true},
		"directory: a file moves":                  {all, rename("file", "elsewhere"), true},
		"directory: a file becomes hidden":         {all, rename("file", ".file"), true},
		"directory: a file's mode changes":         {all, func(t *testing.T, dir string) { must(t, os.Chmod(dir+"/file", 0o600)) }, true},
		"directory: a directory is made":           {all, func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/more", 0o755)) }, true},
		"directory: a file below is written":       {all, write("sub/file"), true},
		"directory: a directory below is removed":  {all, remove("sub"), true},
		"directory: it is removed":                 {[]string{"sub"}, remove("sub"), true},
		"directory: it moves":                      {[]string{"sub"}, rename("sub", "moved"), true},
		"directory: a hidden file is written":      {all, write(".hidden"), false},
		"directory: a hidden file is made":         {all, write(".more"), false},
		"directory: a hidden file is removed":      {all, remove(".hidden"), false},
		"directory: a hidden file moves":           {all, rename(".hidden", ".moved"), false},
		"directory: a file is read":                {all, func(t *testing.T, dir string) { mustRead(t, dir+"/file") }, false},
		"directory: something beside it":           {[]string{"sub"}, write("file"), false},
		"directory: below a link":                  {[]string{"linked"}, write("sub/file"), true},
		"directory: its link points elsewhere":     {[]string{"linked"}, relink("linked", "mount"), true},
		"file: it is written":                      {one, write("file"), true},
		"file: it is replaced":                     {one, rename(".hidden", "file"), true},
		"file: it is removed":                      {one, remove("file"), true},
		"file: it moves":                           {one, rename("file", "elsewhere"), true},
		"file: another is written":                 {one, write("other"), false},
		"file: another is made":                    {one, write("more"), false},
		"file: another is removed":                 {one, remove("other"), false},
		"file: the target of its link is written":  {[]string{"link"}, write("file"), true},
		"file: its link points elsewhere":          {[]string{"link"}, relink("link", "other"), true},
		"file: a link on the way points elsewhere": {[]string{"linked/file"}, relink("linked", "mount"), true},
		"file: missing, and made":                  {[]string{"missing"}, write("missing"), true},
		"file: missing, and another is made":       {[]string{"missing"}, write("more"), false},
		"file: its directory is missing, and made": {[]string{"missing/sub/file"}, func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/missing", 0o755)) }, true},
		"file: the directory it is in is removed":  {[]string{"sub/file"}, remove("sub"), true},
		"file: the directory it is in moves":       {[]string{"sub/file"}, rename("sub", "moved"), true},
		"file: missing, its directory is removed":  {[]string{"sub/missing"}, remove("sub"), true},
		"mount: its data are swapped":              {[]string{"mount"}, relink("mount/..data", "..2"), true},
		"mount: the data of one file are swapped":  {[]string{"mount/file"}, relink("mount/..data", "..2"), true},
		"mount: below a link in it":                {[]string{"mount"}, write("mount/..1/dir/file"), true},
		"mount: a new version is made ready":       {[]string{"mount"}, write("mount/..3/file"), false},
		"two names of one directory, the first":    {[]string{"linked/file", "sub/other"}, write("sub/file"), true},
		"two names of one directory, the second":   {[]string{"linked/file", "sub/other"}, write("sub/other"), true},
		"two names of one directory, neither":      {[]string{"linked/file", "sub/other"}, write("sub/more"), false},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeFileCase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"file", "other", ".hidden", "sub/file", "mount/..1/file", "mount/..2/file", "mount/..1/dir/file", "mount/..2/dir/file"} {
		writeFile(t, filepath.Join(dir, name), "old")
	}
	for name, target := range map[string]string{"link": "file", "linked": "sub", "mount/..data": "..1", "mount/file": "..data/file", "mount/dir": "..data/dir"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	return dir
}

// Every kind of change that matters is worth a look, and nothing else is: what
// is told by the kernel is judged here, up to a mark that is made last.
func TestFilesThatMatter(t *testing.T) {
	for name, c := range fileCases() {
		t.Run(name, func(t *testing.T) {
			dir := makeFileCase(t)
			f, marks := judged(t)
			var paths []string
			for _, p := range c.watch {
				paths = append(paths, filepath.Join(dir, p))
			}
			f.Watch(paths)
			must(t, f.notify.Add(marks))
			c.act(t, dir)
			matters, events := judge(t, f, marks)
			if matters != c.want {
				t.Errorf("got %v, want %v; events: %q", matters, c.want, events)
			}
		})
	}
}

// judged are Files whose events are left to the test, and a directory for
// marks between them.
func judged(t *testing.T) (f *Files, marks string) {
	t.Helper()
	notify, err := fsnotify.NewWatcher()
	must(t, err)
	f = &Files{
		log: (&logBook{}).logger(), notify: notify, ticker: time.NewTicker(time.Hour),
		changed: make(chan struct{}, 1), done: make(chan struct{}), seed: maphash.MakeSeed(),
	}
	t.Cleanup(f.Close)
	return f, t.TempDir()
}

// judge says whether any of the events so far matters.
func judge(t *testing.T, f *Files, marks string) (matters bool, events []string) {
	t.Helper()
	made, err := os.CreateTemp(marks, "mark")
	must(t, err)
	must(t, made.Close())
	for event := range f.notify.Events {
		if event.Name == made.Name() {
			break
		}
		events = append(events, event.String())
		matters = matters || f.matters(event.Name)
	}
	return matters, events
}

// A directory that was replaced by another of the same name looks the same,
// and is watched nonetheless.
func TestFilesFollowAReplacedDirectory(t *testing.T) {
	f, marks := judged(t)
	dir := t.TempDir() + "/dir"
	must(t, os.Mkdir(dir, 0o755))
	f.Watch([]string{dir})
	must(t, f.notify.Add(marks))
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Mkdir(dir, 0o755))
	if matters, events := judge(t, f, marks); !matters {
		t.Errorf("not seen to be replaced: %q", events)
	}
	f.Watch([]string{dir})
	judge(t, f, marks)
	writeFile(t, dir+"/file", "new")
	if matters, events := judge(t, f, marks); !matters {
		t.Errorf("not watched after that: %q", events)
	}
}

func newFiles(t *testing.T, log *logBook) *Files {
	t.Helper()
	f := NewFiles(log.logger())
	t.Cleanup(f.Close)
	return f
}

func awaitChange(t *testing.T, f *Files) {
	t.Helper()
	select {
	case <-f.Changed():
	case <-time.After(patience):
		t.Fatal("nothing told of a change")
	}
}

// What changed before the watch began is to be seen too.
func TestFilesPokeAtFirst(t *testing.T) {
	f := newFiles(t, &logBook{})
	dir := t.TempDir()
	f.Watch([]string{dir})
	awaitChange(t, f)
	writeFile(t, dir+"/file", "new")
	awaitChange(t, f)
}

// What is no longer wanted is no longer watched.
func TestFilesWatchWhatTheyWereToldLast(t *testing.T) {
	f := newFiles(t, &logBook{})
	one, two := t.TempDir(), t.TempDir()
	f.Watch([]string{one})
	f.Watch([]string{two})
	for _, watched := range f.notify.WatchList() {
		if strings.HasPrefix(watched, one) {
			t.Errorf("%s is still watched", watched)
		}
	}
	awaitChange(t, f)
	writeFile(t, two+"/file", "new")
	awaitChange(t, f)
}

// Directories come and go, at any depth and faster than they can be watched:
// in the end, what is there has been seen.
func TestFilesSeeWhatEndsUpThere(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string){
		"removed and made again": func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
		"moved away and made again": func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir+".old"))
			must(t, os.Rename(dir, dir+".old"))
		},
	}
	for name, clear := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t, &logBook{})
			dir := filepath.Join(t.TempDir(), "dir")
			deep := filepath.Join(dir, "a", "b", "c", "file")
			for n := range 100 {
				want := fmt.Sprint(n)
				if n > 0 {
					clear(t, dir)
				}
				written := make(chan struct{})
				go func() { // ends when the file is written
					defer close(written)
					_ = os.MkdirAll(filepath.Dir(deep), 0o755)
					_ = os.WriteFile(deep, []byte(want), 0o644)
				}()
				f.Watch([]string{dir})
				for {
					if content, _ := os.ReadFile(deep); string(content) == want {
						break
					}
					awaitChange(t, f)
					f.Watch([]string{dir})
				}
				<-written
			}
		})
	}
}

const noInotify = "KCONFD_TEST_NO_INOTIFY"

// Where the kernel gives no inotify, files are looked at now and then. It is
// taken from a process of its own.
func TestFilesWithoutInotify(t *testing.T) {
	if os.Getenv(noInotify) != "" {
		withoutInotifyHere(t)
		return
	}
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestFilesWithoutInotify$", "-test.v")
	child.Env = append(os.Environ(), noInotify+"=1")
	output, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "a look without inotify") {
		t.Errorf("%v\n%s", err, output)
	}
}

// withoutInotifyHere uses up the process's file descriptors.
func withoutInotifyHere(t *testing.T) {
	dir := t.TempDir()
	next, err := syscall.Dup(0)
	must(t, err)
	must(t, syscall.Close(next))
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(next), Max: before.Max}))
	defer func() { must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)) }()
	var log logBook
	f := newFiles(t, &log)
	f.Watch([]string{dir})
	if len(log.lines("level=WARN", "no inotify", "too many open files", "fs.inotify.max_user_instances")) != 1 {
		t.Errorf("the log does not say so:\n%s", &log)
	}
	awaitChange(t, f)
	t.Log("a look without inotify")
}

// The same goes when there are more directories than watches to be had.
func TestFilesThatCannotBeWatched(t *testing.T) {
	t.Parallel()
	var log logBook
	f := newFiles(t, &log)
	must(t, f.notify.Close()) // from now on every watch fails
	dir := t.TempDir()
	f.Watch([]string{dir})
	f.Watch([]string{dir})
	awaitChange(t, f) // since the watch began
	awaitChange(t, f) // since it is time
	if n := len(log.lines("level=WARN", "cannot watch", "fs.inotify.max_user_watches")); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, &log)
	}
}
