package hostile

import (
	"net"
	"os"
	"syscall"
)

// This file lists the kinds of what is tried, with their inputs. A new input is
// one line.

// notFiles make something that is not a file to be read at a path.
func notFiles() map[string]func(path string) error {
	return map[string]func(path string) error{
		"a FIFO":             func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a device":           func(path string) error { return os.Symlink("/dev/zero", path) },
		"a terminal":         func(path string) error { return os.Symlink("/dev/tty", path) },
		"a socket":           listenAt,
		"a directory":        func(path string) error { return os.Mkdir(path, 0o755) },
		"a huge file":        func(path string) error { return truncated(path, 1<<40) },
		"a file without end": func(path string) error { return os.Symlink("/proc/kmsg", path) },
	}
}

func listenAt(path string) error {
	_, err := net.Listen("unix", path)
	return err
}

func truncated(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
