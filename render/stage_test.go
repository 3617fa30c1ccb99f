package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Protects against config that is included before it is checked: a candidate
// lies beside its target, is all that the target is to be, and no pattern for
// the directory's files finds it.
func TestCandidates(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/live.conf", state{Content: "old", Mode: 0o640})
	batch := mustStage(t, newFile(dir+"/live.conf", "new"), newFile(dir+"/fresh.conf", "fresh"), newFile(dir+"/plain", "p"))
	want := []state{{Content: "new", Mode: 0o640}, {Content: "fresh", Mode: 0o644}, {Content: "p", Mode: 0o644}}
	for i, f := range batch.Files {
		if diff := cmp.Diff(want[i], stateOf(t, f.Path)); diff != "" {
			t.Errorf("the candidate of %s: -want +got:\n%s", f.Dest, diff)
		}
		if got := filepath.Dir(f.Path); got != dir {
			t.Errorf("the candidate of %s lies in %s", f.Dest, got)
		}
		if match, _ := filepath.Match("*.conf", filepath.Base(f.Path)); match || !strings.HasPrefix(filepath.Base(f.Path), ".") {
			t.Errorf("the candidate of %s is called %s", f.Dest, filepath.Base(f.Path))
		}
	}
	found, err := exec.Command("sh", "-c", `cd "$1" && echo * *.conf`, "sh", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(found), "live.conf live.conf\n"; got != want {
		t.Errorf("a shell finds %q, want %q", got, want)
	}
	if got := stateOf(t, dir+"/live.conf").Content; got != "old" {
		t.Errorf("the live file became %q before the commit", got)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a", state{Content: "old", Mode: 0o600})
	before := treeOf(t, dir)
	inPlace := newFile(dir+"/a", "newer")
	inPlace.InPlace = true
	batch := mustStage(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "new"), inPlace)
	if got := len(namesIn(t, dir)); got != 4 {
		t.Fatalf("have %d files while staged, want 4", got)
	}
	batch.Discard()
	batch.Discard() // does no harm
	if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func TestDiscardAfterCommit(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a", state{Content: "old", Mode: 0o600})
	batch := mustStage(t, newFile(dir+"/a", "new"), newFile(dir+"/b", "b"))
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	batch.Discard()
	want := map[string]state{"": {}, "/a": {Content: "new", Mode: 0o600}, "/b": {Content: "b", Mode: 0o644}}
	if diff := cmp.Diff(want, treeOf(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Protects a process from being told for nothing, after a restart as well: what
// is on disk counts.
func TestInSync(t *testing.T) {
	needRoot(t)
	long := strings.Repeat("line\n", 20_000)
	live := state{Content: long, Mode: 0o640, UID: 1000, GID: 1001}
	for name, test := range map[string]struct {
		change            func(f *File)
		rewritten, inSync bool
	}{
		"all the same":         {func(*File) {}, false, true},
		"given as it is":       {func(f *File) { f.Mode, f.UID, f.GID = 0o640, 1000, 1001 }, false, true},
		"in place":             {func(f *File) { f.InPlace = true }, false, true},
		"another mode":         {func(f *File) { f.Mode = 0o600 }, false, false},
		"secrets":              {func(f *File) { f.Private = true }, false, false},
		"another owner":        {func(f *File) { f.UID = 0 }, false, false},
		"another group":        {func(f *File) { f.GID = 0 }, false, false},
		"shorter":              {func(f *File) { f.Content = f.Content[1:] }, true, false},
		"longer":               {func(f *File) { f.Content = append(f.Content, '\n') }, true, false},
		"empty":                {func(f *File) { f.Content = nil }, true, false},
		"another first byte":   {func(f *File) { f.Content[0] = 'L' }, true, false},
		"another last byte":    {func(f *File) { f.Content[len(long)-1] = 'x' }, true, false},
		"another in the midst": {func(f *File) { f.Content[len(long)/2] = 'x' }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/a", live)
			age(t, dir, dir+"/a")
			before, beforeDir := statOf(t, dir+"/a"), statOf(t, dir)
			file := newFile(dir+"/a", long)
			test.change(&file)
			got := mustStage(t, file).Files[0]
			if got.Rewritten() != test.rewritten || got.InSync() != test.inSync {
				t.Errorf("got rewritten %v and in sync %v, want %v and %v", got.Rewritten(), got.InSync(), test.rewritten, test.inSync)
			}
			if test.rewritten {
				return
			}
			if got.Path != dir+"/a" {
				t.Errorf("got path %s, want that of the live file", got.Path)
			}
			if diff := cmp.Diff(beforeDir, statOf(t, dir)); diff != "" {
				t.Errorf("staging touched the directory: %s", diff)
			}
			if test.inSync {
				mustCommit(t, file)
				if diff := cmp.Diff(before, statOf(t, dir+"/a")); diff != "" {
					t.Errorf("the commit touched the file: %s", diff)
				}
			}
		})
	}
}

func TestEmptyFileInSync(t *testing.T) {
	dir := t.TempDir()
	mustCommit(t, newFile(dir+"/a", ""))
	if !mustStage(t, newFile(dir+"/a", "")).Files[0].InSync() {
		t.Error("an empty file is not in sync with itself")
	}
}

// Protects mode and owner, of which a new file has none yet and secrets must
// not have too much, in every way of writing them.
func TestModeAndOwner(t *testing.T) {
	needRoot(t)
	existing := func(mode fs.FileMode) *state { return &state{"old", mode, 1000, 1001} }
	mode := func(m fs.FileMode) func(*File) { return func(f *File) { f.Mode = m } }
	private := func(m fs.FileMode) func(*File) { return func(f *File) { f.Private, f.Mode = true, m } }
	owner := func(uid, gid int) func(*File) { return func(f *File) { f.UID, f.GID = uid, gid } }
	for name, test := range map[string]struct {
		before *state // nil for a new file
		change func(*File)
		want   state // but for the content
	}{
		"new":                              {nil, owner(-1, -1), state{"", 0o644, 0, 0}},
		"new, mode given":                  {nil, mode(0o666), state{"", 0o666, 0, 0}},
		"new, narrow mode given":           {nil, mode(0o400), state{"", 0o400, 0, 0}},
		"new, secrets":                     {nil, private(0), state{"", 0o600, 0, 0}},
		"new, secrets, mode given":         {nil, private(0o640), state{"", 0o640, 0, 0}},
		"new, owner given":                 {nil, owner(1000, 1001), state{"", 0o644, 1000, 1001}},
		"new, user given":                  {nil, owner(1000, -1), state{"", 0o644, 1000, 0}},
		"new, group given":                 {nil, owner(-1, 1001), state{"", 0o644, 0, 1001}},
		"existing":                         {existing(0o604), owner(-1, -1), state{"", 0o604, 1000, 1001}},
		"existing, for all to write":       {existing(0o666), owner(-1, -1), state{"", 0o666, 1000, 1001}},
		"existing, mode given":             {existing(0o604), mode(0o666), state{"", 0o666, 1000, 1001}},
		"existing, secrets":                {existing(0o644), private(0), state{"", 0o600, 1000, 1001}},
		"existing, secrets, narrow":        {existing(0o440), private(0), state{"", 0o400, 1000, 1001}},
		"existing, secrets, mode given":    {existing(0o600), private(0o644), state{"", 0o644, 1000, 1001}},
		"existing, owner given":            {existing(0o640), owner(2000, 2001), state{"", 0o640, 2000, 2001}},
		"existing, the process's own":      {existing(0o640), owner(0, 0), state{"", 0o640, 0, 0}},
		"existing, user given":             {existing(0o640), owner(0, -1), state{"", 0o640, 0, 1001}},
		"existing, group given":            {existing(0o640), owner(-1, 0), state{"", 0o640, 1000, 0}},
		"existing, owner and mode as were": {existing(0o640), func(f *File) { f.Mode, f.UID, f.GID = 0o640, 1000, 1001 }, state{"", 0o640, 1000, 1001}},
	} {
		for _, umask := range []int{0, 0o022, 0o077} {
			for _, inPlace := range []bool{false, true} {
				for _, content := range []string{"new", "old"} { // the old content is that of the existing file
					t.Run(fmt.Sprintf("%s/umask=%03o/inplace=%v/%s", name, umask, inPlace, content), func(t *testing.T) {
						setUmask(t, umask)
						path := t.TempDir() + "/a"
						if test.before != nil {
							put(t, path, *test.before)
						}
						file := newFile(path, content)
						file.InPlace = inPlace
						test.change(&file)
						mustCommit(t, file)
						test.want.Content = content
						if diff := cmp.Diff(test.want, stateOf(t, path)); diff != "" {
							t.Errorf("-want +got:\n%s", diff)
						}
						if !mustStage(t, file).Files[0].InSync() {
							t.Error("it is not in sync the next time")
						}
					})
				}
			}
		}
	}
}

// In a directory whose group its files inherit, as in a volume with an
// fsGroup, a new file does so too, and a group that is given or kept wins.
func TestGroupOfADirectory(t *testing.T) {
	needRoot(t)
	for name, test := range map[string]struct {
		existing bool
		uid, gid int
		want     state
	}{
		"new":                   {false, -1, -1, state{"new", 0o644, 0, 1001}},
		"new, user given":       {false, 1000, -1, state{"new", 0o644, 1000, 1001}},
		"new, group given":      {false, -1, 0, state{"new", 0o644, 0, 0}},
		"existing":              {true, -1, -1, state{"new", 0o600, 0, 0}},
		"existing, group given": {true, -1, 1002, state{"new", 0o600, 0, 1002}},
	} {
		for _, inPlace := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/inplace=%v", name, inPlace), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.Chown(dir, 0, 1001); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(dir, 0o775|fs.ModeSetgid); err != nil {
					t.Fatal(err)
				}
				if test.existing {
					put(t, dir+"/a", state{Content: "old", Mode: 0o600})
				}
				file := newFile(dir+"/a", "new")
				file.UID, file.GID, file.InPlace = test.uid, test.gid, inPlace
				mustCommit(t, file)
				if diff := cmp.Diff(test.want, stateOf(t, dir+"/a")); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// Protects links, which are the user's: the file behind them is replaced.
func TestLinks(t *testing.T) {
	for name, test := range map[string]struct {
		links  map[string]string // from, to; below the test's directory
		dest   string
		target string
	}{
		"relative":                    {map[string]string{"link": "real/file"}, "link", "real/file"},
		"absolute":                    {map[string]string{"link": "DIR/real/file"}, "link", "real/file"},
		"chain":                       {map[string]string{"a": "b", "b": "DIR/c", "c": "real/file"}, "a", "real/file"},
		"up":                          {map[string]string{"other/link": "../real/file"}, "other/link", "real/file"},
		"of the directory":            {map[string]string{"linked": "real"}, "linked/file", "real/file"},
		"a link in a linked one":      {map[string]string{"linked": "real/deep", "real/deep/link": "../file"}, "linked/link", "real/file"},
		"as the kubelet swaps":        {map[string]string{"..data": "real", "file": "..data/file"}, "file", "real/file"},
		"dangling":                    {map[string]string{"link": "real/fresh"}, "link", "real/fresh"},
		"dangling, absolute":          {map[string]string{"link": "DIR/real/fresh"}, "link", "real/fresh"},
		"dangling chain":              {map[string]string{"a": "b", "b": "DIR/c", "c": "real/fresh"}, "a", "real/fresh"},
		"new in a linked directory":   {map[string]string{"linked": "real"}, "linked/fresh", "real/fresh"},
		"dangling in a linked one":    {map[string]string{"linked": "real/deep", "real/deep/link": "../fresh"}, "linked/link", "real/fresh"},
		"dangling into a linked one":  {map[string]string{"linked": "real", "link": "linked/fresh"}, "link", "real/fresh"},
		"beside is staged over there": {map[string]string{"link": "other/x"}, "link", "other/x"},
	} {
		for _, inPlace := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/inplace=%v", name, inPlace), func(t *testing.T) {
				dir := t.TempDir()
				makeLinks(t, dir, test.links)
				file := newFile(filepath.Join(dir, test.dest), "new")
				file.InPlace = inPlace
				batch := mustStage(t, file)
				if got, want := filepath.Dir(batch.Files[0].Path), filepath.Join(dir, filepath.Dir(test.target)); !sameFile(t, got, want) {
					t.Errorf("staged in %s, want %s", got, want)
				}
				before := statOf(t, filepath.Join(dir, "real"))
				if err := batch.Commit(); err != nil {
					t.Fatal(err)
				}
				if got := stateOf(t, filepath.Join(dir, test.target)).Content; got != "new" {
					t.Errorf("got %q in %s, want new", got, test.target)
				}
				if info, err := os.Lstat(filepath.Join(dir, test.target)); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s is no file any more: %v, %v", test.target, info, err)
				}
				for from, to := range test.links {
					got, err := os.Readlink(filepath.Join(dir, from))
					if want := strings.ReplaceAll(to, "DIR", dir); err != nil || got != want {
						t.Errorf("the link %s became %q, %v; want %q", from, got, err, want)
					}
				}
				if after := statOf(t, filepath.Join(dir, "real")); after.Ino != before.Ino {
					t.Error("the directory was replaced")
				}
			})
		}
	}
}

// makeLinks makes real/file, real/deep and other, and links.
func makeLinks(t *testing.T, dir string, links map[string]string) {
	t.Helper()
	for _, sub := range []string{"real/deep", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir+"/real/file", state{Content: "old", Mode: 0o640})
	for from, to := range links {
		if err := os.Symlink(strings.ReplaceAll(to, "DIR", dir), filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	infoA, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	infoB, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(infoA, infoB)
}

// Protects what is there from being replaced by a file, and the batch from
// being half staged: the error names the destination and says what is wrong,
// and nothing is left behind.
func TestStageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		make func(path string) error
		dest string // below path; mostly path itself
		is   error
		says string
	}{
		"a directory":           {func(path string) error { return os.Mkdir(path, 0o755) }, "", syscall.EISDIR, "is a directory"},
		"a link to a directory": {func(path string) error { return os.Symlink(".", path) }, "", syscall.EISDIR, "is a directory"},
		"a pipe":                {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "", nil, "is not a regular file but p---------"},
		"a device":              {func(path string) error { return os.Symlink("/dev/null", path) }, "", nil, "is not a regular file but Dc---------"},
		"a link to itself":      {func(path string) error { return os.Symlink(path, path) }, "", syscall.ELOOP, "too many levels of symbolic links"},
		"links in a circle": {func(path string) error {
			return errors.Join(os.Symlink("two", path), os.Symlink("dest", filepath.Dir(path)+"/two"))
		}, "", syscall.ELOOP, "too many levels of symbolic links"},
		"a circle on the way":       {func(path string) error { return os.Symlink(path, path) }, "/file", syscall.ELOOP, "too many levels of symbolic links"},
		"no directory":              {func(string) error { return nil }, "/file", fs.ErrNotExist, "no such file or directory"},
		"no directory behind":       {func(path string) error { return os.Symlink("nowhere/file", path) }, "", fs.ErrNotExist, "no such file or directory"},
		"a file for a directory":    {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "/file", syscall.ENOTDIR, "not a directory"},
		"a name that is too long":   {func(string) error { return nil }, strings.Repeat("x", 300), syscall.ENAMETOOLONG, "file name too long"},
		"a name with no room left":  {func(string) error { return nil }, strings.Repeat("x", 250), syscall.ENAMETOOLONG, "file name too long"},
		"a name that cannot be one": {func(string) error { return nil }, "\x00", syscall.EINVAL, "invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir+"/live", state{Content: "old", Mode: 0o600})
			dest := dir + "/dest"
			if err := test.make(dest); err != nil {
				t.Fatal(err)
			}
			dest += test.dest
			before := treeOf(t, dir)
			batch, err := Stage([]File{newFile(dir+"/live", "new"), newFile(dir+"/fresh", "new"), newFile(dest, "x")})
			if err == nil {
				batch.Discard()
				t.Fatal("got no error")
			}
			if got, start := err.Error(), fmt.Sprintf("staging %q: ", dest); !strings.HasPrefix(got, start) || !strings.HasSuffix(got, test.says) {
				t.Errorf("got error %q, want one that starts with %q and ends in %q", got, start, test.says)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got error %v, want it to be %v", err, test.is)
			}
			if diff := cmp.Diff(before, treeOf(t, dir)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
}

// Plan touches nothing, and sees what Stage would.
func TestPlan(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/live", state{Content: "old", Mode: 0o600})
	if err := os.Symlink("live", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	before := statOf(t, dir)
	moded := newFile(dir+"/live", "old")
	moded.Mode = 0o644
	batch, err := Plan([]File{newFile(dir+"/link", "new"), newFile(dir+"/fresh", "x"), newFile(dir+"/live", "old"), moded})
	if err != nil {
		t.Fatal(err)
	}
	type plan struct {
		Path              string
		Rewritten, InSync bool
	}
	var got []plan
	for _, f := range batch.Files {
		got = append(got, plan{f.Path, f.Rewritten(), f.InSync()})
	}
	want := []plan{
		{dir + "/live", true, false},
		{dir + "/fresh", true, false},
		{dir + "/live", false, true},
		{dir + "/live", false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	batch.Discard() // does no harm
	if diff := cmp.Diff(before, statOf(t, dir)); diff != "" {
		t.Errorf("the directory was touched: %s", diff)
	}
	if _, err := Plan([]File{newFile(dir, "x")}); fmt.Sprint(err) != fmt.Sprintf("reading %q: is a directory", dir) {
		t.Errorf("got error %v for a directory", err)
	}
}

func TestDiff(t *testing.T) {
	const ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"
	for name, test := range map[string]struct {
		before *string // nil for a new file
		after  string
		want   string
	}{
		"the same":         {new(ten), ten, ""},
		"a new file":       {nil, "a\nb\n", "--- /dev/null\n+++ DEST\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		"a new empty file": {nil, "", "--- /dev/null\n+++ DEST\n"},
		"from empty":       {new(""), "a\n", "--- DEST\n+++ DEST\n@@ -0,0 +1,1 @@\n+a\n"},
		"to empty":         {new("a\n"), "", "--- DEST\n+++ DEST\n@@ -1,1 +0,0 @@\n-a\n"},
		"with context":     {new(ten), strings.ReplaceAll(ten, "5\n", "five\n"), "--- DEST\n+++ DEST\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		"two places":       {new(ten), "0\n" + ten + "11\n", "--- DEST\n+++ DEST\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -8,3 +9,4 @@\n 8\n 9\n 10\n+11\n"},
		"no end of line":   {new("a"), "a\n", "--- DEST\n+++ DEST\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dest := t.TempDir() + "/dest"
			if test.before != nil {
				put(t, dest, state{Content: *test.before, Mode: 0o600})
			}
			files := []File{newFile(dest, test.after)}
			planned, err := Plan(files)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "DEST", dest)
			for how, batch := range map[string]*Batch{"planned": planned, "staged": mustStage(t, files...)} {
				got, err := batch.Files[0].Diff()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: -want +got:\n%s", how, diff)
				}
			}
		})
	}
}

// A diff names what the user named, and reads what is behind it.
func TestDiffOfALink(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/real", state{Content: "old\n", Mode: 0o600})
	if err := os.Symlink("real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	got, err := mustStage(t, newFile(dir+"/link", "new\n")).Files[0].Diff()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll("--- LINK\n+++ LINK\n@@ -1,1 +1,1 @@\n-old\n+new\n", "LINK", dir+"/link")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A change of the mode alone is none of the text.
func TestDiffOfAMode(t *testing.T) {
	dest := t.TempDir() + "/dest"
	put(t, dest, state{Content: "old", Mode: 0o600})
	file := newFile(dest, "old")
	file.Mode = 0o644
	staged := mustStage(t, file).Files[0]
	if got, err := staged.Diff(); got != "" || err != nil || staged.InSync() {
		t.Errorf("got %q, %v, in sync %v; want nothing, and not in sync", got, err, staged.InSync())
	}
}
