package main

import (
	"bytes"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/test/cluster"
)

// The whole of it, with floor in both columns.
func TestSelf(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"-self", "-dir", t.TempDir(), "-runs", "1", "-starts", "2", "-changes", "3", "-idle", "1ms"}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var got []string // rows with their runs
	for line := range strings.Lines(stdout.String()) {
		cells := strings.Split(line, "|")
		if len(cells) != 8 {
			continue
		}
		if strings.Contains(line, "NaN") || strings.TrimSpace(cells[2]) == "–" {
			t.Errorf("a figure is missing: %s", line)
		}
		got = append(got, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[6]))
	}
	want := []string{
		": runs",
		"---: ---",
		"resident memory, 3 endpoints: 1",
		"memory added by 10,000 endpoints: 1",
		"commit → new file, 3 endpoints: 1",
		"update sent → new file, 3 endpoints: 1",
		"commit → new file, 10,000 endpoints: 1",
		"update sent → new file, 10,000 endpoints: 1",
		"CPU per change, 10,000 endpoints: 1",
		"start → first file: 2",
		"size of the binary: 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// Watches that have ended count too: one that is opened and closed 500 times is
// not better than 500.
func TestWatches(t *testing.T) {
	c := cluster.Start(t)
	b := &bench{cluster: c}
	count := func() float64 {
		n, err := b.watches(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for range 2 {
		watch, err := c.Client().DiscoveryV1().EndpointSlices("default").Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()
	}
	seconds := int64(1)
	short, err := c.Client().DiscoveryV1().EndpointSlices("default").Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	for range short.ResultChan() { // until the API server ends it
	}
	if diff := cmp.Diff(3.0, count()-before); diff != "" {
		t.Errorf("watches (-want +got):\n%s", diff)
	}
}

func TestConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	before, err := connections(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	after, err := connections(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(2, after-before); diff != "" { // both ends are this process's
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for time.Since(began) < 20*time.Millisecond {
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used <= 0 || used > time.Second {
		t.Errorf("used %v in a busy 20 ms", used)
	}
}

func TestResidentMemory(t *testing.T) {
	got, err := residentMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got < 1 || got > 1024 {
		t.Errorf("got %v MiB", got)
	}
}

func TestTable(t *testing.T) {
	rows := table{
		{name: "compared", unit: "ms", floor: []float64{1, 2, 4}, subject: []float64{1.5, 3, 4}},
		{name: "alone", subject: []float64{2}},
	}
	var got bytes.Buffer
	if err := rows.print(&got, "kconfd"); err != nil {
		t.Fatal(err)
	}
	want := `
|          | floor | kconfd | ratio | spread | runs |
| ---      | ---   | ---    | ---   | ---    | ---  |
| compared | 2 ms  | 3 ms   | 1.50  | 1–1.50 | 3    |
| alone    | –     | 2      | –     | –      | 1    |
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestFigure(t *testing.T) {
	tests := map[string]struct {
		figure float64
		want   string
	}{
		"unknown":       {math.NaN(), "–"},
		"small":         {0.0712, "0.07 ms"},
		"a few":         {1.234, "1.23 ms"},
		"tens":          {12.34, "12.3 ms"},
		"hundreds":      {1234.5, "1234 ms"},
		"a whole":       {3, "3 ms"},
		"less than one": {-0.5, "-0.50 ms"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, figure(test.figure, "ms")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
