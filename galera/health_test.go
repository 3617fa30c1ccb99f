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
			options := fmt.Sprintf("[mysqld]\nuser = mysql\ndatadir = %s\nsocket = socket\nport = %d\nwsrep_status_file = status.json\n", dir, l.Addr().(*net.TCPAddr).Port)
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

// A node may go while all others are there and need nothing of it.
func TestWhole(t *testing.T) {
	t.Parallel()
	view := func(members int) string {
		text := "my_uuid: 0\n#vwbeg\nview_id: 3 0 7\nbootstrap: 0\n"
		for i := range members {
			text += fmt.Sprintf("member: %d 0\n", i)
		}
		return text + "#vwend\n"
	}
	for name, test := range map[string]struct {
		state, view string // empty for none
		want        bool
	}{
		"all are there":       {"SYNCED", view(3), true},
		"more are there":      {"SYNCED", view(4), true},
		"one is missing":      {"SYNCED", view(2), false},
		"this gives transfer": {"DONOR", view(3), false},
		"nobody says":         {"SYNCED", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			dir := t.TempDir()
			options := "[mysqld]\nuser = mysql\nsocket = socket\ndatadir = %s\nport = %d\nwsrep_cluster_address = gcomm://10.0.0.1,10.0.0.2,10.0.0.3\n"
			writeFile(t, filepath.Join(dir, "my.cnf"), fmt.Sprintf(options, dir, l.Addr().(*net.TCPAddr).Port))
			writeFile(t, filepath.Join(dir, "wsrep.json"), `{"status": {"state": "`+test.state+`"}}`)
			if test.view != "" {
				writeFile(t, filepath.Join(dir, "gvwstate.dat"), test.view)
			}
			h := Health{DefaultsFile: filepath.Join(dir, "my.cnf"), Donor: "yes", Whole: true}
			ready, why, err := h.Ready(t.Context())
			if ready != test.want || err != nil {
				t.Errorf("got %v, %v: %s, want %v", ready, err, why, test.want)
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
