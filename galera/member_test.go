package galera

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

// accept listens at an address of this machine that no other test uses, and serves each connection.
func accept(t *testing.T, address string, serve func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() { // until the listener is closed
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(connection) // until the other side closes it
		}
	}()
}

func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() }

// selfSigned is a certificate for a test.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A member speaks first, or answers a greeting of TLS; a proxy that accepts everything does not. What
// is silent at the one port alone may be a server that hangs.
func TestIsMember(t *testing.T) {
	t.Parallel()
	const speaks, closes, hangs, encrypted, proxy = "127.0.78.1", "127.0.78.2", "127.0.78.3", "127.0.78.4", "127.0.78.5"
	accept(t, speaks+":4567", func(c net.Conn) {
		_, _ = c.Write([]byte("\x24\x00\x00\x02")) // as a member begins
		silent(c)
	})
	accept(t, closes+":4567", func(c net.Conn) { c.Close() })
	accept(t, hangs+":4567", silent)
	demanding := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, ClientAuth: tls.RequireAnyClientCert}
	accept(t, encrypted+":4567", func(c net.Conn) { silent(tls.Server(c, demanding)) })
	accept(t, proxy+":4567", silent)
	accept(t, proxy+":"+unusedPort, silent)
	var all, want []peer
	for address, is := range map[string]bool{speaks: true, closes: false, hangs: true, encrypted: true, proxy: false, "127.0.78.6": false} {
		all = append(all, peer{address, "4567"})
		if is {
			want = append(want, peer{address, "4567"})
		}
	}
	got := listening(t.Context(), all)
	for _, p := range all {
		if slices.Contains(got, p) != slices.Contains(want, p) {
			t.Errorf("%s: got %v", p, slices.Contains(got, p))
		}
	}
}
