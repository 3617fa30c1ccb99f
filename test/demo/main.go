// Command demo shows what kconfd does, on manifests instead of a cluster: it
// starts the real kconfd on a copy of the three-node Galera example, lets
// members come and go, and prints what follows.
//
// It is a test as well: when something that it announces does not happen in
// time, it exits with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	kconfd := flags.String("kconfd", "bin/kconfd", "the program to show")
	templates := flags.String("templates", "templates", "where my.cnf.tmpl and its example are")
	pause := flags.Duration("pause", time.Second, "before each step, for the reader")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := newStage(*kconfd, *templates, out)
	if err != nil {
		return err
	}
	defer s.close()
	for _, step := range []func(context.Context) error{
		s.introduce, s.once, s.daemon, s.memberComes, s.memberGoes, s.allGone, s.typo, s.end,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, *pause); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
