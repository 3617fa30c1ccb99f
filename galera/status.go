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
	"strings"
	"time"
	"unicode"

	"github.com/kconfd/kconfd/internal/safefs"
)

// defaultStatusFile is where [Notify] writes, in the data directory, and where the
// template of this repository makes MariaDB write.
const defaultStatusFile = "wsrep.json"

// A serverState is how a server stands in its cluster, in the words of
// wsrep_status_file.
type serverState string

const (
	stateUnknown      serverState = ""
	stateDisconnected serverState = "DISCONNECTED"
	stateConnected    serverState = "CONNECTED"
	stateJoining      serverState = "JOINING"
	stateJoined       serverState = "JOINED"
	stateDonor        serverState = "DONOR"
	stateSynced       serverState = "SYNCED"

	// Not the server's words: see restartRequired, unsaid and isReceiving.
	stateBroken    serverState = "BROKEN"
	stateStuck     serverState = "STUCK"
	stateReceiving serverState = "RECEIVING"
)

// isPrimary says whether a server in that state is in a primary component, with the rows of that.
func (s serverState) isPrimary() bool {
	return s == stateSynced || s == stateDonor || s == stateJoined
}

// restartRequired is in an error of the status file of a server that has left its
// cluster in the middle of a transfer. It stays as it is, JOINING, for ever.
const restartRequired = "node restart required"

// unsaid is in an error of the status file of a donor that had no primary component when
// its transfer was complete, and could not tell the others. When the component is back, it
// takes part and serves, and remains JOINED for ever, waiting for the transfer's end.
const unsaid = "sst sent called when not SST donor"

// A status is how the server says that it stands.
type status struct {
	State    serverState
	Comment  string
	written  time.Time
	notified bool      // it was written by [Notify]
	unsaid   time.Time // when the last end of a transfer was not told, in seconds; zero: never
}

func (s status) String() string {
	if s.Comment == "" {
		return string(s.State)
	}
	return string(s.State) + ": " + s.Comment
}

// isReceiving says whether the server waits for others. One that is JOINING may as well open its own
// tables, the first node of all among them, which takes as long as it takes.
func (s status) isReceiving() bool {
	return s.State == stateJoining && strings.HasPrefix(s.Comment, "Receiving")
}

// statusPath is where the status file is, whoever writes it.
func (s Settings) statusPath() string {
	return cmp.Or(s.StatusFile, filepath.Join(s.DataDir, defaultStatusFile))
}

// statusRetries is how often a status file is read that is just being written,
// statusPause apart.
const (
	statusRetries = 20
	statusPause   = 5 * time.Millisecond
)

// A statusFile is what the server writes, or [Notify] for it.
type statusFile struct {
	Status status
	Server *process // that Notify was run by
	Errors []struct {
		Timestamp float64 // seconds since 1970
		Message   string  `json:"msg"`
	}
}

// readStatus reads a status file. It stays when the server is gone: where
// that matters, the caller sees it by the port that nobody listens at. MariaDB begins
// a new one long before it listens; of one that [Notify] wrote, the server must still
// be there.
func (s Settings) readStatus(ctx context.Context) (status, error) {
	file, written, err := s.readStatusFile(ctx)
	if err != nil {
		return status{}, err
	}
	if file.Server != nil && !file.Server.lives() {
		return status{}, fmt.Errorf("the server that told of %s is gone", file.Status.State)
	}
	now := file.Status
	now.written, now.notified = written, file.Server != nil
	for _, e := range file.Errors {
		if now.State != stateSynced && strings.Contains(e.Message, restartRequired) {
			now.State = stateBroken
		}
		if strings.Contains(e.Message, unsaid) {
			now.unsaid = time.Unix(int64(e.Timestamp), 0)
		}
	}
	return now, nil
}

// readStatusFile reads the file as the user of its directory, until it is whole.
func (s Settings) readStatusFile(ctx context.Context) (file statusFile, written time.Time, err error) {
	path := s.statusPath()
	a, err := accountIn(filepath.Dir(path), s.File)
	if err != nil {
		return file, written, err
	}
	err = a.do(func() error {
		file, written, err = awaitStatusFile(ctx, path)
		return err
	})
	return file, written, err
}

func awaitStatusFile(ctx context.Context, path string) (file statusFile, written time.Time, err error) {
	for try := 0; ; try++ {
		content, err := safefs.ReadFile(path, maxStateFile)
		if errors.Is(err, fs.ErrNotExist) {
			return file, written, fmt.Errorf("the server has not written %q yet", path)
		}
		if err != nil {
			return file, written, err
		}
		file, err = parseStatusFile(content)
		if err == nil {
			info, err := os.Stat(path)
			if err != nil {
				return file, written, err
			}
			return file, info.ModTime(), nil
		}
		if try == statusRetries {
			return file, written, fmt.Errorf("reading %q: %w", path, err)
		}
		if err := pause(ctx, statusPause); err != nil {
			return file, written, err
		}
	}
}

func parseStatusFile(content []byte) (file statusFile, err error) {
	err = json.Unmarshal(content, &file)
	file.Status.State = serverState(oneLine(string(file.Status.State)))
	file.Status.Comment = oneLine(file.Status.Comment)
	return file, err
}

// longestWord is how much of what the server says of itself is shown, in bytes.
const longestWord = 200

// oneLine makes a line of text that is fit to be shown.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), longestWord)], "")), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
