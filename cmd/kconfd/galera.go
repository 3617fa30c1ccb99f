package main

import (
	"context"
	"errors"
	"flag"

	"github.com/kconfd/kconfd/galera"
)

// runGalera is `kconfd galera check`.
func runGalera(ctx context.Context, args []string, s streams) error {
	if len(args) == 0 || args[0] != "check" {
		return &usageError{errors.New("want kconfd galera check FILE")}
	}
	var check galera.Check
	f, err := parseOrHelp(ctx, "kconfd galera check", args[1:], s, func(set *flag.FlagSet) {
		set.StringVar(&check.NodeAddress, "node-address", "", "")
		set.StringVar(&check.Server, "server", "", "")
	})
	if f == nil {
		return err
	}
	if len(f.args) != 1 {
		return &usageError{errors.New("want one file to check")}
	}
	check.File = f.args[0]
	return check.Run(ctx)
}
