package safefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A SizeError is a file that is larger than what is read of it.
type SizeError struct {
	Path  string
	Limit int64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%q is larger than the limit of %d bytes", e.Path, e.Limit)
}

// A TypeError is a path that leads to something else than a regular file: a
// FIFO, a socket, a device, a directory, or, where links are not followed, a
// link.
type TypeError struct {
	Path string
	Mode fs.FileMode // its type bits
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("%q is not a regular file but a %s", e.Path, kindOf(e.Mode))
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// ReadFile reads a regular file of at most limit bytes. Links are followed, as
// os.ReadFile follows them: the path is one that only trusted users may change.
// It neither blocks on a FIFO or a device nor reads one: the error is a
// [*TypeError], a [*SizeError], or one of the file system.
func ReadFile(path string, limit int64) ([]byte, error) {
	// Opening a device can have effects, so it is looked at first.
	info, err := os.Stat(path)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = &fs.PathError{Op: "open", Path: path, Err: failed.Err}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &TypeError{path, info.Mode()}
	}
	f, err := open(unix.AT_FDCWD, path, path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadAll(limit)
}

// A File is an opened regular file. Its Name is the path by which it was
// reached.
type File struct {
	*os.File
}

// open opens a regular file. Other types are a [*TypeError].
func open(dir int, name, path string, flags int) (*File, error) {
	// O_NONBLOCK, or a FIFO would block.
	fd, err := openat(dir, name, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) && flags&unix.O_NOFOLLOW != 0 {
			return nil, &TypeError{path, fs.ModeSymlink}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := &File{os.NewFile(uintptr(fd), path)}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &TypeError{path, info.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadAll reads the file from where it stands, at most limit bytes.
func (f *File) ReadAll(limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &SizeError{f.Name(), limit}
	}
	// Files of /proc have no size, and some have no end.
	content := make([]byte, 0, info.Size()+1)
	for int64(len(content)) <= limit {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		n, err := f.readNow(content[len(content):cap(content)])
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return content, nil
		}
		content = content[:len(content)+n]
	}
	return nil, &SizeError{f.Name(), limit}
}

// readNow is Read, but for a file of /proc that has no data yet, for which Read
// would wait.
func (f *File) readNow(p []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := conn.Control(func(fd uintptr) {
		n, err = ignoringEINTR(func() (int, error) { return unix.Read(int(fd), p) })
	})
	return n, errors.Join(controlErr, err)
}

// Equal says whether the file's content is want. It reads no more than it takes.
func (f *File) Equal(want []byte) (bool, error) {
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(want)) {
		return false, err
	}
	chunk := make([]byte, min(32<<10, len(want)))
	for rest := want; len(rest) > 0; {
		n, err := f.Read(chunk)
		if n > len(rest) || string(chunk[:n]) != string(rest[:n]) || errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		rest = rest[n:]
	}
	return true, nil
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Openat(dir, name, flags, mode) })
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
