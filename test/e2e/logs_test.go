//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// podLogs is where the kubelet has the logs: NAMESPACE_POD_UID/CONTAINER/NUMBER.log. It removes those of a pod with
	// the pod, and those of a container with the second one after it.
	podLogs = "/var/log/pods"

	// keptLogs has other names of the same files, for when the kubelet has removed its own. It must be in the same file
	// system.
	keptLogs = "/var/log/kept"

	// linkEvery is how often new logs are looked for. Each lasts from the start of a container at least to the
	// end of its pod.
	linkEvery = 200 * time.Millisecond
)

// keepLogs gives each log of a container a second name, until done is closed. What is written to a log later is there as
// well.
func keepLogs(done <-chan struct{}) {
	tick := time.NewTicker(linkEvery)
	defer tick.Stop()
	for {
		linkLogs(podLogs, keptLogs)
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// linkLogs links all files below from at the same places below to. Logs are rotated: another file of the same name
// gets its inode's number behind the name.
func linkLogs(from, to string) {
	_ = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it may have been removed
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		relative, _ := filepath.Rel(from, path) // it is below
		kept := filepath.Join(to, relative)
		if other, err := os.Stat(kept); err == nil && !os.SameFile(info, other) {
			kept = fmt.Sprintf("%s.%d", kept, info.Sys().(*syscall.Stat_t).Ino)
		}
		if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
			return nil
		}
		if err := os.Link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil // it has been removed just now
		}
		return nil
	})
}

// copyLogs copies the logs of all pods that a namespace has and had.
func copyLogs(namespace, dir string) error {
	pods, err := filepath.Glob(filepath.Join(keptLogs, namespace+"_*"))
	for _, pod := range pods {
		name := strings.TrimPrefix(filepath.Base(pod), namespace+"_")
		err = errors.Join(err, command("", nil, "cp", "-r", pod, filepath.Join(dir, name)))
	}
	return err
}

// removeLogs makes room for those of other namespaces.
func removeLogs(namespace string) error {
	pods, err := filepath.Glob(filepath.Join(keptLogs, namespace+"_*"))
	for _, pod := range pods {
		err = errors.Join(err, os.RemoveAll(pod))
	}
	return err
}
