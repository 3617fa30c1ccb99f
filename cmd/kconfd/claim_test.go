package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/gate"
)

// claim runs `kconfd claim` and gives its exit code and all that it printed.
func (w world) claim(args ...string) (int, string) {
	return claimWith(w.kubeconfig, args...)
}

func claimWith(kubeconfig string, args ...string) (int, string) {
	cmd := exec.Command("kconfd", append([]string{"claim", "-kubeconfig", kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func testClaims(t *testing.T, w world) {
	for name, test := range map[string]func(*testing.T, world){
		"of 50 one wins":               testClaimRace,
		"a holder wins again":          testClaimAgain,
		"in another namespace":         testClaimNamespace,
		"denied":                       testClaimDenied,
		"a Lease that is no claim":     testClaimOfGate,
		"SIGTERM while it is deciding": testClaimSignal,
	} {
		t.Run(name, func(t *testing.T) {
			w := w
			w.t = t
			test(t, w)
		})
	}
}

// The first ever: with 50 processes at once, one ends with 0 and all others
// with 1, and they agree on who it was.
func testClaimRace(t *testing.T, w world) {
	codes, firsts := map[int]int{}, map[string]int{}
	var mu sync.Mutex
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() { // until it has its answer
			code, out := w.claim("race")
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
			_, first, _ := strings.Cut(out, " by ")
			firsts[first]++
		})
	}
	running.Wait()
	if codes[0] != 1 || codes[1] != 49 {
		t.Errorf("exit codes %v, want one 0 and 49 times 1", codes)
	}
	if len(firsts) != 1 {
		t.Errorf("they do not agree: %v", firsts)
	}
	if code, out := w.claim("race"); code != 1 {
		t.Errorf("later: got %d, want 1\n%s", code, out)
	}
}

func testClaimAgain(t *testing.T, w world) {
	today := time.Now().UTC().Format("2006-01-02T")
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"again", "-holder", "web-0"}, 0, "again: won by web-0 at " + today},
		{[]string{"-holder", "web-0", "again"}, 0, "again: won by web-0 at " + today},
		{[]string{"again", "-holder", "web-1"}, 1, "again: claimed by web-0 at " + today},
		{[]string{"again"}, 1, "again: claimed by web-0 at " + today},
	} {
		if code, out := w.claim(tt.args...); code != tt.code || !strings.HasPrefix(out, tt.out) || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: got %d, want %d, and %q, want %q", tt.args, code, tt.code, out, tt.out)
		}
	}
}

func testClaimNamespace(t *testing.T, w world) {
	var other string
	w.server.locked(func() { other = w.server.Namespace(t) })
	for _, args := range [][]string{{"here"}, {"here", "-namespace", other}} {
		if code, out := w.claim(args...); code != 0 {
			t.Errorf("%q: got %d, want 0\n%s", args, code, out)
		}
	}
	code, out := w.claim("here", "-namespace", "nowhere")
	if code != exitDeadline || !strings.Contains(out, `namespaces "nowhere" not found`) {
		t.Errorf("no namespace: got %d\n%s", code, out)
	}
}

func testClaimDenied(t *testing.T, w world) {
	var kubeconfig string
	grant := func(rules ...gate.Rule) {
		var text strings.Builder // none is an empty list, too
		for _, r := range rules {
			fmt.Fprintf(&text, "- {apiGroups: [%s], resources: [%s], resourceNames: [%s], verbs: [%s]}\n",
				r.Group, r.Resource, strings.Join(r.Names, ", "), strings.Join(r.Verbs, ", "))
		}
		w.server.locked(func() {
			w.server.Grant(t, w.namespace, "alice", text.String())
			kubeconfig = w.server.Kubeconfig(t, "alice", w.namespace)
		})
	}
	grant()
	began := time.Now()
	code, out := claimWith(kubeconfig, "denied", "-timeout", "5m")
	if code != exitDeadline || !strings.Contains(out, `may not get leases.coordination.k8s.io "denied"`) || !strings.Contains(out, "needs the verb get") {
		t.Errorf("got %d\n%s", code, out)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %s to say so", took)
	}
	grant(gate.ClaimRules("denied")...)
	if code, out := claimWith(kubeconfig, "denied"); code != 0 {
		t.Errorf("with the rules of a claim: got %d, want 0\n%s", code, out)
	}
}

func testClaimOfGate(t *testing.T, w world) {
	client, err := gate.NewClient(w.server.Config())
	if err != nil {
		t.Fatal(err)
	}
	g := gate.New(client, gate.Options{Namespace: w.namespace, Name: "gate", Identity: "web-0"})
	defer g.Close()
	pass, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if code, out := w.claim("gate", "-holder", "web-0"); code != exitDeadline || !strings.Contains(out, "the Lease is not a claim") {
		t.Errorf("got %d\n%s", code, out)
	}
	if err := pass.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	lease, err := w.server.Client().CoordinationV1().Leases(w.namespace).Get(t.Context(), "gate", metav1.GetOptions{})
	if err != nil || lease.Labels["kconfd.io/claim"] != "" {
		t.Errorf("the gate's Lease became %v, %v", lease, err)
	}
}

// It ends at once, with the code of the signal: neither won nor lost. The server
// here takes the connection and never answers.
func testClaimSignal(t *testing.T, w world) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w.write("silent", "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a}}]\n"+
		"clusters: [{name: a, cluster: {server: \"http://"+server.Addr().String()+"\"}}]\n")
	cmd := exec.Command("kconfd", "claim", "x", "-kubeconfig", w.file("silent"), "-timeout", "5m")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	connection, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	signalled := time.Now()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 128+int(syscall.SIGTERM) {
		t.Errorf("got exit code %d, want %d", got, 128+int(syscall.SIGTERM))
	}
	if took := time.Since(signalled); took > 4*time.Second { // less than a request may take
		t.Errorf("ended after %s", took)
	}
}
