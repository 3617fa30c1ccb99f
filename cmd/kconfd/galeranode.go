package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/kconfd/kconfd/events"
	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/internal/safefs"
	"github.com/kconfd/kconfd/render"
)

const (
	defaultDefaultsFile = "/etc/mysql/my.cnf"
	defaultViewTimeout  = 10 * time.Second
)

// A galeraCall is what the command line of a command about a node says.
type galeraCall struct {
	*flags
	file    string // the server's option file
	server  string
	cluster string // instead of the file's

	withoutPrimary time.Duration
	viewTimeout    time.Duration
	from           string
	force          bool
}

func (c *galeraCall) fileFlags(set *flag.FlagSet) {
	set.StringVar(&c.file, "defaults-file", defaultDefaultsFile, "")
}

// nodeFlags are those of the commands beside a server.
func (c *galeraCall) nodeFlags(set *flag.FlagSet) {
	c.fileFlags(set)
	set.StringVar(&c.server, "server", "", "")
}

func (c *galeraCall) joinedFlags(set *flag.FlagSet) {
	c.nodeFlags(set)
	durationFlag(set, &c.withoutPrimary, "without-primary", time.Minute)
}

func (c *galeraCall) stoppedFlags(set *flag.FlagSet) {
	c.nodeFlags(set)
	durationFlag(set, &c.viewTimeout, "view-timeout", defaultViewTimeout)
}

// recordFlags are those of the commands for people.
func (c *galeraCall) recordFlags(set *flag.FlagSet) {
	c.fileFlags(set)
	set.StringVar(&c.cluster, "cluster", "", "")
}

func (c *galeraCall) bootstrapFlags(set *flag.FlagSet) {
	c.recordFlags(set)
	set.StringVar(&c.from, "from", "", "")
	set.BoolVar(&c.force, "force", false, "")
}

// parseGalera gives nil when there is nothing to do.
func parseGalera(ctx context.Context, name string, args []string, s streams, add func(*galeraCall, *flag.FlagSet)) (*galeraCall, error) {
	c := &galeraCall{}
	f, err := parseOrHelp(ctx, "kconfd galera "+name, args, s, func(set *flag.FlagSet) { add(c, set) })
	switch {
	case f == nil:
		return nil, err
	case len(f.args) > 0:
		return nil, &usageError{fmt.Errorf("want no arguments, not %q", f.args[0])}
	case len(f.manifests) > 0:
		return nil, &usageError{errors.New("the record of a Galera cluster is in a cluster, not in -manifests")}
	}
	c.flags = f
	return c, nil
}

// store is where the record is.
func (c *galeraCall) store(cluster string) (*galera.Store, error) {
	if err := c.checkKubeconfig(); err != nil {
		return nil, err
	}
	config, namespace, err := c.flags.cluster.Config()
	if err != nil {
		return nil, err
	}
	client, err := galera.NewClient(config)
	if err != nil {
		return nil, err
	}
	return galera.NewStore(client, namespace, cluster)
}

// record is the store for a command of a person.
func (c *galeraCall) record() (*galera.Store, error) {
	if c.cluster != "" {
		return c.store(c.cluster)
	}
	settings, err := galera.ReadSettings(c.file)
	if err != nil {
		return nil, fmt.Errorf("which cluster? There is no -cluster, and: %w", err)
	}
	return c.store(settings.Cluster)
}

func (c *galeraCall) node(s streams) galera.NodeCommand {
	return galera.NodeCommand{
		File: c.file, Server: c.server, Pod: podIdentity(), Log: newLogger(logOf(s), c.flags, &render.Redactor{}), Store: c.store,
	}
}

// logOf is the log of the kconfd that runs this command, which is read while the command
// runs; or else standard error. A log that nobody reads does not hold up a
// start: what there is no room for is dropped.
func logOf(s streams) io.Writer {
	name := os.Getenv("KCONFD_LOG_FILE")
	if name == "" || overwrites(name) {
		return s.err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return s.err
	}
	return patient{file}
}

// overwrites says whether whoever has a file in /proc/PID/fd open does not append to it:
// he would write over what others do.
func overwrites(name string) bool {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	text, _ := os.ReadFile(strings.Replace(name, "/fd/", "/fdinfo/", 1)) // see proc(5)
	var position, flags int
	_, err = fmt.Sscanf(string(text), "pos:\t%d\nflags:\t%o", &position, &flags)
	return err != nil || flags&syscall.O_APPEND == 0
}

// patient writes to a file that may be a pipe, for a moment.
type patient struct{ *os.File }

func (p patient) Write(line []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // a file that is no pipe has none, and needs none
	return p.File.Write(line)
}

// podIdentity is this pod's, the same over all restarts of its containers.
func podIdentity() string {
	if pod, found := events.Self(events.TokenFile); found {
		return pod.Name + "/" + pod.UID
	}
	host, _ := os.Hostname()
	return cmp.Or(os.Getenv("POD_NAME"), host)
}

// exitBySignal is the end of a command that was told to end, whatever that made of
// its last request.
func exitBySignal(ctx context.Context, err error) error {
	var by *signalled
	if err != nil && errors.As(context.Cause(ctx), &by) {
		return by.exit(true)
	}
	return err
}

// runGaleraStart is `kconfd galera start`.
func runGaleraStart(ctx context.Context, args []string, s streams) error {
	c, err := parseGalera(ctx, "start", args, s, (*galeraCall).nodeFlags)
	if c == nil {
		return err
	}
	path := os.Getenv("KCONFD_START_FILE")
	if path == "" {
		return &usageError{errors.New("KCONFD_START_FILE is not set: this is for pre_start")}
	}
	out, err := openStartFile(path)
	if err != nil {
		return fmt.Errorf("opening the file in KCONFD_START_FILE: %w", err)
	}
	defer out.Close()
	ctx, stop := untilSignal(ctx)
	defer stop()
	start := &galera.Start{NodeCommand: c.node(s), Out: out, LastExit: os.Getenv("KCONFD_LAST_EXIT")}
	return exitBySignal(ctx, start.Run(ctx))
}

// openStartFile opens a regular file, and does not wait for one that is none.
func openStartFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &safefs.TypeError{Path: path, Mode: info.Mode()}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// runGaleraJoined is `kconfd galera joined`.
func runGaleraJoined(ctx context.Context, args []string, s streams) error {
	c, err := parseGalera(ctx, "joined", args, s, (*galeraCall).joinedFlags)
	if c == nil {
		return err
	}
	if c.withoutPrimary <= 0 {
		return &usageError{fmt.Errorf("-without-primary: want a positive duration, not %s", c.withoutPrimary)}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	joined := &galera.Joined{NodeCommand: c.node(s), WithoutPrimary: c.withoutPrimary}
	return exitBySignal(ctx, joined.Run(ctx))
}

// runGaleraStopped is `kconfd galera stopped`.
func runGaleraStopped(ctx context.Context, args []string, s streams) error {
	c, err := parseGalera(ctx, "stopped", args, s, (*galeraCall).stoppedFlags)
	if c == nil {
		return err
	}
	if c.viewTimeout < 0 {
		return &usageError{fmt.Errorf("-view-timeout: want a duration that is not negative, not %s", c.viewTimeout)}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	stopped := galera.StoppedCommand{NodeCommand: c.node(s)}
	if os.Getenv("KCONFD_STOP_TURN") != "" { // without a turn, no other node waits for this one
		stopped.ViewTimeout = c.viewTimeout
	}
	return exitBySignal(ctx, stopped.Run(ctx))
}

// runGaleraBootstrap is `kconfd galera bootstrap`.
func runGaleraBootstrap(ctx context.Context, args []string, s streams) error {
	c, err := parseGalera(ctx, "bootstrap", args, s, (*galeraCall).bootstrapFlags)
	if c == nil {
		return err
	}
	if c.from == "" {
		return &usageError{errors.New("want the node to begin with: -from NODE")}
	}
	newLogger(s.err, c.flags, &render.Redactor{}) // for what client-go says
	store, err := c.record()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	overruled, err := galera.Bootstrap(ctx, store, c.from, person(), c.force)
	if err != nil {
		return exitBySignal(ctx, fmt.Errorf("deciding that %q is to be the first: %w", c.from, err))
	}
	for _, text := range overruled {
		if _, err := fmt.Fprintf(s.out, "overruled: %s\n", text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "%s is to be the first of its cluster, as soon as it waits for its start\n", c.from)
	return err
}

// person is who decides, for people.
func person() string {
	return cmp.Or(os.Getenv("POD_NAME"), os.Getenv("USER"), "somebody")
}

// runGaleraStatus is `kconfd galera status`.
func runGaleraStatus(ctx context.Context, args []string, s streams) error {
	c, err := parseGalera(ctx, "status", args, s, (*galeraCall).recordFlags)
	if c == nil {
		return err
	}
	newLogger(s.err, c.flags, &render.Redactor{}) // for what client-go says
	store, err := c.record()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	record, err := store.Read(ctx)
	if err != nil {
		return exitBySignal(ctx, err)
	}
	return printRecord(record, store, s.out)
}

func printRecord(r *galera.Record, store *galera.Store, out io.Writer) error {
	fmt.Fprintf(out, "cluster %s, configmap %s\n", r.Name, store)
	fmt.Fprintf(out, "uuid %s, founded by %s, generation %d\n", cmp.Or(r.UUID, "-"), cmp.Or(r.Founder, "-"), r.Generation)
	if r.PutBack {
		fmt.Fprintln(out, "put back to an older version: no node is made the first without a decision with -force")
	}
	if r.Adopted {
		fmt.Fprintln(out, "older than its record: nobody is made the first without a person's decision")
	}
	if d := r.Bootstrap; d != nil {
		fmt.Fprintf(out, "%s is to be the first, decided by %s at %s\n", d.From, d.By, d.At.UTC().Format(time.RFC3339))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nNODE\tSTATE\tSINCE\tPOSITION\tADDRESS\tPOD")
	for _, name := range r.Names() {
		n := r.Nodes[name]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", name, n.State, n.At.UTC().Format(time.RFC3339), n.Has(), cmp.Or(n.Address, "-"), cmp.Or(n.Pod, "-"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, name := range r.Names() {
		if n := r.Nodes[name]; n.Waits != "" {
			fmt.Fprintf(out, "%s: %s\n", name, n.Waits)
		}
	}
	return nil
}
