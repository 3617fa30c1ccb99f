// Package sidecar tests the example of this directory: on a real API server,
// with the commands of its pod as processes side by side.
package sidecar

import (
	"os"
	"testing"

	"github.com/kconfd/kconfd/test/unshare"
)

// All is as in the pod and as in the manifests: its paths, its port, its network, and no
// nginx but the pod's.
func TestMain(m *testing.M) {
	os.Exit(unshare.InPod(m, "", "nginx"))
}
