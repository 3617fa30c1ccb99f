//go:build !stress

package main

// writtenRounds is how often TestNothingHalfWrittenGoesLive writes in each way; with writtenShort, only some of
// the starts are tried. "make stress" does more.
const (
	writtenRounds = 2
	writtenShort  = true
)
