// Package e2e runs the manifests of deploy/ in a whole Kubernetes: with a scheduler,
// controllers, a kubelet, a container runtime and real images. Its tests are built
// with the tag e2e, and run by `make e2e`.
//
// The cluster is made on this machine, in namespaces of its own, and gone when the
// tests end, however they end. With KUBECONFIG and KCONFD_E2E_IMAGE in the
// environment, the tests run in the reader's own cluster instead, but for the faults
// that can be caused from a node only.
package e2e
