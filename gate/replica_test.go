package gate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// What a replica that is a process of its own is told.
const (
	replicaVariable   = "GATE_TEST_REPLICA" // its identity
	namespaceVariable = "GATE_TEST_NAMESPACE"
	slotsVariable     = "GATE_TEST_SLOTS"
	dirVariable       = "GATE_TEST_DIR"
)

// replicaCommand is one that passes the gate again and again, until it is killed.
func replicaCommand(kubeconfig, namespace, identity, dir string, slots int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(),
		replicaVariable+"="+identity, namespaceVariable+"="+namespace, dirVariable+"="+dir,
		slotsVariable+"="+strconv.Itoa(slots), "KUBECONFIG="+kubeconfig)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// beReplica passes the gate, and notes each time in the file "passes". Those
// inside hold a lock on a file, which the kernel takes from them when they die:
// who finds no lock free notes that in "faults".
func beReplica(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := NewClient(config)
	if err != nil {
		return err
	}
	slots, err := strconv.Atoi(os.Getenv(slotsVariable))
	if err != nil {
		return err
	}
	identity, dir := os.Getenv(replicaVariable), os.Getenv(dirVariable)
	g := New(client, Options{
		Namespace: os.Getenv(namespaceVariable), Name: "web", Identity: identity, Slots: slots, Duration: 3 * time.Second,
	})
	for {
		pass, err := g.Enter(ctx)
		if err != nil {
			return err
		}
		if err := act(pass, identity, dir, slots); err != nil {
			return err
		}
		if err := pass.Leave(ctx); err != nil {
			return err
		}
	}
}

// act holds a lock for a moment, or until the pass is lost.
func act(pass *Pass, identity, dir string, slots int) error {
	lock, err := lockAny(dir, slots)
	if err != nil {
		return err
	}
	if lock == nil && pass.Held() {
		return note(dir, "faults", identity)
	}
	if lock == nil {
		return nil
	}
	defer lock.Close()
	if err := note(dir, "passes", identity); err != nil {
		return err
	}
	select {
	case <-pass.Lost():
	case <-time.After(30 * time.Millisecond):
	}
	return nil
}

// lockAny locks one of as many files as there are slots, or gives nil.
func lockAny(dir string, slots int) (*os.File, error) {
	for i := range slots {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("slot-", i)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, nil
}

// note appends a line with the time, in microseconds.
func note(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%d %s\n", time.Now().UnixMicro(), text)
	return err
}
