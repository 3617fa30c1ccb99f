// Package build builds kconfd for tests of what is around it.
package build

import (
	"fmt"
	"os"
	"os/exec"
)

// Kconfd builds it from the source that the test is part of. Where to is a directory,
// the program is kconfd in it, else to is the program. The flags are those of go build.
// The error has what the compiler says.
func Kconfd(to string, flags ...string) error {
	args := append([]string{"build", "-o", to}, flags...)
	out, err := exec.Command("go", append(args, "github.com/kconfd/kconfd/cmd/kconfd")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building kconfd: %w\n%s", err, out)
	}
	return nil
}

// InPath is for TestMain: it calls run, such as m.Run, while a kconfd that is built for it
// is the first in PATH, where every user may run it. /usr/sbin is the last: it has Debian's
// servers and may be missing. The flags are those of go build.
//
// It gives run's exit code; when there is no kconfd, it says why, and gives 1.
func InPath(run func() int, flags ...string) int {
	dir, err := os.MkdirTemp("", "kconfd")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return failed(err)
	}
	if err := Kconfd(dir, flags...); err != nil {
		return failed(err)
	}
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return failed(err)
	}
	return run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
