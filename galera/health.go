package galera

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// defaultStatusFile is where [Notify] writes, in the data directory, and where the
// template of this repository makes MariaDB write.
const defaultStatusFile = "wsrep.json"

// Health looks at a server from outside, without an account and without a
// connection: at the file in which it says how it stands (wsrep_status_file, or
// what [Notify] writes), and at what the kernel says of its port. It has to run in
// the server's network namespace. A look takes about a millisecond.
type Health struct {
	DefaultsFile string

	// Donor says whether a node is ready while it gives a full state transfer: "yes",
	// "no", or "auto" or empty for: unless the transfer locks its tables, as rsync does.
	Donor string

	// Patience is how long a server is alive that has left its cluster.
	Patience time.Duration
}

// Ready says whether clients may be sent to the server, and why, in one line. An
// error means that it cannot be told.
//
// It is ready when it is Synced, which it is in the primary component only, and
// when it accepts connections, at wsrep_node_address where that is set.
func (h Health) Ready(ctx context.Context) (ready bool, why string, err error) {
	n, err := readNode(h.DefaultsFile)
	if err != nil {
		return false, "", err
	}
	status, err := n.readStatus(ctx)
	if err != nil {
		return false, err.Error(), nil
	}
	if serves, why := h.serves(status, n); !serves {
		return false, why, nil
	}
	if err := n.accepts(ctx); err != nil {
		return false, err.Error(), nil
	}
	return true, status.String(), nil
}

func (h Health) serves(s status, n nodeFile) (bool, string) {
	switch s.State {
	case "SYNCED":
		return true, ""
	case "DONOR":
		switch {
		case h.Donor == "yes", (h.Donor == "" || h.Donor == "auto") && !n.locksDonor():
			return true, ""
		case h.Donor == "no":
			return false, s.String()
		}
		return false, fmt.Sprintf("%s: wsrep_sst_method %s locks its tables", s, n.method)
	}
	return false, s.String()
}

// Alive says whether a restart of the server would not help, and why, in one line.
// An error means that it cannot be told.
//
// One that starts, waits, receives or gives a state transfer, or is cut off from the
// others is alive. One that serves its port and has left the cluster for good is not:
// it has found its data to differ from those of the others, or was given an
// address where nobody is. That lasts since the server last wrote its status file,
// which it also does when it logs a warning.
func (h Health) Alive(ctx context.Context) (alive bool, why string, err error) {
	n, err := readNode(h.DefaultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, "there is no option file yet", nil
	}
	if err != nil {
		return false, "", err
	}
	open, err := listens(n.port)
	if err != nil {
		return false, "", err
	}
	if !open {
		return true, fmt.Sprintf("the server does not listen at port %d yet", n.port), nil
	}
	status, err := n.readStatus(ctx)
	if err != nil {
		return true, err.Error(), nil
	}
	left := time.Since(status.written)
	if status.State == "DISCONNECTED" && left >= h.Patience {
		return false, fmt.Sprintf("%s, for %v: the server has left its cluster and does not go back", status, left.Round(time.Second)), nil
	}
	return true, status.String(), nil
}

// A nodeFile is what the option file says of it.
type nodeFile struct {
	statusFile string
	method     string // of state transfers
	address    string // empty means any
	port       int
}

func readNode(file string) (nodeFile, error) {
	options, err := readOptions(file)
	if err != nil {
		return nodeFile{}, err
	}
	value := func(name, otherwise string) string {
		option, _ := lastOf(options, name)
		return cmp.Or(option.Value, otherwise)
	}
	n := nodeFile{
		statusFile: value("wsrep_status_file", defaultStatusFile),
		method:     value("wsrep_sst_method", "rsync"),
		address:    bareHost(value("wsrep_node_address", "")),
	}
	if !filepath.IsAbs(n.statusFile) {
		n.statusFile = filepath.Join(value("datadir", "/var/lib/mysql"), n.statusFile)
	}
	port := value("port", "3306")
	if n.port, err = strconv.Atoi(port); err != nil {
		return nodeFile{}, fmt.Errorf("reading the option file: port %q: not a number", port)
	}
	return n, nil
}

// locksDonor says whether a donor does not serve writes.
func (n nodeFile) locksDonor() bool {
	switch n.method {
	case "mariabackup", "xtrabackup", "xtrabackup-v2", "clone":
		return false
	}
	return true
}

// status is how the server says that it stands.
type status struct {
	State, Comment string
	written        time.Time
}

func (s status) String() string {
	if s.Comment == "" {
		return s.State
	}
	return s.State + ": " + s.Comment
}

// statusRetries is how often a status file is read that is just being written,
// statusPause apart.
const (
	statusRetries = 20
	statusPause   = 5 * time.Millisecond
)

// readStatus reads the status file. The file stays when the server is gone: where
// that matters, the caller sees it by the port that nobody listens at. MariaDB begins
// a new one long before it listens; of one that [Notify] wrote, the server must still
// be there.
func (n nodeFile) readStatus(ctx context.Context) (status, error) {
	var file struct {
		Status status
		Server *process
	}
	for try := 0; ; try++ {
		content, err := os.ReadFile(n.statusFile)
		if errors.Is(err, fs.ErrNotExist) {
			return status{}, fmt.Errorf("the server has not written %q yet", n.statusFile)
		}
		if err != nil {
			return status{}, err
		}
		if err = json.Unmarshal(content, &file); err == nil {
			break
		}
		if try == statusRetries {
			return status{}, fmt.Errorf("reading %q: %w", n.statusFile, err)
		}
		if err := pause(ctx, statusPause); err != nil {
			return status{}, err
		}
	}
	if file.Server != nil && !file.Server.lives() {
		return status{}, fmt.Errorf("the server that told of %s is gone", file.Status.State)
	}
	info, err := os.Stat(n.statusFile)
	if err != nil {
		return status{}, err
	}
	file.Status.written = info.ModTime()
	return file.Status, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
