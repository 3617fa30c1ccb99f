// Package services tests the templates and their resource files with the programs that
// they are for: kconfd runs them as its child, members come and go, and clients that are
// at it all the while must not notice.
package services

import (
	"flag"
	"os"
	"testing"

	"github.com/kconfd/kconfd/test/unshare"
)

// Files are where the resource files have them, and endpoints have the addresses of pods.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil { // they wait most of the time
		panic(err)
	}
	os.Exit(unshare.InPod(m, "mount --make-rshared / # as systemd has it\nmkdir -p /etc/nginx/upstreams /etc/prometheus/targets",
		"haproxy", "mariadbd", "nginx", "pgbouncer", "prometheus", "psql", "redis-server"))
}
