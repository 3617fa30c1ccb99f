package reload

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/certs"
)

// serveTLS serves with a certificate of c, and wants a client's certificate when there is a CA for them.
func serveTLS(t *testing.T, c, clients *certs.CA, change func(*x509.Certificate)) string {
	t.Helper()
	cert, key := c.Pair(t, change)
	pair, err := tls.LoadX509KeyPair(cert, key)
	fatal(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		s.TLS.ClientCAs.AddCert(clients.Cert)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }

func otherName(c *x509.Certificate) {
	c.DNSNames, c.IPAddresses = []string{"prometheus.example"}, nil
}

// What a server is verified by, and what is said when it does not fit. The file of each key is wrong
// in its own ways.
func TestTLS(t *testing.T) {
	ours, others := certs.New(t), certs.New(t)
	good, named, old := serveTLS(t, ours, nil, nil), serveTLS(t, ours, nil, otherName), serveTLS(t, ours, nil, expired)
	mutual := serveTLS(t, ours, ours, nil)
	cert, key := ours.Pair(t, nil)
	_, otherKey := ours.Pair(t, nil)
	foreign, foreignKey := others.Pair(t, nil)
	oldCert, oldKey := ours.Pair(t, expired)
	garbage, none := writeFile(t, "garbage"), filepath.Join(t.TempDir(), "none")
	fifo := filepath.Join(t.TempDir(), "fifo")
	fatal(t, syscall.Mkfifo(fifo, 0o600))
	broken := certs.WritePEM(t, "CERTIFICATE", []byte("no certificate"))
	encrypted := certs.WritePEM(t, "ENCRYPTED PRIVATE KEY", []byte("secret"))
	large := writeFile(t, strings.Repeat("x", maxPEM+1))
	for what, tt := range map[string]struct {
		url  string
		tls  TLS
		want string // in the error; empty for success
	}{
		"a CA":                       {good, TLS{CAFile: ours.File}, ""},
		"the system's":               {good, TLS{}, `field "ca_file": no CA of the system`},
		"another CA":                 {good, TLS{CAFile: others.File}, `field "ca_file": no certificate of `},
		"not verified":               {good, TLS{Insecure: true}, ""},
		"an expired one":             {old, TLS{CAFile: ours.File}, "the server's certificate is not valid now"},
		"an expired one, unverified": {old, TLS{Insecure: true}, ""},
		"another name":               {named, TLS{CAFile: ours.File}, `field "server_name": give the name`},
		"that name":                  {named, TLS{CAFile: ours.File, ServerName: "prometheus.example"}, ""},
		"a wrong name":               {good, TLS{CAFile: ours.File, ServerName: "example"}, `field "server_name": the server's certificate is not for "example"`},
		"no CA file":                 {good, TLS{CAFile: none}, `field "ca_file": open `},
		"a bad CA file":              {good, TLS{CAFile: garbage}, `field "ca_file": "` + garbage + `" has no certificate in PEM format`},
		"an empty CA file":           {good, TLS{CAFile: writeFile(t, "")}, `field "ca_file": `},
		"a key as a CA file":         {good, TLS{CAFile: key}, `field "ca_file": `},
		"a broken CA file":           {good, TLS{CAFile: broken}, `field "ca_file": certificate 1 of `},
		"a FIFO":                     {good, TLS{CAFile: fifo}, `field "ca_file": "` + fifo + `" is not a regular file`},
		"a directory":                {good, TLS{CAFile: t.TempDir()}, `field "ca_file": `},
		"a large CA file":            {good, TLS{CAFile: large}, `field "ca_file": `},
		"a client":                   {mutual, TLS{CAFile: ours.File, Cert: cert, Key: key}, ""},
		"no client":                  {mutual, TLS{CAFile: ours.File}, `field "cert": the server may want one`},
		"a foreign client":           {mutual, TLS{CAFile: ours.File, Cert: foreign, Key: foreignKey}, `field "cert": the server does not take `},
		"an expired client":          {mutual, TLS{CAFile: ours.File, Cert: oldCert, Key: oldKey}, `field "cert": the certificate of "` + oldCert + `" has expired at `},
		"a key that does not fit":    {mutual, TLS{CAFile: ours.File, Cert: cert, Key: otherKey}, `field "key": "` + otherKey + `" for cert "` + cert + `": tls: private key does not match`},
		"no key":                     {mutual, TLS{CAFile: ours.File, Cert: cert, Key: none}, `field "key": open `},
		"a bad key":                  {mutual, TLS{CAFile: ours.File, Cert: cert, Key: garbage}, `field "key": `},
		"a key for a certificate":    {mutual, TLS{CAFile: ours.File, Cert: key, Key: key}, `field "cert": "` + key + `" has no certificate`},
		"a certificate for a key":    {mutual, TLS{CAFile: ours.File, Cert: cert, Key: cert}, `field "key": `},
		"an encrypted key":           {mutual, TLS{CAFile: ours.File, Cert: cert, Key: encrypted}, `field "key": "` + encrypted + `" is encrypted`},
	} {
		t.Run(what, func(t *testing.T) {
			err := Action{Kind: HTTP, URL: tt.url, TLS: tt.tls, Timeout: 30 * time.Second}.Do(t.Context())
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("got error %v, want one line with %q", err, tt.want)
			}
		})
	}
}

// Files are read at each request: certificates may be replaced.
func TestRotatedCertificates(t *testing.T) {
	old, now := certs.New(t), certs.New(t)
	before, after := serveTLS(t, old, old, nil), serveTLS(t, now, now, nil)
	oldCert, oldKey := old.Pair(t, nil)
	newCert, newKey := now.Pair(t, nil)
	config := TLS{CAFile: writeFile(t, ""), Cert: writeFile(t, ""), Key: writeFile(t, "")}
	for url, from := range map[string]TLS{before: {CAFile: old.File, Cert: oldCert, Key: oldKey}, after: {CAFile: now.File, Cert: newCert, Key: newKey}} {
		for to, path := range map[string]string{config.CAFile: from.CAFile, config.Cert: from.Cert, config.Key: from.Key} {
			content, err := os.ReadFile(path)
			fatal(t, err)
			fatal(t, os.WriteFile(to, content, 0o600))
		}
		fatal(t, Action{Kind: HTTP, URL: url, TLS: config}.Do(t.Context()))
	}
}

// What makes no sense is refused before any request.
func TestTLSValidate(t *testing.T) {
	for what, tt := range map[string]struct {
		url  string
		tls  TLS
		want string
	}{
		"half a pair":         {"https://x", TLS{Cert: "c"}, `action "http": field "key": missing, it goes with cert`},
		"the other half":      {"https://x", TLS{Key: "k"}, `action "http": field "cert": missing, it goes with key`},
		"without https":       {"http://x", TLS{CAFile: "c"}, `action "http": field "ca_file": does nothing without https`},
		"unverified, http":    {"http://x", TLS{Insecure: true}, `field "insecure_skip_verify": does nothing without https`},
		"unverified, and how": {"https://x", TLS{Insecure: true, CAFile: "c"}, `field "ca_file": does nothing with insecure_skip_verify`},
		"a name with a port":  {"https://x", TLS{ServerName: "x:443"}, `field "server_name": "x:443" is not a host name`},
		"a URL as a name":     {"https://x", TLS{ServerName: "https://x"}, `field "server_name": `},
	} {
		if err := (Action{Kind: HTTP, URL: tt.url, TLS: tt.tls}).Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q in it", what, err, tt.want)
		}
	}
	for _, good := range []TLS{{}, {ServerName: "::1"}, {ServerName: "a.b"}, {Cert: "c", Key: "k"}, {Insecure: true, ServerName: "x"}} {
		if err := (Action{Kind: HTTP, URL: "HTTPS://x", TLS: good}).Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	if err := (Action{Kind: None, TLS: TLS{Insecure: true}}).Validate(); err == nil {
		t.Error("insecure_skip_verify without a request is not refused")
	}
}
