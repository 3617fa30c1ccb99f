// Package deploy tests what is to hold for all manifests of this directory.
package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// A workload is a Deployment or a StatefulSet, as far as it is about pods.
type workload struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template struct{ Spec corev1.PodSpec }
	}
}

func workloads(t *testing.T) map[string]workload {
	t.Helper()
	all := map[string]workload{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			var w workload
			if err := yaml.Unmarshal([]byte(document), &w); err != nil {
				continue // tests of alerts are lists
			}
			if w.Kind == "Deployment" || w.Kind == "StatefulSet" {
				all[path+" "+w.Metadata.Name] = w
			}
		}
		return nil
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("only %d workloads: %v", len(all), err)
	}
	return all
}

// Containers have no rights that they do not need, write into volumes alone, and find
// passwords in files.
func TestContainersAreRestricted(t *testing.T) {
	for name, w := range workloads(t) {
		pod := w.Spec.Template.Spec
		if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod's security context is %+v", name, s)
		}
		if pod.AutomountServiceAccountToken == nil {
			t.Errorf("%s: it does not say who has the API token", name)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
				t.Errorf("%s, container %s: the security context is %+v", name, c.Name, s)
			}
			for _, env := range c.Env {
				if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
					t.Errorf("%s, container %s: %s is a Secret in the environment", name, c.Name, env.Name)
				}
			}
			if hasToken(pod, c) != (len(pod.Containers) == 1 || slices.Contains(c.Command, "kconfd")) {
				t.Errorf("%s, container %s: whether it has the API token is %v", name, c.Name, hasToken(pod, c))
			}
		}
	}
}

// hasToken says whether a container can read the token of its service account.
func hasToken(pod corev1.PodSpec, c corev1.Container) bool {
	return *pod.AutomountServiceAccountToken || slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount"
	})
}
