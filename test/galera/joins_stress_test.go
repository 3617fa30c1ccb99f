//go:build stress

package galera_test

const joins = 50
