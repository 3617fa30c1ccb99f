// Package galera knows what a Galera node must not be started with, and how it is
// started: whether it founds its cluster, joins it, or brings it back.
//
// [Guard] is a quick look at the bytes of a rendered file, and [Check] the whole
// examination of a staged one, which also asks the server itself. Both exist
// because the server does not protect itself: an empty first entry in
// wsrep_cluster_address makes a node found a cluster of its own, and a wrong
// provider option is noticed only when the process that worked is gone.
//
// [Start], [Joined] and [StoppedCommand] go around one run of a server. What the nodes
// know of each other is in a [Record], which is one ConfigMap. All rests on one
// rule: a node starts its server only after its entry was changed away from Offered
// and Stopped. So an entry that says one of these is true for as long as it stands, and
// when all do, the one with the most may go first.
package galera
