package safefs

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// As calls do with another user's rights to files: what do opens, makes, renames
// and removes is what that user may, links may lead where they want, and new
// files are that user's. It is for directories of that user.
//
// The rights are those of the goroutine that do is called in, and not of others
// that it starts. Where kconfd is not root, or the user is root, do is just
// called.
func As(uid, gid int, do func() error) error {
	if os.Geteuid() != 0 || uid == 0 {
		return do()
	}
	result := make(chan error, 1)
	go func() { // until do returns
		runtime.LockOSThread() // without unlocking it: the thread ends with this goroutine
		err := become(uid, gid)
		if err == nil {
			err = do()
		}
		result <- err
	}()
	return <-result
}

// become changes the thread's file system user, whereby the kernel also takes away
// root's capabilities for files.
func become(uid, gid int) error {
	const unchanged = -1
	// Of the thread alone, unlike syscall.Setgroups: root's groups are not the user's.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("using files without root's groups: %w", errno)
	}
	_, err := unix.SetfsgidRetGid(gid)
	if err == nil {
		_, err = unix.SetfsuidRetUid(uid)
	}
	// The calls do not report a failure, only what was set before.
	now, err2 := unix.SetfsuidRetUid(unchanged)
	nowGID, err3 := unix.SetfsgidRetGid(unchanged)
	if err != nil || err2 != nil || err3 != nil || now != uid || nowGID != gid {
		return fmt.Errorf("using files as user %d and group %d: the kernel refuses it", uid, gid)
	}
	return nil
}

// AsEffective calls do as As does, and with the user as the thread's effective one besides: a
// server to which do connects over a Unix socket sees that user (SO_PEERCRED). The real user
// remains root, so that the user cannot send signals to this process.
func AsEffective(uid, gid int, do func() error) error {
	if os.Geteuid() != 0 || uid == 0 {
		return do()
	}
	return As(uid, gid, func() error { // its thread ends afterwards
		const unchanged = ^uintptr(0)
		// Of the thread alone, unlike syscall.Setresuid.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, unchanged, uintptr(gid), unchanged); errno != 0 {
			return fmt.Errorf("becoming group %d: %w", gid, errno)
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, unchanged, uintptr(uid), unchanged); errno != 0 {
			return fmt.Errorf("becoming user %d: %w", uid, errno)
		}
		return do()
	})
}
