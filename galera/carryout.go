package galera

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// beforeTransfer makes an empty data directory one that waits for a full transfer. It is done before
// the record says that the server may run: when the server ends without having written anything, the
// next start finds the same volume without data, and not one that was replaced and may have had some.
func (s *Start) beforeTransfer(d decision) error {
	if d.action != join || s.local.data != NoData {
		return nil
	}
	return s.emptied()
}

// emptied makes the data directory one that waits for a full transfer.
func (s *Start) emptied() error {
	if err := s.dir.discard(); err != nil {
		return fmt.Errorf("preparing the data directory %q for a transfer: %w", s.settings.DataDir, err)
	}
	return nil
}

// giveUp gives up data that are not of the cluster's history, when the record says so and that the
// server may run. Before that another decision can come, by which the same data are needed.
func (s *Start) giveUp(d decision) error {
	if !d.discard {
		return nil
	}
	s.Log.Warn("what this node has is not in the history of its cluster any more: it asks for all data anew", "position", s.local.position)
	return s.emptied()
}

// removeStatusFile removes what an earlier server said.
func (s *Start) removeStatusFile() error {
	if s.settings.StatusFile == "" {
		return nil
	}
	dir, name := filepath.Split(s.settings.StatusFile)
	a, err := accountIn(filepath.Clean(dir), s.File)
	if err != nil {
		return err
	}
	return a.do(func() error { return removeFiles(dir, name) })
}

// keepGeneration writes beside the data of which history they are, once the record says that the
// server is part of that. A start without the record goes on with the history of before.
func (s *Start) keepGeneration(d decision) error {
	if d.record == nil {
		return nil
	}
	if err := s.dir.setGeneration(d.record.Nodes[s.settings.Node].Generation); err != nil {
		return fmt.Errorf("writing the generation of the data in %q: %w", s.settings.DataDir, err)
	}
	return nil
}

// carryOut prepares the data directory and writes the arguments.
func (s *Start) carryOut(d decision) error {
	if err := s.giveUp(d); err != nil {
		return err
	}
	if err := s.keepMemory(d); err != nil {
		return err
	}
	// A transfer that was killed leaves its process id, which is another's by now.
	stale := []string{markerName, "wsrep_sst.pid", "rsync_sst.pid"}
	if !d.keepView {
		stale = append(stale, gvwstateName)
	}
	if err := s.dir.remove(stale...); err != nil {
		return err
	}
	if err := s.removeStatusFile(); err != nil {
		return err
	}
	if err := s.keepGeneration(d); err != nil {
		return err
	}
	if s.local.data == Full && !d.discard {
		if err := s.dir.restoreState(s.local.position); err != nil {
			return fmt.Errorf("writing %q in %q: %w", grastateName, s.settings.DataDir, err)
		}
	}
	var args []string
	if d.action == bootstrap {
		if err := s.dir.allowBootstrap(); err != nil {
			return err
		}
		args = append(args, "arg --wsrep-new-cluster\n")
	}
	if p := s.local.position; s.local.data == Full && p.Seqno >= 0 && !d.discard {
		args = append(args, fmt.Sprintf("arg --wsrep-start-position=%s\n", p))
	}
	_, err := io.WriteString(s.Out, strings.Join(args, ""))
	return err
}
