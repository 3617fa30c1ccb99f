package galera

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A server that serves its port is alive unless it has been out of its cluster for long.
func TestAlive(t *testing.T) {
	t.Parallel()
	const broken = `{"errors": [{"msg": "Receiving IST failed, node restart required"}], "status": {"state": "JOINING"}}`
	for name, test := range map[string]struct {
		status string // empty for none
		age    time.Duration
		want   bool
	}{
		"nothing known yet":              {"", 0, true},
		"joining for hours":              {`{"status": {"state": "JOINING"}}`, 3 * time.Hour, true},
		"synced for hours":               {`{"status": {"state": "SYNCED"}}`, 3 * time.Hour, true},
		"waits for a majority for hours": {`{"status": {"state": "CONNECTED"}}`, 3 * time.Hour, true},
		"has just left":                  {`{"status": {"state": "DISCONNECTED"}}`, 10 * time.Second, true},
		"has left":                       {`{"status": {"state": "DISCONNECTED"}}`, 2 * time.Minute, false},
		"a transfer has just broken off": {broken, 10 * time.Second, true},
		"a transfer broke off":           {broken, 2 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			dir := t.TempDir()
			options := fmt.Sprintf("[mysqld]\ndatadir = %s\nport = %d\nwsrep_status_file = status.json\n", dir, l.Addr().(*net.TCPAddr).Port)
			writeFile(t, filepath.Join(dir, "my.cnf"), options)
			if test.status != "" {
				file := filepath.Join(dir, "status.json")
				writeFile(t, file, test.status)
				written := time.Now().Add(-test.age)
				if err := os.Chtimes(file, written, written); err != nil {
					t.Fatal(err)
				}
			}
			h := Health{DefaultsFile: filepath.Join(dir, "my.cnf"), Patience: time.Minute}
			alive, why, err := h.Alive(t.Context())
			if alive != test.want || err != nil {
				t.Errorf("got %v, %v: %s, want %v", alive, err, why, test.want)
			}
		})
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
