package hostile

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// objects are those that somebody changes for the worse.
func objects(replicas, number int, text string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata: {name: pxc, namespace: default}
spec: {replicas: %d, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shared, namespace: default}
data: {number: %q, text: %q, word: %q}
`, replicas, strconv.Itoa(number), text, fmt.Sprint("word", number))
}

// An object's content ends neither kconfd nor the child: what it would harm is
// not rendered, its last file stays, and all else goes on.
func TestObjectsDoNotEndTheChild(t *testing.T) {
	s := newStage(t)
	out := s.path("out")
	s.must(os.Mkdir(out, 0o755))
	templates := hostileTemplates()
	names := slices.Sorted(maps.Keys(templates))
	for i, name := range names {
		s.write(filepath.Join("conf.d", fmt.Sprintf("%d.toml", i)), fmt.Sprintf(`
[[template]]
contents = '''%s%s'''
dest = %q
[limits]
time = "4s"
iterations = 1000000
`, `{{ $c := configMap "shared" }}{{ $n := int $c.number }}{{ $s := $c.text }}`, templates[name], filepath.Join(out, fmt.Sprint(i))))
	}
	s.write("conf.d/good.toml", fmt.Sprintf(`
[[template]]
contents = '''{{ (configMap "shared").word }} {{ (statefulSet "pxc").Replicas }}'''
dest = %q
[process]
env = { WORD = '{{ repeat (int (configMap "shared").number) "x" }}' }
`, filepath.Join(out, "good")))
	s.write("objects.yaml", objects(3, 3, "x"))

	k := s.start("-wait", "10ms", "--", "sleep", "1000000")
	good := func(content string) func() bool {
		return func() bool { return s.read(filepath.Join(out, "good")) == content }
	}
	process.Await(t, "the first file", good("word3 3"))
	var child []int
	process.Await(t, "the child runs", func() bool {
		child = descendants(t, os.Getpid(), "sleep")
		return len(child) == 1
	})
	worker := descendants(t, os.Getpid(), "kconfd")
	before := map[string]string{}
	for i := range names {
		path := filepath.Join(out, fmt.Sprint(i))
		before[path] = s.read(path)
	}

	s.write("objects.yaml", objects(2_000_000_000, 2_000_000_000, `{{ tpl . . }}{{ include "a" . }}{{ template "a" . }}`))
	process.Await(t, "what is harmless goes on", good("word2000000000 2000000000"))
	for i, name := range names {
		k.AwaitLog(0, fmt.Sprintf(`group=\S*conf.d/%d.toml err=.*limit`, i))
		path := filepath.Join(out, fmt.Sprint(i))
		if got := s.read(path); got != before[path] || got == "" {
			t.Errorf("%s: the last file did not stay: got %q, want %q", name, got, before[path])
		}
	}
	if got := descendants(t, os.Getpid(), "sleep"); !slices.Equal(got, child) {
		t.Errorf("the child was %v and is %v", child, got)
	}
	if got := descendants(t, os.Getpid(), "kconfd"); !slices.Equal(got, worker) {
		t.Errorf("kconfd was %v and is %v", worker, got)
	}

	s.write("objects.yaml", objects(4, 4, "y"))
	process.Await(t, "all is well again", good("word4 4"))
	for i, name := range names {
		path := filepath.Join(out, fmt.Sprint(i))
		process.Await(t, name+" is rendered again", func() bool { return s.read(path) != before[path] })
	}
}

// descendants are the processes below pid that run the program.
func descendants(t *testing.T, pid int, program string) []int {
	t.Helper()
	parents, programs := map[int]int{}, map[int]string{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		id, _, _ := strings.Cut(string(stat), " ")
		_, rest, _ := strings.Cut(string(stat), "(")
		name, rest, _ := strings.Cut(rest, ") ")
		child, _ := strconv.Atoi(id)
		parents[child], _ = strconv.Atoi(strings.Fields(rest)[1])
		programs[child] = name
	}
	var found []int
	for child, name := range programs {
		above := child
		for above > 1 && above != pid {
			above = parents[above]
		}
		if name == program && above == pid {
			found = append(found, child)
		}
	}
	slices.Sort(found)
	return found
}

// A render that is over its time since the machine had something else to do is tried
// again: the change is not lost.
func TestRenderThatTheMachineHeldUp(t *testing.T) {
	const limit = 2 * time.Second
	s := newStage(t)
	s.addGroup("g", `{{ $rounds := (configMap "c").rounds }}{{ range until (int $rounds) }}{{ $_ := add . 1 }}{{ end }}{{ $rounds }}`,
		fmt.Sprintf("[limits]\ntime = %q\n", limit))
	rounds := func(n int) {
		s.write("objects.yaml", fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {rounds: %q}}\n", strconv.Itoa(n)))
	}
	rounds(1)
	p := s.start("-wait", "0s")
	process.Await(t, "the first one is written", func() bool { return s.read(s.dest("g")) == "1" })
	before := cpuTicks(t, p.PID())
	rounds(400_000)
	process.Await(t, "the render is under way", func() bool { return cpuTicks(t, p.PID()) > before+10 })
	p.Signal(syscall.SIGSTOP)
	time.Sleep(limit)
	p.Signal(syscall.SIGCONT)
	process.Await(t, "the change is written", func() bool { return s.read(s.dest("g")) == "400000" })
	if !strings.Contains(p.Log(), `of 2s exceeded`) {
		t.Errorf("the render was not held up:\n%s", p.Log())
	}
}

// cpuTicks is the time that a process has had, in hundredths of a second.
func cpuTicks(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return user + system
}
