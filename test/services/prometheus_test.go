package services

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

const prometheusConf = `
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: services
  file_sd_configs:
  - files: [/etc/prometheus/targets/*.json]
`

// Prometheus scrapes what is a member now, without being told, and those that stay without a
// gap.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	for _, address := range []string{first, second, third} {
		serveMetrics(t, address+":9104")
	}
	manifests := t.TempDir()
	members := func(addresses ...string) {
		t.Helper()
		var all []member
		for _, address := range addresses {
			all = append(all, member{pod: "shop-" + address, address: address, port: 9104, notReady: address == third})
		}
		write(t, filepath.Join(manifests, "shop.yaml"), slice("shop", "metrics", all...))
	}
	members(first, second)
	write(t, "/etc/prometheus/prometheus.yml", prometheusConf)
	prometheus := start(t, nil, "kconfd", "-confdir", confdir(t, "prometheus-targets.toml", nil), "-manifests", manifests, "--",
		"prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address="+balancer+":9090")
	awaitTargets(t, first, second)
	members(first, third) // Prometheus takes up changes every five seconds
	awaitTargets(t, first, third)
	got := query(t, fmt.Sprintf(`min_over_time(up{instance="%s:9104"}[10m])`, first))
	if len(got) != 1 || got[0].Value[1] != "1" {
		t.Errorf("the target that stayed: got %+v, want one that was always up", got)
	}
	if len(got) == 1 && got[0].Metric["pod"] != "shop-"+first {
		t.Errorf("got labels %q, want those of the pod %q", got[0].Metric, "shop-"+first)
	}
	prometheus.Stop(syscall.SIGTERM)
}

func serveMetrics(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "answer 42\n") // Prometheus sees it when it fails
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
}

// awaitTargets waits until these are scraped, with success, and no others.
func awaitTargets(t *testing.T, addresses ...string) {
	t.Helper()
	var want []string
	for _, address := range addresses {
		want = append(want, address+":9104")
	}
	process.Await(t, fmt.Sprintf("the targets are %q", want), func() bool {
		var got []string
		for _, sample := range query(t, `up == 1`) {
			got = append(got, sample.Metric["instance"])
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// A sample is one of an answer of Prometheus: a time and a value.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

// query asks Prometheus; it gives nothing while it does not answer.
func query(t *testing.T, expression string) []sample {
	t.Helper()
	response, err := http.Get("http://" + balancer + ":9090/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []sample }
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasPrefix(string(body), "{") {
		return nil // it is starting
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		t.Fatalf("asking Prometheus: %v: %s", err, body)
	}
	return answer.Data.Result
}
