package galera

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A Notification is what a server tells its wsrep_notify_cmd.
type Notification struct {
	Status  string // such as Synced, in any case
	Primary string // yes or no; empty when the members have not changed
}

var errNoServer = errors.New("there is no mariadbd or mysqld among the parent processes")

// notified is the file that Notify writes: that of MariaDB's wsrep_status_file, as
// far as anybody here reads it, and of which server it is.
type notified struct {
	Status  notifiedStatus `json:"status"`
	Primary bool           `json:"primary"`
	Server  process        `json:"server"`
}

type notifiedStatus struct {
	State   string `json:"state"`
	Comment string `json:"comment"`
}

// Write writes how the server stands into wsrep.json of the directory, as MariaDB
// does by itself with wsrep_status_file. It is for servers that have no such
// option. The directory is as a rule the one that the command is run in, which is the
// data directory.
func (n Notification) Write(dir string) error {
	server, err := parentServer()
	if err != nil {
		return err
	}
	return n.write(filepath.Join(dir, defaultStatusFile), server)
}

func (n Notification) write(path string, server process) error {
	now := notified{Server: server}
	if content, err := safefs.ReadFile(path, maxStateFile); err == nil && n.Primary == "" {
		var before notified
		if json.Unmarshal(content, &before) == nil && before.Server == server {
			now.Primary = before.Primary
		}
	}
	if n.Primary != "" {
		now.Primary = n.Primary == "yes"
	}
	now.Status = notifiedStatus{n.state(now.Primary), n.Status}
	content, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return replace(path, append(content, '\n'))
}

// state is the word of MariaDB's status file. Outside of the primary component a
// server keeps what it was, and serves nobody.
func (n Notification) state(primary bool) string {
	switch word := strings.ToLower(n.Status); {
	case word == "disconnected", word == "disconnecting", strings.HasPrefix(word, "error"):
		return "DISCONNECTED"
	case word == "joiner", word == "initializing", word == "initialized":
		return "JOINING"
	case !primary:
		return "CONNECTED"
	case word == "synced", word == "donor", word == "joined":
		return strings.ToUpper(word)
	}
	return "CONNECTED"
}

// replace writes the file at once. It need not outlive the machine.
func replace(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // it may be gone
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// A process is told from others that had its number before by when it started.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in ticks since the machine's
}

// lives says whether the process still runs.
func (p process) lives() bool {
	now, err := readProcess(p.PID)
	return err == nil && now.process == p
}

// parentServer is the server that runs this command, with a shell between them.
func parentServer() (process, error) {
	for pid := os.Getppid(); pid > 0; {
		p, err := readProcess(pid)
		if err != nil {
			return process{}, err
		}
		if p.name == "mariadbd" || p.name == "mysqld" {
			return p.process, nil
		}
		pid = p.parent
	}
	return process{}, errNoServer
}

type processStat struct {
	process
	name   string
	parent int
}

// readProcess reads /proc/PID/stat: the number, the name in parentheses, the state,
// the parent, and much else; the 22nd is the start.
func readProcess(pid int) (processStat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, err
	}
	text := string(content)
	begin, end := strings.Index(text, "("), strings.LastIndex(text, ")")
	if begin < 0 || end < begin {
		return processStat{}, fmt.Errorf("process %d: its stat has no name", pid)
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 20 {
		return processStat{}, fmt.Errorf("process %d: its stat has %d fields", pid, len(fields))
	}
	parent, err1 := strconv.Atoi(fields[1])
	start, err2 := strconv.ParseUint(fields[19], 10, 64)
	return processStat{process{pid, start}, text[begin+1 : end], parent}, errors.Join(err1, err2)
}
