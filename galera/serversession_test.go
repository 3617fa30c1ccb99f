package galera

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// lead gives a new session at the volume's server, until the test ends.
func (v *volume) lead() healSession {
	v.t.Helper()
	settings, err := ReadSettings(v.config())
	if err != nil {
		v.t.Fatal(err)
	}
	s, err := settings.openHealSession(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(s.close)
	return s
}

// member is the arguments of a server that takes part in a cluster at an address of this machine that no
// other test uses.
func member(address, of string) []string {
	return []string{
		"--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-address=gcomm://" + of, "--wsrep-sst-method=skip",
		"--wsrep-node-address=" + address, "--wsrep-provider-options=gcache.size=1M;pc.wait_prim=no;gmcast.listen_addr=tcp://" + address +
			":4567;evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S",
	}
}

// awaitSession waits until a session says so.
func awaitSession(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); {
		if time.Now().After(end) {
			t.Fatal(what + ": not so")
		}
		_ = pause(t.Context(), 20*time.Millisecond) // until the test ends
	}
}

// Of all sessions at a server one leads. Only that makes a component, of a server that has none and has
// the rows that it is expected to have.
func TestSessionLeads(t *testing.T) {
	const here, other = "127.0.79.1", "127.0.79.2"
	ctx := t.Context()
	v := newVolume(t)
	v.run()
	v.serve(append(member(here, ""), "--wsrep-new-cluster")...)
	first, second := v.lead(), v.lead()
	var p Position
	component := func(want bool) {
		t.Helper()
		awaitSession(t, "the component", func() bool {
			primary, now, err := first.component(ctx)
			if err != nil {
				t.Fatal(err)
			}
			p = now
			return primary == want
		})
	}
	component(true)
	t.Run("another member comes and is killed", func(t *testing.T) {
		v := newVolume(t)
		v.run()
		v.serve(member(other, here)...)
		awaitSession(t, "it has joined", func() bool {
			rows, err := first.(sqlSession).ask("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'WSREP_CLUSTER_SIZE'")
			return err == nil && fmt.Sprint(rows) == "[[2]]"
		})
	})
	component(false)
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"one that does not lead bootstraps", func() error { return second.bootstrap(ctx, p) }, "the server has a primary component, or another position"},
		{"one isolates", func() error { return first.isolate(ctx, true) }, ""},
		{"another one does beside it", func() error { return second.isolate(ctx, true) }, "another session leads"},
		{"another one ends that", func() error { return second.isolate(ctx, false) }, "another session leads"},
		{"the one does so again", func() error { return first.isolate(ctx, true) }, ""},
		{"it bootstraps other rows", func() error { return first.bootstrap(ctx, Position{p.UUID, p.Seqno + 1}) }, "the server has a primary component, or another position"},
		{"it bootstraps", func() error { return first.bootstrap(ctx, p) }, ""},
	} {
		wantError(t, step.name, step.do(), step.want)
	}
	component(true)
	wantError(t, "it bootstraps a server with a component", first.bootstrap(ctx, p), "the server has a primary component, or another position")
	wantError(t, "it releases", first.isolate(ctx, false), "")
	first.close()
	awaitSession(t, "another one leads", func() bool { return second.isolate(ctx, true) == nil })

	if _, err := second.(sqlSession).ask("SET GLOBAL wsrep_cluster_address = ''"); err != nil {
		t.Fatal(err)
	}
	_, _, err := second.component(ctx)
	wantError(t, "of a server that was disconnected", err, `wsrep_cluster_status is "Disconnected"`)
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: got %v, want %q", what, err, want)
	}
}

// A server that is in no cluster has no position.
func TestSessionWithoutPosition(t *testing.T) {
	v := newVolume(t)
	v.run()
	v.serve()
	_, _, err := v.lead().component(t.Context())
	wantError(t, "of a server without a provider", err, "the server has no position")
}
