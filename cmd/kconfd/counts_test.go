//go:build !stress

package main

import "time"

// How often TestCounted does what it counts, each in both ways: as often as CI can
// wait for. "make stress" does it more often.
const (
	countedCodes    = 51 // of those that are not 0, beside all signals
	countedOrphans  = 10_000
	countedRestarts = 40
	countedSignals  = 4 // times all of them, at each moment
	countedStops    = 3 // in each situation

	// countedLate is how much later than it should be the quickest of a few stops
	// may be on a busy machine. "make stress" allows nothing.
	countedLate = time.Second
)
