package galera

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What a donor sends is seen, and for how long it has sent nothing.
func TestTransfer(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s := Settings{TransferPort: l.Addr().(*net.TCPAddr).Port}
		want := func(when string, listens, connected bool) time.Duration {
			t.Helper()
			got, err := (dataDir{}).transfer(s)
			if err != nil || got.listens != listens || got.connected != connected {
				t.Errorf("%s, %s: got %+v, %v", address, when, got, err)
			}
			return got.idle
		}
		want("alone", true, false)
		donor, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer donor.Close()
		want("with a donor", true, true)
		began := time.Now()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		l.Close()
		for want("with a donor that sends nothing", false, true) < 50*time.Millisecond && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		before := time.Now()
		if _, err := donor.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if idle := want("with a donor that sends", false, true); idle > time.Since(before)+20*time.Millisecond {
			t.Errorf("%s: idle for %v, and something came within %v", address, idle, time.Since(before))
		}
		accepted.Close()
		donor.Close()
	}
}

// receivingDir is the data directory of a server that receives a transfer.
type receivingDir struct {
	liveDir
	sockets transfer
}

func (d *receivingDir) transfer(Settings) (transfer, error) { return d.sockets, nil }

// A donor that has sent nothing for five minutes gives nothing any more, whoever listens.
func TestSilentDonor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		now, later transfer
		gives      [3]bool
	}{
		"sends":                  {transfer{true, true, time.Second}, transfer{true, true, time.Second}, [3]bool{true, true, true}},
		"was connected and died": {transfer{true, true, 3 * time.Minute}, transfer{true, true, 7 * time.Minute}, [3]bool{true, false, false}},
		"died before this monitor began": {
			transfer{true, true, 6 * time.Minute}, transfer{true, true, 10 * time.Minute}, [3]bool{false, false, false},
		},
		"has not begun": {transfer{true, false, 0}, transfer{true, false, 0}, [3]bool{true, true, false}},
		"has sent all":  {transfer{}, transfer{}, [3]bool{true, true, true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newModel(1)
			w.record = nodes(map[string]Node{"a": at(Joining, 0), "b": at(Synced, 9)})
			d := &receivingDir{}
			j := &Joined{
				NodeCommand: NodeCommand{Log: slog.New(slog.DiscardHandler)}, WithoutPrimary: time.Minute, dir: d, store: w.node("a"),
				settings: Settings{Node: "a"}, dial: func(context.Context, []peer) []peer { return []peer{{"10.0.0.2", "4567"}} },
			}
			for i, sockets := range []transfer{test.now, test.later, test.later} {
				d.sockets = sockets
				if got := j.hasDonor(t.Context()); got != test.gives[i] {
					t.Errorf("%s, look %d: got %v", name, i+1, got)
				}
				time.Sleep(4 * time.Minute)
			}
		})
	}
}

func TestTransferPort(t *testing.T) {
	for address, want := range map[string]int{"": 4444, "AUTO": 4444, "10.0.0.1": 4444, "10.0.0.1:5555": 5555, "[fd00::1]:5555": 5555, "fd00::1": 4444} {
		if got := transferPort(address); got != want {
			t.Errorf("%q: got %d, want %d", address, got, want)
		}
	}
}
