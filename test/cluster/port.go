package cluster

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// port is a free port of 127.0.0.1, kept for one server and its successors: the
// socket is bound and never listens, so that connections are refused while no
// server runs, and no other program gets the port in between. The server binds
// it too, with SO_REUSEPORT.
type port struct {
	number int
	socket int
}

func reserve() (_ *port, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reserving a port: %w", err)
		}
	}()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	number, err := bind(socket)
	if err != nil {
		return nil, errors.Join(err, unix.Close(socket))
	}
	return &port{number: number, socket: socket}, nil
}

// bind gives the socket a port that the kernel chooses, and returns it.
func bind(socket int) (int, error) {
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(socket)
	if err != nil {
		return 0, err
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("the socket's address is a %T", name)
	}
	return address.Port, nil
}

func (p *port) release() error { return unix.Close(p.socket) }
