package watcher

import (
	"errors"
	"testing"
	"time"
)

// What passes by itself is not worth a word; what lasts is worth one a minute,
// and one when it is over.
func TestTroubleIsToldNowAndThen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, log *logBook) {
		names := []string{"a"}
		ipsPage(w, &names).look()
		f := feedFor(w, podKey("a"))
		began := time.Now()
		broken := errors.New("broken")
		at := func(after time.Duration, warnings int) {
			t.Helper()
			time.Sleep(after - time.Since(began))
			f.failed(broken)
			if n := len(log.lines("level=WARN", "watch failing", `Pod \"a\" in namespace \"shop\"`, "broken")); n != warnings {
				t.Errorf("after %s: %d warnings, want %d:\n%s", after, n, warnings, log)
			}
		}
		at(0, 0)
		at(warnAfter-time.Millisecond, 0)
		at(warnAfter, 1)
		at(warnAfter+warnAgain-time.Millisecond, 1)
		at(warnAfter+warnAgain, 2)
		if problems := w.Problems(); len(problems) != 1 || !errors.Is(problems[0], broken) {
			t.Errorf("problems: %v", problems)
		}

		fill(t, f, aPod("a", "10.0.0.1"))
		if n := len(log.lines("level=INFO", "watch working again", "after=1m3s")); n != 1 {
			t.Errorf("%d lines say that it is over:\n%s", n, log)
		}
		if problems := w.Problems(); len(problems) != 0 {
			t.Errorf("problems that are over: %v", problems)
		}
		f.failed(broken) // a new one
		if n := len(log.lines("level=WARN")); n != 2 {
			t.Errorf("%d warnings, a new trouble begins anew:\n%s", n, log)
		}
		must(t, f.Bookmark("1"))
		if n := len(log.lines("level=INFO")); n != 1 {
			t.Errorf("%d lines say that something is over of which nothing was said:\n%s", n, log)
		}
	})
}

// Which answer of the server ends which trouble.
func TestTroubleEnds(t *testing.T) {
	broken := errors.New("broken")
	list := func(f *feed) error { return f.Replace([]any{aPod("a", "10.0.0.1")}, "") }
	tests := map[string]struct {
		fail, answer func(*feed) error
		over         bool
	}{
		"a list that failed, by a list":        {failing((*feed).failed, broken), list, true},
		"a list that failed, by an event":      {failing((*feed).failed, broken), func(f *feed) error { return f.Update(aPod("a", "")) }, true},
		"a list that failed, by a bookmark":    {failing((*feed).failed, broken), func(f *feed) error { return f.Bookmark("1") }, true},
		"a list that failed, by an acceptance": {failing((*feed).failed, broken), accepting(true), false},
		"a watch that failed, by a watch":      {failing((*feed).watchFailed, broken), accepting(false), true},
		"a watch that failed, by a list":       {failing((*feed).watchFailed, broken), list, false},
		"a watch that failed, by a deletion":   {failing((*feed).watchFailed, broken), func(f *feed) error { return f.Delete(aPod("a", "")) }, true},
		"a watch that failed, by a watch that lists": {failing((*feed).watchFailed, broken), func(f *feed) error {
			f.watching(true)
			return list(f)
		}, true},
		"nothing":  {func(*feed) error { return nil }, list, true},
		"no error": {failing((*feed).failed, nil), func(*feed) error { return nil }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
				names := []string{"a"}
				ipsPage(w, &names).look()
				f := feedFor(w, podKey("a"))
				must(t, list(f))
				must(t, test.fail(f))
				time.Sleep(time.Second)
				must(t, test.answer(f))
				if over := len(w.Problems()) == 0; over != test.over {
					t.Errorf("over: got %v, want %v", over, test.over)
				}
				if s := w.Status()[0]; test.over != s.Healthy(time.Now()) {
					t.Errorf("status: %+v", s)
				}
			})
		})
	}
}

func failing(fail func(*feed, error), err error) func(*feed) error {
	return func(f *feed) error { fail(f, err); return nil }
}

func accepting(lists bool) func(*feed) error {
	return func(f *feed) error { f.watching(lists); return nil }
}

// A watch that is stopped has no trouble any more.
func TestStoppedWatchIsNoTrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Watcher, _ *logBook) {
		names := []string{"a"}
		ipsPage(w, &names).look()
		f := feedFor(w, podKey("a"))
		f.stop()
		f.failed(errors.New("context canceled"))
		if problems := w.Problems(); len(problems) > 0 {
			t.Errorf("problems: %v", problems)
		}
	})
}

func TestHealthy(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		status WatchStatus
		want   bool
	}{
		"listed, just now":             {WatchStatus{Listed: true, Progress: now}, true},
		"quiet, as watches are":        {WatchStatus{Listed: true, Progress: now.Add(-10 * time.Minute)}, true},
		"silent for too long":          {WatchStatus{Listed: true, Progress: now.Add(-silence)}, false},
		"never listed":                 {WatchStatus{Progress: now}, false},
		"failing":                      {WatchStatus{Listed: true, Progress: now, Err: errors.New("broken")}, false},
		"dead for hours, and no error": {WatchStatus{Listed: true, Progress: now.Add(-8 * time.Hour)}, false},
	}
	for name, test := range tests {
		if got := test.status.Healthy(now); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
