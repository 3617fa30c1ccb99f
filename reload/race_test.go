//go:build race

package reload

// raceDetector is whether it takes memory of its own.
const raceDetector = true
