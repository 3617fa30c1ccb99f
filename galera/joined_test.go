package galera

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReadStatus(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    serverState
	}{
		"synced":           {`{"errors": [], "status": {"state": "SYNCED"}}`, stateSynced},
		"being written":    {`{"errors": [`, stateUnknown},
		"joining":          {`{"errors": [{"msg": "no donor yet"}], "status": {"state": "JOINING"}}`, "JOINING"},
		"an old complaint": {`{"errors": [{"msg": "node restart required"}], "status": {"state": "SYNCED"}}`, stateSynced},
		// As it was when the donor was killed: the server stays so, and serves nobody.
		"a transfer that broke off": {
			`{"errors": [{"timestamp": 1795362769.0, "msg": "WSREP: Receiving IST failed, node restart required: IST receiver reported failure` +
				`: 'IST didn't contain all write sets, expected last: 5646 last received: 5629' (71)\n\t at .\/galera\/src\/replicator_smm.hpp:pop_front():318. VIEW event"}], ` +
				`"status": {"state": "JOINING", "comment": "Receiving IST"}}`,
			stateBroken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "wsrep.json")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readStatus(t.Context(), file)
			if got.State != test.want || (err == nil) != (test.want != stateUnknown) {
				t.Errorf("got %q, %v, want %q", got.State, err, test.want)
			}
		})
	}
}

// Whether the server serves is seen without a connection, which it would log as an aborted one.
func TestServes(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	j := &Joined{settings: Settings{Port: listener.Addr().(*net.TCPAddr).Port}}
	if !j.serves() {
		t.Error("somebody listens, and it is not seen")
	}
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if connection, err := listener.Accept(); err == nil {
		t.Errorf("there is a connection from %s", connection.RemoteAddr())
	}
	listener.Close()
	if j.serves() {
		t.Error("nobody listens, and it is not seen")
	}
}
