//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kconfd/kconfd/test/cluster"
)

// patience is how long a test waits for what must come. It is long, since the machine
// may have much else to do, and nobody waits for it when all is well.
const patience = 5 * time.Minute

// A kube is a Kubernetes cluster.
type kube struct {
	machine *machine // nil in the reader's own
	image   string   // with kconfd and MariaDB, there
	config  string   // path of the kubeconfig
	kubectl string   // path of the program
	client  kubernetes.Interface
}

// newKube starts a cluster, or takes the reader's own.
func newKube(t *testing.T) *kube {
	t.Helper()
	k := &kube{image: os.Getenv(ownImage), config: os.Getenv("KUBECONFIG")}
	if dir := os.Getenv(inside); dir != "" {
		k.machine = startMachine(t, dir)
		k.image, k.config = builtImage, k.machine.kubeconfig()
	}
	if k.config == "" {
		t.Fatal(ownImage + " is set: name your cluster in KUBECONFIG")
	}
	var err error
	if k.kubectl, err = cluster.Binary("kubectl"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", k.config)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Timeout = -1, 10*time.Second
	if k.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if k.machine != nil {
		k.provideVolumes(t)
	}
	return k
}

// run runs kubectl, and gives what it prints.
func (k *kube) run(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.kubectl, append([]string{"--kubeconfig=" + k.config}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// namespace makes one, which is gone when the test has ended: its volumes are free
// then.
func (k *kube) namespace(t *testing.T) string {
	t.Helper()
	made, err := k.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	t.Cleanup(func() { k.removeNamespace(t, made.Name) })
	return made.Name
}

// removeNamespace kills its pods: what is in them is not looked at any more.
func (k *kube) removeNamespace(t *testing.T, name string) {
	ctx, none := context.Background(), int64(0)
	pods := k.client.CoreV1().Pods(name)
	if err := k.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("removing namespace %q: %v", name, err)
		return
	}
	await(t, "namespace "+name+" is gone", func() bool {
		_ = pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &none}, metav1.ListOptions{}) // tried again
		_, err := k.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if k.machine != nil {
		if err := removeLogs(name); err != nil {
			t.Error(err)
		}
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	awaitFor(t, patience, what, holds)
}

// awaitFor fails when the condition does not hold in time.
func awaitFor(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// within gives a file's content as the process sees it.
func within(pid int, file string) string {
	content, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "root", file))
	if err != nil {
		return ""
	}
	return string(content)
}
