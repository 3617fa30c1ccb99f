package hostile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/test/process"
)

const (
	// soon is how long a change may take, whatever clients do.
	soon = time.Second
	// mib is a MiB in bytes.
	mib = 1 << 20
)

// A listening is a kconfd that listens, and writes the values of a ConfigMap.
type listening struct {
	*stage
	cmd     *exec.Cmd
	process *process.Process
	address string
	changes int
}

// listen starts one. Its files are large, so that its answers are.
func listen(t *testing.T, wrap ...string) *listening {
	t.Helper()
	s := newStage(t)
	l := &listening{stage: s}
	l.manifest("blue")
	s.write("templates/a.tmpl", `{{ (configMap "settings").colour }} {{ template "_b.tmpl" }}`)
	s.write("templates/_b.tmpl", "one")
	s.write("conf.d/a.toml", fmt.Sprintf("[[template]]\nsrc = \"a.tmpl\"\ndest = %q\n", s.path("a")))
	for n := range 20 { // each with a diff that is as long as may be
		s.write(fmt.Sprintf("conf.d/long-%d.toml", n), fmt.Sprintf(
			"[[template]]\ncontents = '{{ range $i := until 1000 }}a <long> & quoted line {{ $i }}{{ \"\\n\" }}{{ end }}'\ndest = %q\n", s.path(fmt.Sprint("long-", n))))
	}
	l.cmd = s.command("-listen", "127.0.0.1:0", "-wait", "0s")
	if len(wrap) > 0 {
		l.cmd.Args = append(wrap, l.cmd.Args...)
		path, err := exec.LookPath(wrap[0])
		s.must(err)
		l.cmd.Path = path
	}
	l.process = process.Start(t, l.cmd)
	l.process.AwaitLog(0, "msg=listening")
	l.address = regexp.MustCompile(`msg=listening addr=(\S+)`).FindStringSubmatch(l.process.Log())[1]
	process.Await(t, "all is applied", func() bool { code, _ := l.ask("/readyz"); return code == http.StatusOK })
	return l
}

func (l *listening) manifest(colour string) {
	l.write("objects.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: "+colour+"}}\n")
}

func (l *listening) awaitFile(want string) {
	l.t.Helper()
	process.Await(l.t, "the file is "+want, func() bool { return l.read(l.path("a")) == want })
}

// wantSoon fails when a change is not applied soon.
func (l *listening) wantSoon() {
	l.t.Helper()
	l.changes++
	colour := "colour-" + strconv.Itoa(l.changes)
	began := time.Now()
	l.manifest(colour)
	l.awaitFile(colour + " one")
	took := time.Since(began)
	l.t.Logf("a change took %v", took)
	if took > soon {
		l.t.Errorf("a change took %v, want %v at most", took, soon)
	}
}

// get asks for a path, and wants what is there.
func (l *listening) get(path string) string {
	l.t.Helper()
	code, body := l.ask(path)
	if code != http.StatusOK {
		l.t.Fatalf("%s: got %d: %s", path, code, body)
	}
	return body
}

// ask asks for a path, and wants an answer.
func (l *listening) ask(path string) (code int, body string) {
	l.t.Helper()
	client := http.Client{Timeout: process.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + l.address + path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatalf("%s: got %v", path, err)
	}
	return response.StatusCode, string(text)
}

// A crowd are connections of the test's own to a kconfd.
type crowd struct {
	l    *listening
	open []net.Conn
}

func (l *listening) newCrowd() *crowd {
	c := &crowd{l: l}
	l.t.Cleanup(c.close)
	return c
}

// add opens a connection and sends something on it, as far as it is taken.
func (c *crowd) add(send string) {
	c.l.t.Helper()
	conn, err := net.Dial("tcp", c.l.address)
	c.l.must(err)
	_ = conn.(*net.TCPConn).SetReadBuffer(1) // what the test's ends hold is not kconfd's
	c.open = append(c.open, conn)
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = io.WriteString(conn, send) // it may have been closed already
}

func (c *crowd) close() {
	for _, conn := range c.open {
		conn.Close()
	}
	c.open = nil
}

// held is how many of the connections kconfd has not closed.
func (c *crowd) held() (n int) {
	for _, conn := range c.open {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			n++
		}
	}
	return n
}

// mostMemory is what kconfd and the kernel may take for clients, beside the pages of the binary, which the
// page cache has anyway: how many of those are mapped depends on what else the machine does.
const mostMemory = 24 * mib

// own is the memory of kconfd's own in bytes.
func (l *listening) own() int {
	l.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	l.must(err)
	kb, err := strconv.Atoi(regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
	l.must(err)
	return kb << 10
}

// socketMemory is what the kernel has for the connections with kconfd, of both ends, in bytes.
func (l *listening) socketMemory() (bytes int) {
	l.t.Helper()
	_, port, _ := strings.Cut(l.address, ":")
	out, err := exec.Command("ss", "-tmnaH", "sport = :"+port+" or dport = :"+port).Output()
	l.must(err)
	for _, memory := range skmem.FindAllSubmatch(out, -1) {
		for _, part := range memory[1:] {
			n, err := strconv.Atoi(string(part))
			l.must(err)
			bytes += n
		}
	}
	return bytes
}

// skmem finds in the output of ss what is received, is kept for more, is to be sent, and waits to be
// received: see ss(8).
var skmem = regexp.MustCompile(`skmem:\(r(\d+),.*,f(\d+),w(\d+),.*,bl(\d+),`)

// raiseDescriptors lets the test have many connections.
func (s *stage) raiseDescriptors(want uint64) {
	s.t.Helper()
	var limit syscall.Rlimit
	s.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Max < want {
		s.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}))
	} else if limit.Cur < want {
		s.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: limit.Max}))
	}
}

// Thousands of clients that say nothing, and hundreds that ask and read nothing, take
// little memory, and neither changes nor other clients have to wait for them.
func TestListenMemory(t *testing.T) {
	const (
		idle, unread = 5000, 200
	)
	l := listen(t)
	l.raiseDescriptors(2*idle + unread)
	t.Logf("at rest: %d KiB, /status has %d KiB", l.own()>>10, len(l.get("/status"))>>10)
	most := 0
	note := func() { most = max(most, l.own()+l.socketMemory()) }
	c := l.newCrowd()
	for n := range idle {
		c.add("")
		if n%(idle/unread) == 0 {
			c.add(strings.Repeat(unreadRequests()[n/(idle/unread)%len(unreadRequests())], 50))
			note()
		}
	}
	for range 5 {
		l.wantSoon()
		l.get("/status")
		note()
	}
	t.Logf("with %d idle and %d that do not read: %d KiB, sockets %d KiB, most at once %d KiB, of %d connections %d are open",
		idle, unread, l.own()>>10, l.socketMemory()>>10, most>>10, len(c.open), c.held())
	if most > mostMemory {
		t.Errorf("it took %d KiB, want %d at most", most>>10, mostMemory>>10)
	}
}

// Those that only ask and do not read, all of them, take no more.
func TestListenPipelines(t *testing.T) {
	for _, request := range unreadRequests() {
		t.Run(strings.Fields(request)[1], func(t *testing.T) {
			l := listen(t)
			c := l.newCrowd()
			most := 0
			for range 200 {
				c.add(strings.Repeat(request, 50))
				most = max(most, l.own()+l.socketMemory())
			}
			l.wantSoon()
			l.get("/status")
			most = max(most, l.own()+l.socketMemory())
			t.Logf("%d KiB at most, of them %d of kconfd KiB", most>>10, l.own()>>10)
			if most > mostMemory {
				t.Errorf("it took %d KiB, want %d at most", most>>10, mostMemory>>10)
			}
		})
	}
}

// Whatever clients send and leave undone, kconfd answers others and applies changes.
func TestListenClients(t *testing.T) {
	for name, bytes := range clients() {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			c := l.newCrowd()
			for range 150 {
				c.add(bytes)
			}
			l.wantSoon()
			began := time.Now()
			l.get("/readyz")
			if took := time.Since(began); took > soon {
				t.Errorf("an answer took %v, want %v at most", took, soon)
			}
			if got := l.own(); got > mostMemory {
				t.Errorf("kconfd has %d KiB, want %d at most", got>>10, mostMemory>>10)
			}
		})
	}
}

// However few descriptors kconfd may have, clients do not take those that it works with.
func TestListenDescriptors(t *testing.T) {
	l := listen(t, "prlimit", "--nofile=256:256")
	c := l.newCrowd()
	for range 300 {
		c.add("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	l.wantSoon()
	l.write("templates/_b.tmpl", "two")
	l.awaitFile("colour-1 two")
	l.get("/status")
	if got := c.held(); got > 64 {
		t.Errorf("%d connections are open, want a quarter of 256 at most", got)
	}
}

// What could not be read for want of descriptors is read when there are some, without
// another change.
func TestReadsAreTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		change func(l *listening)
		want   string
	}{
		"manifests": {func(l *listening) { l.manifest("green") }, "green one"},
		"a resource": {func(l *listening) {
			l.write("conf.d/a.toml", strings.ReplaceAll(l.read(l.path("conf.d/a.toml")), "a.tmpl", "b.tmpl"))
		}, "another"},
		"a template":    {func(l *listening) { l.write("templates/a.tmpl", "changed") }, "changed"},
		"a partial":     {func(l *listening) { l.write("templates/_b.tmpl", "two") }, "blue two"},
		"a live file":   {func(l *listening) { l.write("a", "touched") }, "blue one"},
		"all, together": {func(l *listening) { l.manifest("green"); l.write("templates/_b.tmpl", "two"); l.write("a", "touched") }, "green two"},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			l.write("templates/b.tmpl", "another")
			restore := l.withoutDescriptors()
			mark := len(l.process.Log())
			test.change(l)
			l.process.AwaitLog(mark, "too many open files")
			restore()
			l.awaitFile(test.want)
		})
	}
}

// withoutDescriptors lets kconfd open no more files until restore is called.
func (l *listening) withoutDescriptors() (restore func()) {
	l.t.Helper()
	var before unix.Rlimit
	l.must(unix.Prlimit(l.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &before))
	none := unix.Rlimit{Cur: 0, Max: before.Max}
	l.must(unix.Prlimit(l.cmd.Process.Pid, unix.RLIMIT_NOFILE, &none, nil))
	return func() { l.must(unix.Prlimit(l.cmd.Process.Pid, unix.RLIMIT_NOFILE, &before, nil)) }
}

// Connections that cannot be accepted cost no time, and are when they can.
func TestListenWithoutDescriptors(t *testing.T) {
	l := listen(t)
	restore := l.withoutDescriptors()
	used := l.processor()
	c := l.newCrowd()
	for range 10 {
		c.add("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	l.process.AwaitLog(0, `accepting a connection failed.*too many open files`)
	time.Sleep(time.Second) // of which it must not use much
	if took := l.processor() - used; took > 500*time.Millisecond {
		t.Errorf("it computed for %v in a second", took)
	}
	restore()
	conn := c.open[0]
	_ = conn.SetReadDeadline(time.Now().Add(process.Patience))
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Errorf("when there are descriptors again: %v", err)
	}
	if !regexp.MustCompile(`kconfd_http_accept_errors_total [1-9]`).MatchString(l.get("/metrics")) {
		t.Error("the failures are not counted")
	}
}

// processor is how long kconfd has computed.
func (l *listening) processor() time.Duration {
	l.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.cmd.Process.Pid))
	l.must(err)
	_, after, _ := strings.Cut(string(stat), ") ")
	ticks := 0
	for _, field := range strings.Fields(after)[11:13] { // in user and system mode
		n, err := strconv.Atoi(field)
		l.must(err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// A web page that has its name lead to a loopback address learns nothing.
func TestListenRebinding(t *testing.T) {
	l := listen(t)
	for _, host := range foreignHosts() {
		request, err := http.NewRequest(http.MethodGet, "http://"+l.address+"/status", nil)
		l.must(err)
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		l.must(err)
		body, err := io.ReadAll(response.Body)
		l.must(err)
		response.Body.Close()
		if response.StatusCode != http.StatusMisdirectedRequest || strings.Contains(string(body), "conf.d") {
			t.Errorf("Host %q: got %s %s, want 421", host, response.Status, body)
		}
	}
}

// fill makes groups with a template.
func (s *stage) fill(groups int, template string) {
	for n := range groups {
		name := fmt.Sprintf("filler-%d", n)
		s.write("conf.d/"+name+".toml", fmt.Sprintf("[[template]]\ncontents = '%s'\ndest = %q\n", template, s.path(name)))
	}
}

// Whatever there is to show, /status is short, and JSON that says what it lacks.
func TestStatusIsBounded(t *testing.T) {
	for name, filler := range statusFillers() {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			l.fill(filler.groups, filler.template)
			var text string
			var status struct {
				Time    time.Time        `json:"time"`
				Groups  []map[string]any `json:"groups"`
				More    int              `json:"more_groups"`
				Changes []map[string]any `json:"changes"`
			}
			process.Await(t, "it is in the status", func() bool {
				code, body := l.ask("/status")
				if code != http.StatusOK {
					return false // it is at work on all of them
				}
				text = body
				if len(text) > 512<<10 {
					t.Fatalf("/status has %d KiB, want 512 at most", len(text)>>10)
				}
				status.More = 0
				if err := json.Unmarshal([]byte(text), &status); err != nil {
					t.Fatalf("/status is no JSON: %v", err)
				}
				return len(status.Groups)+status.More == 21+filler.groups && !strings.Contains(text, `"pending"`)
			})
			if strings.Contains(text, `\u003c`) {
				t.Error("/status has < as an escape")
			}
			t.Logf("%d KiB, %d groups and %d more", len(text)>>10, len(status.Groups), status.More)
			l.wantSoon()
		})
	}
}
