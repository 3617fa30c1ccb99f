package watcher

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	kube "github.com/kconfd/kconfd/test/cluster"
)

// A gateway stands before the API server, as load balancers do, counts what is
// asked, and answers in its place when told to. The way to it can be cut.
type gateway struct {
	line *line
	ca   *authority

	mu     sync.Mutex
	own    *tls.Certificate
	answer http.HandlerFunc // in the server's place
	when   func(*http.Request) bool
	asked  map[string][]time.Time
	rewind bool // watches that go on do so from the beginning of time
	ends   []context.CancelFunc
}

func newGateway(t *testing.T, w *clusterWorld) *gateway {
	t.Helper()
	g := &gateway{ca: newAuthority(t), when: never, asked: map[string][]time.Time{}}
	g.rotate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{
		Handler:   g.handler(t, w),
		TLSConfig: &tls.Config{GetCertificate: g.certificate},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	go func() { // until the server is closed
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	g.line = newLine(t, "https://"+listener.Addr().String())
	return g
}

func (g *gateway) handler(t *testing.T, w *clusterWorld) http.Handler {
	t.Helper()
	var config *rest.Config
	theCluster.Use(t, func(c *kube.Cluster) { config = c.Config() })
	secure, err := rest.TLSConfigFor(config)
	must(t, err)
	onward := &http.Transport{TLSClientConfig: secure, ForceAttemptHTTP2: true}
	t.Cleanup(onward.CloseIdleConnections)
	server, err := url.Parse(w.cluster.URL())
	must(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			g.turnBack(r.Out.URL)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = &orderly{r.Body, r.Request.Context()}
			return nil
		},
		Transport:     onward,
		FlushInterval: -1, // what a watch brings, at once
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		g.handle(r, proxy, cancel).ServeHTTP(w, r.WithContext(ctx))
	})
}

// turnBack makes a watch that goes on do so from too long ago.
func (g *gateway) turnBack(u *url.URL) {
	g.mu.Lock()
	defer g.mu.Unlock()
	query := u.Query()
	if g.rewind && query.Has("watch") && !query.Has("sendInitialEvents") {
		query.Set("resourceVersion", "1")
		u.RawQuery = query.Encode()
	}
}

// end ends all answers in an orderly way, as servers do with watches from time
// to time.
func (g *gateway) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cancel := range g.ends {
		cancel()
	}
	g.ends = nil
}

// orderly is an answer that is complete when its context ends.
type orderly struct {
	io.ReadCloser
	ctx context.Context
}

func (o *orderly) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if o.ctx.Err() != nil {
		err = io.EOF
	}
	return n, err
}

// handle counts a request and gives what answers it.
func (g *gateway) handle(r *http.Request, proxy http.Handler, end context.CancelFunc) http.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends = append(g.ends, end)
	name := nameOf(r)
	g.asked[name] = append(g.asked[name], time.Now())
	if g.when(r) {
		return g.answer
	}
	return proxy
}

func never(*http.Request) bool  { return false }
func always(*http.Request) bool { return true }

// set makes the gateway answer in the server's place; open lets the server.
func (g *gateway) set(answer http.HandlerFunc) { g.setFor(always, answer) }
func (g *gateway) open()                       { g.setFor(never, nil) }

// setFor is set for some requests. What connections there are end.
func (g *gateway) setFor(when func(*http.Request) bool, answer http.HandlerFunc) {
	g.mu.Lock()
	g.when, g.answer = when, answer
	g.mu.Unlock()
	g.line.setCut(true)
	g.line.setCut(false)
}

// forget begins to count anew.
func (g *gateway) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.asked)
}

// times of all requests, by what was asked.
func (g *gateway) times() map[string][]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.asked)
}

// rotate gives the gateway another certificate of the same authority.
func (g *gateway) rotate(t *testing.T) {
	t.Helper()
	own := g.ca.issue(t)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = own
}

func (g *gateway) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.own, nil
}

// kubeconfig is the user's, by way of the gateway.
func (g *gateway) kubeconfig(t *testing.T, w *clusterWorld, user string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(w.kubeconfig(t, user))
	must(t, err)
	for _, c := range config.Clusters {
		c.Server, c.CertificateAuthorityData = g.line.url(), g.ca.pem()
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*config, path))
	return path
}

// An authority signs certificates for 127.0.0.1.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a.key = key
	template := a.template()
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	content, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	a.certificate, err = x509.ParseCertificate(content)
	must(t, err)
	return a
}

func (a *authority) template() *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (a *authority) issue(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := a.template()
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	content, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{content}, PrivateKey: key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}
