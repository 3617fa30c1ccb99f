package gate

import (
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// A Rule is one of a Role, for Leases of its namespace.
type Rule struct {
	Group    string   // API group
	Resource string   // plural, as rules name it
	Names    []string // the only objects it takes; empty for all
	Verbs    []string
}

// Rules are what gates of these names need. RBAC cannot hold create down to
// names, since a name is not known when a request to create is judged: where
// the Leases have been created by somebody else, the second rule may be left
// out. Without watch a gate polls.
func Rules(names ...string) []Rule { return rules(names, "get", "update", "watch") }

// ClaimRules are what claims of these names need.
func ClaimRules(names ...string) []Rule { return rules(names, "get") }

func rules(names []string, verbs ...string) []Rule {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return []Rule{
		{Group: coordinationv1.GroupName, Resource: resource, Names: names, Verbs: verbs},
		{Group: coordinationv1.GroupName, Resource: resource, Verbs: []string{"create"}},
	}
}
