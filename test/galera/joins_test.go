//go:build !stress

package galera_test

// joins is how many joins are stopped, in turn with full and incremental
// transfers.
const joins = 8
