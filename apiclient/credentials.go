package apiclient

import (
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kconfd/kconfd/internal/process/tree"
)

// A source is where the credentials come from.
type source struct {
	what string // in words
	mark string // of the processes of a plugin; empty when there is none
}

func (s *source) running() bool { return s.mark != "" && tree.MarkedLives(s.mark) }

// credentials are those of this process, which has one kubeconfig.
var credentials atomic.Pointer[source]

// WatchCredentials notes where the credentials of config come from: a token file, or a plugin, whose
// processes get a mark by which [EndPlugins] finds them.
func WatchCredentials(config *rest.Config, tokenFile string) {
	switch {
	case config.ExecProvider != nil:
		s := source{what: fmt.Sprintf("credential plugin %q", config.ExecProvider.Command), mark: rand.Text()}
		if before := credentials.Load(); before != nil && before.what == s.what && before.mark != "" {
			s.mark = before.mark // client-go shares one plugin among equal configurations
		}
		provider := *config.ExecProvider
		provider.Env = append(slices.Clone(provider.Env), api.ExecEnvVar{Name: tree.MarkVariable, Value: tree.Marks(os.Getenv(tree.MarkVariable), s.mark)})
		config.ExecProvider = &provider
		credentials.Store(&s)
	case tokenFile != "":
		credentials.Store(&source{what: fmt.Sprintf("token file %q", tokenFile)})
	}
}

// EndPlugins ends the credential plugins that run, with all that they have started. client-go ends
// none. It is for the end of this process: client-go may start them again.
func EndPlugins() {
	if s := credentials.Load(); s != nil && s.mark != "" {
		tree.EndMarked(s.mark)
	}
}

// CheckFiles reports a file of a kubeconfig that is not a regular one: reading a FIFO may never end.
func CheckFiles(config api.Config) error {
	for _, user := range config.AuthInfos {
		for key, path := range map[string]string{"tokenFile": user.TokenFile, "client-certificate": user.ClientCertificate, "client-key": user.ClientKey} {
			if err := checkRegular(key, path); err != nil {
				return err
			}
		}
	}
	for _, cluster := range config.Clusters {
		if err := checkRegular("certificate-authority", cluster.CertificateAuthority); err != nil {
			return err
		}
	}
	for _, name := range []string{"token", "ca.crt"} {
		if err := checkRegular(name+" of the service account", "/var/run/secrets/kubernetes.io/serviceaccount/"+name); err != nil {
			return err
		}
	}
	return nil
}

// checkRegular leaves it to the reader to say that there is no such file.
func checkRegular(key, path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s: %q is not a regular file", key, path)
}
