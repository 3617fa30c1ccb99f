//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// storageClass is the default one of the machine: for each claim a directory.
const storageClass = "directory"

// provideVolumes does what a provisioner does, until the test ends.
func (k *kube) provideVolumes(t *testing.T) {
	t.Helper()
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: storageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: "kubernetes.io/no-provisioner",
	}
	if _, err := k.client.StorageV1().StorageClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatalf("making a storage class: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // until the test ends
		defer close(done)
		for ctx.Err() == nil {
			k.provideWhatIsMissing(ctx)
			k.removeWhatIsFree(ctx)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// provideWhatIsMissing makes a volume for each claim that has none. What fails is
// tried again.
func (k *kube) provideWhatIsMissing(ctx context.Context) {
	claims, err := k.client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, claim := range claims.Items {
		if claim.Status.Phase != corev1.ClaimPending {
			continue
		}
		volume := k.volume(claim)
		if err := os.MkdirAll(volume.Spec.Local.Path, 0o777); err != nil {
			continue
		}
		_, _ = k.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	}
}

// volume is a directory for the claim.
func (k *kube) volume(claim corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	name := "volume-" + string(claim.UID)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: storageClass,
			Capacity:         claim.Spec.Resources.Requests,
			AccessModes:      claim.Spec.AccessModes,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(k.machine.path("volumes"), name)},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{nodeName},
				}}}},
			}},
		},
	}
}

// removeWhatIsFree removes the volumes whose claims are gone.
func (k *kube) removeWhatIsFree(ctx context.Context) {
	volumes, err := k.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, volume := range volumes.Items {
		if volume.Status.Phase == corev1.VolumeReleased {
			_ = errors.Join( // tried again
				os.RemoveAll(volume.Spec.Local.Path),
				k.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{}),
			)
		}
	}
}
