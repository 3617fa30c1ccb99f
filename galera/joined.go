package galera

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// watchEvery is how often the server's status file is looked at.
	watchEvery = 500 * time.Millisecond

	// defaultWithoutPrimary is how long a server may be without a cluster.
	defaultWithoutPrimary = time.Minute
)

// A Joined stays beside a server.
type Joined struct {
	NodeCommand

	// WithoutPrimary is how long the server may go without being part of a primary
	// component before it is killed, so that it is started anew; 0 means a minute.
	WithoutPrimary time.Duration

	settings Settings
	dir      dataDir
	store    *Store
	recorded bool      // that it is synced
	lonely   time.Time // since when it has no primary component; zero when it has
	failure  string    // that was logged last
}

// Run notes in the record that the server is Synced as soon as it is, and goes on
// watching. It returns when ctx ends, with ctx's cause.
//
// A server that has had no primary component for too long is killed, when the API
// server can be reached: its next start goes by the record, and so does that of all
// others to which the same happened. Galera by itself comes back from the loss of its
// majority only when each of the last members does.
func (j *Joined) Run(ctx context.Context) (err error) {
	if j.settings, err = ReadSettings(j.File); err != nil {
		return err
	}
	if j.store, err = j.Store(j.settings.Cluster); err != nil {
		return err
	}
	j.dir = dataDir{j.settings.DataDir, j.Server, j.File}
	if j.WithoutPrimary == 0 {
		j.WithoutPrimary = defaultWithoutPrimary
	}
	for {
		err := j.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil, outdated(err):
			j.failure = ""
		case j.failure != err.Error():
			j.failure = err.Error()
			j.Log.Warn("the record is not up to date", "err", err)
		}
		pause := watchEvery
		if err != nil && !outdated(err) {
			pause = 4 * watchEvery
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// look looks at the server once.
func (j *Joined) look(ctx context.Context) error {
	state := j.state(ctx)
	if !j.isLonely(ctx, state) {
		j.lonely = time.Time{}
	} else if j.lonely.IsZero() {
		j.lonely = time.Now()
	}
	switch {
	case state == stateSynced && !j.recorded:
		return j.record(ctx)
	case !j.lonely.IsZero() && time.Since(j.lonely) >= j.WithoutPrimary:
		return j.giveUp(ctx)
	}
	return nil
}

// A serverState is that of wsrep_status_file.
type serverState string

const (
	stateUnknown      serverState = ""
	stateDisconnected serverState = "DISCONNECTED"
	stateConnected    serverState = "CONNECTED"
	stateSynced       serverState = "SYNCED"
)

// isLonely says whether the server has no primary component, and does not get one by
// itself: it waits for one, or it was thrown out. One that is starting or ending
// is disconnected as well, and has no port open.
func (j *Joined) isLonely(ctx context.Context, state serverState) bool {
	return state == stateConnected || state == stateDisconnected && j.serves(ctx)
}

// serves says whether the server's port is open.
func (j *Joined) serves(ctx context.Context) bool {
	peers := []peer{{"localhost", j.settings.Port}}
	if j.settings.Address != "" {
		peers = append(peers, peer{j.settings.Address, j.settings.Port})
	}
	return len(listening(ctx, peers)) > 0
}

// state is the server's. One that writes no status file is taken for synced when it
// serves clients and has a position.
func (j *Joined) state(ctx context.Context) serverState {
	if j.settings.StatusFile != "" {
		return readState(j.settings.StatusFile)
	}
	state, err := j.dir.grastate()
	if err != nil || state.position.UUID == "" {
		return stateUnknown
	}
	if !j.serves(ctx) {
		return stateUnknown
	}
	return stateSynced
}

// readState is unknown while the file is not there or being written.
func readState(file string) serverState {
	content, err := os.ReadFile(file)
	if err != nil {
		return stateUnknown
	}
	var status struct {
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if json.Unmarshal(content, &status) != nil {
		return stateUnknown
	}
	return serverState(status.Status.State)
}

// record writes that the node is synced.
func (j *Joined) record(ctx context.Context) error {
	state, err := j.dir.grastate()
	if err != nil || state.position.UUID == "" {
		return err // it is just being written
	}
	old, err := j.store.get(ctx)
	if err != nil {
		return err
	}
	r := newRecord(j.settings.Cluster)
	if old != nil {
		r = old.Record
	} else { // somebody deleted it
		r.Adopted, r.Since = true, time.Now().UTC()
	}
	uuid := state.position.UUID
	if r.UUID != "" && r.UUID != uuid {
		return fmt.Errorf("the server is in cluster %s, and the record is that of %s: one of them is wrong", uuid, r.UUID)
	}
	s := stamp{j.settings.Address, j.Pod, token(), time.Now().UTC()}
	if _, err := j.store.put(ctx, old, r.synced(j.settings.Node, uuid, j.dir.view(), s)); err != nil {
		return err
	}
	j.recorded = true
	j.Log.Info("the node is synced", "node", j.settings.Node, "cluster", uuid)
	return nil
}

// giveUp kills the server, if its next start can go by the record.
func (j *Joined) giveUp(ctx context.Context) error {
	if _, err := j.store.get(ctx); err != nil {
		return err
	}
	pids, err := serversIn(j.settings.DataDir)
	if err != nil {
		return err
	}
	j.Log.Warn("the server has no primary component, and is started anew by the record", "for", time.Since(j.lonely).Round(time.Second), "pids", pids)
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing the server, process %d: %w", pid, err)
		}
	}
	j.lonely = time.Now()
	return nil
}

// serversIn are the processes of a server that has the data directory: its working
// directory is there.
func serversIn(dir string) (pids []int, err error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != resolved {
			continue // it is another's, or has ended
		}
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
		if name := strings.TrimSpace(string(comm)); name != "mariadbd" && name != "mysqld" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link))) // a number, see the pattern
		pids = append(pids, pid)
	}
	return pids, err
}
