package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// alive are entries that may go on being silent for that long; all others for
// the lease time.
type alive map[string]time.Duration

func (a alive) left(e entry) time.Duration {
	if d, ok := a[e.Identity]; ok {
		return d
	}
	return 15 * time.Second
}

// me is who plans, n seconds in.
func me(n int) entry { return of("me", n) }

// let is me with a slot since n seconds.
func let(n int) entry { return entry{Identity: "me", Since: at(n), Renewed: at(n), Seconds: 15} }

func plansAreComparable() cmp.Options {
	return cmp.Options{cmp.AllowUnexported(record{}, plan{}), cmpopts.EquateEmpty()}
}

func TestWaiting(t *testing.T) {
	stopped := []stop{{By: "a"}}
	for name, tt := range map[string]struct {
		view view
		want plan
	}{
		"nobody is there": {
			view{},
			plan{write: true, holds: true, record: record{holders: []entry{let(9)}}, self: let(9)},
		},
		"somebody is inside": {
			view{record: record{holders: []entry{of("a", 1)}}},
			plan{write: true, queued: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{me(9)}}, self: me(9), wait: 15 * time.Second},
		},
		"already in the queue": {
			view{record: record{holders: []entry{of("a", 1)}, queue: []entry{me(7)}}},
			plan{queued: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{me(9)}}, self: me(9), wait: 15 * time.Second},
		},
		"time to renew": {
			view{record: record{holders: []entry{of("a", 1)}, queue: []entry{me(7)}}, due: true},
			plan{write: true, queued: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{me(9)}}, self: me(9), wait: 15 * time.Second},
		},
		"the place of before a restart": {
			view{record: record{holders: []entry{of("a", 1)}, queue: []entry{let(3), of("b", 1)}}},
			plan{write: true, queued: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{me(9), of("b", 1)}}, self: me(9), wait: 7500 * time.Millisecond},
		},
		"the slot of before a restart": {
			view{record: record{holders: []entry{of("a", 1), let(3)}, queue: []entry{of("b", 1)}, stops: stopped}},
			plan{write: true, holds: true, record: record{holders: []entry{of("a", 1), let(9)}, queue: []entry{of("b", 1)}, stops: stopped}, self: let(9)},
		},
		"the holder is dead": {
			view{record: record{holders: []entry{of("dead", 1)}, queue: []entry{me(7)}}},
			plan{write: true, holds: true, record: record{holders: []entry{let(9)}, queue: []entry{}}, self: let(9)},
		},
		"who comes first is dead": {
			view{record: record{queue: []entry{of("dead", 1), me(7)}}},
			plan{write: true, holds: true, record: record{queue: []entry{}, holders: []entry{let(9)}}, self: let(9)},
		},
		"who comes first is alive": {
			view{record: record{queue: []entry{of("b", 1), me(7)}}},
			plan{queued: true, record: record{queue: []entry{of("b", 1), me(9)}}, self: me(9), wait: 7500 * time.Millisecond},
		},
		"the holder is dead, and another comes first": {
			view{record: record{holders: []entry{of("dead", 1)}, queue: []entry{of("b", 1), me(7)}}},
			plan{write: true, queued: true, record: record{queue: []entry{of("b", 1), me(9)}}, self: me(9), wait: 7500 * time.Millisecond},
		},
		"a slot for each": {
			view{record: record{holders: []entry{of("a", 1)}, queue: []entry{of("b", 1), me(7)}}, slots: 3},
			plan{write: true, holds: true, record: record{holders: []entry{of("a", 1), let(9)}, queue: []entry{of("b", 1)}}, self: let(9)},
		},
		"more holders than slots": {
			view{record: record{holders: []entry{of("a", 1), of("b", 1)}, queue: []entry{me(7)}}},
			plan{queued: true, record: record{holders: []entry{of("a", 1), of("b", 1)}, queue: []entry{me(9)}}, self: me(9), wait: 15 * time.Second},
		},
		"others have to come": {
			view{settle: time.Second},
			plan{write: true, queued: true, record: record{queue: []entry{me(9)}}, self: me(9), wait: time.Second},
		},
		"stopped": {
			view{record: record{queue: []entry{me(7)}, stops: stopped}},
			plan{queued: true, record: record{queue: []entry{me(9)}, stops: stopped}, self: me(9), wait: -1},
		},
		"stopped by me, and by another": {
			view{record: record{queue: []entry{of("b", 1)}, stops: []stop{{By: "a"}, {By: "me"}}}},
			plan{write: true, holds: true, record: record{holders: []entry{let(9)}, queue: []entry{of("b", 1)}, stops: []stop{{By: "a"}, {By: "me"}}}, self: let(9)},
		},
		"nobody knows how many are inside": {
			view{record: record{queue: []entry{me(7)}, garbled: "x"}, slots: 3},
			plan{queued: true, record: record{queue: []entry{me(9)}, garbled: "x"}, self: me(9), wait: 15 * time.Second},
		},
		"nobody knows, and it has been too long": {
			view{record: record{queue: []entry{me(7)}, garbled: "old"}, slots: 3},
			plan{write: true, holds: true, record: record{holders: []entry{let(9)}, queue: []entry{}}, self: let(9)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := complete(tt.view)
			if diff := cmp.Diff(tt.want, v.waiting(), plansAreComparable()...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// complete fills in what is the same in all views.
func complete(v view) view {
	v.exists, v.self, v.slots = true, me(9), max(v.slots, 1)
	v.left = alive{"dead": 0, "\x00old": 0}.left
	return v
}

func TestInside(t *testing.T) {
	for name, tt := range map[string]struct {
		view view
		want plan
	}{
		"all is well": {
			view{record: record{holders: []entry{me(7)}}},
			plan{record: record{holders: []entry{me(7)}}, wait: -1},
		},
		"time to renew, and to clear away": {
			view{record: record{holders: []entry{of("dead", 1), me(7)}, queue: []entry{of("dead", 1), of("b", 1)}}, due: true, slots: 2},
			plan{write: true, holds: true, record: record{holders: []entry{me(9)}, queue: []entry{of("b", 1)}}, self: me(9)},
		},
		"a slot is still free": {
			view{record: record{holders: []entry{of("a", 1)}}, slots: 2},
			plan{write: true, holds: true, record: record{holders: []entry{of("a", 1), me(9)}}, self: me(9)},
		},
		"others are inside": {
			view{record: record{holders: []entry{of("a", 1)}}},
			plan{lost: taken, wait: 15 * time.Second},
		},
		"another with the same name is": {
			view{record: record{holders: []entry{let(8)}}},
			plan{lost: stolen, wait: -1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, complete(tt.view).inside(), plansAreComparable()...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	all := record{
		holders: []entry{of("a", 1), me(7), of("dead", 1)}, queue: []entry{of("b", 1)},
		stops: []stop{{By: "me", Reason: "old"}, {By: "a"}},
	}
	twin := record{holders: []entry{let(8)}, queue: []entry{of("b", 1)}}
	for name, tt := range map[string]struct {
		record record
		end    func(view) plan
		want   plan
	}{
		"leaving": {
			all, view.leaving,
			plan{write: true, done: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{of("b", 1)}, stops: []stop{{By: "a"}}}},
		},
		"leaving, and nothing is left to do": {
			twin, view.leaving,
			plan{done: true, record: twin},
		},
		"failing": {
			all, func(v view) plan { return v.failing("new") },
			plan{write: true, done: true, record: record{
				holders: []entry{of("a", 1)}, queue: []entry{of("b", 1)},
				stops: []stop{{By: "a"}, {By: "me", Reason: "new", Since: at(9)}},
			}},
		},
		"failing when another has the slot": {
			twin, func(v view) plan { return v.failing("new") },
			plan{write: true, done: true, record: record{
				holders: []entry{let(8)}, queue: []entry{of("b", 1)}, stops: []stop{{By: "me", Reason: "new", Since: at(9)}},
			}},
		},
		"withdrawing from the queue": {
			record{holders: []entry{of("a", 1)}, queue: []entry{me(7)}, stops: []stop{{By: "me"}}},
			view.withdrawing,
			plan{write: true, done: true, record: record{holders: []entry{of("a", 1)}, queue: []entry{}, stops: []stop{{By: "me"}}}},
		},
		"withdrawing, let in without knowing": {
			twin, view.withdrawing,
			plan{write: true, done: true, record: record{holders: []entry{}, queue: []entry{of("b", 1)}}},
		},
		"withdrawing before it began": {
			record{holders: []entry{of("a", 1)}},
			view.withdrawing,
			plan{done: true, record: record{holders: []entry{of("a", 1)}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.end(complete(view{record: tt.record}))
			if diff := cmp.Diff(tt.want, got, plansAreComparable()...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
