package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
)

const usage = `kconfd keeps configuration files in step with a Kubernetes cluster, and the
process that reads them in step with the files.

Usage:
  kconfd [flags]                       keep files in step until SIGTERM
  kconfd [flags] -- CMD …              the same, and start CMD and supervise it
  kconfd -onetime [flags] [-- CMD …]   once; with a command, then run it in kconfd's place
  kconfd render [flags] [FILE …]       print the rendered files; -diff: what differs on disk
  kconfd lint [flags]                  look for mistakes in resource files and templates
  kconfd rbac [flags]                  print the Role that the templates need
  kconfd status [flags]                print how the kconfd at -listen stands; -diff: what changed
  kconfd galera check [flags] FILE     check the my.cnf of a Galera node
  kconfd galera ready|alive [flags]    whether the node may get clients, is not beyond help
  kconfd galera start|joined|stopped [flags]
                                       around the server of a node: how it is started,
                                       and what the others know of it
  kconfd galera status [flags]         print what the nodes of a cluster know of each other
  kconfd galera bootstrap -from NODE [flags]
                                       decide which node is the first, where kconfd may not
  kconfd claim [flags] NAME            be the first ever to claim NAME (0), or not (1)
  kconfd version

Example:
  $ kconfd render -manifests three-nodes.yaml -template nodes.tmpl:/tmp/nodes
  $ kconfd -onetime -template nodes.tmpl:/etc/nodes:'kill -HUP 1'
  $ kconfd -stop-grace none -- mariadbd --defaults-file=/etc/mysql/my.cnf

What to render:
  -confdir DIR                 resource files in DIR/conf.d, templates in DIR/templates
                               (default /etc/kconfd)
  -template SRC:DEST[:CMD]     a template without a resource file; may be repeated

Where from:
  -kubeconfig FILE, -context NAME, -namespace NAME
                               as kubectl; in a pod the service account's
  -manifests PATH              Kubernetes manifests instead of a cluster: a file, a
                               directory or - for standard input; may be repeated
  -timeout DURATION            how long to wait for complete data (default 1m); then
                               CMD starts with the files of before, if they exist

How:
  -onetime                     render, check, write, act once, and exit
  -noop                        write and run nothing
  -diff                        show what changes, with secrets hidden
  -sync-only                   write, but run no check command and no action
  -wait MIN[:MAX]              how long it must be quiet after a change, and the most to
                               wait after the first one (default 50ms:1s); files that
                               are read: 50ms at least
  -state-dir DIR               keep there what is applied, what is owed, and the objects
                               last seen, for a start without the API server
  -listen ADDR                 serve a page, /status, /readyz, /healthz and /metrics
  -events                      write Kubernetes Events about this pod
  -log-level LEVEL             debug, info, warn or error (default info)
  -log-format text|json        (default text)
  -version, -help

How CMD is run; [process] of a resource file has these too, and more:
  -user USER[:GROUP], -group GROUP, -chdir DIR
  -no-new-privs                it gains no rights by set-user-ID programs; these four
                               also with -onetime
  -stop-signal SIGNAL          what stops it (default TERM)
  -stop-grace DURATION         from then to SIGKILL (default 10s); none is no limit
  -stop-before-ready kill|wait a stop before it is ready kills it, or waits
  -ready notify                it is ready when it says READY=1 on NOTIFY_SOCKET,
  -ready-cmd CMD               or when this command succeeds
  -ready-timeout DURATION      kill it when it is not ready by then
  -pre-start CMD, -post-start CMD
                               before and after each start
  -pre-stop CMD                to succeed before it is stopped
  -post-stop CMD               when all of it is gone
  -restart POLICY              when it ends by itself: never (default; end with its
                               code), on-failure or always
  -restart-wait MIN[:MAX]      how long to wait before that (default 1s:1m)
  -forward-hup                 pass SIGHUP on instead of reading the configuration
  -adopt                       when kconfd's worker dies, let CMD go on under a new one

Of single commands:
  -name NAME, -service-account NAME
                               rbac: of the Role (default kconfd), and whom to bind it
                               to (default: the same name)
  -json                        status, lint: print JSON
  -galera CLUSTER              rbac: also for the record of this Galera cluster
  -node-address IP             galera check: what wsrep_node_address must be
  -in FILE, -dest FILE         galera check: the option file that includes it as FILE
  -donor auto|yes|no           galera ready: whether a donor is (default: unless locked)
  -whole                       galera ready: only if no node is missing either
  -patience DURATION           galera alive: with a server that left or hangs (default 1m)
  -server PROGRAM              galera check, start, stopped: the server to ask (default
                               mariadbd, else mysqld)
  -defaults-file FILE          galera: the server's option file, which says which cluster
                               and which node (default /etc/mysql/my.cnf)
  -without-primary DURATION    galera joined: start a server anew that is so long without
                               a primary component (default 1m)
  -view-timeout DURATION       galera stopped: how long to wait until the others have a
                               view without the node (default 10s; 0s: not at all)
  -cluster CLUSTER             galera status, bootstrap: instead of the file's
  -from NODE, -force           galera bootstrap: which one, and also against the record
  -holder ID                   claim: who claims, and wins again after winning

Each flag is also an environment variable: -log-level is KCONFD_LOG_LEVEL; the
values of one that may be repeated stand on lines of their own.

Exit codes: 0, or 1 error, 2 usage, 3 the timeout passed with data missing or a
render held; render -diff: 0 same, 1 differs, 2 trouble; lint: 0, 1 warnings, 2
errors; status: 0 all applied, 1 not, 2 trouble; claim: 0 won, 1 somebody else was first, 3 not decided. With CMD
its own, 128+n for its signal n, 126 and 127 when it cannot be run or found.
`

func runHelp(_ context.Context, _ []string, s streams) error {
	_, err := fmt.Fprint(s.out, usage)
	return err
}

func runVersion(_ context.Context, _ []string, s streams) error {
	_, err := fmt.Fprintf(s.out, "kconfd %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// parseOrHelp parses flags and serves -help and -version; when it did, the
// flags are nil.
func parseOrHelp(ctx context.Context, name string, args []string, s streams, extra ...func(*flag.FlagSet)) (*flags, error) {
	f, err := parseFlags(name, args, extra...)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, runHelp(ctx, nil, s)
	case err != nil:
		return nil, err
	case f.version:
		return nil, runVersion(ctx, nil, s)
	}
	return f, nil
}
