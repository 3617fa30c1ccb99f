package galera

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A stop that is written once more, since nothing is known of the first write, says the same.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	lost := at(Synced, 9)
	lost.Lost = &Lost{Position{oneUUID, 12}, true}
	for own, old := range map[string]Node{
		"Synced": at(Synced, 9), "with a loss": lost,
		"given up": {State: Joining, Data: Partial, Generation: 1}, "without data": {State: Joining, Data: NoData},
	} {
		for now, l := range map[string]local{
			"the same":         {data: Full, position: Position{oneUUID, 9}},
			"more":             {data: Full, position: Position{oneUUID, 11}, generation: 1},
			"less":             {data: Full, position: Position{oneUUID, 5}},
			"another cluster":  {data: Full, position: Position{"2" + oneUUID[1:], 5}},
			"an older volume":  {data: Full, position: Position{oneUUID, 9}, memory: memory{Record: "id", Node: "a", Starts: 0, Next: 0}},
			"another's volume": {data: Full, position: Position{oneUUID, 9}, memory: memory{Record: "id", Node: "b", Starts: 5, Next: 5}},
			"a transfer":       {data: Partial},
			"data of none":     {data: Fresh},
			"nothing":          {data: NoData},
		} {
			old.Starts = 4
			r := nodes(map[string]Node{"a": old})
			r.ID = "id"
			once := r.resting("a", Stopped, l, stamp{})
			if diff := cmp.Diff(once, once.resting("a", Stopped, l, stamp{})); diff != "" {
				t.Errorf("%s, and now %s: -once +twice:\n%s", own, now, diff)
			}
		}
	}
}
