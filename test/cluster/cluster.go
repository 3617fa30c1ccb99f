// Package cluster runs a real Kubernetes API server, with its etcd, for tests
// and benchmarks. Nothing else of a cluster runs: no controllers (so the objects
// that they would make, such as EndpointSlices, are written by the test), no
// nodes, and deleted namespaces stay Terminating.
//
// RBAC is on. The ordinary users may do nothing until Grant allows it.
package cluster

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// Admin is the user who may do everything.
const Admin = "admin"

// startTimeout is how long etcd or the API server may take to be ready: they
// need 3 s when they have the machine for themselves.
const startTimeout = 2 * time.Minute

// Cluster is an API server with its etcd. Its methods may be called from one
// goroutine at a time, but for the clients, which are safe for concurrent use.
type Cluster struct {
	dir       string // certificates, kubeconfigs and logs
	data      string // etcd's, in memory where possible
	temporary bool   // dir was made by New

	ports     []*port
	apiPort   int
	files     files
	etcd      *process
	apiServer *process

	client  kubernetes.Interface
	dynamic dynamic.Interface
	objects *objects
	grants  int
}

// Start starts a cluster that is closed when the test ends.
func Start(t testing.TB) *Cluster {
	t.Helper()
	c, err := New("")
	if err != nil {
		t.Fatalf("starting a cluster: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the cluster: %v", err)
		}
	})
	return c
}

// Users lists the ordinary users, who may do nothing before Grant.
func Users() []string { return []string{"kconfd", "alice", "bob", "carol", "dave"} }

// New starts a cluster and returns when its API server is ready. Certificates,
// kubeconfigs and logs are in dir; when it is empty, in a temporary directory that
// Close removes. The error has the end of the log of what did not start.
func New(dir string) (_ *Cluster, err error) {
	c := &Cluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.startEtcd(); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(); err != nil {
		return nil, err
	}
	return c, c.connect()
}

// Close kills the cluster and removes its data.
func (c *Cluster) Close() error {
	errs := []error{c.apiServer.kill(), c.etcd.kill()}
	for _, p := range c.ports {
		errs = append(errs, p.release())
	}
	if c.data != "" {
		errs = append(errs, os.RemoveAll(c.data))
	}
	if c.temporary {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Dir is where certificates, kubeconfigs and logs are.
func (c *Cluster) Dir() string { return c.dir }

// URL is the address of the API server, the same over all restarts.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.apiPort) }

// Client is the admin's.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Dynamic is the admin's.
func (c *Cluster) Dynamic() dynamic.Interface { return c.dynamic }

// Config is the admin's, without a limit on requests per second.
func (c *Cluster) Config() *rest.Config { return c.ConfigFor(Admin) }

// ConfigFor is that of Admin or one of Users.
func (c *Cluster) ConfigFor(user string) *rest.Config {
	return &rest.Config{
		Host:            c.URL(),
		BearerToken:     token(user),
		TLSClientConfig: rest.TLSClientConfig{CAData: c.files.certificate},
		QPS:             -1,
	}
}

// Kubeconfig writes a kubeconfig for the user, with the namespace as its
// default, and returns its path.
func (c *Cluster) Kubeconfig(t testing.TB, user, namespace string) string {
	t.Helper()
	path, err := c.WriteKubeconfig(user, namespace)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// WriteKubeconfig is Kubeconfig for programs that are not tests.
func (c *Cluster) WriteKubeconfig(user, namespace string) (string, error) {
	path := filepath.Join(c.dir, fmt.Sprintf("kubeconfig-%s-%s", user, namespace))
	content, err := yaml.Marshal(c.kubeconfig(user, namespace))
	if err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return path, nil
}

func (c *Cluster) kubeconfig(user, namespace string) clientcmd.Config {
	return clientcmd.Config{
		APIVersion: "v1", Kind: "Config",
		Clusters: []clientcmd.NamedCluster{{Name: "test", Cluster: clientcmd.Cluster{
			Server: c.URL(), CertificateAuthorityData: c.files.certificate,
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: user, AuthInfo: clientcmd.AuthInfo{Token: token(user)}}},
		Contexts: []clientcmd.NamedContext{{Name: "test", Context: clientcmd.Context{
			Cluster: "test", AuthInfo: user, Namespace: namespace,
		}}},
		CurrentContext: "test",
	}
}

// PauseAPIServer stops the API server from answering: connections stay open,
// new ones are accepted by the kernel, and nothing comes back.
func (c *Cluster) PauseAPIServer(t testing.TB) {
	t.Helper()
	if err := c.apiServer.pause(); err != nil {
		t.Fatalf("pausing the API server: %v", err)
	}
}

// ResumeAPIServer lets a paused API server go on.
func (c *Cluster) ResumeAPIServer(t testing.TB) {
	t.Helper()
	if err := c.apiServer.signal(syscall.SIGCONT); err != nil {
		t.Fatalf("resuming the API server: %v", err)
	}
}

// StopAPIServer ends the API server in an orderly way. Its clients are told; new
// connections are refused.
func (c *Cluster) StopAPIServer(t testing.TB) {
	t.Helper()
	if err := c.apiServer.stop(); err != nil {
		t.Fatalf("stopping the API server: %v", err)
	}
}

// KillAPIServer ends the API server as a crash would.
func (c *Cluster) KillAPIServer(t testing.TB) {
	t.Helper()
	if err := c.apiServer.kill(); err != nil {
		t.Fatalf("killing the API server: %v", err)
	}
}

// StartAPIServer starts a stopped or killed API server on the same address and
// data, and waits until it is ready.
func (c *Cluster) StartAPIServer(t testing.TB) {
	t.Helper()
	if err := c.startAPIServer(); err != nil {
		t.Fatalf("%v", err)
	}
}

// KillEtcd ends etcd as a crash would. The API server stays, and has nothing
// to read from and to write to.
func (c *Cluster) KillEtcd(t testing.TB) {
	t.Helper()
	if err := c.etcd.kill(); err != nil {
		t.Fatalf("killing etcd: %v", err)
	}
}

// StartEtcd starts a killed etcd on the same address and data, and waits until
// the API server is ready again.
func (c *Cluster) StartEtcd(t testing.TB) {
	t.Helper()
	if err := c.startEtcd(); err != nil {
		t.Fatalf("%v", err)
	}
	if err := c.waitAPIServer(); err != nil {
		t.Fatalf("%v", err)
	}
}

// prepare makes all that the processes find when they start.
func (c *Cluster) prepare() (err error) {
	if c.dir == "" {
		c.temporary = true
		if c.dir, err = os.MkdirTemp("", "kconfd-cluster-"); err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
	}
	if c.data, err = makeData(); err != nil {
		return err
	}
	for range 3 {
		p, err := reserve()
		if err != nil {
			return err
		}
		c.ports = append(c.ports, p)
	}
	c.apiPort = c.ports[0].number
	c.files, err = writeFiles(c.dir)
	return err
}

func (c *Cluster) startEtcd() (err error) {
	client, peer := loopback(c.ports[1].number), loopback(c.ports[2].number)
	c.etcd, err = start(c.dir, "etcd",
		"--name=test",
		"--data-dir="+filepath.Join(c.data, "etcd"),
		"--unsafe-no-fsync",
		"--socket-reuse-port", // shared with the reservation, see port
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
		"--initial-cluster=test="+peer,
		"--log-level=warn",
	)
	if err != nil {
		return err
	}
	return c.etcd.waitReady(http.DefaultClient, client+"/readyz", "")
}

func (c *Cluster) startAPIServer() (err error) {
	c.apiServer, err = start(c.dir, "kube-apiserver",
		"--etcd-servers="+loopback(c.ports[1].number),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.apiPort),
		"--permit-port-sharing", // with the reservation, see port
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file="+c.files.certificatePath, "--tls-private-key-file="+c.files.keyPath,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.files.accountKeyPath,
		"--service-account-signing-key-file="+c.files.accountKeyPath,
		"--token-auth-file="+c.files.tokensPath,
		"--authorization-mode=RBAC",
		// Without a controller manager no namespace has the service account
		// that this plugin demands of every pod.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged",
		"--profiling=false",
		// A stop ends the watches, instead of waiting a minute for them.
		"--shutdown-watch-termination-grace-period=1s",
	)
	if err != nil {
		return err
	}
	return c.waitAPIServer()
}

func (c *Cluster) waitAPIServer() error {
	client, err := rest.HTTPClientFor(c.Config())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.CloseIdleConnections()
	return c.apiServer.waitReady(client, c.URL()+"/readyz", token(Admin))
}

// connect makes the admin's clients, which last over restarts.
func (c *Cluster) connect() (err error) {
	if c.client, err = kubernetes.NewForConfig(c.Config()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.Config()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	c.objects = newObjects(c.client.Discovery(), c.dynamic)
	return nil
}

func loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// token is what the user proves himself with.
func token(user string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("the token of " + user))
}
