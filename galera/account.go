package galera

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/kconfd/kconfd/internal/safefs"
)

// An account is a user whose rights are used for files while this process is root.
// What that user may write to may hold links, or be renamed at any time, and with
// the user's own rights they lead nowhere that the user could not go. The zero
// account is the one of this process.
type account struct {
	name     string
	uid, gid int
}

// do calls f with the account's rights to files.
func (a account) do(f func() error) error { return safefs.As(a.uid, a.gid, f) }

// credential is for programs that are run as the account.
func (a account) credential() *syscall.Credential {
	if a.uid == 0 || os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// take makes a file the account's. Nobody else may write to its directory.
func (a account) take(path string) error {
	if a.uid == 0 || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// serverAccount is the user of the option file, whom the server becomes when root
// starts it. Who is not root cannot give files away, and the server does not heed
// the option either.
func serverAccount(file string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	content, err := safefs.ReadFile(file, maxOptionFile)
	if err != nil {
		return account{}, err
	}
	options := slices.DeleteFunc(ParseOptions(content), func(o Option) bool { return !isServerGroup(o.Group) })
	option, found := lastOf(options, "user")
	if !found || option.Value == "" {
		return account{}, fmt.Errorf("%q sets no user, and the server does not run as root", file)
	}
	u, err := user.Lookup(option.Value)
	if err != nil {
		return account{}, fmt.Errorf("%q: user %q: %w", file, option.Value, err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return account{option.Value, uid, gid}, errors.Join(err1, err2)
}

// userName is the name of the account's user.
func (a account) userName() (string, error) {
	if a.name != "" {
		return a.name, nil
	}
	u, err := user.LookupId(strconv.Itoa(cmp.Or(a.uid, os.Geteuid())))
	if err != nil {
		return "", fmt.Errorf("finding the name of the server's user: %w", err)
	}
	return u.Username, nil
}

// accountIn is as whom to use what is in a directory: as its owner. In one of root
// that others may write to as well, it is the server's user; in any other one of
// root, this process.
func accountIn(dir, optionFile string) (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	d, err := safefs.OpenNearest(dir, safefs.Checked)
	if err != nil {
		return account{}, err
	}
	defer d.Close()
	stat, err := d.Lstat(".")
	switch {
	case err != nil:
		return account{}, err
	case stat.UID != 0:
		return account{uid: stat.UID, gid: stat.GID}, nil
	case d.Private():
		return account{}, nil
	}
	a, err := serverAccount(optionFile)
	if err != nil {
		return a, fmt.Errorf("%q may be written to by others than root: %w", dir, err)
	}
	return a, nil
}

// readIn reads a file of at most limit bytes in a directory that may be another
// user's.
func readIn(path, optionFile string, limit int64) (content []byte, err error) {
	a, err := accountIn(filepath.Dir(path), optionFile)
	if err != nil {
		return nil, err
	}
	err = a.do(func() error {
		content, err = safefs.ReadFile(path, limit)
		return err
	})
	return content, err
}
