//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// needMachine ends a test whose faults come from the inside of a node. That is not to
// be had in the reader's own cluster, and said there.
func (k *kube) needMachine(t *testing.T) *machine {
	t.Helper()
	if k.machine == nil {
		t.Skip("not run: its faults come from the inside of a node, which only the cluster that the tests make has")
	}
	return k.machine
}

// A program is a process of a pod.
type program struct {
	pid   int // as the test sees it
	name  string
	words string // its command line
	first bool   // process 1 of its container
}

// programs are the processes of a pod's container.
func (m *machine) programs(pod corev1.Pod) []program {
	if len(pod.Status.ContainerStatuses) == 0 {
		return nil
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "//")
	if id == "" {
		return nil
	}
	var found []program
	paths, _ := filepath.Glob("/proc/[0-9]*/cgroup") // the pattern is right
	for _, path := range paths {
		content, _ := os.ReadFile(path) // it may have ended since
		if strings.Contains(string(content), id) {
			found = append(found, describe(filepath.Dir(path)))
		}
	}
	return found
}

func describe(dir string) program {
	p := program{}
	p.pid, _ = strconv.Atoi(filepath.Base(dir)) // a number, see the pattern
	words, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.words = strings.ReplaceAll(string(words), "\x00", " ")
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(value)
		switch {
		case key == "Name" && len(fields) > 0:
			p.name = fields[0]
		case key == "NSpid" && len(fields) > 0:
			p.first = fields[len(fields)-1] == "1"
		}
	}
	return p
}

// find is the process id of a program in a pod, 0 while none runs.
func (g *galera) find(t *testing.T, pod string, is func(program) bool) int {
	t.Helper()
	for _, p := range g.kube.needMachine(t).programs(g.pod(t, pod)) {
		if is(p) {
			return p.pid
		}
	}
	return 0
}

// server is the process id of the pod's server, 0 while none runs.
func (g *galera) server(t *testing.T, pod string) int {
	t.Helper()
	return g.find(t, pod, func(p program) bool { return p.name == "mariadbd" })
}

// init is the process id of the pod's first process.
func (g *galera) init(t *testing.T, pod string) int {
	t.Helper()
	return g.find(t, pod, func(p program) bool { return p.first })
}

// worker is the process id of the kconfd that init has started.
func (g *galera) worker(t *testing.T, pod string) int {
	t.Helper()
	return g.find(t, pod, func(p program) bool {
		return !p.first && strings.Contains(p.words, " -- mariadbd ")
	})
}

// kill ends processes at once.
func kill(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if pid == 0 {
			t.Fatal("nothing to kill: the program does not run")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("killing process %d: %v", pid, err)
		}
	}
}

// cut cuts a pod off from everybody else, until heal or the test's end.
func (g *galera) cut(t *testing.T, pod string) (heal func()) {
	t.Helper()
	g.kube.needMachine(t)
	address := g.pod(t, pod).Status.PodIP
	return g.routes(t, [][]string{{"from", address, "blackhole"}, {"to", address, "blackhole"}})
}

// routes adds rules of routing, until heal or the test's end.
func (g *galera) routes(t *testing.T, rules [][]string) (heal func()) {
	t.Helper()
	cut := false
	change := func(what string) {
		for _, rule := range rules {
			if err := command("", nil, "ip", append([]string{"rule", what}, rule...)...); err != nil {
				t.Error(err)
			}
		}
		cut = what == "add"
	}
	change("add")
	heal = func() {
		if cut {
			change("delete")
		}
	}
	t.Cleanup(heal)
	return heal
}

// killAPIServer ends the API server, until the function that it gives is called, or the
// test ends. The controllers end with it: where there are several, who cannot renew his
// lease ends, and another one begins anew. One that missed the answer to a write may
// wait for what it will never see.
func (k *kube) killAPIServer(t *testing.T) (start func()) {
	t.Helper()
	m := k.needMachine(t)
	server, down := m.process(t, "kube-apiserver"), true
	controllers := []*process{m.process(t, "kube-controller-manager"), m.process(t, "kube-scheduler")}
	for _, p := range append(controllers, server) {
		if err := p.kill(); err != nil {
			t.Fatal(err)
		}
	}
	start = func() {
		if !down {
			return
		}
		down = false
		if err := server.start(); err != nil {
			t.Fatal(err)
		}
		if err := m.awaitAPIServer(); err != nil {
			t.Fatal(err)
		}
		for _, p := range controllers {
			if err := p.start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(start)
	return start
}
