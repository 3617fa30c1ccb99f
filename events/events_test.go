package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A post is where a Recorder's Events go.
type post struct {
	mu   sync.Mutex
	sent []Event
	fail error
	log  bytes.Buffer
}

func (p *post) send(_ context.Context, e Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.sent = append(p.sent, e)
	return nil
}

func (p *post) broken(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// take gives what has been sent since the last time, when all is quiet.
func (p *post) take() []Event {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

// withPost runs test beside a Recorder that runs, in a bubble of time.
func withPost(t *testing.T, test func(*Recorder, *post)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &post{}
		r := newRecorder(Pod{"shop", "web-0", "1"}, p.send, slog.New(slog.NewTextHandler(&p.log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }() // until cancel
		test(r, p)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run gave %v", err)
		}
	})
}

func forbidden() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no rule"))
}

// What is told again is one Event that counts; numbers in the message make no
// difference, the reason and the words do.
func TestRepeatsCount(t *testing.T) {
	withPost(t, func(r *Recorder, p *post) {
		first := time.Now()
		r.Record(Warning, "Failed", "checking .my.cnf123: exit code 7")
		created := p.take()
		want := []Event{{Kind: Warning, Reason: "Failed", Message: "checking .my.cnf123: exit code 7", Count: 1, First: first, Last: first}}
		if diff := cmp.Diff(want, created, cmpopts.IgnoreUnexported(Event{})); diff != "" {
			t.Fatalf("the first time (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		r.Record(Warning, "Failed", "checking .my.cnf4567: exit code 7")
		r.Record(Warning, "Failed", "checking .my.cnf89: exit code 7")
		again := p.take()
		last := again[len(again)-1]
		if last.Count != 3 || last.name != created[0].name || !last.written || last.Message != "checking .my.cnf89: exit code 7" || last.First != first || last.Last != time.Now() {
			t.Errorf("again: got %+v, want the third time of %+v", last, created[0])
		}
		r.Record(Warning, "Held", "checking .my.cnf89: exit code 7")
		r.Record(Warning, "Failed", "another thing")
		others := p.take()
		if len(others) != 2 || others[0].Count != 1 || others[1].Count != 1 || others[0].name == others[1].name {
			t.Errorf("others: got %+v, want two of their own", others)
		}
		time.Sleep(lifetime)
		r.Record(Warning, "Failed", "checking .my.cnf1: exit code 7")
		if late := p.take(); len(late) != 1 || late[0].Count != 1 || late[0].written {
			t.Errorf("when the server has forgotten it: got %+v, want a new one", late)
		}
	})
}

// A service that flaps does not flood the API server, and who tells does not wait.
// What is told meanwhile is counted, and written in the end.
func TestFloodIsHeldBack(t *testing.T) {
	withPost(t, func(r *Recorder, p *post) {
		began := time.Now()
		for range 10_000 {
			r.Record(Warning, "Held", "flapping")
			r.Record(Normal, "Applied", "flapping")
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		sent := p.take()
		if most := burst + int(time.Since(began)/interval) + 1; len(sent) > most || len(sent) < burst {
			t.Errorf("%d requests in %s, want %d at most, and %d at once", len(sent), time.Since(began), most, burst)
		}
		time.Sleep(2 * interval)
		counts := map[string]int{}
		for _, e := range append(sent, p.take()...) {
			counts[e.Reason] = e.Count
		}
		if diff := cmp.Diff(map[string]int{"Held": 10_000, "Applied": 10_000}, counts); diff != "" {
			t.Errorf("counted in the end (-want +got):\n%s", diff)
		}
	})
}

// Of very many different things some are lost, and memory stays small; those that
// have been written make room for others.
func TestManyDifferentThings(t *testing.T) {
	withPost(t, func(r *Recorder, p *post) {
		p.broken(errors.New("away"))
		word := func(n int) string { return strings.Repeat("x", n) }
		for n := range 3 * maxNotes {
			r.Record(Normal, "Applied", word(n))
		}
		synctest.Wait()
		if len(r.notes) != maxNotes {
			t.Errorf("%d are kept, want %d", len(r.notes), maxNotes)
		}
		p.broken(nil)
		time.Sleep(maxNotes * interval)
		if got := len(p.take()); got != maxNotes {
			t.Errorf("%d are written, want those that were kept, %d", got, maxNotes)
		}
		r.Record(Normal, "Applied", "after all that")
		if got := p.take(); len(got) != 1 {
			t.Errorf("then: got %v, want it written", got)
		}
		if len(r.notes) != maxNotes {
			t.Errorf("%d are kept, want %d", len(r.notes), maxNotes)
		}
	})
}

// What the API server does not take now is written later, with longer and longer
// pauses in between; what it never will is not tried again.
func TestFailures(t *testing.T) {
	withPost(t, func(r *Recorder, p *post) {
		p.broken(errors.New("connection refused"))
		r.Record(Normal, "Applied", "a")
		time.Sleep(firstPause + 2*firstPause - time.Millisecond)
		p.broken(nil)
		if got := p.take(); len(got) != 0 {
			t.Errorf("too soon: %v", got)
		}
		time.Sleep(time.Millisecond)
		if got := p.take(); len(got) != 1 || got[0].Count != 1 {
			t.Errorf("got %v, want what could not be written before", got)
		}

		p.broken(apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "x", nil))
		r.Record(Normal, "Applied", "too odd")
		synctest.Wait()
		p.broken(nil)
		time.Sleep(2 * maxPause)
		if got := p.take(); len(got) != 0 {
			t.Errorf("got %v, want no second try", got)
		}
		if p.log.Len() != 0 {
			t.Errorf("the log has %s, want nothing: that is no trouble of kconfd's", p.log.String())
		}
	})
}

// Without permission there is one line in the log, and now and then a try.
func TestForbidden(t *testing.T) {
	withPost(t, func(r *Recorder, p *post) {
		p.broken(forbidden())
		for n := range 100 {
			r.Record(Normal, "Applied", fmt.Sprint("change ", n))
			time.Sleep(time.Minute)
		}
		p.broken(nil)
		if n := strings.Count(p.log.String(), "\n"); n != 1 || !strings.Contains(p.log.String(), "kconfd rbac -events") {
			t.Errorf("%d lines, want one that says what to do:\n%s", n, p.log.String())
		}
		time.Sleep(maxPause)
		// The first hour of them is past, and a new Event counts.
		if got := p.take(); len(got) != 1 || got[0].Count != 40 {
			t.Errorf("when it is allowed: got %+v, want one", got)
		}
	})
}

func TestNilRecorder(*testing.T) {
	var r *Recorder
	r.Record(Normal, "Applied", "x")
}

// A long message is cut, and never in the middle of a letter.
func TestLongMessage(t *testing.T) {
	for name, test := range map[string]struct{ message, want string }{
		"short":   {"a", "a"},
		"exact":   {strings.Repeat("a", maxMessage), strings.Repeat("a", maxMessage)},
		"long":    {strings.Repeat("a", maxMessage+1), strings.Repeat("a", maxMessage) + "…"},
		"letters": {strings.Repeat("ä", maxMessage), strings.Repeat("ä", maxMessage/2) + "…"},
		"between": {"a" + strings.Repeat("ä", maxMessage), "a" + strings.Repeat("ä", maxMessage/2-1) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, shorten(test.message)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
