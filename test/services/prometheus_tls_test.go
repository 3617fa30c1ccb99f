package services

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/certs"
	"github.com/kconfd/kconfd/test/process"
)

// webConfig wants a client's certificate and a password, which is "test".
const webConfig = `
tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}
basic_auth_users: {admin: "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"}
`

const (
	tlsAddress = "127.0.0.1:9443"
	basicAuth  = "Basic YWRtaW46dGVzdA==" // admin:test
)

// rotate writes a new CA, and a certificate of it for the server and the client.
func rotate(t *testing.T, dir string) *http.Client {
	t.Helper()
	ca := certs.New(t)
	serverCert, serverKey := ca.Pair(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"prometheus.example"}, nil })
	cert, key := ca.Pair(t, nil)
	for name, from := range map[string]string{"ca.crt": ca.File, "server.crt": serverCert, "server.key": serverKey, "client.crt": cert, "client.key": key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(content))
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "prometheus.example"},
	}}
}

// awaitConfig waits until Prometheus works with a configuration that has the text.
func awaitConfig(t *testing.T, client *http.Client, text string) {
	t.Helper()
	process.Await(t, "Prometheus has read "+text, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+tlsAddress+"/api/v1/status/config", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", basicAuth)
		response, err := client.Do(request)
		if err != nil {
			return false // it is starting
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(body), text)
	})
}

// Prometheus behind TLS that wants to know its clients is reloaded, and certificates are replaced
// while kconfd and Prometheus run.
func TestPrometheusBehindTLS(t *testing.T) {
	t.Parallel()
	dir, manifests := t.TempDir(), t.TempDir()
	settings := func(interval string) {
		t.Helper()
		write(t, filepath.Join(manifests, "settings.yaml"), "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {interval: "+interval+"}}\n")
	}
	client := rotate(t, dir)
	write(t, filepath.Join(dir, "web.yml"), webConfig)
	write(t, filepath.Join(dir, "conf.d", "prometheus.toml"), strings.ReplaceAll(`
[[template]]
contents = 'global: {scrape_interval: {{ (configMap "settings").interval }}}'
dest = "DIR/prometheus.yml"

[reload]
action      = "http"
url         = "https://`+tlsAddress+`/-/reload"
header      = {Authorization = "`+basicAuth+`"}
ca_file     = "DIR/ca.crt"
server_name = "prometheus.example"
cert        = "DIR/client.crt"
key         = "DIR/client.key"
retry       = "100ms:1s"
`, "DIR", dir))
	settings("11s")
	kconfd := start(t, nil, "kconfd", "-confdir", dir, "-manifests", manifests, "-restart", "never", "--",
		"prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+t.TempDir(),
		"--web.listen-address="+tlsAddress, "--web.config.file="+dir+"/web.yml", "--web.enable-lifecycle")
	awaitConfig(t, client, "scrape_interval: 11s")
	settings("12s")
	awaitConfig(t, client, "scrape_interval: 12s")
	client = rotate(t, dir)
	settings("13s")
	awaitConfig(t, client, "scrape_interval: 13s")
	kconfd.Stop(syscall.SIGTERM)
}
