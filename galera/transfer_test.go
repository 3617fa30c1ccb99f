package galera

import (
	"net"
	"testing"
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

func TestTransferPort(t *testing.T) {
	for address, want := range map[string]int{"": 4444, "AUTO": 4444, "10.0.0.1": 4444, "10.0.0.1:5555": 5555, "[fd00::1]:5555": 5555, "fd00::1": 4444} {
		if got := transferPort(address); got != want {
			t.Errorf("%q: got %d, want %d", address, got, want)
		}
	}
}
