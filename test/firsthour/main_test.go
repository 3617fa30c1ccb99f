package firsthour

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/build"
	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// TestMain makes the test binary a tool of the pages too, by the name it is called by.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == "await":
		os.Exit(failed(await(os.Args[1:])))
	case !strings.HasSuffix(name, ".test"): // worker, or a link to it
		os.Exit(process.OnSignal(os.Args[1:]))
	}
	flag.Bool("update", false, "write what is printed into the pages")
	if err := flag.Set("test.parallel", "8"); err != nil { // sections mostly wait; the command line wins
		panic(err)
	}
	os.Exit(build.InPath(m.Run))
}

// linkTools puts the tools of the pages into a directory.
func linkTools(t *testing.T, dir string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := cluster.Binary("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"await": self, "worker": self, "kubectl": kubectl} {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func failed(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// await is the tool: PATTERN FILE. What FILE had at the last await is in a file in
// $AWAITED.
func await(args []string) error {
	if len(args) != 2 {
		return errors.New("await: want PATTERN FILE")
	}
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	seen := filepath.Join(os.Getenv("AWAITED"), filepath.Base(args[1]))
	before, err := os.ReadFile(seen)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for deadline := time.Now().Add(process.Patience / 2); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		content, err := os.ReadFile(args[1])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		got := string(content[min(len(before), len(content)):])
		for end, line := range endsOf(got) {
			if pattern.MatchString(line) {
				fmt.Print(got[:end])
				return os.WriteFile(seen, content[:len(before)+end], 0o644)
			}
		}
	}
	content, _ := os.ReadFile(args[1])
	return fmt.Errorf("await: no line matches %s:\n%s", args[0], content)
}

// endsOf are the whole lines of a text, by where they end.
func endsOf(text string) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		end := 0
		for line := range strings.Lines(text) {
			end += len(line)
			if !strings.HasSuffix(line, "\n") || !yield(end, strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}
