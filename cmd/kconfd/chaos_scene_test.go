package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/state"
	"github.com/kconfd/kconfd/test/cluster"
)

// A setup is how kconfd is run, and whom it tells.
type setup string

// The setups. In all but childSignal and childRestart kconfd runs beside the process.
const (
	byCommand    setup = "a command"              // action exec
	bySignal     setup = "a signal"               // to the process of a pid file
	childSignal  setup = "a signal for the child" // with -adopt
	childRestart setup = "a restart of the child" // with -adopt
	rolling      setup = "three replicas"         // action exec, one at a time
)

func (s setup) hasChild() bool { return s == childSignal || s == childRestart }

// exact says whether a telling is seen at the moment of it. The other ones are
// seen when the process gets to it, with the files as they are by then.
func (s setup) exact() bool { return s == byCommand || s == rolling }

const chaosLease = 3 * time.Second

// The processes of a scene are scripts. What happens to them is in $DIR/journal,
// a line each. Files beside it tell them what to do: act-fails, act-hangs and so
// on, while they are there.
const (
	// take is what a process does to take over the files: it reads the first
	// line of each.
	takeScript = `
take() {
	IFS= read -r a <live/a; IFS= read -r b <live/b; IFS= read -r c <live/c
	echo "told $a|$b|$c" >>journal
}
`
	actScript = `cd $DIR || exit; ` + takeScript + `
if test -e act-hangs; then
	echo "failed: the action hangs" >>journal
	while test -e act-hangs; do sleep 0.1; done
	exit 1
fi
echo begin $POD_NAME >>../acting
take
if test -e act-fails; then
	echo "failed: the action" >>journal
	echo failed $POD_NAME >>../acting
	exit 1
fi
sleep 0.02
echo "$a|$b|$c" >now
echo "applied $a|$b|$c" >>journal
`
	verifyScript = `cd $DIR || exit; ` + takeScript + `
if test -e verify-hangs; then
	echo "failed: the verification hangs" >>journal
	while test -e verify-hangs; do sleep 0.1; done
	exit 1
fi
test -e verify-fails && echo "failed: the verification" >>journal && exit 1
IFS= read -r a <live/a; IFS= read -r b <live/b; IFS= read -r c <live/c; IFS= read -r now <now
test "$now" = "$a|$b|$c" || exit
echo "verified $now" >>journal
echo verified $POD_NAME >>../acting
`
	checkScript = `cd $DIR || exit
while test -e check-hangs; do sleep 0.1; done
test ! -e check-fails && echo checked >>journal
`
	// witness is the process that is told by signals and restarts.
	witnessScript = `cd $DIR || exit; ` + takeScript + `
adopt() { take; echo "$a|$b|$c" >now; }
begin() {
	mkdir running || echo overlap >>journal
	echo started >>journal
	test -e live/a && adopt
	echo $1 >pid
}
test $# -gt 0 && { "$@"; exit; }
exec onsignal "ready=sh $0 begin $$" "HUP=sh $0 adopt" "TERM:0=rmdir running; echo ended >>journal"
`
)

// chaosResource is the group of all scenes. The third file is long, so that not
// all of it is written at once.
const chaosResource = `
check_cmd = "sh $DIR/check.sh"
check_timeout = "%[2]s"
[[template]]
contents = 'a{{ range endpoints "web" }} {{ .Address }}{{ end }}{{ "\n" }}'
dest = "$DIR/live/a"
[[template]]
contents = 'b{{ range endpoints "web" }} {{ .Pod }}={{ .Address }}{{ end }}{{ "\n" }}'
dest = "$DIR/live/b"
[[template]]
contents = '{{ $all := endpoints "web" }}{{ range until 300 }}c {{ . }}{{ range $all }} {{ .Address }}{{ end }}{{ "\n" }}{{ end }}'
dest = "$DIR/live/c"
[reload]
%[1]s
retry = "100ms:1s"
`

// liveFiles are the files of a scene.
func liveFiles() []string { return []string{"a", "b", "c"} }

// renderedFor is what the templates give for members, by file.
func renderedFor(members []string) map[string]string {
	first := firstLines(members)
	var c strings.Builder
	for n := range 300 {
		fmt.Fprintf(&c, "c %d%s\n", n, first[2][len("c 0"):])
	}
	return map[string]string{"a": first[0] + "\n", "b": first[1] + "\n", "c": c.String()}
}

// toldFor is what a process that takes over the files of members notes.
func toldFor(members []string) string { return strings.Join(firstLines(members), "|") }

// firstLines are those of the live files, in their order.
func firstLines(members []string) []string {
	a, b, c := "a", "b", "c 0"
	for i, m := range members {
		a += " " + m
		b += fmt.Sprintf(" web-1-%d=%s", i, m)
		c += " " + m
	}
	return []string{a, b, c}
}

// A history is the states that the cluster had, the newest last, and those that
// it was given without an answer.
type history struct {
	mu     sync.Mutex
	states [][]string
	files  map[string]map[string]bool // contents that there may be, by file
	put    time.Time                  // when the newest was
}

func (h *history) add(members []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, members)
	if h.files == nil {
		h.files = map[string]map[string]bool{"a": {}, "b": {}, "c": {}}
	}
	for name, content := range renderedFor(members) {
		h.files[name][content] = true
	}
}

// known says whether a file's content comes of some state.
func (h *history) known(name, content string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files[name][content]
}

func (h *history) newest() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[len(h.states)-1]
}

// tellings are what a process can have been told, in the order of the states.
func (h *history) tellings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, members := range h.states {
		all = append(all, toldFor(members))
	}
	return all
}

// A shift is one of the members, some time after the one before.
type shift struct {
	after   time.Duration
	members []string
}

// A scene is a service whose members change, and its kconfds.
type scene struct {
	world
	round   *round
	setup   setup
	keepers []*keeper
	history history
	changes []shift
	config  sceneConfig
	gate    gateLog

	stop     context.CancelFunc // of all that runs beside the test
	running  sync.WaitGroup
	changing sync.WaitGroup
}

// sceneConfig is what chance decides about a scene.
type sceneConfig struct {
	verify, stateDir, room bool
	skew                   bool // a clock of its own
	interval, quiet, limit string
	afterwards             bool // one more change when the fault is over
}

func newScene(r *round, how setup) *scene {
	r.t.Helper()
	random := rand.New(rand.NewPCG(r.seed, uint64(len(r.scenes)+2)))
	s := &scene{world: world{dir: newDir(r.t, nil), server: r.server}, round: r, setup: how}
	r.server.locked(func() {
		s.namespace = r.server.Namespace(r.t)
		s.kubeconfig = r.server.Kubeconfig(r.t, cluster.Admin, s.namespace)
	})
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	s.config = sceneConfig{
		verify:     how == rolling || random.IntN(3) > 0,
		stateDir:   random.IntN(2) == 0,
		interval:   pick("", "", "300ms"),
		quiet:      pick("0s", "0s", "20ms:100ms"),
		limit:      "5s",
		afterwards: random.IntN(2) == 0,
	}
	if r.fault.setup != nil {
		r.fault.setup(&s.config)
	}
	s.changes = plan(random, 3+random.IntN(5))
	return s
}

// what says how the scene is set up.
func (s *scene) what() string {
	return fmt.Sprintf("%s %+v, %d changes", s.setup, s.config, len(s.changes))
}

// plan is a sequence of members that come and go, each unlike the one before,
// some like one before that.
func plan(random *rand.Rand, n int) []shift {
	next := 0
	fresh := func() string {
		next++
		return fmt.Sprintf("10.%d.%d.%d", 1+random.IntN(200), random.IntN(256), next)
	}
	changes := []shift{{members: []string{fresh(), fresh()}}}
	for len(changes) <= n {
		last := changes[len(changes)-1].members
		members := slices.Clone(last)
		switch {
		case random.IntN(5) == 0 && len(changes) > 1:
			members = changes[len(changes)-2].members
		case random.IntN(3) == 0 && len(members) > 1:
			members = slices.Delete(members, 0, 1)
		default:
			members = append(members, fresh())
		}
		changes = append(changes, shift{time.Duration(random.IntN(400)) * time.Millisecond, members})
	}
	return changes
}

// open puts the first state and starts all that the scene is made of.
func (s *scene) open() {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	s.stop = stop
	s.put(ctx, s.changes[0].members)
	replicas := 1
	if s.setup == rolling {
		replicas = 3
	}
	for i := range replicas {
		s.keepers = append(s.keepers, newKeeper(s, fmt.Sprintf("web-%d", i)))
	}
	s.t.Cleanup(func() {
		s.stop()
		s.running.Wait()
	})
	s.running.Go(func() { s.gate.follow(ctx, journal(s.file("acting"))) }) // until stop
	for _, k := range s.keepers {
		s.running.Go(func() { k.sample(ctx) }) // until stop
		s.running.Go(func() { k.keep(ctx) })   // until stop
	}
}

// beginChanges begins to put the other states.
func (s *scene) beginChanges() {
	s.changing.Go(func() { // until all are put
		for _, c := range s.changes[1:] {
			time.Sleep(c.after)
			s.put(s.t.Context(), c.members)
		}
	})
}

// endChanges waits for them, and may add one.
func (s *scene) endChanges() {
	s.changing.Wait()
	if s.config.afterwards {
		s.put(s.t.Context(), append(slices.Clone(s.history.newest()), "10.250.0.1"))
	}
}

// put makes members those of the service, as often as it takes. It may have been
// done where no answer says so, and is not done late: the version is checked.
func (s *scene) put(ctx context.Context, members []string) {
	s.history.add(members)
	for ctx.Err() == nil {
		err := s.tryPut(ctx, members)
		if err == nil {
			s.history.mu.Lock()
			s.history.put = time.Now()
			s.history.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *scene) tryPut(ctx context.Context, members []string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	slices := s.server.Client().DiscoveryV1().EndpointSlices(s.namespace)
	wanted := cluster.Slice(s.namespace, "web", "web-1", members...)
	now, err := slices.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = slices.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	if err != nil || toldFor(membersOf(now)) == toldFor(members) {
		return err
	}
	wanted.ResourceVersion = now.ResourceVersion
	_, err = slices.Update(ctx, wanted, metav1.UpdateOptions{})
	return err
}

func membersOf(slice *discoveryv1.EndpointSlice) []string {
	var members []string
	for _, e := range slice.Endpoints {
		members = append(members, e.Addresses[0])
	}
	return members
}

// lastPut is when the newest state was taken.
func (s *scene) lastPut() time.Time {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	return s.history.put
}

// inOrder says whether the newest state is live and applied everywhere.
func (s *scene) inOrder() bool {
	for _, k := range s.keepers {
		if !k.inOrder() {
			return false
		}
	}
	return true
}

// awaitOrder waits for that, and says how long it took.
func (s *scene) awaitOrder(when string, limit time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	for tick := time.NewTicker(5 * time.Millisecond); !s.inOrder(); <-tick.C {
		if s.t.Failed() { // which may be why
			s.t.FailNow()
		}
		if time.Since(began) > limit {
			s.t.Fatalf("%s: not in order %s %s", s.setup, when, limit)
		}
	}
	return time.Since(began)
}

// awaitRecovery is how long after since all is in order again.
func (s *scene) awaitRecovery(since time.Time) time.Duration {
	s.t.Helper()
	bar := flagValue[time.Duration]("chaos.bar")
	if s.setup == rolling {
		bar += chaosLease // of one who died
	}
	s.awaitOrder("after the fault in", max(2*bar, time.Minute))
	took := time.Since(since)
	if s.setup == rolling {
		s.wantNotStuck(since)
	}
	if took > bar {
		s.t.Errorf("%s: in order %s after the fault, want at most %s", s.setup, took.Round(time.Millisecond), bar)
	}
	return took
}

// wantRest wants that nothing is owed any more, and that neither a start without
// a change nor the death of a worker is noticed by anybody.
func (s *scene) wantRest() {
	s.t.Helper()
	for _, k := range s.keepers {
		k.awaitUp()
		if s.setup.hasChild() { // an instance that has just been started may not have said so yet
			await(s.t, "the child has started", func() bool {
				lines := k.journal.read()
				slices.Reverse(lines)
				told := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "told ") })
				ended := slices.Index(lines, "ended")
				started := slices.Index(lines, "started")
				return told >= 0 && told < started && (ended < 0 || started < ended)
			})
		}
		before := k.journal.read()
		k.again()
		if after := k.journal.read(); disturbances(after) != disturbances(before) {
			s.t.Errorf("%s %s: told though nothing had changed:\n%s", s.setup, k.name, strings.Join(after[len(before):], "\n"))
		}
	}
	s.put(s.t.Context(), append(slices.Clone(s.history.newest()), "10.251.0.1"))
	s.awaitOrder("after one more change", testPatience)
}

func (s *scene) close() {
	s.t.Helper()
	for _, k := range s.keepers {
		k.end()
	}
	s.stop()
	s.running.Wait()
}

// story is what happened, for whoever wants to know why.
func (s *scene) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nstates:\n%s\n", s.what(), strings.Join(s.history.tellings(), "\n"))
	for _, k := range s.keepers {
		k.dump()
		fmt.Fprintf(&b, "%s, journal:\n%s\n%s, log:\n%s\n", k.name, strings.Join(k.journal.read(), "\n"), k.name, lastLines(k.file("log"), 500))
	}
	fmt.Fprintf(&b, "acting:\n%s\n", strings.Join(journal(s.file("acting")).read(), " "))
	return b.String()
}

// dump has a kconfd that is still there write to its log what it is at.
func (k *keeper) dump() {
	pid := k.pid()
	k.mu.Lock()
	k.ending = true
	k.mu.Unlock()
	if pid == 0 || syscall.Kill(pid, syscall.SIGQUIT) != nil {
		return
	}
	select {
	case <-k.ended:
	case <-time.After(time.Second): // a worker is not waited for
	}
}

func lastLines(path string, n int) string {
	text, _ := os.ReadFile(path) // for a message only
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// A journal is a file that several processes add lines to.
type journal string

func (j journal) note(format string, args ...any) {
	f, err := os.OpenFile(string(j), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // the test has ended
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", args...)
}

func (j journal) read() []string {
	text, err := os.ReadFile(string(j))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// A keeper runs one kconfd as a kubelet would: again, whenever it has ended.
type keeper struct {
	dir
	scene   *scene
	name    string
	journal journal
	line    *wire
	kube    string // the kubeconfig that goes by the line
	clock   *skew  // nil: the machine's
	witness *exec.Cmd

	mu      sync.Mutex
	cmd     *exec.Cmd     // that runs; nil between two
	started int           // how many
	pause   time.Duration // before the next one
	ending  bool          // it is meant to end
	ended   chan struct{} // closed when keep has ended
	log     int64         // where the log of the one that runs begins
}

func newKeeper(s *scene, name string) *keeper {
	s.t.Helper()
	d := dir{s.t, s.file(name)}
	k := &keeper{dir: d, scene: s, name: name, journal: journal(d.file("journal")), ended: make(chan struct{})}
	own := s.world
	own.dir = d
	if err := os.MkdirAll(d.file("live"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	k.line, k.kube = newWire(own)
	k.line.connect()
	s.t.Cleanup(func() { k.line.mute(false) })
	for name, script := range map[string]string{"act.sh": actScript, "verify.sh": verifyScript, "check.sh": checkScript, "witness.sh": witnessScript} {
		d.write(name, script)
	}
	d.write("conf/conf.d/web.toml", s.resource())
	if s.config.room {
		for _, name := range []string{"live", "state"} {
			mountRoom(s.t, d.file(name))
		}
	}
	if s.config.skew {
		k.clock = &skew{}
	}
	if s.setup == bySignal {
		k.startWitness()
	}
	return k
}

// resource is the resource file.
func (s *scene) resource() string {
	action := map[setup]string{
		byCommand:    "action = \"exec\"\ncommand = \"sh $DIR/act.sh\"\ntimeout = \"%[2]s\"",
		rolling:      "action = \"exec\"\ncommand = \"sh $DIR/act.sh\"\ntimeout = \"%[2]s\"\nrolling = { lease = \"web\", lease_time = \"" + chaosLease.String() + "\" }",
		bySignal:     "action = \"signal\"\nsignal = \"HUP\"\npid_file = \"$DIR/pid\"",
		childSignal:  "action = \"signal\"\nsignal = \"HUP\"",
		childRestart: "action = \"restart\"",
	}[s.setup]
	if s.config.verify {
		action += "\nverify_cmd = \"sh $DIR/verify.sh\"\nverify_timeout = \"%[2]s\""
	}
	if s.config.interval != "" {
		action += "\nmin_interval = \"" + s.config.interval + "\""
	}
	text := strings.ReplaceAll(chaosResource, "%[1]s", action)
	return strings.ReplaceAll(text, "%[2]s", s.config.limit)
}

// startWitness starts the process that the signals go to.
func (k *keeper) startWitness() {
	k.t.Helper()
	k.witness = exec.Command("sh", k.file("witness.sh"))
	k.witness.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.witness.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = syscall.Kill(-k.witness.Process.Pid, syscall.SIGKILL)
		_ = k.witness.Wait()
	})
	k.awaitLines("pid", 1)
}

// command is the kconfd.
func (k *keeper) command() *exec.Cmd {
	c := k.scene.config
	args := []string{"-kubeconfig", k.kube, "-confdir", k.file("conf"), "-wait", c.quiet, "-timeout", "2s", "-listen", "127.0.0.1:0"}
	if c.stateDir {
		args = append(args, "-state-dir", k.file("state"))
	}
	if k.scene.setup.hasChild() {
		args = append(args, "-adopt", "--", "sh", k.file("witness.sh"))
	}
	cmd := exec.Command("kconfd", args...)
	cmd.Env = append(os.Environ(), killFile+"="+k.file("kill"), "POD_NAME="+k.name)
	return cmd
}

// keep runs kconfd until ctx ends.
func (k *keeper) keep(ctx context.Context) {
	defer close(k.ended)
	for ctx.Err() == nil {
		cmd, err := k.begin()
		if err != nil {
			k.t.Errorf("starting kconfd: %v", err)
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		stop()
		if k.finish(ctx, err) {
			return
		}
		k.wait()
	}
}

// wait is the time between a death and the next start.
func (k *keeper) wait() {
	k.mu.Lock()
	pause := k.pause
	k.mu.Unlock()
	time.Sleep(pause)
}

func (k *keeper) begin() (*exec.Cmd, error) {
	log, err := os.OpenFile(k.file("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := k.command()
	cmd.Stdout, cmd.Stderr = log, log
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.log, err = log.Seek(0, 2); err != nil {
		return nil, err
	}
	if k.clock == nil {
		err = cmd.Start()
	} else {
		err = k.clock.start(cmd)
	}
	k.cmd = cmd
	k.started++
	return cmd, err
}

// finish notes the end of a kconfd, and says whether it was the last.
func (k *keeper) finish(ctx context.Context, err error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cmd = nil
	if k.ending || ctx.Err() != nil {
		return k.ending || ctx.Err() != nil
	}
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if !killed || k.scene.setup.hasChild() {
		k.t.Errorf("%s: kconfd has ended by itself: %v", k.scene.setup, err)
		return true
	}
	k.noteDeath()
	return false
}

// noteDeath is for what may happen when a kconfd dies, and what may then be done
// twice.
func (k *keeper) noteDeath() {
	k.journal.note("died")
	journal(k.scene.file("acting")).note("died %s", k.name)
	if !k.isSet() {
		k.scene.round.results.note("died in the middle of a set", 1)
	}
}

// pid is that of the kconfd that works, 0 when there is none: with a child it is
// the worker.
func (k *keeper) pid() int {
	k.mu.Lock()
	cmd := k.cmd
	k.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return 0
	}
	if !k.scene.setup.hasChild() {
		return cmd.Process.Pid
	}
	return workerOf(cmd.Process.Pid)
}

// workerOf is the child of a process that is a kconfd, 0 when it has none.
func workerOf(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // one for each thread
	for _, list := range lists {
		children, _ := os.ReadFile(list) // it may have ended
		for _, child := range strings.Fields(string(children)) {
			cmdline, _ := os.ReadFile(filepath.Join("/proc", child, "cmdline"))
			if n, err := strconv.Atoi(child); err == nil && strings.HasPrefix(string(cmdline), "kconfd\x00") {
				return n
			}
		}
	}
	return 0
}

// kill kills what works, and says whether there was something.
func (k *keeper) kill() bool {
	pid := k.pid()
	if pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return false
	}
	if k.scene.setup.hasChild() {
		k.noteDeath() // of a worker nobody else takes note
	}
	return true
}

// awaitWork waits until a kconfd other than the one with pid before is at work
// and has looked at its group.
func (k *keeper) awaitWork(before int) {
	k.t.Helper()
	await(k.t, "the next kconfd is at work", func() bool {
		pid := k.pid()
		return pid != 0 && pid != before && k.metric(`outcome="unchanged"`) > 0
	})
}

// awaitUp waits until a kconfd is there, and no longer dies of SIGTERM before it
// knows what to do.
func (k *keeper) awaitUp() {
	k.t.Helper()
	await(k.t, "a kconfd is up", func() bool { return k.pid() != 0 && k.metric("go_goroutines") > 0 })
}

// metric is the first of kconfd's metrics with a text in its name, 0 when there
// is none yet.
func (k *keeper) metric(name string) float64 {
	const saying = "msg=listening addr="
	log, _ := os.ReadFile(k.file("log"))
	at := strings.LastIndex(string(log), saying)
	if at < 0 {
		return 0
	}
	address, _, _ := strings.Cut(string(log[at+len(saying):]), "\n")
	return metricAt(address, name)
}

// inOrder says whether the newest state is live and applied, and nothing is owed.
func (k *keeper) inOrder() bool {
	newest := k.scene.history.newest()
	now, _ := os.ReadFile(k.file("now")) // it may not be there yet
	if string(now) != toldFor(newest)+"\n" {
		return false // the usual answer, which costs little
	}
	for name, want := range renderedFor(newest) {
		if k.live(name) != want {
			return false
		}
	}
	return !k.owes() // the last: before, it may not have begun yet
}

// live is the content of a live file, empty when there is none.
func (k *keeper) live(name string) string {
	content, _ := os.ReadFile(k.file("live/" + name))
	return string(content)
}

// isSet says whether the live files are all of one state.
func (k *keeper) isSet() bool {
	h := &k.scene.history
	h.mu.Lock()
	states := h.states
	h.mu.Unlock()
	found := map[string]string{}
	for _, name := range liveFiles() {
		found[name] = k.live(name)
	}
	if found["a"]+found["b"]+found["c"] == "" {
		return true // before the first
	}
	return slices.ContainsFunc(states, func(members []string) bool {
		for name, want := range renderedFor(members) {
			if found[name] != want {
				return false
			}
		}
		return true
	})
}

// sample looks at each file again and again: it is whole at any moment.
func (k *keeper) sample(ctx context.Context) {
	for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		for _, name := range liveFiles() {
			content, err := os.ReadFile(k.file("live/" + name))
			if err == nil && !k.scene.history.known(name, string(content)) {
				k.t.Errorf("%s: live/%s is of no state: %.200q", k.scene.setup, name, content)
				return
			}
		}
	}
}

// owes says whether the ledger has something, wherever it is.
func (k *keeper) owes() bool {
	for _, pattern := range []string{"live/.*.kconfd", "state/*.json"} {
		paths, _ := filepath.Glob(k.file(pattern)) // the pattern is good
		for _, path := range paths {
			var e entry
			if _, err := state.Load(path, &e); err != nil || (&ledger{entry: e}).pending() {
				return true
			}
		}
	}
	return false
}

// again has another kconfd begin where nothing has changed: after a stop, or
// where there is a child, which would notice, after the death of the worker.
func (k *keeper) again() {
	k.t.Helper()
	before := k.pid()
	if k.scene.setup.hasChild() {
		if !k.kill() {
			k.t.Fatal("there is no worker to be killed")
		}
		k.awaitWork(before)
		return
	}
	k.end()
	if k.t.Failed() {
		return
	}
	k.mu.Lock()
	k.ending, k.ended = false, make(chan struct{})
	k.mu.Unlock()
	ctx, stop := context.WithCancel(k.t.Context())
	k.scene.running.Go(func() { k.keep(ctx) }) // until stop
	k.t.Cleanup(stop)
	k.awaitWork(before)
}

// end stops kconfd as it is meant to be.
func (k *keeper) end() {
	k.t.Helper()
	k.mu.Lock()
	k.ending = true
	cmd := k.cmd
	k.mu.Unlock()
	if cmd == nil {
		k.t.Errorf("%s: no kconfd is there to be ended", k.scene.setup)
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it is there, or is missed below
	select {
	case <-k.ended:
	case <-time.After(testPatience):
		k.t.Fatalf("%s: SIGTERM does not end kconfd", k.scene.setup)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		k.t.Errorf("%s: got exit code %d after SIGTERM, want 0", k.scene.setup, code)
	}
}

// mountRoom mounts a small file system.
func mountRoom(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatalf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
}
