package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/render"
)

// galeraCommands are those behind `kconfd galera`.
func galeraCommands() map[string]func(context.Context, []string, streams) error {
	return map[string]func(context.Context, []string, streams) error{
		"alive":     runGaleraAlive,
		"bootstrap": runGaleraBootstrap,
		"check":     runGaleraCheck,
		"joined":    runGaleraJoined,
		"notify":    runGaleraNotify,
		"ready":     runGaleraReady,
		"start":     runGaleraStart,
		"status":    runGaleraStatus,
		"stopped":   runGaleraStopped,
	}
}

// runGalera is `kconfd galera COMMAND`.
func runGalera(ctx context.Context, args []string, s streams) error {
	commands := galeraCommands()
	if len(args) == 0 || commands[args[0]] == nil {
		names := slices.Sorted(maps.Keys(commands))
		advice := "see kconfd -help"
		if len(args) > 0 && render.Similar(args[0], names) != "" {
			advice = fmt.Sprintf("did you mean %q?", render.Similar(args[0], names))
		}
		return usageErrorf(advice, "want kconfd galera and one of %s", strings.Join(names, ", "))
	}
	return commands[args[0]](ctx, args[1:], s)
}

// runGaleraCheck is `kconfd galera check`.
func runGaleraCheck(ctx context.Context, args []string, s streams) error {
	var check galera.Check
	f, err := parseOrHelp(ctx, "kconfd galera check", args, s, func(set *flag.FlagSet) {
		set.StringVar(&check.NodeAddress, "node-address", "", "")
		set.StringVar(&check.Server, "server", "", "")
		set.StringVar(&check.In, "in", "", "")
		set.StringVar(&check.Dest, "dest", "", "")
	})
	if f == nil {
		return err
	}
	if len(f.args) != 1 {
		return &usageError{errors.New("want one file to check")}
	}
	if (check.In == "") != (check.Dest == "") {
		return &usageError{errors.New("-in and -dest: want both or none")}
	}
	check.File = f.args[0]
	ctx, stop := untilSignal(ctx)
	defer stop()
	return exitBySignal(ctx, check.Run(ctx))
}
