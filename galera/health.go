package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Health looks at a server from outside: at the file in which it says how it stands
// (wsrep_status_file, or what [Notify] writes), at what the kernel says of its port and
// its threads, and whether it answers a login over the local socket. It has to run in
// the server's network namespace, and should run in its process namespace.
type Health struct {
	DefaultsFile string

	// Donor says whether a node is ready while it gives a full state transfer: "yes",
	// "no", or "auto" or empty for: unless the transfer locks its tables, as rsync does.
	Donor string

	// Whole says that a node is ready only when it may also go: when as many nodes as
	// wsrep_cluster_address has addresses are in the cluster, and when it does not give
	// a state transfer.
	Whole bool

	// Patience is how long a server is alive that has left its cluster, or hangs.
	Patience time.Duration
}

// Ready says whether clients may be sent to the server, and why, in one line. An
// error means that it cannot be told.
//
// It is ready when it is Synced, which it is in the primary component only, and
// when it accepts connections, at wsrep_node_address where that is set, and does not hang.
func (h Health) Ready(ctx context.Context) (ready bool, why string, err error) {
	settings, err := ReadSettings(h.DefaultsFile)
	if err != nil {
		return false, "", err
	}
	status, err := settings.readStatus(ctx)
	if err != nil {
		return false, err.Error(), nil
	}
	if serves, why := h.serves(status, settings); !serves {
		return false, why, nil
	}
	if err := settings.accepts(ctx); err != nil {
		return false, err.Error(), nil
	}
	hang, note, err := settings.examine(ctx, true)
	if err != nil {
		return false, "", err
	}
	if hang.why != "" && hang.lasted >= hang.limit {
		return false, hang.String(), nil
	}
	if h.Whole {
		return settings.isWhole(status)
	}
	return true, withNote(status.String(), note), nil
}

func withNote(text, note string) string {
	if note == "" {
		return text
	}
	return text + " (" + note + ")"
}

// isWhole says whether the others are all there, and need nothing of this node. Who
// is there stands in gvwstate.dat, which the server writes with each view.
func (s Settings) isWhole(own status) (whole bool, why string, err error) {
	if own.State != stateSynced {
		return false, own.String(), nil
	}
	_, view := dataDir{path: s.DataDir, file: s.File}.lastView()
	if view == nil {
		return false, gvwstateName + " does not say who is in the cluster", nil
	}
	why = fmt.Sprintf("%d nodes of %d are in the cluster", len(view), len(s.Peers))
	return len(view) >= len(s.Peers), why, nil
}

func (h Health) serves(s status, settings Settings) (bool, string) {
	switch s.State {
	case stateSynced:
		return true, ""
	case stateDonor:
		switch {
		case h.Donor == "yes", (h.Donor == "" || h.Donor == "auto") && !settings.locksDonor():
			return true, ""
		case h.Donor == "no":
			return false, s.String()
		}
		return false, fmt.Sprintf("%s: wsrep_sst_method %s locks its tables", s, settings.Transfer)
	}
	return false, s.String()
}

// Alive says whether a restart of the server would not help, and why, in one line.
// An error means that it cannot be told.
//
// One that starts, waits, receives or gives a state transfer, or is cut off from the
// others is alive. One that serves its port and has left the cluster for good is not:
// it has found its data to differ from those of the others, has broken off a
// transfer, or was given an address where nobody is. That lasts since the server last wrote its status file,
// which it also does when it logs a warning. Neither is one that hangs, since the first probe that saw it.
func (h Health) Alive(ctx context.Context) (alive bool, why string, err error) {
	settings, err := ReadSettings(h.DefaultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, "there is no option file yet", nil
	}
	if err != nil {
		return false, "", err
	}
	open, err := listens(settings.Port)
	if err != nil {
		return false, "", err
	}
	hang, note, err := settings.examine(ctx, open)
	if err != nil {
		return false, "", err
	}
	if hang.why != "" && hang.lasted >= max(hang.limit, h.Patience) && hang.counts {
		return false, hang.String(), nil
	}
	if !open {
		return true, fmt.Sprintf("the server does not listen at port %d yet", settings.Port), nil
	}
	status, err := settings.readStatus(ctx)
	if err != nil {
		return true, err.Error(), nil
	}
	left := time.Since(status.written)
	if (status.State == stateDisconnected || status.State == stateBroken) && left >= h.Patience {
		return false, fmt.Sprintf("%s, for %v: the server has left its cluster and does not go back", status, left.Round(time.Second)), nil
	}
	return true, withNote(status.String(), note), nil
}

// locksDonor says whether a donor does not serve writes.
func (s Settings) locksDonor() bool {
	switch s.Transfer {
	case "mariabackup", "xtrabackup", "xtrabackup-v2", "clone":
		return false
	}
	return true
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
