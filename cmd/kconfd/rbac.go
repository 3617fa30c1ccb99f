package main

import (
	"context"
	"errors"

	"github.com/kconfd/kconfd/watcher"
)

func runRBAC(ctx context.Context, args []string, s streams) error {
	return errors.New("soon")
}

var _ = watcher.NewOffline
