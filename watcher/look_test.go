package watcher

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// ageAll makes all files an hour old: a clock may be too coarse to tell a change from what was
// there before.
func ageAll(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, then, then)
	}))
}

// hasChange says whether there was reason to look since the last call.
func hasChange(f *Files) bool {
	select {
	case <-f.Changed():
		return true
	default:
		return false
	}
}

// Every kind of change that matters is found without an event, at the next slow look and not
// before, once; and nothing else is.
func TestSlowLook(t *testing.T) {
	for name, c := range fileCases() {
		t.Run(name, func(t *testing.T) {
			dir := makeFileCase(t)
			ageAll(t, dir)
			synctest.Test(t, func(t *testing.T) {
				f := startFiles((&logBook{}).logger(), nil)
				defer f.Close()
				var paths []string
				for _, p := range c.watch {
					paths = append(paths, filepath.Join(dir, p))
				}
				f.Watch(paths)
				hasChange(f)
				c.act(t, dir)
				f.Watch(paths)        // again, as the consumers do: what it was before still counts
				found := hasChange(f) // a directory is watched in the place of one that has gone or come
				time.Sleep(slowLook - time.Second)
				if hasChange(f) {
					t.Error("found before it was time to look")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if found = hasChange(f) || found; found != c.want {
					t.Errorf("found: %v, want %v", found, c.want)
				}
				time.Sleep(2 * slowLook)
				synctest.Wait()
				if hasChange(f) {
					t.Error("found again")
				}
			})
		})
	}
}

// An event that was taken is not found again by the slow look, but for the links to its file.
func TestSlowLookAfterEvents(t *testing.T) {
	dir := makeFileCase(t)
	must(t, os.Remove(dir+"/link"))
	must(t, os.RemoveAll(dir+"/mount"))
	ageAll(t, dir)
	f := newFiles(t, &logBook{})
	f.Watch([]string{dir})
	awaitChange(t, f)
	for _, act := range []func(){
		func() { writeFile(t, dir+"/file", "new") },
		func() { must(t, os.Remove(dir+"/file")) },
		func() { must(t, os.Rename(dir+"/.hidden", dir+"/file")) },
		func() { must(t, os.Chmod(dir+"/other", 0o600)) },
	} {
		act()
		awaitChange(t, f)
	}
	// The events of one change may be several; the last of them is one on other.
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		f.mu.Lock()
		was := f.marks[dir]["other"]
		f.mu.Unlock()
		if was == f.mark(dir, "other") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the event was not taken")
		}
	}
	hasChange(f)
	f.look()
	if hasChange(f) {
		t.Error("a slow look found what an event had told of")
	}
	writeFile(t, dir+"/sub/file", "new")
	awaitChange(t, f)
}

// The lower layer of an overlay changes without an event, as a file on another host does.
func TestSlowLookOnOverlay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts an overlay: run it as root")
	}
	runtime.LockOSThread() // and never unlocked: the mounts end with the thread
	must(t, syscall.Unshare(syscall.CLONE_NEWNS))
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	writeFile(t, dir+"/lower/file", "old")
	writeFile(t, dir+"/lower/sub/file", "old")
	ageAll(t, dir+"/lower")
	options := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	must(t, syscall.Mount("overlay", dir+"/merged", "overlay", 0, options))
	defer func() { must(t, syscall.Unmount(dir+"/merged", syscall.MNT_DETACH)) }()

	f, marks := judged(t)
	f.Watch([]string{dir + "/merged"})
	hasChange(f)
	must(t, f.notify.Add(marks))
	for _, act := range []func(){
		func() { writeFile(t, dir+"/lower/file", "new") },
		func() { writeFile(t, dir+"/lower/sub/file", "new") },
	} {
		act()
		if matters, events := judge(t, f, marks); matters {
			t.Fatalf("there are events: %q", events)
		}
		f.look()
		if !hasChange(f) {
			t.Error("the change was not found")
		}
		f.look()
		if hasChange(f) {
			t.Error("it was found twice")
		}
	}
}
