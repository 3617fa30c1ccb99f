//go:build stress

package reload

const (
	orphanCount  = 10_000
	restartCount = 250
	killCount    = 200
)
