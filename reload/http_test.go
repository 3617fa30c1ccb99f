package reload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startWeb serves on loopback. Handlers that block are ended when the test is.
func startWeb(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func TestRequest(t *testing.T) {
	got := make(chan string, 1)
	s := startWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		got <- fmt.Sprintf("%s %s host %s auth %s/%s X-A %q agent %s length %d body %q error %v close %v",
			r.Method, r.URL, r.Host, user, password, r.Header["X-A"], r.UserAgent(), r.ContentLength, body, err, r.Close)
	})
	for what, tt := range map[string]struct {
		action Action
		want   string
	}{
		"defaults": {
			Action{Kind: HTTP, URL: s.URL + "/-/reload"},
			`POST /-/reload host ` + s.Listener.Addr().String() + ` auth / X-A [] agent kconfd length 0 body "" error <nil> close true`,
		},
		"everything": {
			Action{
				Kind: HTTP, URL: strings.Replace(s.URL, "http://", "http://u:p@", 1) + "/x?y=z", Method: "PUT", Body: "text",
				Header: map[string]string{"x-a": "b", "host": "example", "user-agent": "me"},
			},
			`PUT /x?y=z host example auth u/p X-A ["b"] agent me length 4 body "text" error <nil> close true`,
		},
	} {
		if err := tt.action.Do(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if diff := cmp.Diff(tt.want, <-got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", what, diff)
		}
	}
}

func TestStatus(t *testing.T) {
	s := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, err := fmt.Sscanf(r.URL.Path, "/%d", &code)
		must(err)
		if code/100 == 3 {
			w.Header().Set("Location", "http://u:secret@127.0.0.1:1/login?secret")
		}
		w.WriteHeader(code)
		if code == 500 {
			fmt.Fprint(w, "failed to reload:\n\tbad\x1b line 7\n")
		}
	})
	for what, tt := range map[string]struct {
		code   int
		accept []int
		want   string // the error after the action, empty for none
	}{
		"200":                 {200, nil, ""},
		"204":                 {204, nil, ""},
		"299":                 {299, nil, ""},
		"404":                 {404, nil, "status 404"},
		"500 with a reason":   {500, nil, "status 500: failed to reload: bad line 7"},
		"redirect":            {302, nil, "status 302: redirects to http://127.0.0.1:1/login, which is not followed"},
		"redirect, permanent": {308, nil, "status 308: redirects to http://127.0.0.1:1/login, which is not followed"},
		"accepted redirect":   {302, []int{302}, ""},
		"accepted error":      {404, []int{200, 404}, ""},
		"unwanted success":    {200, []int{202}, "status 200"},
	} {
		url := fmt.Sprintf("%s/%d", s.URL, tt.code)
		err := Action{Kind: HTTP, URL: url + "?secret", Status: tt.accept}.Do(t.Context())
		want := "http POST " + url + ": " + tt.want
		if got := fmt.Sprint(err); err == nil && tt.want != "" || err != nil && got != want {
			t.Errorf("%s: got error %v, want %q", what, err, want)
		}
	}
}

// A neighbour in another pod is not asked through the proxy that the environment names. (For loopback
// addresses, all that a test may use, net/http would ask none anyway.)
func TestNoProxy(t *testing.T) {
	if transport := oneRequestClient(nil).Transport.(*http.Transport); transport.Proxy != nil {
		t.Error("requests may go through a proxy")
	}
}

// endless writes until nobody listens.
func endless(w http.ResponseWriter) {
	for {
		if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
			return
		}
	}
}

func TestEndlessBodyIsNotRead(t *testing.T) {
	ended := make(chan struct{})
	s := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		endless(w)
		ended <- struct{}{}
	})
	fatal(t, Action{Kind: HTTP, URL: s.URL + "/good", Timeout: time.Minute}.Do(t.Context()))
	<-ended // the connection is closed, though the answer was not at its end
	err := Action{Kind: HTTP, URL: s.URL + "/bad", Timeout: time.Minute}.Do(t.Context())
	<-ended
	if want := "http POST " + s.URL + "/bad: status 500: xxx"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got error %v, want %s…", err, want)
	}
	if len(err.Error()) > lineSize+100 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestSlowServer(t *testing.T) {
	s := startWeb(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "because")
			must(http.NewResponseController(w).Flush())
		}
		<-r.Context().Done()
	})
	for path, want := range map[string]string{
		"/header": "timed out after 200ms",
		"/body":   "status 500: because",
	} {
		start := time.Now()
		err := Action{Kind: HTTP, URL: s.URL + path, Timeout: 200 * time.Millisecond}.Do(t.Context())
		wantBetween(t, time.Since(start), 200*time.Millisecond, slack)
		if want := "http POST " + s.URL + path + ": " + want; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
}

func TestRequestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := startWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := Action{Kind: HTTP, URL: s.URL}.Do(ctx)
	if want := "http POST " + s.URL + ": context canceled"; !errors.Is(err, context.Canceled) || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	address := l.Addr().String()
	l.Close()
	err = Action{Kind: HTTP, URL: "http://u:secret@" + address + "/x?secret"}.Do(t.Context())
	want := "http POST http://" + address + "/x: dial tcp " + address + ": connect: connection refused"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
