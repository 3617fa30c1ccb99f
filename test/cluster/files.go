package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// files is what the API server reads when it starts.
type files struct {
	certificate     []byte // PEM, the server's and its CA's
	certificatePath string
	keyPath         string
	accountKeyPath  string // signs the tokens of service accounts
	tokensPath      string
}

// writeFiles makes them anew in dir.
func writeFiles(dir string) (files, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return files{}, fmt.Errorf("making a certificate: %w", err)
	}
	accountKey, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return files{}, fmt.Errorf("making a key: %w", err)
	}
	f := files{
		certificate:     certificate,
		certificatePath: filepath.Join(dir, "apiserver.crt"),
		keyPath:         filepath.Join(dir, "apiserver.key"),
		accountKeyPath:  filepath.Join(dir, "accounts.key"),
		tokensPath:      filepath.Join(dir, "tokens.csv"),
	}
	contents := map[string][]byte{
		f.certificatePath: certificate,
		f.keyPath:         key,
		f.accountKeyPath:  accountKey,
		f.tokensPath:      []byte(tokens()),
	}
	for path, content := range contents {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return files{}, err
		}
	}
	return f, nil
}

// tokens is the API server's token file: token, name, uid, groups.
func tokens() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s,%s,%s,system:masters\n", token(Admin), Admin, Admin)
	for _, user := range Users() {
		fmt.Fprintf(&b, "%s,%s,%s\n", token(user), user, user)
	}
	return b.String()
}

// makeData makes a directory for etcd, in memory where possible: etcd writes
// 64 MB before its first answer. The name tells the process that it belongs to, so
// that what a killed test left behind can be removed by the next one.
func makeData() (string, error) {
	for _, parent := range []string{"/dev/shm", os.TempDir()} {
		removeStaleData(parent)
		dir, err := os.MkdirTemp(parent, fmt.Sprintf("kconfd-etcd-%d-", os.Getpid()))
		if err == nil {
			return dir, nil
		}
		if parent == os.TempDir() {
			return "", fmt.Errorf("making a directory for etcd: %w", err)
		}
	}
	return "", nil
}

// removeStaleData removes the directories of processes that are gone. It is a
// courtesy: what cannot be removed stays.
func removeStaleData(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, "kconfd-etcd-*"))
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "kconfd-etcd-%d-", &pid); err != nil {
			continue
		}
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(dir)
		}
	}
}
