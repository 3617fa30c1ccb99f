package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A watched is an observer, and a Lease that becomes another version with each
// write.
type watched struct {
	observer
	t       *testing.T
	version int
}

func watching(t *testing.T) *watched {
	return &watched{t: t, observer: observer{duration: 15 * time.Second, limit: 6 * time.Second}}
}

func (w *watched) wrote(r record) {
	w.version++
	w.see(r, fmt.Sprint(w.version), time.Now())
}

func (w *watched) wants(e entry, want time.Duration) {
	w.t.Helper()
	if got := w.left(e, time.Now()); got != want {
		w.t.Errorf("%s has %s left, want %s", e.Identity, got, want)
	}
}

// The time of an entry begins anew whenever it changes, and only then.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		a, own := of("a", 0), me(0)
		w.wants(a, 15*time.Second) // never seen
		for n := range 5 {
			own = me(n)
			w.wrote(record{holders: []entry{a}, queue: []entry{own}})
			w.wants(a, 15*time.Second-time.Duration(n)*3*time.Second)
			time.Sleep(3 * time.Second)
		}
		w.wants(a, 0)
		w.wants(own, 12*time.Second)

		a = of("a", 1)
		w.wants(a, 15*time.Second) // not seen yet
		w.wrote(record{holders: []entry{a}})
		w.wants(a, 15*time.Second)
		time.Sleep(5 * time.Second)
		w.wants(a, 10*time.Second)

		// From the queue to a slot, and a longer lease time: both are news.
		a.Seconds = 60
		w.wrote(record{holders: []entry{a}})
		w.wants(a, time.Minute)
	})
}

// A clock that is wrong, or jumps, makes no difference: only that the text
// changes does.
func TestObserverTrustsNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		for _, n := range []int{0, 1_000_000, -1_000_000, 5} {
			w.wrote(record{holders: []entry{of("a", n)}})
			w.wants(of("a", n), 15*time.Second)
			time.Sleep(5 * time.Second)
			w.wants(of("a", n), 10*time.Second)
		}
	})
}

// While nothing can be written nobody can renew, and nobody's time passes.
func TestObserverStopsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		a := of("a", 0)
		w.wrote(record{holders: []entry{a}})
		time.Sleep(3 * time.Second)
		w.wrote(record{holders: []entry{a}})
		time.Sleep(time.Hour)
		w.wants(a, 6*time.Second)
		w.see(record{holders: []entry{a}}, fmt.Sprint(w.version), time.Now()) // read, not written
		w.wants(a, 6*time.Second)
		w.wrote(record{holders: []entry{a}})
		w.wants(a, 6*time.Second)
		time.Sleep(3 * time.Second)
		w.wants(a, 3*time.Second)
	})
}

func TestObserverOfNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		r := record{garbled: "x"}
		w.wrote(r)
		time.Sleep(5 * time.Second)
		w.wrote(r)
		w.wants(r.unreadable()[0], 10*time.Second)
		r.garbled = "y"
		w.wrote(r)
		w.wants(r.unreadable()[0], 15*time.Second)
		w.wants(entry{Identity: "a", Seconds: -3}, 15*time.Second)
	})
}

func isLost(h *hold) bool {
	synctest.Wait()
	select {
	case <-h.lost:
		return true
	default:
		return false
	}
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hold{lost: make(chan struct{})}
		if h.good() {
			t.Error("good before it began")
		}
		for range 3 {
			h.extend(time.Now().Add(10 * time.Second))
			time.Sleep(10*time.Second - 1)
			if isLost(h) || !h.good() {
				t.Fatal("lost too early")
			}
		}
		time.Sleep(time.Nanosecond)
		if !isLost(h) || h.good() {
			t.Error("not lost in time")
		}
		h.extend(time.Now().Add(time.Minute))
		if h.good() {
			t.Error("what was lost is good again")
		}
		if h.lose() {
			t.Error("lost twice")
		}
	})
}

func TestHoldGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hold{lost: make(chan struct{})}
		h.extend(time.Now().Add(10 * time.Second))
		h.giveBack()
		if h.good() {
			t.Error("good after it was given back")
		}
		time.Sleep(time.Minute)
		if isLost(h) {
			t.Error("lost after it was given back")
		}
	})
}

// After a suspension the clock counts, though the timer has not fired yet.
func TestHoldThatIsLate(t *testing.T) {
	h := &hold{lost: make(chan struct{}), until: time.Now().Add(-time.Nanosecond)}
	if h.good() {
		t.Error("good after its time")
	}
}

// Once for each kind of error, and once a minute.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		log := slog.New(slog.NewTextHandler(&j, nil))
		var trouble trouble
		refused := func(port int) error {
			return fmt.Errorf("dial from port %d: %w", port, syscall.ECONNREFUSED)
		}
		for n := range 125 {
			trouble.is(log, "out of order", refused(n))
			time.Sleep(time.Second)
		}
		if got := j.count("out of order"); got != 3 {
			t.Errorf("told %d times in 125 s, want 3:\n%s", got, j.String())
		}
		for _, err := range []error{
			fmt.Errorf("%w within 3s", errNoAnswer), fmt.Errorf("%w within 3s", errNoAnswer),
			apierrors.NewTooManyRequests("wait", 1), &DeniedError{Verb: "get"}, &DeniedError{Verb: "update"}, errors.New("else"),
		} {
			trouble.is(log, "out of order", err)
		}
		if got := j.count("out of order"); got != 8 {
			t.Errorf("told %d times, want 5 more:\n%s", got, j.String())
		}
		trouble.over(log, "in order")
		trouble.over(log, "in order")
		if got := j.count("in order"); got != 1 || j.count("after=2m5s") != 1 {
			t.Errorf("told %d times that it is over, want once:\n%s", got, j.String())
		}
	})
}

// A pass is void for who has it before it is for others, whatever the lease time.
func TestDeadlines(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute} {
		g := newGate(nil, Options{Duration: d})
		e := g.self(at(0), at(0))
		lease := time.Duration(e.Seconds) * time.Second
		if lease < d || lease <= 0 {
			t.Errorf("%s: the others go by %s", d, lease)
		}
		if g.deadline()+g.deadline()/4 > lease || g.period()*3 > g.deadline() {
			t.Errorf("%s: renewed every %s, good for %s, void after %s", d, g.period(), g.deadline(), lease)
		}
	}
}
