//go:build stress

package main

const (
	writtenRounds = 100
	writtenShort  = false
)
