//go:build !stress

package galera_test

// joins is how many joins are stopped before the server is ready.
const joins = 6
