//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// membership is how a server sees itself among the others.
const membership = `SELECT GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME SEPARATOR ' ') FROM information_schema.GLOBAL_STATUS
WHERE VARIABLE_NAME IN ('wsrep_cluster_conf_id', 'wsrep_cluster_size', 'wsrep_cluster_state_uuid', 'wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_ready')`

// whole tells whether the nodes, and nobody else, are one cluster that serves, or
// else what is missing.
func (g *galera) whole(nodes int) error {
	pods, err := g.pods()
	if err != nil {
		return err
	}
	if len(pods) != nodes {
		return fmt.Errorf("got %d pods, want %d", len(pods), nodes)
	}
	var first string
	for _, pod := range pods {
		if !ready(pod) {
			return fmt.Errorf("pod %q is not ready", pod.Name)
		}
		got, err := g.query(pod.Status.PodIP+":3306", membership)
		if err != nil {
			return err
		}
		if first == "" {
			first = got
		}
		if !isWhole(got, nodes) || got != first {
			return fmt.Errorf("pod %q is %q, and the first is %q", pod.Name, got, first)
		}
	}
	return nil
}

// isWhole is about an answer to membership: configuration, size, UUID, status, state
// and readiness.
func isWhole(membership string, nodes int) bool {
	want := fmt.Sprintf(`^\d+ %d (?:[0-9a-f]{8})-[0-9a-f-]{27} Primary Synced ON$`, nodes)
	return regexp.MustCompile(want).MatchString(membership) && !strings.Contains(membership, "00000000-0000")
}

// awaitWhole waits until the nodes are one cluster that serves.
func (g *galera) awaitWhole(t *testing.T, nodes int) {
	t.Helper()
	var last error
	defer func() {
		if last != nil {
			t.Logf("the nodes are no cluster of %d: %v", nodes, last)
		}
	}()
	await(t, fmt.Sprintf("%d nodes are one cluster", nodes), func() bool {
		last = g.whole(nodes)
		return last == nil
	})
}

// wantData fails unless all nodes have the same rows, and among them each that was
// acknowledged.
func (g *galera) wantData(t *testing.T, acks []ack) {
	t.Helper()
	pods, err := g.pods()
	if err != nil {
		t.Fatal(err)
	}
	g.wantSame(t, pods)
	there := map[string]bool{}
	for number := range strings.SplitSeq(g.ask(t, pods[0].Name, "SET SESSION wsrep_sync_wait = 1; SELECT number FROM e2e.written"), "\n") {
		there[number] = true
	}
	var lost []int64
	for _, a := range acks {
		if !there[fmt.Sprint(a.number)] {
			lost = append(lost, a.number)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d acknowledged rows are lost: %v …", len(lost), len(acks), lost[:min(len(lost), 10)])
	}
}

// wantSame fails unless all nodes have the same rows.
func (g *galera) wantSame(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	const sum = "SET SESSION wsrep_sync_wait = 1; CHECKSUM TABLE e2e.written, mysql.global_priv, mysql.db"
	want := g.ask(t, pods[0].Name, sum)
	if strings.Contains(want, "\t\n") || want == "" {
		t.Errorf("pod %q has no checksum: %q", pods[0].Name, want)
	}
	for _, pod := range pods[1:] {
		if got := g.ask(t, pod.Name, sum); got != want {
			t.Errorf("pod %q: got checksums %q, pod %q has %q", pod.Name, got, pods[0].Name, want)
		}
	}
}
