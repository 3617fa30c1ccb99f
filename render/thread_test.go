package render

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// The helpers here change what the kernel allows to the test's own thread, and
// to nothing else: mounts, user and system calls belong to a thread on Linux.
// The thread is never unlocked, so it ends with the test and takes all that
// along, however the test ends. A subtest has another thread.

// privateMounts lets the test mount what nobody else sees.
func privateMounts(t *testing.T) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		t.Fatalf("making a mount namespace: %v", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("making the mounts private: %v", err)
	}
}

// mount needs privateMounts.
func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		t.Fatalf("mounting %q: %v", target, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) }) // for the test's directory to be removed
}

// mountTmpfs is a file system of that many KiB.
func mountTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	mount(t, "tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size)
}

func bind(t *testing.T, source, target string) {
	t.Helper()
	mount(t, source, target, "", syscall.MS_BIND, "")
}

// makeReadOnly makes a directory a read-only mount of itself.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	bind(t, dir, dir)
	remountReadOnly(t, dir)
}

// remountReadOnly makes a mount read-only.
func remountReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("making %q read-only: %v", dir, err)
	}
}

// setUmask sets the umask of the thread alone.
func setUmask(t *testing.T, mask int) {
	t.Helper()
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
		t.Fatalf("giving the thread its own umask: %v", err)
	}
	syscall.Umask(mask)
}

// becomeUser gives up root for that user and group id, with the group 3000
// besides.
func becomeUser(t *testing.T, id uintptr) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	call := func(number, a, b, c uintptr) {
		t.Helper()
		if _, _, errno := syscall.RawSyscall(number, a, b, c); errno != 0 {
			t.Fatalf("becoming user %d: %v", id, errno)
		}
	}
	const same = ^uintptr(0)
	groups := []uint32{3000}
	call(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	call(syscall.SYS_SETRESGID, same, id, same)
	call(syscall.SYS_SETRESUID, same, id, same)
	t.Cleanup(func() { // root again, to remove the test's directory
		call(syscall.SYS_SETRESUID, same, 0, same)
		call(syscall.SYS_SETRESGID, same, 0, same)
	})
}

// refuse has the system call of that number fail from now on.
func refuse(t *testing.T, number uint32, errno syscall.Errno) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	const (
		offsetNumber           = 0 // in struct seccomp_data
		doAllow, doFail        = 0x7fff0000, 0x00050000
		setSeccomp, modeFilter = 22, 2 // of prctl
	)
	load := func(offset uint32) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: offset}
	}
	unlessEqual := func(value uint32, skip uint8) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, Jf: skip, K: value}
	}
	finish := func(how uint32) syscall.SockFilter {
		return syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: how}
	}
	filter := []syscall.SockFilter{load(offsetNumber), unlessEqual(number, 1), finish(doFail | uint32(errno)), finish(doAllow)}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setSeccomp, modeFilter, uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Fatalf("installing a filter for system calls: %v", errno)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts file systems and makes files of several users: run it as root")
	}
}

// sharedDir is a TempDir that other users can enter.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
