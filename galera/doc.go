// Package galera knows what a Galera node must not be started with.
//
// [Guard] is a quick look at the bytes of a rendered file, and [Check] the whole
// examination of a staged one, which also asks the server itself. Both exist
// because the server does not protect itself: an empty first entry in
// wsrep_cluster_address makes a node found a cluster of its own, and a wrong
// provider option is noticed only when the process that worked is gone.
package galera
