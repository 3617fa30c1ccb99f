package reload

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// bodySize is how much of an answer's body is read for the error, in bytes.
const bodySize = 4 << 10

func (a Action) method() string { return cmp.Or(a.Method, http.MethodPost) }

func (a Action) validateHTTP() error {
	if err := validateURL(a.URL); err != nil {
		return fmt.Errorf("field %q: %w", "url", err)
	}
	if err := a.TLS.validate(a.URL); err != nil {
		return err
	}
	if !isToken(a.method()) {
		return fmt.Errorf("field %q: %q is no HTTP method", "method", a.Method)
	}
	if err := validateHeader(a.Header); err != nil {
		return fmt.Errorf("field %q: %w", "header", err)
	}
	for _, code := range a.Status {
		if code < 200 || code > 599 {
			return fmt.Errorf("field %q: %d is not from 200 to 599", "status", code)
		}
	}
	if a.Timeout < 0 {
		return fmt.Errorf("field %q: %v is negative", "timeout", a.Timeout)
	}
	return nil
}

func validateURL(raw string) error {
	if raw == "" {
		return errors.New("missing")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return withoutURL(err)
	case !strings.Contains(raw, "://"): // what is in front of the port is no scheme
		return errors.New("want http:// or https:// in front")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("scheme %q, want http or https", u.Scheme)
	case u.Host == "":
		return errors.New("no host")
	}
	return nil
}

func validateHeader(header map[string]string) error {
	for name, value := range header {
		switch {
		case !isToken(name):
			return fmt.Errorf("%q is no header name", name)
		case strings.ContainsAny(value, "\r\n\x00"):
			return fmt.Errorf("%q: the value has a line break or NUL in it", name)
		}
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Trailer":
			return fmt.Errorf("%q follows from the body and cannot be set", name)
		}
	}
	return nil
}

// isToken tells whether s may be a method or a header name.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// request makes one request. An answer outside of a.Status is an error.
func (a Action) request(ctx context.Context) error {
	if err := a.exchange(ctx); err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	return nil
}

func (a Action) exchange(ctx context.Context) error {
	timeout := cmp.Or(a.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimedOut)
	defer cancel()
	req, err := a.newRequest(ctx)
	if err != nil {
		return withoutURL(err)
	}
	config, err := a.TLS.config()
	if err != nil {
		return err
	}
	resp, err := oneRequestClient(config).Do(req)
	if err != nil {
		if errors.Is(context.Cause(ctx), errTimedOut) {
			return fmt.Errorf("%w after %v", errTimedOut, timeout)
		}
		return a.unanswered(a.TLS.explain(withoutURL(err)))
	}
	defer resp.Body.Close()
	if a.accepts(resp.StatusCode) {
		return nil
	}
	return a.statusError(resp)
}

func (a Action) newRequest(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, a.method(), a.URL, strings.NewReader(a.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kconfd")
	for name, value := range a.Header {
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value // net/http ignores it among the headers
			continue
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// oneRequestClient keeps no connection, follows no redirect and asks no proxy: what is told to reload is
// a neighbour.
func oneRequestClient(config *tls.Config) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (a Action) accepts(code int) bool {
	if len(a.Status) > 0 {
		return slices.Contains(a.Status, code)
	}
	return code >= 200 && code < 300
}

func (a Action) statusError(resp *http.Response) error {
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		return fmt.Errorf("status %d: redirects to %s, which is not followed", resp.StatusCode, a.hide(publicURL(location)))
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, bodySize)) // whatever came before it broke off
	if text := shorten(a.hide(string(body))); text != "" {
		return fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

// unanswered is why there is no answer. Errors of the network have nothing of it in
// them; all others quote what the server said.
func (a Action) unanswered(err error) error {
	var network *net.OpError
	if errors.As(err, &network) {
		return err
	}
	return &saidError{a.hide(err.Error()), err}
}

// A saidError is an error that quotes a server, without secrets.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.err }

// hide takes secrets out of what the server says.
func (a Action) hide(said string) string {
	if a.Hide == nil {
		return said
	}
	return a.Hide(said)
}

// publicURL is a URL without what may be secret: user, password, query and fragment.
func publicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a malformed URL)"
	}
	public := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return public.String()
}

// withoutURL takes the URL out of an error of net/http or net/url.
func withoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}
