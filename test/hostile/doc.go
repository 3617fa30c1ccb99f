// Package hostile runs the real kconfd as root beside users, objects and clients
// that mean harm. kinds_test.go lists what is tried, by kind; each other file has
// the tests of one kind.
package hostile
