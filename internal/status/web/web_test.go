package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/kconfd/kconfd/test/process"
)

// A stand is a server with some pages, at a port of its own.
type stand struct {
	t       *testing.T
	server  *Server
	set     *metrics.Set
	address string
}

// large is more than fits into the buffers of both ends.
const large = 1 << 20

func newStand(t *testing.T, host string, configure func(*Server)) *stand {
	t.Helper()
	set := metrics.NewSet()
	s := New(slog.New(slog.DiscardHandler), set)
	s.Page("/", text(http.StatusOK, "hello\n"))
	s.Page("/large", text(http.StatusOK, strings.Repeat("x", large)))
	s.Stream("/stream")
	if configure != nil {
		configure(s)
	}
	listener, err := Listen(net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Serve(listener) }() // until the test's end
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: got %v, want that it was closed", err)
		}
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return &stand{t: t, server: s, set: set, address: net.JoinHostPort("127.0.0.1", port)}
}

func text(code int, body string) func(context.Context) Answer {
	return func(context.Context) Answer { return Answer{code, plainText, []byte(body)} }
}

// dial opens a connection, which the test's end closes.
func (s *stand) dial() *net.TCPConn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(process.Patience))
	return c.(*net.TCPConn)
}

// send sends bytes on a connection of their own, and gives the answer.
func (s *stand) send(request string) *http.Response {
	s.t.Helper()
	c := s.dial()
	if _, err := io.WriteString(c, request); err != nil {
		s.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatalf("%.60q: %v", request, err)
	}
	return response
}

func (s *stand) get(path string) (int, string) {
	s.t.Helper()
	response := s.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (s *stand) metric(line string) bool {
	var text bytes.Buffer
	s.set.WritePrometheus(&text)
	return strings.Contains(text.String(), line+"\n")
}

func (s *stand) awaitMetric(line string) {
	s.t.Helper()
	process.Await(s.t, line, func() bool { return s.metric(line) })
}

func request(method, path string, headers ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(headers, "\r\n"), "\r\n")
}

// Whatever comes is answered at once, by a code that says what is wrong, and with the
// headers that every answer has.
func TestRequests(t *testing.T) {
	s := newStand(t, "127.0.0.1", nil)
	for name, test := range map[string]struct {
		request string
		code    int
	}{
		"a page":                      {request("GET", "/"), 200},
		"a page with a query":         {request("GET", "/?a=b"), 200},
		"of HTTP/1.0, without a Host": {"GET / HTTP/1.0\r\n\r\n", 200},
		"no page":                     {request("GET", "/nothing"), 404},
		"a path with dots":            {request("GET", "/../etc/passwd"), 404},
		"a path with two slashes":     {request("GET", "//"), 404},
		"HEAD":                        {"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
		"POST":                        {request("POST", "/", "Content-Length: 0"), 405},
		"POST of something":           {request("POST", "/", "Content-Length: 1000000"), 405},
		"a method that is none":       {request("BREW", "/"), 405},
		"OPTIONS":                     {request("OPTIONS", "*"), 405},
		"CONNECT":                     {request("CONNECT", "localhost:80"), 405},
		"a long URL":                  {request("GET", "/"+strings.Repeat("x", MaxURL)), 414},
		"a huge URL":                  {request("GET", "/"+strings.Repeat("x", 1<<20)), 431},
		"huge headers":                {request("GET", "/", "X: "+strings.Repeat("x", 1<<20)), 431},
		"many headers":                {request("GET", "/", strings.Repeat("X: x\r\n", 10000)), 431},
		"a body that does not come":   {request("GET", "/", "Content-Length: 1000000"), 413},
		"a body in chunks":            {request("GET", "/", "Transfer-Encoding: chunked"), 413},
		"an expectation":              {request("GET", "/", "Expect: nothing"), 417},
		"HTTP/2 without asking":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405},
		"another version":             {"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505},
		"TLS":                         {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400},
		"garbage":                     {"\x00\xff\xfe garbage\r\n\r\n", 400},
		"two Hosts":                   {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n", 400},
		"no Host":                     {"GET / HTTP/1.1\r\n\r\n", 400},
		"two lengths":                 {request("GET", "/", "Content-Length: 1", "Content-Length: 2"), 400},
		"another name":                {"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 421},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			began := time.Now()
			response := s.send(test.request)
			if response.StatusCode != test.code {
				t.Errorf("got %d, want %d", response.StatusCode, test.code)
			}
			if took := time.Since(began); took > headerTimeout {
				t.Errorf("it took %v", took)
			}
			for name, values := range safeHeaders() {
				if got := response.Header.Get(name); got != values[0] {
					t.Errorf("%s: got %q, want %q", name, got, values[0])
				}
			}
			if allow := response.Header.Get("Allow"); (allow == "GET") != (test.code == 405) {
				t.Errorf("Allow: got %q", allow)
			}
			if test.code != 200 && s.metric(fmt.Sprintf(`kconfd_http_rejected_requests_total{code="%d"} 0`, test.code)) {
				t.Errorf("%d is not counted", test.code)
			}
		})
	}
}

// One request is answered on a connection, whatever follows.
func TestPipeline(t *testing.T) {
	for name, more := range map[string]string{"requests": strings.Repeat(request("GET", "/"), 50), "garbage": "garbage\r\n\r\n", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, "127.0.0.1", nil)
			c := s.dial()
			fmt.Fprint(c, request("GET", "/large")+more)
			in := bufio.NewReader(c)
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || len(body) != large || !response.Close {
				t.Errorf("got %d bytes, %v, and that it is closed: %t", len(body), err, response.Close)
			}
			if rest, _ := io.ReadAll(in); len(rest) > 0 { // the connection may be reset
				t.Errorf("then came %q", rest)
			}
		})
	}
}

// An answer that fits into the buffers is not forgotten when it has been sent and not
// read: the connection counts, and ends.
func TestUnreadIsCounted(t *testing.T) {
	t.Parallel()
	s := newStand(t, "127.0.0.1", func(s *Server) { s.Page("/fits", text(200, strings.Repeat("x", sendBuffer))) })
	c := s.dial()
	_ = c.SetReadBuffer(1)
	fmt.Fprint(c, request("GET", "/fits"))
	process.Await(t, "it is sent", func() bool {
		s.server.connections.mu.Lock()
		defer s.server.connections.mu.Unlock()
		for c := range s.server.connections.open {
			return c.draining.Load()
		}
		return false
	})
	began := time.Now()
	process.Await(t, "it has ended", func() bool { return s.server.connections.count() == 0 })
	if took := time.Since(began); took > drainTimeout+time.Second {
		t.Errorf("it ended after %v, want %v", took, drainTimeout)
	}
}

// Through a loopback address, only names are answered that no web page can have.
func TestHosts(t *testing.T) {
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost:9100": 200, "localhost.": 200, "127.0.0.1": 200, "127.0.0.1:9100": 200, "[::1]:9100": 200, "[::1]": 200,
		"10.1.2.3:9100": 200, "[fe80::1]:80": 200,
		"example.com": 421, "example.com:9100": 421, "localhost.example.com": 421, "127.0.0.1.example.com": 421, "127.0.0.1.": 421,
		"2130706433": 421, "0x7f000001": 421, "127.1": 421, "kconfd": 421, "localhost:9100:80": 421, "[localhost]": 421, "": 200,
	} {
		for name, listen := range map[string]string{"loopback": "127.0.0.1", "every address": "0.0.0.0"} {
			t.Run(name+" "+host, func(t *testing.T) {
				s := newStand(t, listen, nil)
				if got := s.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").StatusCode; got != want {
					t.Errorf("got %d, want %d", got, want)
				}
				absolute := s.send("GET http://" + host + "/ HTTP/1.1\r\nHost: localhost\r\n\r\n").StatusCode
				if want == 421 && absolute < 400 {
					t.Errorf("as a URL: got %d, want an error", absolute)
				}
			})
		}
	}
}

// Through any other address, every name is answered: a Service's, for instance.
func TestHostsElsewhere(t *testing.T) {
	s := newStand(t, "0.0.0.0", nil)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(s.address)
	for _, a := range addresses {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.To4() == nil {
			continue
		}
		s.address = net.JoinHostPort(ip.String(), port)
		if got := s.send("GET / HTTP/1.1\r\nHost: pxc.prod.svc:9100\r\n\r\n").StatusCode; got != 200 {
			t.Errorf("%s: got %d, want 200", ip, got)
		}
		return
	}
	t.Log("this machine has no other address")
}

// There are no more connections than may be, and a new one is answered all the same,
// whatever the others do.
func TestCrowd(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		stay    bool // as long as there is room
	}{
		"say nothing":  {"", true},
		"begin to ask": {"GET / HTTP/1.1\r\nHost: loc", true},
		"read nothing": {strings.Repeat(request("GET", "/large"), 50), true},
		"ask and stay": {request("GET", "/"), false},
		"follow":       {request("GET", "/stream"), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, "127.0.0.1", nil)
			for range 3 * MaxConnections {
				if _, err := io.WriteString(s.dial(), test.request); err != nil {
					t.Fatal(err)
				}
			}
			if code, body := s.get("/"); code != 200 || body != "hello\n" {
				t.Errorf("got %d %q, want an answer", code, body)
			}
			if _, body := s.get("/large"); len(body) != large {
				t.Errorf("got %d bytes, want %d", len(body), large)
			}
			if got := s.server.connections.count(); got > MaxConnections {
				t.Errorf("%d connections are open, want %d at most", got, MaxConnections)
			}
			if test.stay && s.metric(`kconfd_http_closed_connections_total{reason="room"} 0`) {
				t.Error("what was closed is not counted")
			}
		})
	}
}

// A client with many connections makes room, not one with few.
func TestFewAreSpared(t *testing.T) {
	s := newStand(t, "0.0.0.0", nil)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := dialer.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	process.Await(t, "it is connected", func() bool { return s.server.connections.count() == 1 })
	for range 2 * MaxConnections {
		fmt.Fprint(s.dial(), request("GET", "/"))
	}
	fmt.Fprint(c, request("GET", "/"))
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Errorf("the oldest connection, which is the only one of its client: %v", err)
	}
}

// However much clients ask for and do not read, what is in memory is bounded, and
// everybody else gets new answers.
func TestUnreadAnswersAreFew(t *testing.T) {
	var made atomic.Int32
	s := newStand(t, "127.0.0.1", func(s *Server) {
		s.Page("/new", func(context.Context) Answer {
			return Answer{200, plainText, fmt.Appendf(bytes.Repeat([]byte("x"), large), "%d", made.Add(1))}
		})
	})
	for range MaxConnections - 1 {
		s.server.Changed()
		c := s.dial()
		_ = c.SetReadBuffer(4 << 10)
		fmt.Fprint(c, request("GET", "/new"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		s.server.answers.mu.Lock()
		if got := s.server.answers.bytes; got > maxSending {
			t.Errorf("%d bytes are being sent, want %d at most", got, maxSending)
		}
		s.server.answers.mu.Unlock()
	}
	if _, body := s.get("/new"); !strings.HasSuffix(body, fmt.Sprintf("x%d", made.Load())) {
		t.Errorf("got an answer that ends in %q, want %d", body[len(body)-5:], made.Load())
	}
}

// Clients that ask at the same time get one answer, and one that asks after a change
// never gets one of before.
func TestAnswersAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, answer := 0, make(chan bool)
		p := &page{answer: func(context.Context) Answer {
			made++
			n := made
			<-answer
			return Answer{200, plainText, fmt.Append(nil, n)}
		}}
		var s answers
		bodies := make(chan string, 4)
		ask := func() {
			go func() { // until it is answered
				r := &reader{}
				a := s.get(t.Context(), p, r)
				defer s.release(a, r)
				bodies <- string(a.Body)
			}()
			synctest.Wait()
		}
		ask()
		ask()
		ask()
		s.changed()
		ask()
		answer <- true
		synctest.Wait()
		answer <- true
		count := map[string]int{}
		for range 4 {
			count[<-bodies]++
		}
		if count["1"] != 3 || count["2"] != 1 {
			t.Errorf("got answers %v, want the first for three and the second for one", count)
		}
		synctest.Wait()
		if len(s.sending) != 0 || s.bytes != 0 || p.newest != nil {
			t.Errorf("%d answers and %d bytes are still there when all are sent", len(s.sending), s.bytes)
		}
	})
}

// A client that has sent all that it wants gets its answer.
func TestHalfClosed(t *testing.T) {
	s := newStand(t, "127.0.0.1", func(s *Server) {
		s.Page("/slow", func(ctx context.Context) Answer {
			time.Sleep(50 * time.Millisecond) // the end of the request comes first
			if ctx.Err() != nil {
				return Answer{503, plainText, nil}
			}
			return Answer{200, plainText, nil}
		})
	})
	c := s.dial()
	fmt.Fprint(c, request("GET", "/slow"))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || response.StatusCode != 200 {
		t.Errorf("got %v, %v, want the answer", response, err)
	}
}

// Of those that follow, there are a few at a time, and one that leaves makes room.
func TestViewers(t *testing.T) {
	s := newStand(t, "127.0.0.1", nil)
	var all []*net.TCPConn
	follow := func() int {
		c := s.dial()
		fmt.Fprint(c, request("GET", "/stream"))
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		return response.StatusCode
	}
	for range MaxViewers {
		if got := follow(); got != 200 {
			t.Fatalf("got %d, want 200", got)
		}
	}
	if got := follow(); got != 503 {
		t.Errorf("one too many: got %d, want 503", got)
	}
	all[0].Close()
	process.Await(t, "it has left", func() bool { return s.server.viewers.count() < MaxViewers })
	if got := follow(); got != 200 {
		t.Errorf("when there is room again: got %d, want 200", got)
	}
}

// A client that is slow to ask, or to read, is cut off. Others are not.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newStand(t, "127.0.0.1", nil)
	asks, reads, follows := s.dial(), s.dial(), s.dial()
	fmt.Fprint(asks, "GET / HTTP/1.1\r\nHost: localhost\r\n")
	fmt.Fprint(reads, request("GET", "/large"))
	fmt.Fprint(follows, request("GET", "/stream"))
	began := time.Now()
	go func() { // until it is cut off
		for _, err := fmt.Fprint(asks, "X: x\r\n"); err == nil; _, err = fmt.Fprint(asks, "X: x\r\n") {
			time.Sleep(headerTimeout / 20)
		}
	}()
	if _, err := io.Copy(io.Discard, asks); err != nil && time.Since(began) > 2*headerTimeout {
		t.Errorf("slow headers: %v after %v", err, time.Since(began))
	}
	s.awaitMetric(`kconfd_http_closed_connections_total{reason="slow"} 2`)
	if took := time.Since(began); took > writeTimeout+headerTimeout {
		t.Errorf("both were cut off after %v", took)
	}
	process.Await(t, "only the one that follows is connected", func() bool { return s.server.connections.count() == 1 })
}
