//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/test/cluster"
)

const (
	// pauseImage is the first process of every pod, and nothing else.
	pauseImage = "localhost/pause:e2e"
	// builtImage is that of deploy/image, with the kconfd of this source.
	builtImage = "localhost/kconfd-mariadb:e2e"
)

// prepare makes in dir what the cluster is made of: programs and images. It runs
// outside of the namespaces, where packages can be had.
func prepare(dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("making namespaces: only root may, run the tests as root")
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the users in pods
		return err
	}
	for _, program := range []string{"containerd", "runc", "nft", "mmdebstrap", "buildah", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w; run: make e2e", err)
		}
	}
	for _, name := range programs() {
		if _, err := cluster.Binary(name); err != nil {
			return err
		}
	}
	if err := goBuild("../../cmd/kconfd", ".", filepath.Join(dir, "kconfd")); err != nil {
		return err
	}
	if err := goBuild("client", ".", filepath.Join(dir, "client")); err != nil {
		return err
	}
	if err := scratchImage(filepath.Join(dir, "client"), pauseImage, filepath.Join(dir, "pause.tar")); err != nil {
		return fmt.Errorf("making image %q: %w", pauseImage, err)
	}
	b, err := newBuilder()
	if err != nil {
		return err
	}
	defer b.close()
	return b.build(dir)
}

// programs are those of Kubernetes that a cluster needs.
func programs() []string {
	return []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"}
}

func goBuild(dir, path, to string) error {
	return command(dir, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, path)
}

// command runs a program; what it says is in the error.
func command(dir string, environment []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %q: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// A builder makes the image of deploy/image. What it has made is kept in the user's
// cache, so that the next run has to add no more than kconfd.
type builder struct {
	cache string
	lock  *os.File
}

// newBuilder waits for other runs that are building.
func newBuilder() (*builder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	b := &builder{cache: filepath.Join(cache, "kconfd", "e2e")}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return nil, err
	}
	if b.lock, err = os.Create(filepath.Join(b.cache, "lock")); err != nil {
		return nil, err
	}
	return b, unix.Flock(int(b.lock.Fd()), unix.LOCK_EX)
}

func (b *builder) close() { _ = b.lock.Close() }

func (b *builder) build(dir string) error {
	if err := b.buildBase(); err != nil {
		return fmt.Errorf("making the base image: %w", err)
	}
	context := filepath.Join(dir, "context") // of the repository, what the Dockerfile asks for
	err := errors.Join(
		os.MkdirAll(filepath.Join(context, "bin"), 0o755),
		os.MkdirAll(filepath.Join(context, "deploy"), 0o755),
		command("", nil, "cp", "-a", "../../deploy/image", filepath.Join(context, "deploy")),
		command("", nil, "cp", "-a", "../../templates", context),
		command("", nil, "cp", filepath.Join(dir, "kconfd"), filepath.Join(context, "bin")),
	)
	if err != nil {
		return err
	}
	err = b.buildah("bud", "--layers", "--pull-never", "--isolation=chroot", "--tag="+builtImage,
		"--file="+filepath.Join(context, "deploy/image/Dockerfile"), context)
	if err != nil {
		return err
	}
	return b.buildah("push", builtImage, "docker-archive:"+filepath.Join(dir, "image.tar")+":"+builtImage)
}

// buildah keeps its images apart from those of the machine.
func (b *builder) buildah(args ...string) error {
	storage := []string{"--root=" + filepath.Join(b.cache, "images"), "--runroot=" + filepath.Join(b.cache, "run"), "--storage-driver=overlay"}
	return command("", nil, "buildah", append(storage, args...)...)
}

// buildBase makes the image that deploy/image begins with, from the packages of this
// machine's Debian, unless it has been made from the same package sources before.
func (b *builder) buildBase() error {
	name, err := baseName()
	if err != nil {
		return err
	}
	sources, err := packageSources()
	if err != nil {
		return err
	}
	mark := fmt.Sprintf("localhost/base:%x", sha256.Sum256([]byte(sources+name)))
	if b.buildah("inspect", "--type=image", mark) == nil {
		return nil
	}
	dir, err := os.MkdirTemp(b.cache, "base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("sh", "-euc", `. /etc/os-release && mmdebstrap --variant=minbase "$VERSION_CODENAME" base.tar -`)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(sources)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running mmdebstrap: %w\n%s", err, out)
	}
	dockerfile := "FROM scratch\nADD base.tar /\nCMD [\"bash\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	if err := b.buildah("bud", "--isolation=chroot", "--tag="+mark, dir); err != nil {
		return err
	}
	return b.buildah("tag", mark, name)
}

// baseName is the image that the Dockerfile begins with, in full.
func baseName() (string, error) {
	content, err := os.ReadFile("../../deploy/image/Dockerfile")
	if err != nil {
		return "", err
	}
	from := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllSubmatch(content, -1)
	if len(from) == 0 {
		return "", errors.New("the Dockerfile has no FROM")
	}
	return "docker.io/library/" + string(from[len(from)-1][1]), nil
}

// packageSources is where this machine has Debian's packages from.
func packageSources() (string, error) {
	for _, file := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		content, err := os.ReadFile(file)
		if err == nil && len(bytes.TrimSpace(content)) > 0 {
			return string(content), nil
		}
	}
	return "", errors.New("neither /etc/apt/sources.list.d/debian.sources nor /etc/apt/sources.list says where Debian's packages are")
}

// scratchImage writes the archive of an image that has one static program.
func scratchImage(program, name, archive string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	layer, err := tarOf(map[string][]byte{"client": content})
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/client", "pause"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	image, err := tarOf(map[string][]byte{"layer.tar": layer, "config.json": config, "manifest.json": manifest})
	if err != nil {
		return err
	}
	return os.WriteFile(archive, image, 0o644)
}

func tarOf(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
