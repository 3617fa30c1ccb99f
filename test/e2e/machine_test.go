//go:build e2e

package e2e

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"github.com/kconfd/kconfd/test/cluster"
)

const (
	nodeName    = "node1"
	nodeAddress = "10.99.0.1"
	pods        = "10.98.0.0/24"
	services    = "10.96.0.0/16"
	firstVIP    = "10.96.0.1" // of the API server
)

//go:embed testdata
var testdata embed.FS

// A machine is the one node of a cluster, and its control plane.
type machine struct {
	dir       string
	processes []*process // in the order of their start
}

// startMachine starts a cluster whose node is ready and has the images.
func startMachine(t *testing.T, dir string) *machine {
	t.Helper()
	m := &machine{dir: dir}
	done := make(chan struct{})
	go keepLogs(done) // until the test ends
	t.Cleanup(func() { m.stop(t); close(done) })
	begin := time.Now()
	for _, step := range []func() error{m.configure, m.startControlPlane, m.startRuntime, m.importImages, m.startNode, m.awaitNode} {
		if err := step(); err != nil {
			t.Fatalf("starting a cluster: %v", err)
		}
	}
	t.Logf("a cluster is up after %v", time.Since(begin).Round(time.Millisecond))
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// kubeconfig is that of the user who may do everything.
func (m *machine) kubeconfig() string { return m.path("etc/admin") }

// configure writes the files that the programs read.
func (m *machine) configure() error {
	for _, dir := range []string{"etc/cni", "log", "containerd"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			return err
		}
	}
	files := []struct{ from, to, user string }{
		{"containerd.toml", "etc/containerd.toml", ""},
		{"kubelet.yaml", "etc/kubelet.yaml", ""},
		{"pods.conflist", "etc/cni/pods.conflist", ""},
		{"resolv.conf", "etc/resolv.conf", ""},
		{"kubeconfig.yaml", "etc/admin", "admin"},
		{"kubeconfig.yaml", "etc/kubelet", "kubelet"},
	}
	for _, f := range files {
		if err := m.fill(f.from, f.to, f.user); err != nil {
			return err
		}
	}
	return m.writeKeys()
}

func (m *machine) fill(from, to, user string) error {
	t, err := template.ParseFS(testdata, "testdata/"+from)
	if err != nil {
		return err
	}
	var b strings.Builder
	values := map[string]string{"Dir": m.dir, "Pause": pauseImage, "Pods": pods, "Address": nodeAddress, "User": user}
	if err := t.Execute(&b, values); err != nil {
		return err
	}
	return os.WriteFile(m.path(to), []byte(b.String()), 0o600)
}

// writeKeys makes what the API server and its users prove themselves with: users have
// their name for a token, which is secret enough where nobody else is.
func (m *machine) writeKeys() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey(nodeAddress, []net.IP{net.ParseIP(firstVIP)}, []string{"kubernetes.default.svc"})
	if err != nil {
		return err
	}
	account, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	tokens := "admin,admin,admin,system:masters\nkubelet,system:node:" + nodeName + ",kubelet,system:nodes\n"
	return errors.Join(
		os.WriteFile(m.path("etc/apiserver.crt"), certificate, 0o644),
		os.WriteFile(m.path("etc/apiserver.key"), key, 0o600),
		os.WriteFile(m.path("etc/accounts.key"), account, 0o600),
		os.WriteFile(m.path("etc/tokens.csv"), []byte(tokens), 0o600),
	)
}

// start starts a program: one of Kubernetes, or else of the machine.
func (m *machine) start(name string, args ...string) error {
	if path, err := cluster.Binary(name); err == nil {
		name = path
	}
	p, err := startProcess(m.path("log"), name, args...)
	if err != nil {
		return err
	}
	m.processes = append(m.processes, p)
	return nil
}

func (m *machine) startControlPlane() error {
	const etcd = "http://127.0.0.1:2379"
	err := m.start("etcd", "--data-dir="+m.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd, "--listen-peer-urls=http://127.0.0.1:2380")
	if err != nil {
		return err
	}
	err = m.start("kube-apiserver", "--etcd-servers="+etcd,
		"--advertise-address="+nodeAddress, "--service-cluster-ip-range="+services,
		"--tls-cert-file="+m.path("etc/apiserver.crt"), "--tls-private-key-file="+m.path("etc/apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+m.path("etc/accounts.key"), "--service-account-signing-key-file="+m.path("etc/accounts.key"),
		"--token-auth-file="+m.path("etc/tokens.csv"), "--authorization-mode=Node,RBAC", "--allow-privileged",
		"--kubelet-preferred-address-types=InternalIP", // there is no DNS
		"--shutdown-watch-termination-grace-period=1s")
	if err != nil {
		return err
	}
	if err := m.awaitAPIServer(); err != nil {
		return err
	}
	config := "--kubeconfig=" + m.kubeconfig()
	return errors.Join(
		m.start("kube-controller-manager", config, "--leader-elect=false", "--cert-dir="+m.path("certificates"),
			"--service-account-private-key-file="+m.path("etc/accounts.key"), "--root-ca-file="+m.path("etc/apiserver.crt"),
			"--use-service-account-credentials"),
		m.start("kube-scheduler", config, "--leader-elect=false", "--cert-dir="+m.path("certificates")),
	)
}

func (m *machine) startRuntime() error {
	if err := m.start("containerd", "--config="+m.path("etc/containerd.toml")); err != nil {
		return err
	}
	return m.await("containerd listens", func() error {
		connection, err := net.Dial("unix", m.path("containerd/socket"))
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func (m *machine) importImages() error {
	for _, image := range []string{"pause.tar", "image.tar"} {
		if err := command("", nil, "ctr", "--address="+m.path("containerd/socket"), "--namespace=k8s.io", "images", "import", m.path(image)); err != nil {
			return err
		}
		if err := os.Remove(m.path(image)); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) startNode() error {
	return errors.Join(
		m.start("kubelet", "--config="+m.path("etc/kubelet.yaml"), "--kubeconfig="+m.path("etc/kubelet"),
			"--hostname-override="+nodeName, "--node-ip="+nodeAddress, "--root-dir="+m.path("kubelet"), "--cert-dir="+m.path("certificates")),
		m.start("kube-proxy", "--kubeconfig="+m.kubeconfig(), "--hostname-override="+nodeName, "--proxy-mode=nftables",
			"--cluster-cidr="+pods, "--conntrack-max-per-core=0", "--bind-address="+nodeAddress),
	)
}

func (m *machine) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", m.kubeconfig())
	if err != nil {
		return nil, err
	}
	config.Timeout = 5 * time.Second
	return kubernetes.NewForConfig(config)
}

func (m *machine) awaitAPIServer() error {
	client, err := m.client()
	if err != nil {
		return err
	}
	return m.await("the API server is ready", func() error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(context.Background()).Error()
	})
}

func (m *machine) awaitNode() error {
	client, err := m.client()
	if err != nil {
		return err
	}
	return m.await("the node is ready", func() error {
		node, err := client.CoreV1().Nodes().Get(context.Background(), nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("the node is not ready")
	})
}

// await waits until f succeeds. When it does not, or a program has ended by itself, the error
// has the end of that program's log, or of the last one that was started.
func (m *machine) await(what string, f func() error) error {
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		last := f()
		if last == nil {
			return nil
		}
		for _, p := range m.processes {
			if p.killed {
				continue
			}
			select {
			case <-p.done:
				return fmt.Errorf("waiting until %s: %q has ended\n%s", what, p.name, p.tail())
			default:
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			p := m.processes[len(m.processes)-1]
			return fmt.Errorf("waiting until %s: %w\n%s", what, last, p.tail())
		}
	}
}

// process is the one with the name.
func (m *machine) process(t *testing.T, name string) *process {
	t.Helper()
	for _, p := range m.processes {
		if filepath.Base(p.name) == name {
			return p
		}
	}
	t.Fatalf("no process %q runs", name)
	return nil
}

// stop ends the programs, the last one first. The containers end with the namespaces.
func (m *machine) stop(t *testing.T) {
	for i := len(m.processes) - 1; i >= 0; i-- {
		if err := m.processes[i].kill(); err != nil {
			t.Error(err)
		}
	}
}
