package watcher

import (
	"path/filepath"
	"testing"
	"time"
)

// A change of a manifest is said to be as old as the file: the quiet time of what is rendered from it has passed
// already. What a cluster changes, changes now.
func TestLastChange(t *testing.T) {
	t.Parallel()
	const quiet = 300 * time.Millisecond
	file := filepath.Join(t.TempDir(), "a.yaml")
	replaceFile(t, file, levelYAML("one"))
	w, err := NewManifests([]string{file}, "shop", nil, (&logBook{}).logger(), ManifestTiming{Quiet: quiet, Timeout: time.Minute})
	must(t, err)
	start(t, w)
	p := levelPage(w)
	p.awaitGot(t, "one")
	wrote := time.Now()
	replaceFile(t, file, levelYAML("two"))
	p.awaitGot(t, "two")
	now := time.Now()
	if at := w.LastChange(now); at.Before(wrote) || now.Sub(at) < quiet {
		t.Errorf("the last change was %v after the write and %v ago, want %v at least", at.Sub(wrote), now.Sub(at), quiet)
	}
	if at := NewOffline().LastChange(now); !at.Equal(now) {
		t.Errorf("without manifests: got %v", at)
	}
}

// Files without an age, such as standard input, count as changed now.
func TestLastChangeWithoutFiles(t *testing.T) {
	w := manifestWatcher(t, &logBook{}, "-", "/dev/null")
	now := time.Now()
	if at := w.LastChange(now); at.IsZero() || at.After(now) {
		t.Errorf("got %v", at)
	}
}

// A manifest of which only the beginning is there is not read, before the first data either.
func TestHalfWrittenManifest(t *testing.T) {
	t.Parallel()
	const quiet = 500 * time.Millisecond
	file := filepath.Join(t.TempDir(), "a.yaml")
	writeFile(t, file, "")
	written := make(chan time.Time)
	go func() { // ends with the write
		writeFile(t, file, levelYAML("one"))
		written <- time.Now()
	}()
	w, err := NewManifests([]string{file}, "shop", nil, (&logBook{}).logger(), ManifestTiming{Quiet: quiet, Timeout: time.Minute})
	must(t, err)
	if waited := time.Since(<-written); waited < quiet-50*time.Millisecond {
		t.Errorf("read %v after the last write", waited)
	}
	start(t, w)
	p := levelPage(w)
	p.awaitGot(t, "one")
}
