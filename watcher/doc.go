// Package watcher turns what templates read into watches, and what the
// watches bring into views that templates can read.
//
// A [Reader] belongs to one template. Its functions (endpoints, service,
// secret …) answer from what the Watcher holds and record what was asked: a
// template declares its dependencies by using them. Whatever a template read
// that is not being watched yet makes that run incomplete; the watch is
// started, and [Watcher.Changed] pokes when the template is worth running
// again.
//
// Three things are kept apart at every step, since taking one for another is
// how a member list becomes empty by mistake:
//
//   - unknown: not listed yet, the run is incomplete;
//   - error: the server denies it or cannot be reached, the run is incomplete
//     and [Watcher.Problems] says why;
//   - empty: listed, and nothing is there.
//
// What was known stays while the source is away, and can be kept for a start in
// such times ([Watcher.Snapshot], [Watcher.Restore]). Whether what a template
// read is known to be up to date is another question: [Reader.OutOfDate].
//
// Objects come from one of two sources: a cluster ([NewCluster]) or manifests
// on disk ([NewManifests]). Both fill the same store, so whatever works on one
// works on the other.
package watcher
