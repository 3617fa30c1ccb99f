package services

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/kconfd/kconfd/test/process"
)

// confdir makes a configuration directory of the templates and one of their resource files,
// with other values, and with words replaced in it.
func confdir(t *testing.T, name string, values map[string]any, words ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../templates/conf.d", name))
	if err != nil {
		t.Fatal(err)
	}
	var resource map[string]any
	if err := toml.Unmarshal([]byte(strings.NewReplacer(words...).Replace(string(content))), &resource); err != nil {
		t.Fatal(err)
	}
	maps.Copy(resource["values"].(map[string]any), values)
	if content, err = toml.Marshal(resource); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Abs("../../templates")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "conf.d", name), string(content))
	if err := os.Symlink(templates, filepath.Join(dir, "templates")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write replaces the file, whose directory may not be there.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(file), 0o755),
		os.WriteFile(file+".new", []byte(content), 0o644),
		os.Rename(file+".new", file),
	); err != nil {
		t.Fatal(err)
	}
}

// A member is an endpoint of a Service.
type member struct {
	pod, address string
	port         int
	notReady     bool
}

// slice is an EndpointSlice of the service with a Service of its own, as a manifest.
func slice(service, portName string, members ...member) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Service
metadata: {name: %[1]s, labels: {monitored: "yes"}}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-abcde, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: %[2]s, port: %[3]d, protocol: TCP}]
endpoints:
`, service, portName, members[0].port)
	for _, m := range members {
		fmt.Fprintf(&b, "- {addresses: [%s], conditions: {ready: %t}, targetRef: {kind: Pod, name: %s}}\n", m.address, !m.notReady, m.pod)
	}
	return b.String()
}

// start starts a command in the root directory.
func start(t *testing.T, env []string, command ...string) *process.Process {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), env...)
	return process.Start(t, cmd)
}

// A caller asks the same question again and again, until it is stopped, and keeps the
// answers.
type caller struct {
	name string

	mu      sync.Mutex
	answers []string
	errs    []error
}

// callers ask all the time, side by side.
type callers struct {
	t       *testing.T
	cancel  context.CancelFunc
	running sync.WaitGroup
	all     []*caller
}

func newCallers(t *testing.T) (*callers, context.Context) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &callers{t: t, cancel: cancel}
	t.Cleanup(func() { cancel(); c.running.Wait() })
	return c, ctx
}

// call begins a caller, which ends with ctx.
func (c *callers) call(ctx context.Context, name string, ask func() (string, error)) *caller {
	one := &caller{name: name}
	c.all = append(c.all, one)
	pace := time.NewTicker(2 * time.Millisecond) // the machine is for others too
	c.running.Go(func() {                        // until ctx ends
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			answer, err := ask()
			if ctx.Err() != nil {
				return
			}
			one.note(answer, err)
		}
	})
	return one
}

func (c *caller) note(answer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s, call %d: %w", c.name, len(c.answers)+len(c.errs)+1, err))
		return
	}
	c.answers = append(c.answers, answer)
}

// asked is how many answers there are.
func (c *caller) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answers)
}

// lastOnes are the different answers among the last n, sorted.
func (c *caller) lastOnes(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := slices.Clone(c.answers[max(0, len(c.answers)-n):])
	slices.Sort(last)
	return slices.Compact(last)
}

// awaitOnly waits until of n questions that are asked from now on all are answered by these
// members, and by each of them.
func (c *caller) awaitOnly(t *testing.T, n int, members ...string) {
	t.Helper()
	from := c.asked() + 1 // one is under way
	what := fmt.Sprintf("%s: only %q answer", c.name, members)
	process.Await(t, what, func() bool { return c.asked() >= from+n && slices.Equal(c.lastOnes(n), members) })
}

// stop ends them, and demands that no call has failed, and that none stood still.
func (c *callers) stop() {
	c.t.Helper()
	c.cancel()
	c.running.Wait()
	for _, one := range c.all {
		if len(one.errs) > 0 {
			c.t.Errorf("%d of %d calls failed: %v", len(one.errs), len(one.errs)+len(one.answers), one.errs[0])
		}
		if len(one.answers) < 10 {
			c.t.Errorf("%s: only %d calls", one.name, len(one.answers))
		}
		c.t.Logf("%s: %d calls", one.name, len(one.answers))
	}
}
