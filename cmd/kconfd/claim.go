package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kconfd/kconfd/gate"
	"github.com/kconfd/kconfd/render"
)

// runClaim is `kconfd claim`: it ends with 0 for the first caller ever, with 1
// for all others, and with 3 when it could not be decided.
func runClaim(ctx context.Context, args []string, s streams) error {
	c, err := parseClaim(ctx, args, s)
	if c == nil || err != nil {
		return err
	}
	newLogger(s.err, c.flags, &render.Redactor{}) // for what client-go says
	claimed, err := c.make(ctx)
	var by *signalled
	switch {
	case errors.As(err, &by):
		return by.exit(true)
	case err != nil:
		return &codeError{exitDeadline, fmt.Errorf("claiming %q: %w", c.name, err)}
	}
	if err := c.print(claimed, s); err != nil {
		return err
	}
	if !claimed.Won {
		return &codeError{code: exitError}
	}
	return nil
}

// A claimCall is what the command line of a claim says.
type claimCall struct {
	flags  *flags
	name   string
	holder string
}

// parseClaim gives nil when there is nothing to claim. The name may stand before
// the flags, behind them or among them.
func parseClaim(ctx context.Context, args []string, s streams) (*claimCall, error) {
	c := &claimCall{}
	var names []string
	for {
		f, err := parseOrHelp(ctx, "kconfd claim", args, s, c.flag)
		if f == nil {
			return nil, err
		}
		c.flags = f
		if len(f.args) == 0 {
			break
		}
		names = append(names, f.args[0])
		args = append(args[:len(args)-len(f.args):len(args)-len(f.args)], f.args[1:]...)
	}
	if len(names) != 1 {
		return nil, &usageError{errors.New("want one name to claim: kconfd claim [flags] NAME")}
	}
	c.name = names[0]
	return c, c.check()
}

func (c *claimCall) flag(set *flag.FlagSet) {
	set.Func("holder", "", func(given string) error {
		if given == "" { // a variable that is not set, say: not to be taken for no holder
			return errors.New("it is empty")
		}
		c.holder = given
		return nil
	})
}

func (c *claimCall) check() error {
	switch {
	case len(validation.IsDNS1123Subdomain(c.name)) > 0:
		return &usageError{fmt.Errorf("%q is no name for a claim: want lower case letters, digits, dots and hyphens", c.name)}
	case len(c.flags.manifests) > 0:
		return &usageError{errors.New("a claim is made in a cluster, not in -manifests")}
	}
	return nil
}

// make claims until it is decided, the timeout has passed, or a signal comes.
func (c *claimCall) make(ctx context.Context) (gate.Claimed, error) {
	if err := c.flags.checkKubeconfig(); err != nil {
		return gate.Claimed{}, err
	}
	config, namespace, err := c.flags.cluster.Config()
	if err != nil {
		return gate.Claimed{}, err
	}
	client, err := gate.NewClient(config)
	if err != nil {
		return gate.Claimed{}, err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, c.flags.timeout, fmt.Errorf("not decided after %s", c.flags.timeout))
	defer cancel()
	return gate.Claim(ctx, client, namespace, c.name, c.holder)
}

func (c *claimCall) print(claimed gate.Claimed, s streams) error {
	word := "claimed by"
	if claimed.Won {
		word = "won by"
	}
	_, err := fmt.Fprintf(s.out, "%s: %s %s at %s\n", c.name, word, oneWord(claimed.First), claimed.Since.UTC().Format(time.RFC3339))
	return err
}

// oneWord is a text that somebody else wrote, quoted where it is not plain.
func oneWord(text string) string {
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` || strings.Contains(text, " ") {
		return quoted
	}
	return text
}

// untilSignal gives a context that SIGTERM, SIGINT and SIGHUP end, with a
// [signalled] as its cause, until stop is called. Under nohup SIGHUP stays ignored.
func untilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(term, syscall.SIGHUP)
	}
	go func() { // until stop
		select {
		case s := <-term:
			cancel(&signalled{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(term)
		cancel(nil)
	}
}
