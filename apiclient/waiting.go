package apiclient

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// waitingAfter is how long a request may take before the log says what it waits for.
	waitingAfter = 3 * time.Second
	// waitingPause is between two messages about the same.
	waitingPause = time.Minute
	// pendingAfter is how long a request may take before Pending speaks of it.
	pendingAfter = time.Second
)

// Bound has requests end with their context, and what they wait for logged, by host. client-go runs
// credential plugins and reads token files with no regard to the context: such a request goes on in
// the background, and what comes of it is dropped.
func Bound(next http.RoundTripper, host string) http.RoundTripper { return &bound{next, host} }

type bound struct {
	next http.RoundTripper
	host string
}

// WrappedRoundTripper implements client-go's interface of that name.
func (b *bound) WrappedRoundTripper() http.RoundTripper { return b.next }

type answer struct {
	response *http.Response
	err      error
}

// RoundTrip implements [http.RoundTripper].
func (b *bound) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	p := requests.begin(b.host)
	request = request.WithContext(httptrace.WithClientTrace(ctx, p.trace()))
	answers := make(chan answer, 1)
	go func() { // until the request has ended, which may be long after its context
		response, err := b.next.RoundTrip(request)
		requests.end(p)
		answers <- answer{response, err}
	}()
	timer := time.NewTimer(waitingAfter)
	defer timer.Stop()
	for {
		select {
		case a := <-answers:
			return a.response, a.err
		case <-timer.C:
			requests.report(p)
			timer.Reset(waitingPause)
		case <-ctx.Done():
			go drop(answers)
			return nil, context.Cause(ctx)
		}
	}
}

func drop(answers <-chan answer) {
	if a := <-answers; a.err == nil {
		a.response.Body.Close()
	}
}

// A pending request has no answer yet.
type pending struct {
	host  string
	since time.Time
	stage atomic.Pointer[string] // nil: it has no credentials yet
}

func (p *pending) trace() *httptrace.ClientTrace {
	enter := func(stage string) { p.stage.Store(&stage) }
	return &httptrace.ClientTrace{
		GetConn:              func(address string) { enter("a connection to " + address) },
		DNSStart:             func(i httptrace.DNSStartInfo) { enter(fmt.Sprintf("the address of %q", i.Host)) },
		ConnectStart:         func(_, address string) { enter("a connection to " + address) },
		TLSHandshakeStart:    func() { enter("the TLS handshake") },
		GotConn:              func(httptrace.GotConnInfo) { enter("an answer") },
		GotFirstResponseByte: func() { enter("the rest of an answer") },
	}
}

// waitsFor is what the request waits for, in words.
func (p *pending) waitsFor() string {
	stage, from := p.stage.Load(), credentials.Load()
	switch {
	case from != nil && (stage == nil || from.running()):
		return from.what
	case stage == nil:
		return "credentials"
	}
	return *stage
}

// requests are all that this process has under way.
var requests = &registry{pending: map[*pending]bool{}}

type registry struct {
	mu       sync.Mutex
	pending  map[*pending]bool
	reported map[string]time.Time // when the log had it last, by what is waited for
}

func (r *registry) begin(host string) *pending {
	p := &pending{host: host, since: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[p] = true
	return p
}

func (r *registry) end(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, p)
}

// report logs what a request waits for, unless the log has it.
func (r *registry) report(p *pending) {
	what, now := p.waitsFor(), time.Now()
	r.mu.Lock()
	known := now.Sub(r.reported[what]) < waitingPause
	if !known {
		if len(r.reported) > 100 || r.reported == nil {
			r.reported = map[string]time.Time{}
		}
		r.reported[what] = now
	}
	r.mu.Unlock()
	if !known {
		logger().Warn("waiting for API server", "for", what, "host", p.host, "since", now.Sub(p.since).Round(time.Second).String())
	}
}

// Pending is what the oldest request waits for that has no answer after a second; empty when there is none.
func Pending() string {
	requests.mu.Lock()
	var oldest *pending
	for p := range requests.pending {
		if oldest == nil || p.since.Before(oldest.since) {
			oldest = p
		}
	}
	requests.mu.Unlock()
	if oldest == nil || time.Since(oldest.since) < pendingAfter {
		return ""
	}
	return oldest.waitsFor()
}

var log atomic.Pointer[slog.Logger]

// LogTo names the log for what requests wait for.
func LogTo(l *slog.Logger) { log.Store(l) }

func logger() *slog.Logger {
	if l := log.Load(); l != nil {
		return l
	}
	return slog.Default()
}
