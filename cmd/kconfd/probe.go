package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/kconfd/kconfd/galera"
)

// defaultPatience is how long a server may have left its cluster. Somebody may have
// told it to, in order to join another way, which takes half a minute at most.
const defaultPatience = time.Minute

// runGaleraReady is `kconfd galera ready`.
func runGaleraReady(ctx context.Context, args []string, s streams) error {
	h, err := parseHealth(ctx, "kconfd galera ready", args, s, func(h *galera.Health, set *flag.FlagSet) {
		set.StringVar(&h.Donor, "donor", "auto", "")
		set.BoolVar(&h.Whole, "whole", false, "")
	})
	if h == nil {
		return err
	}
	if !slices.Contains([]string{"auto", "yes", "no"}, h.Donor) {
		return &usageError{fmt.Errorf("-donor: want auto, yes or no, not %q", h.Donor)}
	}
	ready, why, err := h.Ready(ctx)
	return tellHealth(s, "ready", ready, why, err)
}

// runGaleraAlive is `kconfd galera alive`.
func runGaleraAlive(ctx context.Context, args []string, s streams) error {
	h, err := parseHealth(ctx, "kconfd galera alive", args, s, func(h *galera.Health, set *flag.FlagSet) {
		durationFlag(set, &h.Patience, "patience", defaultPatience)
	})
	if h == nil {
		return err
	}
	if h.Patience < 0 {
		return &usageError{fmt.Errorf("-patience: want a positive duration or 0s, not %s", h.Patience)}
	}
	alive, why, err := h.Alive(ctx)
	return tellHealth(s, "alive", alive, why, err)
}

// parseHealth parses the flags of a probe. The health is nil when that was all.
func parseHealth(ctx context.Context, name string, args []string, s streams, add func(*galera.Health, *flag.FlagSet)) (*galera.Health, error) {
	var h galera.Health
	f, err := parseOrHelp(ctx, name, args, s, func(set *flag.FlagSet) {
		set.StringVar(&h.DefaultsFile, "defaults-file", defaultDefaultsFile, "")
		add(&h, set)
	})
	switch {
	case f == nil:
		return nil, err
	case len(f.args) > 0:
		return nil, &usageError{fmt.Errorf("%s: want no words behind the flags", name)}
	}
	return &h, nil
}

// tellHealth prints the one line of a probe, and decides its exit code.
func tellHealth(s streams, word string, is bool, why string, err error) error {
	if err != nil {
		return err
	}
	if !is {
		word = "not " + word
	}
	if _, err := fmt.Fprintf(s.out, "%s: %s\n", word, why); err != nil {
		return err
	}
	if !is {
		return &codeError{code: exitError}
	}
	return nil
}

// runGaleraNotify is `kconfd galera notify`, which servers run with words of their
// own behind it. These are no flags of kconfd, and what is new among them is passed
// over.
func runGaleraNotify(_ context.Context, args []string, _ streams) error {
	var n galera.Notification
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "--status":
			n.Status = args[i+1]
		case "--primary":
			n.Primary = args[i+1]
		}
	}
	if n.Status == "" {
		return &usageError{errors.New("want --status WORD: it is for wsrep_notify_cmd")}
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	return n.Write(dir)
}
