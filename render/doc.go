// Package render turns templates into files.
//
// A [Template] is parsed once and executed whenever what it reads has changed.
// Its functions are pure: rendering twice gives equal bytes, nothing reads the
// clock, draws a random number or has an effect besides its value.
//
// What was rendered goes to disk as a [Batch]: every file is staged beside its
// target, then checked by whoever made the batch, then all of them are
// committed together. Until the commit no live file is touched, and a commit
// that fails puts back what it had replaced. Each file is replaced by rename,
// so that a reader sees the old one or the new one, whole; it is synced before
// the rename and its directory after.
//
// The package does not promise that a set of several files changes at one
// moment: a reader in between finds some old and some new.
package render
