package watcher

import "time"

// News is a change in something that a reader read.
type News struct {
	Dependency Dependency
	Object     string    // the last object that changed, where the dependency is of more than one; else empty
	At         time.Time // of the last change that its watch has brought
}

// News are the changes that r's last run has not seen, in no order. What was
// listed for the first time since then is none.
func (v *View) News(r *Reader) []News {
	var all []News
	for n, seen := range r.needs {
		f := v.watcher.serving(n)
		if f == nil || seen == 0 {
			continue
		}
		if now := f.revision(n); now == seen || now <= f.synced {
			continue
		}
		news := News{Dependency: n.Dependency, At: f.last.at}
		if n.Name == "" {
			news.Object = f.last.group
		}
		all = append(all, news)
	}
	return all
}

// lastChange is that of a feed.
type lastChange struct {
	group string
	at    time.Time
}
