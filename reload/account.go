package reload

import (
	"cmp"
	"slices"
	"strings"
	"syscall"
)

// An Account is the user and the groups that a process runs as.
type Account struct {
	UID, GID int
	Groups   []int // supplementary

	// Name and Home are those of the user database. Home is "/" for a user that has no entry there,
	// and empty when the account only changes the group.
	Name, Home string
}

// Environment is env, KEY=VALUE, with HOME, USER and LOGNAME of the account, as su and gosu set them.
// A user without a name has neither USER nor LOGNAME. A nil account, and one that only changes the
// group, leave env as it is.
func (a *Account) Environment(env []string) []string {
	if a == nil || cmp.Or(a.Home, a.Name) == "" {
		return env
	}
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name == "HOME" || name == "USER" || name == "LOGNAME"
	})
	env = append(env, "HOME="+cmp.Or(a.Home, "/"))
	if a.Name != "" {
		env = append(env, "USER="+a.Name, "LOGNAME="+a.Name)
	}
	return env
}

// credential is the account for the kernel; nil for the supervisor's own.
func (a *Account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	c := &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	for _, g := range a.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// become gives this process the rights of the account.
func (a *Account) become() error {
	if a == nil {
		return nil
	}
	if err := syscall.Setgroups(a.Groups); err != nil {
		return err
	}
	if err := syscall.Setgid(a.GID); err != nil {
		return err
	}
	return syscall.Setuid(a.UID)
}
