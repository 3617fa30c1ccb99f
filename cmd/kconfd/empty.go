package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kconfd/kconfd/watcher"
)

// An emptyList is a list for which there is no object.
type emptyList struct {
	reason string
	say    time.Time // when the log says so
	said   bool
}

type emptyLists map[watcher.Dependency]emptyList

// seeEmpty notes the lists that the group's templates and guards have found empty for
// want of any object: a misspelt name gives an empty list. It is called outside of a
// view.
func (e *engine) seeEmpty(g *group, found map[*watcher.Reader][]watcher.Dependency, now time.Time) {
	say := now
	if !e.flags.onetime {
		say = now.Add(patience) // the objects may be on their way
	}
	empty := emptyLists{}
	for _, r := range g.readers() {
		for _, d := range found[r] {
			list, known := g.empty[d]
			if !known {
				list = emptyList{reason: e.watcher.WhyEmpty(d), say: say}
			}
			empty[d] = list
		}
	}
	g.empty = empty
	e.sayEmpty(g, now)
}

// sayEmpty says once of each of the group's lists that it has been empty for a while.
func (e *engine) sayEmpty(g *group, now time.Time) {
	byName := func(a, b watcher.Dependency) int { return strings.Compare(a.String(), b.String()) }
	for _, d := range slices.SortedFunc(maps.Keys(g.empty), byName) {
		if list := g.empty[d]; !list.said && !now.Before(list.say) {
			list.reason, list.said = e.watcher.WhyEmpty(d), true
			e.log.Warn("list is empty", "group", g.name, "list", d.String(), "reason", list.reason)
			g.empty[d] = list
		}
	}
}

// emptyOf are the lists of the group's last runs that are empty. Of a run that is
// not complete there are none: the lists of before stay.
func (g *group) emptyOf(v *watcher.View, err error) map[*watcher.Reader][]watcher.Dependency {
	var incomplete *watcher.IncompleteError
	if errors.As(err, &incomplete) {
		return nil
	}
	found := map[*watcher.Reader][]watcher.Dependency{}
	for _, r := range g.readers() {
		found[r] = v.Empty(r)
	}
	return found
}
