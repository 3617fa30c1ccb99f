package reload

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// A TLS is how a server is known, and how it knows kconfd. Its files are read at every request, so
// certificates may be replaced at any time. The zero value verifies the server by the system's CAs.
type TLS struct {
	CAFile     string // instead of the system's
	ServerName string // instead of the URL's host
	Cert, Key  string // of the client; both or none
	Insecure   bool   // the server is not verified
}

// maxPEM is the size in bytes of the largest file of certificates that is read.
const maxPEM = 1 << 20

// validate reports what makes no sense for a URL.
func (t TLS) validate(url string) error {
	fields := []struct {
		name string
		set  bool
	}{
		{"ca_file", t.CAFile != ""},
		{"server_name", t.ServerName != ""},
		{"cert", t.Cert != ""},
		{"key", t.Key != ""},
		{"insecure_skip_verify", t.Insecure},
	}
	for _, f := range fields {
		if f.set && !strings.HasPrefix(strings.ToLower(url), "https:") {
			return fmt.Errorf("field %q: does nothing without https", f.name)
		}
	}
	switch {
	case t.Cert != "" && t.Key == "":
		return errors.New(`field "key": missing, it goes with cert`)
	case t.Key != "" && t.Cert == "":
		return errors.New(`field "cert": missing, it goes with key`)
	case t.Insecure && t.CAFile != "":
		return errors.New(`field "ca_file": does nothing with insecure_skip_verify`)
	case net.ParseIP(t.ServerName) == nil && strings.ContainsAny(t.ServerName, "/: \t\r\n"):
		return fmt.Errorf(`field "server_name": %q is not a host name or an IP address`, t.ServerName)
	}
	return nil
}

// config reads the files.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		certificates, err := readCertificates("ca_file", t.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		for _, certificate := range certificates {
			c.RootCAs.AddCert(certificate)
		}
	}
	if t.Cert == "" {
		return c, nil
	}
	pair, err := t.keyPair()
	c.Certificates = []tls.Certificate{pair}
	return c, err
}

// keyPair reads the client's certificate and its key.
func (t TLS) keyPair() (tls.Certificate, error) {
	certificates, err := readCertificates("cert", t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	if until := certificates[0].NotAfter; time.Now().After(until) {
		return tls.Certificate{}, fmt.Errorf(`field "cert": the certificate of %q has expired at %s`, t.Cert, until.UTC().Format(time.RFC3339))
	}
	key, err := readPEM("key", t.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if strings.Contains(string(key), "ENCRYPTED") {
		return tls.Certificate{}, fmt.Errorf(`field "key": %q is encrypted, and kconfd has no password for it`, t.Key)
	}
	var chain bytes.Buffer
	for _, certificate := range certificates {
		_ = pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}) // a buffer takes all
	}
	pair, err := tls.X509KeyPair(chain.Bytes(), key)
	if err != nil {
		return pair, fmt.Errorf(`field "key": %q for cert %q: %w`, t.Key, t.Cert, err)
	}
	return pair, nil
}

// readCertificates reads the certificates of a file. There is at least one.
func readCertificates(field, path string) ([]*x509.Certificate, error) {
	content, err := readPEM(field, path)
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("field %q: certificate %d of %q: %w", field, len(found)+1, path, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("field %q: %q has no certificate in PEM format", field, path)
	}
	return found, nil
}

// readPEM reads a regular file. Opening a FIFO could take forever.
func readPEM(field, path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", field, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", field, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("field %q: %q is not a regular file", field, path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("field %q: %w", field, err)
	case len(content) > maxPEM:
		return nil, fmt.Errorf("field %q: %q has more than %d bytes", field, path, maxPEM)
	}
	return content, nil
}

// explain adds to the error of a handshake which field decides about it.
func (t TLS) explain(err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var network *net.OpError
	alert := errors.As(err, &network) && network.Op == "remote error" // of crypto/tls: what the server did not like
	hint := ""
	switch {
	case errors.As(err, &authority) && t.CAFile != "":
		hint = fmt.Sprintf(`field "ca_file": no certificate of %q signs the server's`, t.CAFile)
	case errors.As(err, &authority):
		hint = `field "ca_file": no CA of the system signs the server's certificate; name one that does`
	case errors.As(err, &name) && t.ServerName != "":
		hint = fmt.Sprintf(`field "server_name": the server's certificate is not for %q`, t.ServerName)
	case errors.As(err, &name):
		hint = `field "server_name": give the name that the server's certificate has`
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "the server's certificate is not valid now"
	case alert && t.Cert == "":
		hint = `field "cert": the server may want one`
	case alert:
		hint = fmt.Sprintf(`field "cert": the server does not take %q`, t.Cert)
	default:
		return err
	}
	return fmt.Errorf("%s: %w", hint, err)
}
