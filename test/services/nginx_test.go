package services

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// nginxConf includes the upstreams.
const nginxConf = `
worker_processes 2;
error_log stderr;
pid /run/nginx.pid;
events {}
http {
  access_log off;
  include /etc/nginx/upstreams/*.conf;
  server {
    listen 10.244.0.10:8080;
    location / {
      proxy_pass http://shop;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
    }
  }
}
`

// Members come and go, while clients ask over new connections, over one that they keep, and
// over one that became something else by Upgrade.
func testNginx(t *testing.T, c *cluster.Cluster) {
	namespace := c.Namespace(t)
	for _, address := range []string{first, second, third} {
		serveHTTP(t, address+":8000")
	}
	write(t, "/etc/nginx/nginx.conf", nginxConf)
	c.Put(t, shop(namespace, "http", 8000, first, second))
	nginx := onCluster(t, c, namespace, confdir(t, "nginx-upstreams.toml", nil), "nginx", "-g", "daemon off;")
	callers, ctx := newCallers(t)
	upgraded := make([]*line, 2)
	for i := range upgraded {
		long := upgrade(t, balancer+":8080")
		upgraded[i] = long
		callers.call(ctx, fmt.Sprintf("upgraded connection %d", i), func() (string, error) { return long.ask("?") })
	}
	kept := &http.Client{Transport: &http.Transport{}, Timeout: process.Patience}
	callers.call(ctx, "kept connections", func() (string, error) { return get(ctx, kept) })
	each := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: process.Patience}
	fresh := callers.call(ctx, "new connections", func() (string, error) { return get(ctx, each) })
	for range 3 {
		c.Put(t, shop(namespace, "http", 8000, first, third))
		fresh.awaitOnly(t, 50, first+":8000", third+":8000")
		c.Put(t, shop(namespace, "http", 8000, first, second))
		fresh.awaitOnly(t, 50, first+":8000", second+":8000")
	}
	c.Put(t, shop(namespace, "http", 8000))
	nginx.AwaitLog(0, "render held.*want at least 1, have 0")
	fresh.awaitOnly(t, 50, first+":8000", second+":8000")
	wantSameAnswers(t, callers.all[:2])
	callers.stop()
	for _, long := range upgraded { // nginx waits for them
		long.conn.Close()
	}
	nginx.Stop(syscall.SIGTERM)
}

// serveHTTP answers every request at the address with the address, and every line behind an
// Upgrade.
func serveHTTP(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, address) // nginx sees it when it fails
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n")
		answerLines(conn, address)
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
}

// upgrade gives a connection on which the member answers lines.
func upgrade(t *testing.T, address string) *line {
	t.Helper()
	l := connect(t, address)
	if _, err := io.WriteString(l.conn, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("asking for an upgrade: got %+v, %v", response, err)
	}
	return &line{conn: l.conn, reader: bufio.NewReader(l.conn)}
}

// get gives the body of an answer that is 200.
func get(ctx context.Context, client *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+balancer+":8080", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}
