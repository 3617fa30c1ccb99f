package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"

	"github.com/kconfd/kconfd/internal/timing"
	"github.com/kconfd/kconfd/reload"
	"github.com/kconfd/kconfd/watcher"
)

const (
	defaultConfDir = "/etc/kconfd"
	defaultWait    = "50ms:1s"
	defaultTimeout = time.Minute
)

// flags are the command line's and the environment's.
type flags struct {
	confDir    string
	confDirSet bool // named by the user, so it must exist
	templates  repeated
	manifests  repeated
	cluster    watcher.Cluster
	onetime    bool
	noop       bool
	diff       bool
	syncOnly   bool
	wait       string
	quiet      reload.Quiet // wait, parsed
	timeout    time.Duration
	stateDir   string
	listen     string
	events     bool
	logLevel   slog.Level
	logFormat  string
	version    bool
	args       []string // behind the flags
	dashes     bool     // and behind a --
	daemon     bool     // no subcommand

	// How the command behind the flags is run.
	process    rawProcess
	forwardHUP bool
	adopt      bool
}

// hasChild says whether there is a command to supervise.
func (f *flags) hasChild() bool { return !f.onetime && len(f.args) > 0 }

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, "\n") }

// Set adds a value. An empty one is what is behind the last line's end in an
// environment variable.
func (r *repeated) Set(s string) error {
	if s != "" {
		*r = append(*r, s)
	}
	return nil
}

// parseFlags reads args and, for what they do not say, the environment:
// -log-level is KCONFD_LOG_LEVEL. It returns flag.ErrHelp after -help. Extra
// adds a subcommand's own flags.
func parseFlags(name string, args []string, extra ...func(*flag.FlagSet)) (*flags, error) {
	f := &flags{cluster: watcher.Cluster{UserAgent: "kconfd/" + version}}
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are returned, and the help is hand-written
	set.Usage = func() {}
	f.common(set)
	if name == "kconfd" {
		f.processFlags(set)
	}
	for _, add := range extra {
		add(set)
	}
	if err := ff.Parse(set, args, ff.WithEnvVarPrefix("KCONFD"), ff.WithEnvVarSplit("\n")); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, flag.ErrHelp
		}
		return nil, flagError(set, err)
	}
	if name == "kconfd" && !f.version {
		if err := refuseCommand(set, args); err != nil {
			return nil, err
		}
	}
	f.dashes = endsWithDashes(set, args[:len(args)-set.NArg()])
	set.Visit(func(given *flag.Flag) { f.confDirSet = f.confDirSet || given.Name == "confdir" })
	f.args = set.Args()
	return f, f.check()
}

func (f *flags) common(set *flag.FlagSet) {
	set.StringVar(&f.confDir, "confdir", defaultConfDir, "")
	set.Var(&f.templates, "template", "")
	set.Var(&f.manifests, "manifests", "")
	set.StringVar(&f.cluster.Kubeconfig, "kubeconfig", "", "")
	set.StringVar(&f.cluster.Context, "context", "", "")
	set.StringVar(&f.cluster.Namespace, "namespace", "", "")
	set.BoolVar(&f.onetime, "onetime", false, "")
	set.BoolVar(&f.noop, "noop", false, "")
	set.BoolVar(&f.diff, "diff", false, "")
	set.BoolVar(&f.syncOnly, "sync-only", false, "")
	set.StringVar(&f.wait, "wait", defaultWait, "")
	durationFlag(set, &f.timeout, "timeout", defaultTimeout)
	set.StringVar(&f.stateDir, "state-dir", "", "")
	set.StringVar(&f.listen, "listen", "", "")
	set.BoolVar(&f.events, "events", false, "")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "")
	set.StringVar(&f.logFormat, "log-format", "text", "")
	set.BoolFunc("version", "", func(given string) error {
		// Not a word in the environment: images have KCONFD_VERSION=1.2 there.
		f.version = given == "true"
		return nil
	})
}

// durationFlag is a flag for a duration of a year at most.
func durationFlag(set *flag.FlagSet, to *time.Duration, name string, otherwise time.Duration) {
	*to = otherwise
	set.Var((*bounded)(to), name, "")
}

// bounded is a duration as a flag. What is not positive is refused later, by name.
type bounded time.Duration

func (b *bounded) String() string { return time.Duration(*b).String() }

func (b *bounded) Set(s string) error {
	d, err := timing.Parse(s, -timing.Longest, timing.Longest)
	if outside := (*timing.RangeError)(nil); errors.As(err, &outside) {
		outside.Min = timing.Shortest
	} else if err != nil {
		return fmt.Errorf("want a duration such as 30s, not %q", s)
	}
	*b = bounded(d)
	return err
}

func (f *flags) check() error {
	quiet, ceiling, err := parseWait("-wait", f.wait, 0)
	var outside *timing.RangeError
	switch {
	case errors.As(err, &outside), err != nil && strings.HasPrefix(err.Error(), "-wait: "):
		return &usageError{err}
	case err != nil:
		return &usageError{fmt.Errorf("-wait: %w", err)}
	case f.timeout <= 0:
		return &usageError{fmt.Errorf("-timeout: want a positive duration, not %s", f.timeout)}
	case f.logFormat != "text" && f.logFormat != "json":
		return &usageError{fmt.Errorf("-log-format: want text or json, not %q", f.logFormat)}
	case f.noop && f.syncOnly:
		return &usageError{errors.New("-noop writes nothing and -sync-only writes only: one of them")}
	case f.noop && len(f.args) > 0:
		return &usageError{errors.New("-noop runs nothing, and here is a command to run: one of them")}
	case len(f.manifests) > 0 && (f.cluster.Kubeconfig != "" || f.cluster.Context != ""):
		return &usageError{errors.New("-manifests and -kubeconfig or -context are two sources: one of them")}
	}
	if f.onetime && len(f.args) > 0 {
		if err := f.checkSuccessor(); err != nil {
			return err
		}
	} else if !f.hasChild() && (!reflect.ValueOf(f.process).IsZero() || f.adopt || f.forwardHUP) {
		return &usageError{errors.New("the flags say how to run a command, and there is none: kconfd [flags] -- COMMAND")}
	}
	f.quiet = reload.Quiet{Min: quiet, Max: ceiling}
	return nil
}

// newWatcher is the source that the flags name. A command without templates
// needs none.
func (f *flags) newWatcher(groups []groupConfig, s streams, log *slog.Logger) (*watcher.Watcher, error) {
	if !slices.ContainsFunc(groups, groupConfig.hasTemplates) {
		return watcher.NewOffline(), nil
	}
	if len(f.manifests) > 0 {
		return watcher.NewManifests(f.manifests, cmp.Or(f.cluster.Namespace, os.Getenv("POD_NAMESPACE")), s.in, log,
			watcher.ManifestTiming{Quiet: f.quiet.Min, Ceiling: f.quiet.Max, Timeout: max(f.timeout, minBeginTime)})
	}
	if err := f.checkKubeconfig(); err != nil {
		return nil, err
	}
	return watcher.NewCluster(f.cluster, log)
}

// checkKubeconfig reads the one that is named: client-go would say why it cannot
// be read in words only, too late for a hint.
func (f *flags) checkKubeconfig() error {
	if f.cluster.Kubeconfig == "" {
		return nil
	}
	file, err := os.Open(f.cluster.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig: %w", err)
	}
	return file.Close()
}
