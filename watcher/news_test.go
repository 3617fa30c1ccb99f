package watcher

import (
	"testing"
	"time"
)

// newsOf are those of a page's reader, as text.
func newsOf[T any](w *Watcher, p *page[T]) (texts []string) {
	w.View(func(v *View) {
		for _, n := range v.News(p.reader) {
			text := n.Dependency.String() + " at " + n.At.Format("15:04:05")
			if n.Object != "" {
				text += " by " + n.Object
			}
			texts = append(texts, text)
		}
	})
	return texts
}

// What has changed since a template ran is named, with the time and, where it
// reads many objects, with the one that changed last. A first list is no change,
// and neither is the same list once more, nor that another watch took over.
func TestNews(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) { // which begins at midnight
		names := []string{"a"}
		some, all := ipsPage(w, &names), podNamesPage(w, "app=web")
		want := func(when string, ofSome, ofAll []string) {
			t.Helper()
			if d := diff(ofSome, newsOf(w, some)); d != "" {
				t.Errorf("%s: of one pod (-want +got):\n%s", when, d)
			}
			if d := diff(ofAll, newsOf(w, all)); d != "" {
				t.Errorf("%s: of all pods (-want +got):\n%s", when, d)
			}
		}
		want("before a run", nil, nil)
		some.look()
		all.look()
		one, many := feedFor(w, podKey("a")), feedFor(w, typedNeed(kindPod, "shop", "", "app=web").narrow())
		fill(t, one, aPod("a", "10.0.0.1"))
		fill(t, many, aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2"))
		want("a first list", nil, nil)
		some.look()
		all.look()
		fill(t, one, aPod("a", "10.0.0.1"))
		want("the same list again", nil, nil)

		time.Sleep(time.Second)
		must(t, one.Update(aPod("a", "10.0.0.9")))
		must(t, many.Update(aPod("b", "10.0.0.9")))
		time.Sleep(time.Second)
		must(t, many.Delete(aPod("a", "")))
		want("an event", []string{`Pod "a" in namespace "shop" at 00:00:01`}, []string{`Pods with labels "app=web" in namespace "shop" at 00:00:02 by a`})
		some.look()
		all.look()
		want("a run", nil, nil)

		names = []string{"a", "c"}
		w.View(some.run)
		wide := feedFor(w, podKey(""))
		fill(t, wide, aPod("a", "10.0.0.9"), aPod("c", "10.0.0.3"))
		want("another watch", nil, nil)
	})
}
