package galera

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A network is a network namespace. It is there as long as a process is in it, or
// the file is open.
type network struct{ file *os.File }

func newNetwork() (*network, error) {
	n := &network{}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return n, nil
}

// in runs f in the namespace. What f starts stays in it.
func (n *network) in(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// ip runs the program ip in the namespace, once for each line.
func (n *network) ip(lines string) error {
	return n.in(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(lines)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("setting up a network: %w (run: make packages)\n%s", err, out)
		}
		return nil
	})
}

func (n *network) close() { _ = n.file.Close() }

// newSwitch makes the network that joins all others together.
func newSwitch() (*network, error) {
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	return n, n.ip("link add switch type bridge\nlink set switch up")
}

// plug makes a network with an address on the switch.
func (n *network) plug(number int, address string) (*network, error) {
	plugged, err := newNetwork()
	if err != nil {
		return nil, err
	}
	// ip is another process, and has the file under this name.
	there := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), plugged.file.Fd())
	port := fmt.Sprintf("port%d", number)
	err = n.ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %s master switch up", port, there, port))
	if err != nil {
		return plugged, err
	}
	return plugged, plugged.ip(fmt.Sprintf("link set lo up\naddress add %s/24 dev eth0\nlink set eth0 up", address))
}

// onThread runs f on a thread of its own, which ends with f: nobody else is to
// run in the namespace that it has entered.
func onThread(f func() error) error {
	done := make(chan error)
	go func() { // until f returns
		runtime.LockOSThread() // and never unlocked, so that the thread ends
		done <- f()
	}()
	return <-done
}

// listening are the TCP ports on which somebody listens.
func (n *network) listening() (ports []int, err error) {
	err = n.in(func() error {
		for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			if err := listeners(file, &ports); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(ports)
	return slices.Compact(ports), err
}

// listeners reads lines of a number, the own address and port in hexadecimal, the
// peer's, and the state, of which 0A is listening.
func listeners(path string, ports *[]int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		var port int
		if _, err := fmt.Sscanf(hex, "%X", &port); err != nil {
			return fmt.Errorf("reading %q: %w", path, err)
		}
		*ports = append(*ports, port)
	}
	return lines.Err()
}
