//go:build stress

package main

const (
	countedCodes    = 255
	countedOrphans  = 10_000
	countedRestarts = 250
	countedSignals  = 200
	countedStops    = 50

	countedLate = 0
)
