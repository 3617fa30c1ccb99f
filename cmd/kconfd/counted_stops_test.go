package main

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A situation is what kconfd is about when it is stopped.
type situation struct {
	group    string        // settings of the group beside its template
	process  string        // settings of the child
	child    string        // a shell's script
	template string        // when it is not the colour
	change   string        // the colour that leads there when the child runs; empty: it is there by itself
	computes bool          // it is there when the worker computes, else when there is a line in "there"
	own      time.Duration // how long the child takes to end, or what is to be waited for before
	code     int
	or       int // another code that is as good
}

const (
	// sleeping is a child that takes no time to end.
	sleeping = "echo >>$DIR/started; exec sleep 600\n"
	// slow is a child that takes a while to end, and leaves another process.
	slow = "sleep 600 & exec onsignal 'ready=echo >>$DIR/started' 'TERM:7=echo >>$DIR/there; sleep 0.15'\n"
	// leaving is a child that ends at once and leaves a process that does not.
	leaving = "onsignal 'ready=echo >>$DIR/started' 'TERM:0=echo >>$DIR/there; sleep 0.15' & exec sleep 600\n"
	// dies is a child that ends by itself, and in no other way.
	dies = "trap 'exit 3' TERM; echo >>$DIR/there; exit 3\n"

	// endless takes no time for colour 1, and for others for ever.
	endless = "{{ $n := atoi (configMap \"settings\").colour }}{{ range until $n }}{{ range until $n }}{{ end }}{{ end }}{{ $n }}\n"

	stays    = "echo >>$DIR/there; exec sleep 600"
	stubborn = "trap '' TERM; echo >>$DIR/there; sleep 600"
)

const byTERM = 128 + int(syscall.SIGTERM)

func situations() map[string]situation {
	const (
		restarts = "[reload]\naction = \"restart\"\n"
		own      = 150 * time.Millisecond
	)
	checks := func(command string) string {
		return "check_cmd = \"grep -q blue {{.src}} || { " + command + "; }\"\n" + restarts
	}
	acts := func(command string) string {
		return "[reload]\naction = \"exec\"\ncommand = \"grep -q blue $DIR/live/a || { " + command + "; }\"\nretry = \"10m\"\n"
	}
	second := func(command string) string { // not at the first start
		return "pre_start = \"test -e $DIR/once || exec touch $DIR/once; " + command + "\"\n"
	}
	return map[string]situation{
		"at rest":         {child: "echo >>$DIR/there; " + sleeping, code: byTERM},
		"first render":    {template: endless, computes: true},
		"render":          {template: endless, change: `"100000"`, computes: true, code: byTERM},
		"check":           {group: checks(stays), change: "green", code: byTERM},
		"stubborn check":  {group: checks(stubborn), change: "green", code: byTERM},
		"action":          {group: acts(stays), change: "green", code: byTERM},
		"stubborn action": {group: acts(stubborn), change: "green", code: byTERM},
		"retry":           {group: acts("echo >>$DIR/there; false"), change: "green", code: byTERM},
		"pause":           {child: dies, process: "restart = \"always\"\nrestart_wait = \"10m:10m\"\n", code: 3},
		"crashes": {
			child: dies, process: "restart = \"always\"\nrestart_wait = \"1ms:5ms\"\n",
			code: 3, or: byTERM, // it was met before its trap was set
		},
		"slow child":         {group: restarts, child: slow, change: "green", own: own, code: 7},
		"what is left":       {group: restarts, child: leaving, change: "green", own: own, code: byTERM},
		"pre_start":          {process: "pre_start = \"" + stays + "\"\n"},
		"stubborn pre_start": {process: "pre_start = \"" + stubborn + "\"\n"},
		"second pre_start":   {group: restarts, process: second(stays), change: "green", code: byTERM},
		"pre_stop": {
			group: restarts, process: "pre_stop = \"" + stays + "\"\npre_stop_timeout = \"150ms\"\n", change: "green", own: own, code: byTERM,
		},
	}
}

// A stop takes the child's own time and a tenth of a second, whatever is going on.
func countStops(t *testing.T, p program) {
	inBothWays(t, func(t *testing.T, way string) {
		var all []time.Duration
		for name, s := range situations() {
			t.Run(name, func(t *testing.T) {
				var took []time.Duration
				for range countedStops {
					took = append(took, p.stopIn(t, way, s)-s.own)
				}
				t.Log(name, way, distribution(took))
				if limit := bar + countedLate; took[0] > limit {
					t.Errorf("beside the child's own %v, the quickest stop took %v, want no more than %v", s.own, took[0], limit)
				}
				all = append(all, took...)
			})
		}
		t.Log(distribution(all))
		// What the machine does besides may hold up many of them, but hardly each.
		if quarter := all[len(all)/4]; quarter > bar {
			t.Errorf("three quarters of the stops took %v or more beside the child's own time, want no more than %v", quarter, bar)
		}
	})
}

// bar is how long a stop may take beside the child's own time.
const bar = 100 * time.Millisecond

// distribution sorts durations and says what they are.
func distribution(took []time.Duration) string {
	slices.Sort(took)
	of := func(percent int) string {
		return took[(len(took)-1)*percent/100].Round(100 * time.Microsecond).String()
	}
	return strconv.Itoa(len(took)) + " stops beside the child's own time: quickest " + of(0) + ", median " + of(50) + ", 90% " + of(90) + ", longest " + of(100)
}

// stopIn stops kconfd in a situation, and gives how long that took.
func (p program) stopIn(t *testing.T, way string, s situation) time.Duration {
	t.Helper()
	d := newDir(t, s.files())
	k := p.start(d, way, d.recorder()...)
	at := 0
	if s.change != "" {
		d.awaitLines("started", 1)
		at = k.computed()
		d.write("objects.yaml", settings(s.change))
	}
	if s.computes {
		await(t, "the worker computes", func() bool { return k.computed() > at+15 })
	} else {
		d.awaitLines("there", 1)
	}
	time.Sleep(rand.N(30 * time.Millisecond)) // a random moment
	took, code := k.end(syscall.SIGTERM)
	if code != s.code && (s.or == 0 || code != s.or) {
		t.Errorf("got exit code %d, want %d", code, s.code)
	}
	if limit := s.own + soon; took > limit {
		t.Errorf("the stop took %v, want less than %v", took, limit)
	}
	d.wantNothingLeft()
	d.wantOwedAtMost("live")
	return took
}

func (s situation) files() map[string]string {
	files := recorded(s.group + "[process]\n" + s.process)
	files["child"] = sleeping
	if s.child != "" {
		files["child"] = s.child
	}
	if s.template != "" {
		files["conf/templates/a.tmpl"] = s.template
		files["objects.yaml"] = settings(`"1"`)
		if s.change == "" {
			files["objects.yaml"] = settings(`"100000"`)
		}
	}
	return files
}

// computed is how many hundredths of a second the worker has computed.
func (k *daemon) computed() int {
	k.t.Helper()
	const userTime = 11 // behind the state
	fields := processes(k.t)[k.worker()]
	if len(fields) <= userTime {
		return 0 // it was init's, on its way to become the worker
	}
	used, _ := strconv.Atoi(fields[userTime])
	return used
}
