//go:build !stress

package reload

// How often what must never happen is tried: as often as CI can wait for. "make
// stress" tries it more often.
const (
	orphanCount  = 1000
	restartCount = 40
	killCount    = 8 // of the worker, at any moment
)
