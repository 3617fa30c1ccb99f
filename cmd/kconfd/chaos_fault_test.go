package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A fault is what goes wrong in a round.
type fault struct {
	name   string
	shared bool // it is the server's, and so everybody's
	setups []setup
	setup  func(*sceneConfig) // what it needs
	run    func(*round)       // returns when it is over
}

// faultOf is the fault of a round.
func faultOf(seed uint64) fault {
	all := faults()
	for _, f := range all {
		if f.name == flagValue[string]("chaos.fault") {
			return f
		}
	}
	return all[seed%uint64(len(all))]
}

// faults are all kinds. The order decides which seed has which.
func faults() []fault {
	all := []setup{byCommand, bySignal, childSignal, childRestart, rolling}
	beside := []setup{byCommand, bySignal, rolling}
	scripted := []setup{byCommand, rolling}
	verified := func(c *sceneConfig) { c.verify, c.limit = true, "1500ms" }
	small := func(c *sceneConfig) { c.room = true }
	kept := func(c *sceneConfig) { c.stateDir, c.room = true, true }
	list := []fault{
		{name: "killed at a step", setups: all, run: killedAtAStep},
		{name: "killed while it undoes", setups: []setup{byCommand, childRestart, rolling}, setup: verified, run: killedWhileItUndoes},
		{name: "killed at a moment", setups: all, run: killedAtAMoment},
		{name: "killed while it commits", setups: all, run: killedWhileItCommits},
		{name: "killed in an outage", setups: all, run: killedInAnOutage},
		{name: "suspended", setups: all, run: suspended},
		{name: "connections cut", setups: all, run: connectionsCut},
		{name: "connections slow", setups: all, run: connectionsSlow},
		{name: "connections silent", setups: all, run: connectionsSilent},
		{name: "no room for files", setups: all, setup: small, run: noRoom("live")},
		{name: "no room for the state", setups: all, setup: kept, run: noRoom("state")},
		{name: "no room for either", setups: all, setup: kept, run: noRoom("live", "state")},
		{name: "the check fails", setups: all, run: scriptFails("check-fails")},
		{name: "the check hangs", setups: all, setup: func(c *sceneConfig) { c.limit = "1500ms" }, run: scriptFails("check-hangs")},
		{name: "the action fails", setups: scripted, run: scriptFails("act-fails")},
		{name: "the action hangs", setups: scripted, setup: func(c *sceneConfig) { c.limit = "1500ms" }, run: scriptFails("act-hangs")},
		{name: "nobody to be told", setups: []setup{bySignal}, run: nobodyThere},
		{name: "the verification fails", setups: all, setup: verified, run: scriptFails("verify-fails")},
		{name: "the verification hangs", setups: all, setup: verified, run: scriptFails("verify-hangs")},
		{name: "the state is damaged", setups: beside, setup: kept, run: stateDamaged},
		{name: "the API server is killed", shared: true, setups: all, run: serverKilled},
		{name: "the API server is stopped", shared: true, setups: all, run: serverStopped},
		{name: "etcd is killed", shared: true, setups: all, run: storeKilled},
	}
	if runtime.GOARCH == "amd64" { // whose code skew knows
		list = append(list, fault{name: "the clock jumps", setups: beside, setup: func(c *sceneConfig) { c.skew = true }, run: clockJumps})
	}
	return list
}

// scene is that of a fault which is not everybody's.
func (r *round) scene() *scene { return r.scenes[0] }

// one is one of the scene's kconfds.
func (r *round) one() *keeper {
	all := r.scene().keepers
	return all[r.random.IntN(len(all))]
}

// some are one of them, or all.
func (r *round) some() []*keeper {
	if r.random.IntN(2) == 0 {
		return r.scene().keepers
	}
	return []*keeper{r.one()}
}

// between is a time between two.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

// wait lets some time pass.
func (r *round) wait(least, most time.Duration) { time.Sleep(between(r.random, least, most)) }

// goOn puts changes, with a pause after each, until something holds. The fault
// needs them to come about.
func (r *round) goOn(what string, pause time.Duration, holds func() bool) {
	r.t.Helper()
	s := r.scene()
	s.changing.Wait()
	for n := range 100 {
		if holds() {
			return
		}
		s.put(r.t.Context(), []string{"10.252.0.1", fmt.Sprintf("10.252.1.%d", n)})
		for until := time.Now().Add(pause); time.Now().Before(until) && !holds(); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	r.t.Fatalf("waited in vain: %s", what)
}

// often is a pause in which a change comes to its end.
const often = 300 * time.Millisecond

// doom has a kconfd kill itself, waits until it has, and does something at once.
func (r *round) doom(k *keeper, at string, pause time.Duration, then func()) {
	r.t.Helper()
	dead := make(chan struct{})
	r.scene().running.Go(func() { // until it has died, or the test is over
		defer close(dead)
		for {
			if step, _ := os.ReadFile(k.file("kill.done")); len(step) > 0 || r.t.Context().Err() != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		then()
		if k.scene.setup.hasChild() {
			k.noteDeath() // of a worker nobody else takes note
		}
	})
	k.write("kill", at)
	r.goOn("it dies at "+at, pause, func() bool {
		select {
		case <-dead:
			return true
		default:
			return false
		}
	})
	r.results.note("died at "+k.read("kill.done"), 1)
	await(r.t, "the next one", func() bool { return k.pid() != 0 })
}

func killedAtAStep(r *round) {
	k := r.one()
	k.setPause(between(r.random, 0, time.Second))
	r.wait(0, time.Second)
	r.doom(k, fmt.Sprintf("any:%d", 1+r.random.IntN(9)), often, func() {})
}

func killedWhileItUndoes(r *round) {
	k := r.one()
	step := []string{"undoing", "undone"}[r.random.IntN(2)]
	k.write("verify-fails", "")
	r.doom(k, step+":1", 4*time.Second, func() {}) // as long as a verification takes to fail
	r.wait(0, time.Second)
	k.remove("verify-fails")
}

func killedAtAMoment(r *round) {
	k := r.one()
	k.setPause(between(r.random, 0, chaosLease+time.Second))
	r.wait(0, 2*time.Second)
	before := k.pid()
	r.goOn("there is somebody to kill", often, k.kill)
	await(r.t, "the next one", func() bool { pid := k.pid(); return pid != 0 && pid != before })
}

// killedWhileItCommits is killed when the first file has been replaced, as soon
// as that can be noticed: mostly the others have not been.
func killedWhileItCommits(r *round) {
	k := r.one()
	killed := make(chan struct{})
	w, err := fsnotify.NewWatcher()
	if err == nil {
		err = w.Add(k.file("live"))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.wait(0, time.Second)
	first := k.file("live/" + liveFiles()[0])
	var once sync.Once
	r.scene().running.Go(func() { // until w is closed
		for e := range w.Events {
			if e.Name == first && e.Has(fsnotify.Create) {
				once.Do(func() {
					k.kill()
					close(killed)
				})
			}
		}
	})
	r.goOn("a file is replaced", often, func() bool {
		select {
		case <-killed:
			return true
		default:
			return false
		}
	})
	w.Close()
}

// killedInAnOutage: what was begun is brought to an end without the server, and
// the process keeps what it has.
func killedInAnOutage(r *round) {
	k := r.one()
	k.setPause(200 * time.Millisecond)
	r.wait(0, time.Second)
	r.doom(k, fmt.Sprintf("any:%d", 1+r.random.IntN(9)), often, k.line.cut)
	r.wait(time.Second, 6*time.Second)
	await(r.t, "the files are a set", k.isSet)
	k.line.connect()
}

func suspended(r *round) {
	r.wait(0, 2*time.Second)
	k := r.one()
	pid := 0
	r.goOn("there is somebody to suspend", often, func() bool {
		pid = k.pid()
		return pid != 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil
	})
	journal(k.scene.file("acting")).note("died %s", k.name) // to the others it is as good as dead
	r.wait(500*time.Millisecond, chaosLease+3*time.Second)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		r.t.Error(err)
	}
}

func connectionsCut(r *round) {
	some := r.some()
	for range 1 + r.random.IntN(3) {
		r.wait(0, time.Second)
		for _, k := range some {
			k.line.cut()
		}
		r.wait(0, 3*time.Second)
		for _, k := range some {
			k.line.connect()
		}
	}
}

func connectionsSlow(r *round) {
	some := r.some()
	r.wait(0, time.Second)
	delay := between(r.random, 20*time.Millisecond, 400*time.Millisecond)
	for _, k := range some {
		k.line.slow(delay)
	}
	r.wait(time.Second, 4*time.Second)
	for _, k := range some {
		k.line.slow(0)
	}
}

func connectionsSilent(r *round) {
	some := r.some()
	r.wait(0, time.Second)
	for _, k := range some {
		k.line.mute(true)
	}
	r.wait(time.Second, max(2*time.Second, flagValue[time.Duration]("chaos.pause")))
	for _, k := range some {
		k.line.mute(false)
	}
}

// noRoom fills file systems, but for what some files may still fit in.
func noRoom(dirs ...string) func(*round) {
	return func(r *round) {
		k := r.one()
		r.wait(0, time.Second)
		for _, dir := range dirs {
			if err := fill(k.file(dir+"/ballast"), r.random.Int64N(40<<10)); err != nil {
				r.t.Fatal(err)
			}
		}
		k.journal.note("failed: no room")
		r.wait(time.Second, 4*time.Second)
		for _, dir := range dirs {
			k.remove(dir + "/ballast")
		}
	}
}

// fill makes a file that leaves a number of bytes of its file system.
func fill(path string, leave int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling %q: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return f.Truncate(max(0, info.Size()-leave))
}

// scriptFails has one of the commands fail, or hang, for a while.
func scriptFails(how string) func(*round) {
	return func(r *round) {
		some := r.some()
		r.wait(0, time.Second)
		for _, k := range some {
			k.write(how, "")
		}
		r.wait(500*time.Millisecond, 4*time.Second)
		for _, k := range some {
			k.remove(how)
		}
	}
}

// nobodyThere takes the file away that says who is to be told.
func nobodyThere(r *round) {
	k := r.one()
	r.wait(0, time.Second)
	if err := os.Rename(k.file("pid"), k.file("pid.away")); err != nil {
		r.t.Fatal(err)
	}
	k.journal.note("failed: nobody there")
	r.wait(500*time.Millisecond, 4*time.Second)
	if err := os.Rename(k.file("pid.away"), k.file("pid")); err != nil {
		r.t.Fatal(err)
	}
}

// stateDamaged damages what a kconfd that is at rest has kept, while it runs or
// is away.
func stateDamaged(r *round) {
	s, k := r.scene(), r.one()
	s.changing.Wait()
	s.awaitOrder("before its state is damaged", testPatience)
	k.awaitUp()
	before := k.pid()
	away := r.random.IntN(2) == 0
	if away {
		k.setPause(500 * time.Millisecond)
		r.goOnAfter(k.kill)
	}
	k.damage(r.random)
	if away {
		k.awaitWork(before)
	}
	s.put(r.t.Context(), []string{"10.253.0.1"})
}

// goOnAfter wants that something could be done.
func (r *round) goOnAfter(do func() bool) {
	r.t.Helper()
	if !do() {
		r.t.Fatal("nobody is there to be killed")
	}
}

// damage empties files of the state directory, cuts them off, fills them with
// garbage, or removes them.
func (k *keeper) damage(random *rand.Rand) {
	k.t.Helper()
	for _, path := range k.glob("state/*") {
		content, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		switch random.IntN(5) {
		case 0:
			content = nil
		case 1:
			content = content[:random.IntN(len(content)+1)]
		case 2:
			for i := range content {
				content[i] ^= byte(random.IntN(256))
			}
		case 3:
			content = []byte(strings.Replace(string(content), `"version":1`, `"version":99`, 1))
		}
		if random.IntN(5) == 4 {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

func serverKilled(r *round) {
	r.wait(0, time.Second)
	r.server.KillAPIServer(r.t)
	r.wait(0, 3*time.Second)
	r.server.StartAPIServer(r.t)
}

func serverStopped(r *round) {
	r.wait(0, time.Second)
	r.server.PauseAPIServer(r.t)
	r.wait(5*time.Second, max(5*time.Second, flagValue[time.Duration]("chaos.pause")))
	r.server.ResumeAPIServer(r.t)
}

func storeKilled(r *round) {
	r.wait(0, time.Second)
	r.server.KillEtcd(r.t)
	r.wait(0, 5*time.Second)
	r.server.StartEtcd(r.t)
}

func clockJumps(r *round) {
	for range 1 + r.random.IntN(3) {
		r.wait(0, time.Second)
		// Not so far back that the server's certificate would not be valid yet.
		to := between(r.random, -50*time.Minute, 30*24*time.Hour)
		for _, k := range r.some() {
			if err := k.jump(to); err != nil {
				r.t.Fatal(err)
			}
			if r.random.IntN(2) == 0 { // and has to connect by the new time
				k.line.cut()
				k.line.connect()
			}
		}
	}
}

func (k *keeper) setPause(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pause = d
}

func (k *keeper) remove(name string) {
	k.t.Helper()
	if err := os.Remove(filepath.Join(k.path, name)); err != nil {
		k.t.Fatal(err)
	}
}
