//go:build e2e

package e2e

import (
	"os"
	"testing"
)

func TestE2E(t *testing.T) {
	m := startMachine(t, os.Getenv(inside))
	_ = m
}
