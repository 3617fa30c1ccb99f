package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/gate"
	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/internal/lint"
	"github.com/kconfd/kconfd/internal/safefs"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// hintOf is what to do about one error, where that is known.
func hintOf(err error) string {
	var denied *watcher.DeniedError
	var lease *gate.DeniedError
	var record *galera.DeniedError
	var refused *galera.RefusedError
	var unknown *render.UnknownFunctionError
	var usage *usageError
	var command *reload.CommandError
	var stage *render.StageError
	var foreign *reload.ForeignProcessError
	var process *reload.NotFoundError
	var port *watcher.NoPortError
	var decode *decodeError
	var live *liveFailsError
	var advised *advisedError
	switch {
	case errors.As(err, &advised):
		return advised.advice
	case errors.As(err, &usage):
		return "see kconfd -help"
	case errors.As(err, &denied):
		return "`kconfd rbac` prints the Role that the templates need"
	case errors.As(err, &lease):
		return fmt.Sprintf("its Role in namespace %q needs the verb %s for leases of coordination.k8s.io", lease.Namespace, lease.Verb)
	case errors.As(err, &record):
		return fmt.Sprintf("its Role in namespace %q needs get and update for the configmap %q, and create for configmaps: `kconfd rbac -galera CLUSTER` prints it", record.Namespace, record.Name)
	case errors.As(err, &refused) && refused.Overrules:
		return "when you know better, for instance that a node is gone for good: -force"
	case errors.Is(err, galera.ErrNoRecord):
		return "name another cluster with -cluster, as wsrep_cluster_name has it, or another -namespace"
	case errors.Is(err, gate.ErrNoClaim):
		return "claim another name, or see whose Lease it is: kubectl get lease -o yaml"
	case apierrors.IsUnauthorized(err):
		return "the credentials are not accepted: look at the kubeconfig, or the service account's token"
	case errors.As(err, &decode):
		return decode.hint
	case errors.As(err, new(*render.MissingKeyError)), errors.As(err, new(*render.IncludeError)), templateAdvice(err) != "":
		return templateAdvice(err)
	case errors.As(err, &unknown):
		return lint.HintFor(unknown.Function, []string{unknown.Similar})
	case errors.As(err, &port) && port.OfEndpoint:
		return fmt.Sprintf("leave out the endpoints without that port: endpoints \"NAME\" | withPort %q", port.Name)
	case limitOf(err) != nil && limitOf(err).Limit != limits.Reads:
		return "look for what makes the data or the template so large; where it has to be, raise the limit in [limits] of the resource file"
	case errors.Is(err, watcher.ErrNoNamespace):
		return "name another one with -namespace, or create it"
	case errors.Is(err, safefs.ErrOtherUser):
		return "give the file the owner of that directory, create the directory, or set trust_path = true where its other users may be trusted"
	case errors.As(err, new(*safefs.PathError)):
		return "give dest without that link, have root own the directory it is in, or set trust_path = true for the template where its other users may be trusted"
	case errors.Is(err, render.ErrMountPoint):
		return `mount its directory instead, or set write = "inplace" for the template`
	case errors.Is(err, render.ErrNoModes):
		return "write it to a volume that has modes, an emptyDir for instance, or mount the volume with the owner and mode that its files are to have"
	case errors.As(err, &command) && lookedElsewhere(command.Command.String(), command.Output):
		return "the program looks for relative paths in a directory of its own: write dest as an absolute path"
	case errors.As(err, &live):
		return live.hint()
	case errors.Is(err, exec.ErrNotFound), errors.As(err, &command) && command.ExitCode == exitNotFound:
		return "install it in the image, or give its full path"
	case errors.As(err, &command) && command.TimedOut:
		return "raise its timeout if it needs longer"
	case errors.As(err, &command):
		return ""
	case errors.As(err, &foreign):
		return "name the user whose process it is: user in [reload]"
	case errors.As(err, &process):
		if len(process.Close) > 0 {
			return fmt.Sprintf("processes with names like it: %q", process.Close)
		}
		return "the process must be seen from kconfd's container: see shareProcessNamespace in the README; when it is started after kconfd -onetime: -sync-only"
	case errors.As(err, new(*reload.SeveralError)):
		return "name the one that is meant with pid_file in the place of process, or its user with user in [reload]"
	case errors.Is(err, reload.ErrEmptyPIDFile), errors.As(err, new(*reload.NoPIDFileError)):
		return "the program writes its process id there when it starts; when it is started after kconfd -onetime: -sync-only"
	case errors.As(err, new(user.UnknownUserError)), errors.As(err, new(user.UnknownGroupError)):
		return "it must be in /etc/passwd or /etc/group of the image; uid and gid take numbers"
	case errors.Is(err, reload.ErrNotPID):
		return "the first line must be the process id of the program that is to be told, which mostly writes it itself"
	case errors.Is(err, reload.ErrNoProcess):
		return "the program has ended, or runs under another process id: start it, or let it write the pid file; when it is started after kconfd -onetime: -sync-only"
	case errors.Is(err, syscall.ECONNREFUSED) && strings.Contains(err.Error(), "could not be told: http "):
		return "nothing listens there: look whether the program runs, and at which address it listens; when it is started after kconfd -onetime: -sync-only"
	case errors.Is(err, reload.ErrNoProc):
		return "mount -t proc proc /proc; unshare does it with --mount-proc"
	case errors.As(err, new(*watcher.NoConfigError)):
		return "outside a cluster, name a -kubeconfig or -manifests"
	case errors.Is(err, syscall.EISDIR):
		return "dest must name a file: add the name of the file to that of its directory"
	case errors.Is(err, syscall.EROFS):
		return "mount a writable volume there, an emptyDir for instance"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the volume, or raise its size limit; nothing was changed"
	case errors.As(err, &stage) && errors.Is(err, fs.ErrNotExist) && !exists(filepath.Dir(stage.Dest)):
		return `create the directory, mount a volume there, or set mkdir = "0755" for the template`
	case errors.As(err, new(*reload.StartError)) && errors.Is(err, fs.ErrPermission):
		return "the program must be executable (chmod +x) for the user that runs it, and so must all directories above it"
	case errors.Is(err, fs.ErrPermission):
		return "run kconfd as a user who may, or change the owner or mode"
	case listenAdvice(err) != "":
		return listenAdvice(err)
	}
	return pathAdvice(err)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
