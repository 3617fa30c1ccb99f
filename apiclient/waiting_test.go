package apiclient

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kconfd/kconfd/test/process"
)

// hanging is a transport whose answers come when the test says so.
type hanging struct {
	before func(*httptrace.ClientTrace)
	answer chan *http.Response
}

func (h *hanging) RoundTrip(request *http.Request) (*http.Response, error) {
	h.before(httptrace.ContextClientTrace(request.Context()))
	return <-h.answer, nil
}

type closing struct {
	io.Reader
	closed chan struct{}
}

func (c *closing) Close() error {
	close(c.closed)
	return nil
}

// A request ends with its context, whatever its transport does, and what comes after that is closed.
func TestRequestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{func(*httptrace.ClientTrace) {}, make(chan *http.Response)}
		why := errors.New("the end")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x", nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = Bound(h, "x").RoundTrip(request)
		if took := time.Since(start); took != time.Second || !errors.Is(err, why) {
			t.Errorf("ended after %v with %v, want 1s and %v", took, err, why)
		}
		late := &closing{strings.NewReader(""), make(chan struct{})}
		h.answer <- &http.Response{Body: late}
		<-late.closed
	})
}

// After three seconds the log says what a request waits for, once a minute for all of them.
func TestWaitingIsLogged(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*httptrace.ClientTrace)
		from   *source
		want   string
	}{
		"a plugin":      {func(*httptrace.ClientTrace) {}, &source{what: `credential plugin "aws"`}, `for="credential plugin \"aws\""`},
		"a token file":  {func(*httptrace.ClientTrace) {}, &source{what: `token file "/t"`}, `for="token file \"/t\""`},
		"credentials":   {func(*httptrace.ClientTrace) {}, nil, `for=credentials`},
		"an address":    {func(c *httptrace.ClientTrace) { c.DNSStart(httptrace.DNSStartInfo{Host: "api"}) }, &source{what: "plugin"}, `for="the address of \"api\""`},
		"a connection":  {func(c *httptrace.ClientTrace) { c.ConnectStart("tcp", "10.0.0.1:443") }, nil, `for="a connection to 10.0.0.1:443"`},
		"the handshake": {func(c *httptrace.ClientTrace) { c.TLSHandshakeStart() }, nil, `for="the TLS handshake"`},
		"an answer":     {func(c *httptrace.ClientTrace) { c.GotConn(httptrace.GotConnInfo{}) }, nil, `for="an answer"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text process.Output
				LogTo(slog.New(slog.NewTextHandler(&text, nil)))
				credentials.Store(test.from)
				requests = &registry{pending: map[*pending]bool{}}
				defer func() { LogTo(nil); credentials.Store(nil) }()
				h := &hanging{test.before, make(chan *http.Response)}
				for range 3 {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x", nil)
					if err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = Bound(h, "x").RoundTrip(request) }() // until it has its answer
				}
				lines := func(after time.Duration) int {
					time.Sleep(after)
					synctest.Wait()
					return strings.Count(text.String(), test.want)
				}
				if got := lines(2999 * time.Millisecond); got != 0 {
					t.Errorf("after less than 3 s, %d messages", got)
				}
				if Pending() == "" {
					t.Error("nothing is pending")
				}
				if got := lines(time.Millisecond); got != 1 {
					t.Errorf("after 3 s, %d messages, want 1 with %s: %s", got, test.want, &text)
				}
				if got := lines(90 * time.Second); got != 2 {
					t.Errorf("after 93 s, %d messages, want 2", got)
				}
				for range 3 {
					h.answer <- &http.Response{Body: http.NoBody}
				}
				synctest.Wait()
				if got := Pending(); got != "" {
					t.Errorf("with all answers, %q is pending", got)
				}
			})
		})
	}
}

// Files that may never end are refused by their keys.
func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(path string, user func(*api.AuthInfo, *api.Cluster, string)) api.Config {
		u, c := &api.AuthInfo{}, &api.Cluster{}
		user(u, c, path)
		return api.Config{AuthInfos: map[string]*api.AuthInfo{"u": u}, Clusters: map[string]*api.Cluster{"c": c}}
	}
	for key, set := range map[string]func(*api.AuthInfo, *api.Cluster, string){
		"tokenFile":             func(u *api.AuthInfo, _ *api.Cluster, path string) { u.TokenFile = path },
		"client-certificate":    func(u *api.AuthInfo, _ *api.Cluster, path string) { u.ClientCertificate = path },
		"client-key":            func(u *api.AuthInfo, _ *api.Cluster, path string) { u.ClientKey = path },
		"certificate-authority": func(_ *api.AuthInfo, c *api.Cluster, path string) { c.CertificateAuthority = path },
	} {
		for _, bad := range []string{fifo, dir, "/dev/zero"} {
			if err := CheckFiles(config(bad, set)); err == nil || !strings.Contains(err.Error(), key+": ") {
				t.Errorf("%s = %s: got error %v, want the key in it", key, bad, err)
			}
		}
		for _, good := range []string{file, filepath.Join(dir, "none")} {
			if err := CheckFiles(config(good, set)); err != nil {
				t.Errorf("%s = %s: %v", key, good, err)
			}
		}
	}
}
