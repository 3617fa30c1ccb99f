// Package pxc tests the manifests of this directory as far as that needs no cluster.
// How they work in one is tested by test/e2e.
package pxc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/kconfd/kconfd/test/build"
)

// object gives the document of a file that is of the kind and has the name.
func object[T any](t *testing.T, file, kind, name string) T {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind != kind || head.Metadata.Name != name {
			continue
		}
		var o T
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return o
	}
	t.Fatalf("%s has no %s %q", file, kind, name)
	panic("not reached")
}

// configured is a kconfd as in the pods, and the directory of its configuration.
func configured(t *testing.T) (program, dir string) {
	t.Helper()
	dir = t.TempDir()
	program = filepath.Join(dir, "kconfd")
	if err := build.Kconfd(program); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "templates"), os.DirFS("../../templates")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range object[corev1.ConfigMap](t, "pxc-config.yaml", "ConfigMap", "pxc-kconfd").Data {
		if err := os.WriteFile(filepath.Join(dir, "conf.d", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return program, dir
}

func TestConfiguration(t *testing.T) {
	kconfd, dir := configured(t)
	if out, err := exec.Command(kconfd, "lint", "-confdir", dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The pods may do what kconfd needs, and no more.
func TestRole(t *testing.T) {
	kconfd, dir := configured(t)
	cmd := exec.Command(kconfd, "rbac", "-confdir", dir, "-manifests", "/dev/null", "-namespace", "default", "-name", "pxc", "-galera", "pxc")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	file := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(file, out, 0o644); err != nil {
		t.Fatal(err)
	}
	want := object[rbacv1.Role](t, file, "Role", "pxc").Rules
	got := object[rbacv1.Role](t, "pxc-account.yaml", "Role", "pxc").Rules
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-printed +pxc-account.yaml:\n%s", diff)
	}
	wantBinding := object[rbacv1.RoleBinding](t, file, "RoleBinding", "pxc")
	gotBinding := object[rbacv1.RoleBinding](t, "pxc-account.yaml", "RoleBinding", "pxc")
	if diff := cmp.Diff(wantBinding.Subjects, gotBinding.Subjects); diff != "" {
		t.Errorf("-printed +pxc-account.yaml:\n%s", diff)
	}
}

// The nodes differ in their number and in nothing else.
func TestNodes(t *testing.T) {
	first, err := os.ReadFile("pxc-node1.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The default for an image without a tag is Always, which one in no registry does not survive.
	if got := object[appsv1.StatefulSet](t, "pxc-node1.yaml", "StatefulSet", "pxc-node1").Spec.Template.Spec.Containers[0].ImagePullPolicy; got != corev1.PullIfNotPresent {
		t.Errorf("the image is pulled %q", got)
	}
	for _, number := range []string{"2", "3"} {
		got, err := os.ReadFile("pxc-node" + number + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.ReplaceAll(first, []byte("pxc-node1"), []byte("pxc-node"+number))
		want = bytes.Replace(want, []byte("# Node 1"), []byte("# Node "+number), 1)
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("node %s: -want +got:\n%s", number, diff)
		}
	}
}
