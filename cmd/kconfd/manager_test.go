package main

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A serviceManager is who listens on NOTIFY_SOCKET, as systemd does.
type serviceManager struct {
	t     *testing.T
	conn  *net.UnixConn
	heard chan said
}

// said is what it was told, by which process.
type said struct {
	state string
	pid   int
}

func newServiceManager(d dir) *serviceManager {
	d.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.file("notify"), Net: "unixgram"})
	if err != nil {
		d.t.Fatal(err)
	}
	m := &serviceManager{d.t, conn, make(chan said, 1000)}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
			if err != nil {
				d.t.Error(err)
			}
		})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	go m.listen() // until the test's end
	return m
}

func (m *serviceManager) listen() {
	defer close(m.heard)
	for {
		packet, control := make([]byte, 4096), make([]byte, 128)
		n, size, _, _, err := m.conn.ReadMsgUnix(packet, control)
		if err != nil {
			return
		}
		s := said{state: string(packet[:n])}
		if messages, err := syscall.ParseSocketControlMessage(control[:size]); err == nil && len(messages) == 1 {
			if who, err := syscall.ParseUnixCredentials(&messages[0]); err == nil {
				s.pid = int(who.Pid)
			}
		}
		m.heard <- s
	}
}

// run starts kconfd as systemd would, with a watchdog.
func (m *serviceManager) run(watchdog time.Duration, args ...string) *daemon {
	m.t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `WATCHDOG_PID=$$ exec kconfd "$@"`, "sh"}, args...)...)
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_PID=",
		fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	return startCmd(m.t, cmd)
}

// await waits until it is told a state, and gives what it was told before. Only
// the process that it started may tell it.
func (m *serviceManager) await(k *daemon, state string) (before []string) {
	m.t.Helper()
	deadline := time.After(testPatience)
	for {
		select {
		case s := <-m.heard:
			if s.pid != k.cmd.Process.Pid {
				m.t.Errorf("%s from process %d, want %d", s.state, s.pid, k.cmd.Process.Pid)
			}
			if s.state == state {
				return before
			}
			before = append(before, s.state)
		case <-deadline:
			m.t.Fatalf("never told %s, only %q", state, before)
		}
	}
}

const (
	aliveState    = "WATCHDOG=1"
	readyState    = "READY=1"
	stoppingState = "STOPPING=1"
)

// The service manager is told that kconfd is ready when all is applied.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/templates/a.tmpl"] = `{{ required "no colour" (configMap "settings").colour }}` + "\n"
	files["objects.yaml"] = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}\n"
	d := newDir(t, files)
	m := newServiceManager(d)
	k := m.run(600*time.Millisecond, filed(d)...)
	for range 3 { // the render is held
		if before := m.await(k, aliveState); slices.Contains(before, readyState) {
			t.Fatal("ready with a render held")
		}
	}
	d.write("objects.yaml", settings("blue"))
	m.await(k, readyState)
	d.wantLive("blue\n")
	m.await(k, aliveState)
	k.stop()
	m.await(k, stoppingState)
}

// wantLive fails when live/a has something else.
func (d dir) wantLive(want string) {
	d.t.Helper()
	if got := d.read("live/a"); got != want {
		d.t.Errorf("live/a has %q, want %q", got, want)
	}
}

// With a child kconfd is ready when the child is, and alive while it stops. What
// it says comes from init, which is the process that was started.
func TestServiceManagerWithChild(t *testing.T) {
	t.Parallel()
	files := recorded("[process]\nready_cmd = \"test -e $DIR/up\"\n")
	files["child"] = "trap 'sleep 1; exit 0' TERM\nenv >$DIR/env\nwhile :; do sleep 0.05; done\n"
	d := newDir(t, files)
	m := newServiceManager(d)
	k := m.run(600*time.Millisecond, filed(d, d.recorder()...)...)
	await(t, "the child runs", func() bool { return d.lines("env") > 0 })
	for range 3 {
		if before := m.await(k, aliveState); slices.Contains(before, readyState) {
			t.Fatal("ready before the child is")
		}
	}
	d.write("up", "")
	m.await(k, readyState)
	k.stop()
	m.await(k, stoppingState)
	m.await(k, aliveState)
}

// A loop that no longer turns is not alive: the watchdog is for that.
func TestWatchdogOfALoopThatHangs(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/templates/a.tmpl"] = `{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}` + "\n"
	files["conf/conf.d/a.toml"] += unlimited
	d := newDir(t, files)
	m := newServiceManager(d)
	k := m.run(300*time.Millisecond, filed(d)...)
	k.awaitBusy()
	for len(m.heard) > 0 {
		<-m.heard
	}
	select {
	case s := <-m.heard:
		t.Errorf("told %s in the middle of a template", s.state)
	case <-time.After(time.Second): // three times what systemd would wait
	}
}
