package watcher

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A watch that fails and works again within seconds is not worth a word. One
// that goes on failing makes what was read of it out of date, and whoever cares
// is poked when that begins and when it ends; nobody has to read again for that.
// The same is said of one that is silent for longer than living ones are.
func TestOutOfDate(t *testing.T) {
	broken := errors.New("broken")
	works := map[string]func(*feed) error{
		"a list":     func(f *feed) error { return f.Replace([]any{aPod("a", "10.0.0.1")}, "") },
		"an event":   func(f *feed) error { return f.Update(aPod("a", "10.0.0.1")) },
		"a bookmark": func(f *feed) error { return f.Bookmark("7") },
		"a watch":    accepting(false),
	}
	for name, work := range works {
		t.Run("until "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
				names := []string{"a"}
				p := ipsPage(w, &names)
				if err := p.reader.OutOfDate(); err != nil {
					t.Errorf("before anything is read: %v", err)
				}
				p.look()
				f := feedFor(w, podKey("a"))
				must(t, f.Replace([]any{aPod("a", "10.0.0.1")}, ""))
				p.awaitGot(t, []string{"10.0.0.1"})
				poked(w)
				expect := func(when, want string, poke bool) {
					t.Helper()
					synctest.Wait()
					if got := errorText(p.reader.OutOfDate()); got != want {
						t.Errorf("%s: out of date: got %q, want %q", when, got, want)
					}
					if got := poked(w); got != poke {
						t.Errorf("%s: poked: got %v, want %v", when, got, poke)
					}
					if p.stale() {
						t.Errorf("%s: stale, and nothing has changed", when)
					}
				}
				expect("listed", "", false)
				f.failed(broken)
				time.Sleep(flap - time.Nanosecond)
				f.failed(broken)
				expect("failing for a moment", "", false)
				must(t, work(f))
				time.Sleep(flap)
				expect("working again", "", false)

				f.failed(broken)
				since := time.Now().Format(time.RFC3339)
				time.Sleep(flap)
				late := `Pod "a" in namespace "shop": failing since ` + since + ": broken"
				expect("failing", late, true)
				time.Sleep(time.Hour)
				f.failed(broken)
				synctest.Wait()
				poked(w) // it is silent as well
				expect("failing for an hour", late, false)
				must(t, work(f))
				expect("working again after an hour", "", true)

				since = time.Now().Format(time.RFC3339)
				time.Sleep(silence)
				expect("silent", `Pod "a" in namespace "shop": silent since `+since, true)
				must(t, work(f))
				expect("heard of again", "", true)
			})
		})
	}
}

// What a run has read is judged, and nothing else.
func TestOutOfDateIsOfWhatWasRead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		a, both := []string{"a"}, []string{"a", "b"}
		one, two := ipsPage(w, &a), newPage(w, func(r *Reader) (int, error) {
			x, err := r.pods("x=y")
			y, err2 := r.pods("y=z")
			return len(x) + len(y), errors.Join(err, err2)
		})
		one.look()
		two.look()
		var incomplete *IncompleteError
		if err := one.reader.OutOfDate(); !errors.As(err, &incomplete) {
			t.Errorf("before the list: got %v, want an IncompleteError", err)
		}
		x, y := feedFor(w, typedNeed(kindPod, "shop", "", "x=y").narrow()), feedFor(w, typedNeed(kindPod, "shop", "", "y=z").narrow())
		fill(t, feedFor(w, podKey("a")), aPod("a", "10.0.0.1"))
		fill(t, x)
		fill(t, y)
		one.awaitGot(t, []string{"10.0.0.1"})
		two.awaitGot(t, 0)

		broken := errors.New("broken")
		x.failed(broken)
		y.watchFailed(errors.New("gone"))
		since := time.Now().Format(time.RFC3339)
		time.Sleep(flap)
		if err := one.reader.OutOfDate(); err != nil {
			t.Errorf("by what was not read: %v", err)
		}
		err := two.reader.OutOfDate()
		want := `Pods with labels "x=y" in namespace "shop": failing since ` + since + " (and 1 more): broken"
		if errorText(err) != want || !errors.Is(err, broken) {
			t.Errorf("got %v, want %s", err, want)
		}
		w.View(func(v *View) {
			if got := errorText(v.OutOfDate(two.reader)); got != want || v.OutOfDate(one.reader) != nil {
				t.Errorf("in a view: got %q and %v", got, v.OutOfDate(one.reader))
			}
		})

		// A watch that takes another's place is not awaited: that one works.
		a = both
		w.View(one.run)
		feedFor(w, podKey("")).failed(broken)
		a = []string{"a"}
		w.View(one.run)
		time.Sleep(flap)
		if err := one.reader.OutOfDate(); err != nil {
			t.Errorf("while the watch that it was read of works: %v", err)
		}
	})
}

// Restored data says why it has not been replaced.
func TestOutOfDateSaysWhyItIsRestored(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		was := time.Now().Format(time.RFC3339)
		snapshot := ofPods(t, map[watchKey][]*corev1.Pod{podKey(""): {aPod("a", "10.0.0.1")}})
		time.Sleep(time.Hour)
		names := []string{"a"}
		p := ipsPage(w, &names)
		p.look()
		must(t, w.Restore(snapshot))
		p.awaitGot(t, []string{"10.0.0.1"})
		late := `all Pods in namespace "shop": from a snapshot, and unknown since ` + was
		if got := errorText(p.reader.OutOfDate()); got != late {
			t.Errorf("got %q, want %q", got, late)
		}
		refused := errors.New("connection refused")
		feedFor(w, podKey("a")).failed(refused)
		err := p.reader.OutOfDate()
		if got := errorText(err); got != late+": connection refused" || !errors.Is(err, refused) {
			t.Errorf("got %q, want also why", got)
		}
	})
}

// A watch that is stopped pokes nobody.
func TestStoppedWatchIsNotOutOfDate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		p := ipsPage(w, &names)
		p.look()
		f := feedFor(w, podKey("a"))
		fill(t, f)
		f.failed(errors.New("broken"))
		p.reader.Close()
		poked(w)
		f.stop()
		time.Sleep(flap)
		synctest.Wait()
		if poked(w) {
			t.Error("poked")
		}
	})
}
