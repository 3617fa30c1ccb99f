package galera

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What another user has left beside the socket is not believed. It could name a process that is stopped.
func TestSightingOfAnotherUser(t *testing.T) {
	t.Parallel()
	const another = 4711
	sleeper := exec.CommandContext(t.Context(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Wait() }) // the context of the test has ended then
	p, err := readProcess(sleeper.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(sighting{Server: p.process.id(bootID()), Process: &p.process})
	if err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[int]bool{os.Geteuid(): true, another: false} {
		data := t.TempDir()
		e := &inspection{settings: Settings{DataDir: data, Socket: filepath.Join(data, "socket"), File: filepath.Join(data, "my.cnf")}}
		writeFile(t, e.path(), string(content))
		if err := os.Chown(e.path(), owner, -1); err != nil {
			t.Fatal(err)
		}
		if err := e.open(); err != nil {
			t.Fatal(err)
		}
		if got := e.seen.Process != nil; got != want {
			t.Errorf("of user %d: believed %v, want %v", owner, got, want)
		}
	}
}
