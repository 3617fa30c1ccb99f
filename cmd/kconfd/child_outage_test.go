package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/cluster"
)

// mortal is a child that ends when there is a file that says so.
const mortal = `for s in HUP INT QUIT USR1 USR2; do trap "echo $s >>$DIR/signals" $s; done
trap 'echo TERM >>$DIR/signals; exit 0' TERM
echo "$1" "$(cat $DIR/live/a)" >>$DIR/starts
until test -e $DIR/die; do sleep 0.02; done
rm $DIR/die
exit 3
`

// outaged is a kconfd that has to do without its API server.
type outaged struct {
	world
	k     *daemon
	lines []string // of the child's starts
}

// startOutaged starts one on a namespace of its own.
func startOutaged(t *testing.T, way string, s *server) *outaged {
	t.Helper()
	o := &outaged{world: world{dir: newDir(t, map[string]string{
		"live/keep": "", "child": mortal,
		"conf/conf.d/a.toml": `
[[template]]
contents = '{{ (configMap "settings").value }}'
dest = "$DIR/live/a"
[reload]
action = "restart"
[process]
args = ['{{ (configMap "settings").value }}']
restart = "always"
restart_wait = "10ms"
`,
	}), server: s}}
	o.namespace = s.Namespace(t)
	o.kubeconfig = s.Kubeconfig(t, cluster.Admin, o.namespace)
	o.configMap("settings", "blue")
	o.k = startWay(t, way, append([]string{"-kubeconfig", o.kubeconfig, "-confdir", o.file("conf"), "-wait", "0s", "-adopt"}, o.recorder()...)...)
	return o
}

// wantStart waits for the next start, with a value.
func (o *outaged) wantStart(value string) {
	o.t.Helper()
	o.lines = append(o.lines, value+" "+value+"\n")
	o.awaitFile("starts", strings.Join(o.lines, ""))
}

// dies ends the child, which is started again.
func (o *outaged) dies(value string) {
	o.t.Helper()
	o.write("die", "")
	o.wantStart(value)
}

// While the API server hangs or is away, the child is not touched, and is started
// again when it ends, with files and arguments of before. When the worker is
// killed meanwhile, the child is not touched either, and its next start waits for
// the arguments. What has changed is applied when the server is back.
func TestOutageWithAChild(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	s := &server{Cluster: c}
	all := []*outaged{startOutaged(t, asPID1, s), startOutaged(t, asReaper, s)}
	each := func(do func(o *outaged)) {
		for _, o := range all {
			do(o)
		}
	}
	each(func(o *outaged) { o.wantStart("blue") })

	c.PauseAPIServer(t)
	each(func(o *outaged) { o.dies("blue") })
	c.ResumeAPIServer(t)
	each(func(o *outaged) {
		o.configMap("settings", "green")
		o.wantStart("green")
	})

	c.StopAPIServer(t)
	each(func(o *outaged) {
		o.k.awaitLog("watch failing")
		o.k.signal(syscall.SIGHUP)
		o.k.awaitLog("configuration read")
		o.dies("green")
		o.k.killWorker(func() {})
		o.k.awaitLog("child taken over")
		o.wantSignals("TERM") // of the restart for green
		ends := o.k.count("child ended")
		o.write("die", "")
		// Which arguments it had is not known to the new worker.
		await(t, "the child ends", func() bool { return o.k.count("child ended") > ends })
	})

	c.StartAPIServer(t)
	each(func(o *outaged) {
		o.wantStart("green")
		o.configMap("settings", "red")
		o.wantStart("red")
		o.k.wantEnd(0)
		o.wantSignals("TERM", "TERM", "TERM")
	})
}
