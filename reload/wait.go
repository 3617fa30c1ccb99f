package reload

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A siginfo is what waitid(2) tells about a child, in the kernel's layout.
type siginfo struct {
	_, _, code int32
	_          [unsafe.Sizeof(uintptr(0)) / 8]int32
	child      int32
	_          uint32
	status     int32 // the exit code or the signal
	_          [128 - 28]byte
}

// The kernel's codes for what happened to a child.
const childExited = 1

func (i *siginfo) pid() int { return int(i.child) }

func (i *siginfo) exit() Exit {
	if i.code == childExited {
		return Exit{Code: int(i.status)}
	}
	return Exit{Signal: syscall.Signal(i.status)}
}

// waitid is waitid(2), which can leave an ended child as it is: until somebody
// waits for it for good, its id is not given to another process.
func waitid(idType, id int, info *siginfo, options int) error {
	for {
		err := unix.Waitid(idType, id, (*unix.Siginfo)(unsafe.Pointer(info)), options, nil)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
