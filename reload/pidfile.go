package reload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A pidFile is what a pid file says, and how far it is to be believed.
type pidFile struct {
	pid   int
	owner int // the uid that the file belongs to

	// trusted is a file that nobody can have written but root or the user that
	// kconfd runs as.
	trusted bool
}

// ErrEmptyPIDFile is a pid file without a process id.
var ErrEmptyPIDFile = errors.New("it is empty")

// ErrNotPID is a pid file with another text in the place of a process id.
var ErrNotPID = errors.New("which is not a process id")

// A NoPIDFileError is a pid file that does not exist, in a directory that does.
type NoPIDFileError struct{ Err error }

func (e *NoPIDFileError) Error() string { return e.Err.Error() }
func (e *NoPIDFileError) Unwrap() error { return e.Err }

// maxPIDFile is how much of a pid file is read, in bytes: its first line is shorter.
const maxPIDFile = 64

// readPIDFile reads a file whose first line is a decimal process id, with white space around it. What
// follows is the program's own, such as the data directory in PostgreSQL's postmaster.pid. Links, FIFOs
// and devices are not opened, and neither is a file that others than its owner may write to. On the way
// there, links of other users lead only into their own directories.
func readPIDFile(path string) (pidFile, error) {
	dir, name, err := safefs.LocateEntry(path, safefs.Checked)
	if refused := (*safefs.PathError)(nil); errors.As(err, &refused) {
		return pidFile{}, fmt.Errorf("%v; name the file without it", refused)
	}
	if err != nil {
		return pidFile{}, err
	}
	defer dir.Close()
	file, err := openRegularIn(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{}, &NoPIDFileError{err}
	}
	if err != nil {
		return pidFile{}, err
	}
	defer file.Close()
	p, err := originOf(dir, file)
	if err != nil {
		return pidFile{}, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxPIDFile))
	if err != nil {
		return pidFile{}, err
	}
	p.pid, err = parsePID(string(content))
	return p, err
}

// openRegularIn opens a regular file of a directory for reading. What it is, is known before it is
// opened: opening a device may do anything.
func openRegularIn(dir *safefs.Dir, name string) (*safefs.File, error) {
	stat, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !stat.Mode.IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return dir.Open(name)
}

// originOf says who may have written a file of a directory.
func originOf(dir *safefs.Dir, file *safefs.File) (pidFile, error) {
	is, err := file.Describe()
	if err != nil {
		return pidFile{}, err
	}
	others := fs.FileMode(0o002)
	if os.Geteuid() == 0 {
		others = 0o022 // others of the group would direct root's signals
	}
	private := isOurs(dir.UID()) && dir.NamesAreSafe()
	switch {
	case is.Mode&others != 0:
		return pidFile{}, fmt.Errorf("others than its owner may write to it (mode %04o)", is.Mode.Perm())
	case is.Names != 1 && !private:
		return pidFile{}, fmt.Errorf("it has %d names: it may be another program's", is.Names)
	}
	return pidFile{owner: is.UID, trusted: private && isOurs(is.UID)}, nil
}

// isOurs says whether a user could signal on its own whatever kconfd can.
func isOurs(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// parsePID reads the first line of a pid file, of which content is the first maxPIDFile bytes. Blank
// lines before it are skipped.
func parsePID(content string) (int, error) {
	line, _, ended := strings.Cut(strings.TrimLeft(content, " \t\r\n"), "\n")
	text := strings.TrimSpace(line)
	if !ended && len(content) == maxPIDFile { // a number that is cut would be another process
		return 0, fmt.Errorf("its first line has more than %d bytes: %q", maxPIDFile-1, shorten(text))
	}
	if text == "" {
		return 0, ErrEmptyPIDFile
	}
	pid, err := strconv.ParseUint(text, 10, 31) // no sign, and a pid_t
	switch {
	case err != nil || pid == 0:
		return 0, fmt.Errorf("it holds %q, %w", shorten(text), ErrNotPID)
	case isKconfd(int(pid)):
		return 0, fmt.Errorf("it holds %d, which is kconfd itself", pid)
	}
	return int(pid), nil
}

// mayName reports an error when the file must not direct a signal to p: whoever
// can write the file would have kconfd signal what it cannot signal itself. User is
// the one that the action names, or nil.
func (f pidFile) mayName(p process, user *int) error {
	if f.trusted || p.uid == f.owner || user != nil && p.uid == *user {
		return nil
	}
	return &ForeignProcessError{fmt.Errorf("process %d is of user %d, and the file of user %d", p.pid, p.uid, f.owner)}
}

// A ForeignProcessError is a process that belongs to another user than it is
// sure to belong to. Naming its user in the action allows it.
type ForeignProcessError struct{ Err error }

func (e *ForeignProcessError) Error() string { return e.Err.Error() + "; none was signalled" }
func (e *ForeignProcessError) Unwrap() error { return e.Err }
