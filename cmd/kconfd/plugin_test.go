package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pluginDir has a kubeconfig whose credential plugin never ends. It notes its
// process, and those of what it starts: one in its group, and a daemon.
func pluginDir(t *testing.T) dir {
	files := colourFiles()
	files["live/a"] = "old\n"
	files["plugin"] = "#!/bin/sh\necho $$ >>$DIR/pids\nsleep 1000 & echo $! >>$DIR/pids\nsetsid sh -c 'echo $$ >>$DIR/pids; exec sleep 1000' &\nwait\n"
	files["kubeconfig"] = `
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u, namespace: default}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", insecure-skip-tls-verify: true}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: "$DIR/plugin", interactiveMode: Never}}}]
`
	d := newDir(t, files)
	if err := os.Chmod(d.file("plugin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d dir) awaitPlugin() {
	d.t.Helper()
	await(d.t, "the plugin runs", func() bool { return d.lines("pids") >= 3 })
}

// wantNoPlugin wants that all processes of plugins have ended.
func (d dir) wantNoPlugin() {
	d.t.Helper()
	for _, pid := range strings.Fields(d.read("pids")) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			d.t.Errorf("process %s of the plugin lives: %s", pid, stat)
		}
	}
}

// pluginWait is what the log says about the plugin.
const pluginWait = `msg="waiting for API server" for="credential plugin \\"\S+/plugin\\""`

// However kconfd ends while a credential plugin hangs, it ends in time, and the plugin with it.
func TestPluginThatHangs(t *testing.T) {
	t.Parallel()
	t.Run("onetime", func(t *testing.T) {
		t.Parallel()
		d := pluginDir(t)
		start := time.Now()
		k := startKube(d, "-onetime", "-timeout", "4s")
		d.awaitPlugin()
		k.awaitLog(pluginWait)
		if code, took := k.code(), time.Since(start); code != exitDeadline || took > 4*time.Second+soon {
			t.Errorf("ended after %v with %d, want 4s and %d", took, code, exitDeadline)
		}
		k.awaitLog(`kconfd: error: not done after 4s\n.*credential plugin "\S+/plugin"`)
		d.wantNoPlugin()
	})
	for name, args := range map[string][]string{
		"daemon": nil, "events": {"-events"}, "onetime, SIGTERM": {"-onetime"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pluginDir(t)
			k := startKube(d, args...)
			d.awaitPlugin()
			if took, _ := k.end(syscall.SIGTERM); took > soon {
				t.Errorf("ended after %v", took)
			}
			d.wantNoPlugin()
		})
	}
	t.Run("claim", func(t *testing.T) {
		t.Parallel()
		d := pluginDir(t)
		k := start(t, "claim", "-kubeconfig", d.file("kubeconfig"), "-timeout", "1s", "x")
		d.awaitPlugin()
		if code := k.code(); code != exitDeadline {
			t.Errorf("got exit code %d, want %d", code, exitDeadline)
		}
		d.wantNoPlugin()
	})
}

func startKube(d dir, args ...string) *daemon {
	d.t.Helper()
	return start(d.t, append([]string{"-kubeconfig", d.file("kubeconfig"), "-confdir", d.file("conf")}, args...)...)
}

// With a child, the plugin holds up neither its start nor its stop nor kconfd's end after it.
func TestPluginThatHangsBesideAChild(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range map[string]struct {
			child string
			stop  bool
			code  int
		}{
			"the child ends": {"sleep 1; exit 5", false, 5},
			"SIGTERM":        {"exec onsignal 'ready=echo >$DIR/ready' TERM:0=", true, 0},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := pluginDir(t)
				k := startWay(t, way, "-kubeconfig", d.file("kubeconfig"), "-confdir", d.file("conf"), "-timeout", "100ms",
					"--", "sh", "-c", strings.ReplaceAll(test.child, "$DIR", d.path))
				k.awaitLog("child started")
				d.awaitPlugin()
				if test.stop {
					await(t, "the child runs", func() bool { return d.read("ready") != "" })
					if took, _ := k.end(syscall.SIGTERM); took > soon {
						t.Errorf("ended after %v", took)
					}
				}
				if code := k.code(); code != test.code {
					t.Errorf("got exit code %d, want %d", code, test.code)
				}
				if way == asReaper { // else the processes have other numbers here, and end with the namespace
					d.wantNoPlugin()
				}
			})
		}
	})
}

// A server that takes connections and never answers is named, and holds up no end.
func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // until the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // and not before
		}
	}()
	for scheme, want := range map[string]string{"http": "an answer", "https": "the TLS handshake"} {
		t.Run(scheme, func(t *testing.T) {
			d := pluginDir(t)
			d.write("kubeconfig", strings.NewReplacer("https://127.0.0.1:1", scheme+"://"+listener.Addr().String(),
				"exec: {apiVersion: client.authentication.k8s.io/v1, command: \""+d.file("plugin")+"\", interactiveMode: Never}", "token: x").Replace(d.read("kubeconfig")))
			k := startKube(d)
			k.awaitLog(`msg="waiting for API server" for="` + want)
			if took, code := k.end(syscall.SIGTERM); took > soon || code != 0 {
				t.Errorf("ended after %v with %d", took, code)
			}
		})
	}
}

// A FIFO for a token is refused at once; one in the place of the kubeconfig holds up no end.
func TestFIFOs(t *testing.T) {
	t.Parallel()
	d := pluginDir(t)
	if err := syscall.Mkfifo(d.file("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.write("kubeconfig", strings.ReplaceAll(d.read("kubeconfig"),
		"exec: {apiVersion: client.authentication.k8s.io/v1, command: \""+d.file("plugin")+"\", interactiveMode: Never}", "tokenFile: "+d.file("fifo")))
	for name, args := range map[string][]string{"daemon": nil, "child": {"--", "true"}, "onetime": {"-onetime"}} {
		t.Run("token, "+name, func(t *testing.T) {
			k := startKube(d, args...)
			if code := k.code(); code != exitError || k.count(`tokenFile: "\S+/fifo" is not a regular file`) != 1 {
				t.Errorf("got exit code %d, want 1 and the file named; log:\n%s", code, k.log)
			}
		})
		t.Run("kubeconfig, "+name, func(t *testing.T) {
			t.Parallel()
			k := start(t, append([]string{"-kubeconfig", d.file("fifo"), "-confdir", d.file("conf"), "-timeout", "1s"}, args...)...)
			if code := k.code(); code != exitDeadline || k.count("reading the configuration: not done after 5s") != 1 {
				t.Errorf("got exit code %d, want %d; log:\n%s", code, exitDeadline, k.log)
			}
		})
	}
	t.Run("claim", func(t *testing.T) {
		k := start(t, "claim", "-kubeconfig", d.file("kubeconfig"), "x")
		if code := k.code(); code != exitDeadline || k.count("is not a regular file") != 1 {
			t.Errorf("got exit code %d, want %d", code, exitDeadline)
		}
	})
}
