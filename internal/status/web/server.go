package web

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	// MaxHeaders is the size of a request's headers in bytes. (net/http allows 4 KiB
	// more than it is asked for.)
	MaxHeaders = 12 << 10
	// MaxURL is the size of what a request asks for, in bytes.
	MaxURL = 2 << 10

	// headerTimeout is how long a client may take for a request.
	headerTimeout = 5 * time.Second
	// writeTimeout is how long it may take to read a part of an answer.
	writeTimeout = 10 * time.Second
	// sendTimeout is how long it may take to read all of it.
	sendTimeout = time.Minute
	// drainTimeout is how long it may take to read what is left when all is sent.
	drainTimeout = 5 * time.Second
	// partSize is the size of a part in bytes.
	partSize = 16 << 10

	contentType = "Content-Type"
	plainText   = "text/plain; charset=utf-8"
)

// policy lets a page load what comes from kconfd and nothing else, and run no text as
// code.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// safeHeaders are those of every answer.
func safeHeaders() http.Header {
	return http.Header{
		contentType:                    {plainText},
		"Content-Security-Policy":      {policy},
		"X-Content-Type-Options":       {"nosniff"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Referrer-Policy":              {"no-referrer"},
		"Cache-Control":                {"no-store"},
	}
}

// A Server answers clients. Its methods may be called at any time, but for Page and
// Stream, which come before Serve.
type Server struct {
	log     *slog.Logger
	metrics counters
	http    *http.Server
	closing chan struct{} // closed by Close
	once    sync.Once

	handlers    map[string]http.HandlerFunc // by path
	connections connections
	answers     answers
	viewers     viewers
}

// counters are what a server counts.
type counters struct {
	set                         *metrics.Set
	evicted, slow, acceptErrors *metrics.Counter
}

// reject counts a request that was rejected, by the code of its answer.
func (c counters) reject(code string) {
	c.set.GetOrCreateCounter(rejected(code)).Inc()
}

func rejected(code string) string {
	return fmt.Sprintf("kconfd_http_rejected_requests_total{code=%q}", code)
}

// New returns a server without pages, which counts what it does in the set.
func New(log *slog.Logger, set *metrics.Set) *Server {
	limit := connectionLimit()
	s := &Server{
		log: log, closing: make(chan struct{}), handlers: map[string]http.HandlerFunc{},
		connections: connections{limit: limit, open: map[*conn]bool{}},
		viewers:     viewers{limit: min(MaxViewers, limit/2), pending: map[chan struct{}]bool{}},
	}
	s.metrics = counters{
		set:          set,
		evicted:      set.NewCounter(`kconfd_http_closed_connections_total{reason="room"}`),
		slow:         set.NewCounter(`kconfd_http_closed_connections_total{reason="slow"}`),
		acceptErrors: set.NewCounter("kconfd_http_accept_errors_total"),
	}
	for _, code := range []int{400, 404, 405, 413, 414, 417, 421, 431, 501, 503, 505} {
		set.NewCounter(rejected(strconv.Itoa(code)))
	}
	set.NewGauge("kconfd_http_connections", func() float64 { return float64(s.connections.count()) })
	s.http = &http.Server{
		Handler: s, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes: MaxHeaders - 4<<10, DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	s.http.SetKeepAlivesEnabled(false) // a connection that is not in use would only be in the way
	return s
}

// connKey is where a request's context has its connection.
type connKey struct{}

// connOf is the request's connection, nil outside of Serve.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// Page serves an answer at a path. The function may be called by several goroutines
// at once for different paths, but not for one. Its context ends when it takes too
// long.
func (s *Server) Page(path string, answer func(context.Context) Answer) {
	p := &page{answer: answer}
	s.handlers[path] = func(w http.ResponseWriter, r *http.Request) { s.servePage(w, r, p) }
}

// Stream serves server-sent events at a path: "changed" after each call of Changed,
// four times a second at most.
func (s *Server) Stream(path string) { s.handlers[path] = s.serveStream }

// Paths are those that are served, sorted.
func (s *Server) Paths() []string { return slices.Sorted(maps.Keys(s.handlers)) }

// Changed says that answers are other ones from now on.
func (s *Server) Changed() {
	s.answers.changed()
	s.viewers.changed()
}

// Serve serves what comes to a listener of Listen. It returns http.ErrServerClosed
// after Close, and does not return before.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(&listener{Listener: l, server: s})
}

// Close ends Serve and all connections.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.closing) })
	err := s.http.Close()
	s.connections.drop()
	return err
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := connOf(r); c != nil {
		c.handling.Store(true)
	}
	maps.Copy(w.Header(), safeHeaders())
	if code, why := fault(r); code != 0 {
		if code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		s.refuse(w, code, why)
		return
	}
	handler, ok := s.handlers[r.URL.Path]
	if !ok {
		s.refuse(w, http.StatusNotFound, "there is nothing at this path")
		return
	}
	handler(w, r)
}

// fault says what is wrong with a request: a code of HTTP, or 0.
func fault(r *http.Request) (code int, why string) {
	switch {
	case !rightHost(r):
		return http.StatusMisdirectedRequest, "on a loopback address, the Host of a request must be an IP address or localhost"
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "only GET is served"
	case len(r.RequestURI) > MaxURL:
		return http.StatusRequestURITooLong, fmt.Sprintf("a URL must have no more than %d bytes", MaxURL)
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "a request must have no body"
	}
	return 0, ""
}

// rightHost says whether the request may have this Host. A browser on this machine
// sends the name of a web page's own server when that name leads to a loopback
// address.
func rightHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() || r.Host == "" {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return true
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// refuse answers with an error.
func (s *Server) refuse(w http.ResponseWriter, code int, why string) {
	s.metrics.reject(strconv.Itoa(code))
	w.WriteHeader(code)
	fmt.Fprintln(w, why)
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request, p *page) {
	reader := &reader{conn: connOf(r)}
	a := s.answers.get(r.Context(), p, reader)
	defer s.answers.release(a, reader)
	w.Header().Set(contentType, a.Type)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Code)
	send(w, a.Body)
}

// send sends an answer in parts, each of which the client has to read in time.
func send(w http.ResponseWriter, body []byte) {
	out := http.NewResponseController(w)
	end := time.Now().Add(sendTimeout)
	for part := range slices.Chunk(body, partSize) {
		deadline := time.Now().Add(writeTimeout)
		if deadline.After(end) {
			deadline = end
		}
		_ = out.SetWriteDeadline(deadline) // or else the one of the server holds
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}
