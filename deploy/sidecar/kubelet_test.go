package sidecar

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// A kubelet runs a pod as one does, but that containers are bare processes.
type kubelet struct {
	t       *testing.T
	cluster *cluster.Cluster
	pod     corev1.PodSpec
}

// newKubelet has the volumes of the Deployment's pod in their places.
func newKubelet(t *testing.T, c *cluster.Cluster, deployment string) *kubelet {
	t.Helper()
	d, err := c.Client().AppsV1().Deployments("default").Get(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{t: t, cluster: c, pod: d.Spec.Template.Spec}
	for _, v := range k.pod.Volumes {
		switch {
		case v.ConfigMap != nil:
			k.mountConfigMap(v, k.configMap(v.ConfigMap.Name))
		case v.Projected != nil:
			k.mountAccount(v)
		default:
			k.mountEmptyDir(v)
		}
	}
	return k
}

// mountPath is the one place where all containers have the volume.
func (k *kubelet) mountPath(volume string) string {
	k.t.Helper()
	var paths []string
	for _, c := range slices.Concat(k.pod.InitContainers, k.pod.Containers) {
		for _, m := range c.VolumeMounts {
			if m.Name == volume {
				paths = append(paths, m.MountPath)
			}
		}
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) != 1 {
		k.t.Fatalf("volume %q is mounted at %q, want one place", volume, paths)
	}
	return paths[0]
}

func (k *kubelet) mountEmptyDir(v corev1.Volume) {
	k.t.Helper()
	path, group := k.mountPath(v.Name), int(*k.pod.SecurityContext.FSGroup)
	err := os.MkdirAll(path, 0o755)
	if err == nil {
		err = os.Chown(path, 0, group)
	}
	if err == nil {
		err = os.Chmod(path, os.ModeSetgid|0o777)
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kubelet) configMap(name string) *corev1.ConfigMap {
	k.t.Helper()
	m, err := k.cluster.Client().CoreV1().ConfigMaps("default").Get(k.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	return m
}

// mountConfigMap makes the mount or changes it: the files are in a directory with a
// new name, to which the link ..data is turned at once; what containers see are
// links through that.
func (k *kubelet) mountConfigMap(v corev1.Volume, m *corev1.ConfigMap) {
	k.t.Helper()
	path := k.mountPath(v.Name)
	data, next := filepath.Join(path, "..data"), filepath.Join(path, "..data_tmp")
	name := time.Now().Format("..2006_01_02_15_04_05.000000000")
	for _, item := range v.ConfigMap.Items {
		write(k.t, filepath.Join(path, name, item.Path), m.Data[item.Key])
	}
	old, _ := os.Readlink(data) // the first time there is none
	if err := errors.Join(os.Symlink(name, next), os.Rename(next, data)); err != nil {
		k.t.Fatal(err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(path, old)); err != nil {
			k.t.Fatal(err)
		}
		return
	}
	for _, item := range v.ConfigMap.Items {
		top, _, _ := strings.Cut(item.Path, "/")
		if err := os.Symlink(filepath.Join("..data", top), filepath.Join(path, top)); err != nil {
			k.t.Fatal(err)
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mountAccount gives the pod what it proves itself with: nothing but the Role of
// the example allows its service account anything.
func (k *kubelet) mountAccount(v corev1.Volume) {
	k.t.Helper()
	token, err := k.cluster.Client().CoreV1().ServiceAccounts("default").CreateToken(
		k.t.Context(), k.pod.ServiceAccountName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	dir := k.mountPath(v.Name) + "/"
	write(k.t, dir+"token", token.Status.Token)
	write(k.t, dir+"ca.crt", string(k.cluster.Config().CAData))
	write(k.t, dir+"namespace", "default")
}

// initialize runs the init containers.
func (k *kubelet) initialize() {
	k.t.Helper()
	for _, spec := range k.pod.InitContainers {
		if code := k.start(spec).Wait(); code != 0 {
			k.t.Fatalf("container %q: exit code %d", spec.Name, code)
		}
	}
}

// run starts the containers, and gives them by name.
func (k *kubelet) run() map[string]*process.Process {
	k.t.Helper()
	containers := map[string]*process.Process{}
	for _, spec := range k.pod.Containers {
		containers[spec.Name] = k.start(spec)
	}
	return containers
}

// start starts a container.
func (k *kubelet) start(spec corev1.Container) *process.Process {
	k.t.Helper()
	server, err := url.Parse(k.cluster.URL())
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command(spec.Command[0], spec.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"KUBERNETES_SERVICE_HOST=" + server.Hostname(), "KUBERNETES_SERVICE_PORT=" + server.Port(),
	}
	user := k.pod.SecurityContext
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(*user.RunAsUser), Gid: uint32(*user.RunAsGroup)},
	}
	return process.Start(k.t, cmd)
}
