package steady

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// In a bubble of synctest, the clock stands at the year 2000: all files are of the future. With
// later, kconfd's clock is that of the files, and some time further.
func later(f *Files, by time.Duration) {
	start, real := time.Now(), fileClock()
	f.now = func() time.Time { return real.Add(by + time.Since(start)) }
}

// fileClock is the time that a file gets now.
func fileClock() time.Time {
	file, err := os.CreateTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	info, err := file.Stat()
	if err != nil {
		panic(err)
	}
	return info.ModTime()
}

const quiet = 200 * time.Millisecond

// What is read at a start costs a wait only when it is younger than the quiet time, or of unknown
// age.
func TestFirstReading(t *testing.T) {
	tests := map[string]struct {
		age   time.Duration
		trust trust
		wait  time.Duration // at most
	}{
		"old":                             {time.Hour, local, 0},
		"just older":                      {quiet + time.Millisecond, local, 0},
		"young":                           {quiet / 2, local, quiet},
		"of the future":                   {-time.Hour, local, quiet},
		"a file system with its own time": {time.Hour, remote, quiet},
		"no file at all":                  {time.Hour, unsteady, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			write(t, path, "content")
			synctest.Test(t, func(t *testing.T) {
				f := New(quiet)
				f.local = func(string) trust { return test.trust }
				later(f, test.age)
				start := time.Now()
				must(t, f.Await(time.Minute, func() error {
					_, err := f.List(dir, "*", func() ([]string, error) { return []string{"file"}, nil })
					must(t, err)
					content, err := f.ReadFile(path, 100)
					if string(content) != "content" {
						t.Errorf("read %q", content)
					}
					return err
				}))
				waited := time.Since(start)
				if waited > test.wait || test.wait > 0 && waited == 0 {
					t.Errorf("waited %v, want %v", waited, test.wait)
				}
			})
		})
	}
}

// Many old files are no slower than one.
func TestManyOldFiles(t *testing.T) {
	dir := t.TempDir()
	for n := range 500 {
		write(t, filepath.Join(dir, fmt.Sprint(n)), "content")
	}
	synctest.Test(t, func(t *testing.T) {
		f := New(quiet)
		later(f, time.Hour)
		start, reads := time.Now(), 0
		must(t, f.Await(time.Minute, func() error {
			for n := range 500 {
				reads++
				if _, err := f.ReadFile(filepath.Join(dir, fmt.Sprint(n)), 100); err != nil {
					return err
				}
			}
			return nil
		}))
		if waited := time.Since(start); waited > 0 || reads != 500 {
			t.Errorf("waited %v, and read %d times", waited, reads)
		}
	})
}

// A ConfigMap volume is whole whenever it is seen, however young.
func TestFirstReadingOfAMount(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/..1", 0o755))
	write(t, dir+"/..1/file", "content")
	must(t, os.Symlink("..1", dir+"/..data"))
	must(t, os.Symlink("..data/file", dir+"/file"))
	f := New(time.Hour)
	wait, err := f.Try(func() error {
		_, err := f.List(dir, "*", func() ([]string, error) { return []string{"file"}, nil })
		must(t, err)
		_, err = f.ReadFile(dir+"/file", 100)
		return err
	})
	if wait != 0 || err != nil {
		t.Errorf("waits %v (%v)", wait, err)
	}
}

// A write while all is read, or between two readings, costs another quiet time, whatever it
// changes.
func TestChangesBeginTheQuietTimeAgain(t *testing.T) {
	writes := map[string]func(t *testing.T, dir string){
		"truncated": func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/file", 0)) },
		"longer":    func(t *testing.T, dir string) { write(t, dir+"/file", "content and more") },
		"replaced": func(t *testing.T, dir string) {
			write(t, dir+"/other", "content")
			must(t, os.Rename(dir+"/other", dir+"/file"))
		},
		"removed":     func(t *testing.T, dir string) { must(t, os.Remove(dir+"/file")) },
		"its old age": func(t *testing.T, dir string) { must(t, os.Chtimes(dir+"/file", time.Unix(1, 0), time.Unix(1, 0))) },
		"a link": func(t *testing.T, dir string) {
			write(t, dir+"/other", "content")
			must(t, os.Remove(dir+"/file"))
			must(t, os.Symlink("other", dir+"/file"))
		},
		"another": func(t *testing.T, dir string) { write(t, dir+"/another", "") },
	}
	for name, change := range writes {
		for _, within := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, within: %v", name, within), func(t *testing.T) {
				dir := t.TempDir()
				write(t, dir+"/file", "content")
				synctest.Test(t, func(t *testing.T) {
					f := New(quiet)
					later(f, time.Hour)
					changeNow := false
					read := func() error {
						_, err := f.List(dir, "*", func() ([]string, error) {
							return filepath.Glob(dir + "/*")
						})
						must(t, err)
						_, err = f.ReadFile(dir+"/file", 100)
						if changeNow {
							changeNow = false
							change(t, dir)
						}
						return err
					}
					wait, err := f.Try(read)
					if wait != 0 || err != nil {
						t.Fatalf("at first: %v, %v", wait, err)
					}
					if changeNow = within; !within {
						change(t, dir)
					}
					if wait, _ := f.Try(read); wait != quiet {
						t.Errorf("after the change: waits %v, want %v", wait, quiet)
					}
					time.Sleep(quiet - time.Millisecond)
					if wait, _ := f.Try(read); wait != time.Millisecond {
						t.Errorf("after almost all of the quiet time: waits %v", wait)
					}
					time.Sleep(time.Millisecond)
					if wait, err := f.Try(read); wait != 0 || (err != nil) != (name == "removed") {
						t.Errorf("after the quiet time: waits %v, %v", wait, err)
					}
				})
			})
		}
	}
}

// A change of content that neither size nor times show is noticed at the second reading.
func TestChangeWithinATick(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	f := New(quiet)
	later(f, time.Hour)
	read := func() error { _, err := f.ReadFile(path, 100); return err }
	if wait, err := f.Try(read); wait != 0 || err != nil {
		t.Fatal(wait, err)
	}
	write(t, path, "two")
	e := f.entries[path]
	e.state = f.stateOf(path)
	e.read = e.state // as if it were the one of before
	if wait, err := f.Try(read); wait == 0 || err != nil {
		t.Errorf("waits %v, %v", wait, err)
	}
}

// The quiet time is counted from the last change of all files that are read; a file that is not
// read any more does not count.
func TestFilesThatBelongTogether(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "1")
	write(t, dir+"/b", "1")
	synctest.Test(t, func(t *testing.T) {
		f := New(quiet)
		later(f, time.Hour)
		names := []string{"a", "b"}
		read := func() error {
			for _, name := range names {
				if _, err := f.ReadFile(filepath.Join(dir, name), 100); err != nil {
					return err
				}
			}
			return nil
		}
		if wait, err := f.Try(read); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		write(t, dir+"/a", "22")
		if wait := f.Look(); wait != quiet {
			t.Errorf("waits %v", wait)
		}
		time.Sleep(quiet / 2)
		write(t, dir+"/b", "22")
		if wait := f.Look(); wait != quiet || f.Youngest() != dir+"/b" {
			t.Errorf("after the second: waits %v for %s", wait, f.Youngest())
		}
		last := f.now()
		time.Sleep(quiet)
		if wait, err := f.Try(read); wait != 0 || err != nil || !f.LastChange().Equal(last) {
			t.Errorf("waits %v, %v, last change %v before the end", wait, err, f.now().Sub(f.LastChange()))
		}
		names = names[:1]
		if wait, err := f.Try(read); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		write(t, dir+"/b", "333")
		if wait := f.Look(); wait != 0 {
			t.Errorf("waits %v for a file that is not read", wait)
		}
	})
}

// A file may have a quiet time of its own: the longest that one reading gives it.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "1")
	synctest.Test(t, func(t *testing.T) {
		f := New(quiet)
		later(f, time.Hour)
		times := []time.Duration{time.Second, 2 * time.Second, 0}
		read := func() error {
			_, err := f.ReadFile(path, 100)
			for _, d := range times {
				f.Hold(d, path, "elsewhere")
			}
			return err
		}
		wants := []time.Duration{2 * time.Second, MinQuiet, quiet}
		for i, given := range [][]time.Duration{times, {0}, nil} {
			if times = given; i == 2 {
				delete(f.entries, path) // not of any group before
			}
			if wait, err := f.Try(read); wait != 0 || err != nil {
				t.Fatal(wait, err)
			}
			write(t, path, fmt.Sprint(i, "more"))
			if wait := f.Look(); wait != wants[i] {
				t.Errorf("%d: waits %v, want %v", i, wait, wants[i])
			}
			time.Sleep(time.Minute)
		}
	})
}

// A file that never comes to rest ends a start with its name.
func TestAwaitGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		f := New(quiet)
		size := 0
		err := f.Await(time.Second, func() error {
			size++
			write(t, path, fmt.Sprintf("%*d", size, size))
			_, err := f.ReadFile(path, 100)
			must(t, err)
			write(t, path, "")
			return err
		})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Path != path {
			t.Errorf("got %v", err)
		}
	})
}

// A quiet time that is longer than the limit does not make a start impossible.
func TestAwaitWithALongQuietTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []time.Duration{time.Minute, 2 * time.Second} {
			f := New(time.Hour)
			start := time.Now()
			must(t, f.Await(limit, func() error { _, err := f.ReadFile(path, 100); return err }))
			if waited := time.Since(start); waited != min(limit/2, maxFirstQuiet) {
				t.Errorf("waited %v of %v", waited, limit)
			}
		}
	})
}

// A file without an end of changes may be read when it is not one that a user writes.
func TestFilesOfTheKernel(t *testing.T) {
	f := New(quiet)
	for range 3 {
		if wait, err := f.Try(func() error { _, err := f.ReadFile("/proc/uptime", 100); return err }); wait != 0 || err != nil {
			t.Errorf("waits %v, %v", wait, err)
		}
	}
}
