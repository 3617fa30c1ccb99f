package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/cluster"
)

// A footprint is what a kconfd holds when it has nothing to do.
type footprint struct {
	goroutines, memory float64 // resident, in MiB
	descriptors, files int     // files are those in the directories that it writes to
}

// TestChaosFlat: thousands of changes leave nothing behind: no goroutine, no
// descriptor, no file, no memory. Each is written, told and verified, and every
// tenth goes through a gate as well.
func TestChaosFlat(t *testing.T) {
	if os.Getenv(inside) == "" {
		runInside(t)
		return
	}
	const parts = 4 // the first of which is for whatever grows once
	f := newFlat(t)
	began := time.Now()
	changes := max(parts, flagValue[int]("chaos.changes"))
	var first, last footprint
	for part := range parts {
		for n := part * changes / parts; n < (part+1)*changes/parts; n++ {
			f.change(n)
		}
		last = f.look()
		if part == 0 {
			first = last
		}
		t.Logf("after %d changes: %.0f goroutines, %d descriptors, %.1f MiB, %d files", (part+1)*changes/parts, last.goroutines, last.descriptors, last.memory, last.files)
	}
	t.Logf("%d changes in %s", changes, time.Since(began).Round(time.Second))
	f.k.stop()
	switch {
	case first.goroutines == 0 || first.descriptors == 0 || first.memory == 0:
		t.Errorf("nothing is measured: %+v", first)
	case last.goroutines > first.goroutines+2, last.descriptors > first.descriptors+2, last.files > first.files:
		t.Errorf("it grows: %+v, was %+v", last, first)
	case last.memory > first.memory*1.15+2:
		t.Errorf("its memory grows: %.1f MiB, was %.1f", last.memory, first.memory)
	}
}

// A flat is a kconfd with two groups, of which the second has a gate.
type flat struct {
	world
	k *daemon
}

func newFlat(t *testing.T) flat {
	t.Helper()
	p := buildProgram(t)
	s := &server{Cluster: cluster.Start(t)}
	f := flat{world: world{dir: newDir(t, nil), server: s, namespace: s.Namespace(t)}}
	f.kubeconfig = s.Kubeconfig(t, cluster.Admin, f.namespace)
	for _, name := range []string{"live", "state"} {
		mountRoom(t, f.file(name)) // not to wait for the disk
	}
	const reload = "[reload]\naction = \"exec\"\ncommand = [\"cp\", \"$DIR/live/%[1]s\", \"$DIR/told-%[1]s\"]\n" +
		"verify_cmd = [\"cmp\", \"$DIR/live/%[1]s\", \"$DIR/told-%[1]s\"]\n"
	f.write("conf/conf.d/web.toml", nodes("web", fmt.Sprintf(reload, "web")))
	f.write("conf/conf.d/db.toml", nodes("db", fmt.Sprintf(reload, "db")+"rolling = { lease = \"db\" }\n"))
	f.members("web", "10.0.0.1")
	f.members("db", "10.0.0.1")
	cmd := exec.Command(string(p), "-kubeconfig", f.kubeconfig, "-confdir", f.file("conf"), "-wait", "0s", "-listen", "127.0.0.1:0", "-state-dir", f.file("state"))
	f.k = startCmd(t, cmd)
	f.awaitFile("told-web", "10.0.0.1 ")
	f.awaitFile("told-db", "10.0.0.1 ")
	return f
}

// change changes something, and waits until it is applied.
func (f flat) change(n int) {
	f.t.Helper()
	service := "web"
	if n%10 == 9 {
		service = "db"
	}
	address := fmt.Sprintf("10.1.%d.%d", n/250%250, n%250)
	f.members(service, address)
	f.awaitFile("told-"+service, address+" ")
}

// look is what is held when nothing is being done, and memory has been given
// back.
func (f flat) look() footprint {
	f.t.Helper()
	time.Sleep(idleAfter + 500*time.Millisecond)
	address := f.k.address()
	return footprint{
		goroutines:  metricAt(address, "go_goroutines"),
		descriptors: f.entries(fmt.Sprintf("/proc/%d/fd", f.k.cmd.Process.Pid)),
		memory:      metricAt(address, "process_resident_memory_bytes") / (1 << 20),
		files:       f.entries(f.file("live")) + f.entries(f.file("state")),
	}
}

// entries is how many a directory has.
func (f flat) entries(path string) int {
	f.t.Helper()
	found, err := os.ReadDir(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(found)
}
