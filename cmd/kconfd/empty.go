package main

import (
	"errors"

	"github.com/kconfd/kconfd/watcher"
)

// emptyLists are the lists for which there is no object, with the reasons.
type emptyLists map[watcher.Dependency]string

// seeEmpty notes the lists that the group's templates and guards have found empty for
// want of any object, and says so once for each: a misspelt name gives an empty list.
// It is called outside of a view.
func (e *engine) seeEmpty(g *group, found map[*watcher.Reader][]watcher.Dependency) {
	now := emptyLists{}
	for _, r := range g.readers() {
		for _, d := range found[r] {
			if why, known := g.empty[d]; known {
				now[d] = why
				continue
			}
			if _, seen := now[d]; seen {
				continue
			}
			now[d] = e.watcher.WhyEmpty(d)
			e.log.Warn("list is empty", "group", g.name, "list", d.String(), "reason", now[d])
		}
	}
	g.empty = now
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
