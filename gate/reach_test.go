package gate

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const reach = 3 * time.Second

// A reaching is a replica that enters.
type reaching struct {
	waits []string
	done  chan error
	pass  *Pass
}

func onMemory(t *testing.T, test func(*testing.T, *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // after those of the gates: events on their way to a watch
		test(t, newMemory())
	})
}

// replicaOf is a gate that is closed with the test.
func replicaOf(t *testing.T, m *memory, identity string) *Gate {
	t.Helper()
	l := &link{memory: m, cut: func() bool { return false }, lose: func() float64 { return 0 }}
	g := newGate(l, Options{Namespace: "x", Name: "gate", Identity: identity})
	t.Cleanup(g.Close)
	return g
}

// reachable begins to enter.
func reachable(t *testing.T, g *Gate) *reaching {
	t.Helper()
	r := &reaching{done: make(chan error, 1)}
	go func() { // until it is let in, or has given up
		var err error
		r.pass, err = g.EnterReachable(t.Context(), reach, func(err error) { r.waits = append(r.waits, err.Error()) })
		r.done <- err
	}()
	return r
}

// after lets time pass, and wants the end of the entering exactly then, give or take the
// way to the server.
func (r *reaching) after(t *testing.T, d time.Duration) error {
	t.Helper()
	time.Sleep(d - 100*time.Millisecond)
	synctest.Wait()
	select {
	case err := <-r.done:
		t.Fatalf("it ended too early: %v", err)
	default:
	}
	select {
	case err := <-r.done:
		return err
	case <-time.After(300 * time.Millisecond):
		t.Fatal("it goes on")
		return nil
	}
}

func wantUnreachable(t *testing.T, err error) {
	t.Helper()
	var away *UnreachableError
	if !errors.As(err, &away) {
		t.Errorf("got %v, want that the server is away", err)
	}
}

// A server that does not answer is waited for as long as reach.
func TestReachAway(t *testing.T) {
	onMemory(t, func(t *testing.T, m *memory) {
		m.setDown(true)
		wantUnreachable(t, reachable(t, replicaOf(t, m, "a")).after(t, reach))
	})
}

// While the server answers, the turn is waited for, however long that takes. What is waited for is told
// whenever it changes.
func TestReachWaits(t *testing.T) {
	onMemory(t, func(t *testing.T, m *memory) {
		a, b, c := replicaOf(t, m, "a"), replicaOf(t, m, "b"), replicaOf(t, m, "c")
		first, err := a.EnterReachable(t.Context(), reach, nil)
		if err != nil {
			t.Fatal(err)
		}
		second := reachable(t, b)
		time.Sleep(time.Second)
		third := reachable(t, c)
		time.Sleep(time.Hour)
		if err := first.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-second.done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		// Between the two, nobody is inside for a moment.
		got := slices.DeleteFunc(third.waits, func(text string) bool { return text == "b is ahead" })
		if want := []string{"a is inside, b is ahead", "b is inside"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := second.pass.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-third.done; err != nil {
			t.Fatal(err)
		}
		if err := third.pass.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// A server that goes away meanwhile ends the waiting, unless it comes back soon.
func TestReachLost(t *testing.T) {
	onMemory(t, func(t *testing.T, m *memory) {
		if _, err := replicaOf(t, m, "a").Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := reachable(t, replicaOf(t, m, "b"))
		time.Sleep(time.Minute)
		m.setDown(true)
		time.Sleep(2 * time.Second)
		m.setDown(false)
		time.Sleep(time.Minute)
		select {
		case err := <-r.done:
			t.Fatalf("it ended with a short outage: %v", err)
		default:
		}
		m.setDown(true)
		begin := time.Now()
		wantUnreachable(t, <-r.done)
		// It notices with its next renewal, which has no answer for as long as a request may take.
		if took := time.Since(begin); took > 3*reach+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A refusal is not waited for.
func TestReachRefused(t *testing.T) {
	onMemory(t, func(t *testing.T, m *memory) {
		l := &link{memory: m, cut: func() bool { return false }, lose: func() float64 { return 0 }}
		g := newGate(refusing{l}, Options{Namespace: "x", Name: "gate", Identity: "a"})
		t.Cleanup(g.Close)
		begin := time.Now()
		_, err := g.EnterReachable(t.Context(), reach, nil)
		wantUnreachable(t, err)
		var denied *DeniedError
		if took := time.Since(begin); !errors.As(err, &denied) || took > time.Second {
			t.Errorf("got %v after %s", err, took)
		}
	})
}

// refusing is a server on which nothing may be written.
type refusing struct{ *link }

func (r refusing) put(context.Context, *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	return nil, &DeniedError{Verb: "create", Namespace: "x", Name: "gate", cause: apierrors.NewForbidden(anyLease(), "gate", nil)}
}

// The end of the context is the end of the waiting, and of the place in the queue.
func TestReachEnd(t *testing.T) {
	onMemory(t, func(t *testing.T, m *memory) {
		if _, err := replicaOf(t, m, "a").Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		cause := errors.New("the child has ended")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		_, err := replicaOf(t, m, "b").EnterReachable(ctx, reach, nil)
		if !errors.Is(err, cause) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		if queue := decode(m.now()).queue; len(queue) > 0 {
			t.Errorf("it is still in the queue: %v", queue)
		}
	})
}
