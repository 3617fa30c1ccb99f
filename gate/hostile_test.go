package gate

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// counted counts the requests of a client.
type counted struct {
	link
	requests atomic.Int64
}

func (c *counted) get(ctx context.Context) (*coordinationv1.Lease, error) {
	c.requests.Add(1)
	return c.link.get(ctx)
}

func (c *counted) put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	c.requests.Add(1)
	return c.link.put(ctx, lease)
}

func newCounted(m *memory) *counted {
	return &counted{link: link{m, func() bool { return false }, func() float64 { return 0 }}}
}

// lines counts what is logged.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(int64(strings.Count(string(p), "\n")))
	return len(p), nil
}

// Whoever writes to the Lease a thousand times a second is neither answered as fast,
// nor logged as often.
func TestFlappingLease(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, flap := range map[string]func(n int, lease *coordinationv1.Lease) *coordinationv1.Lease{
		"another holder": func(n int, lease *coordinationv1.Lease) *coordinationv1.Lease {
			lease.Spec.HolderIdentity = text([]string{"x\nlevel=ERROR msg=forged", "y"}[n%2])
			return lease
		},
		"no holder": func(_ int, lease *coordinationv1.Lease) *coordinationv1.Lease {
			lease.Spec = coordinationv1.LeaseSpec{}
			return lease
		},
		"stops": func(n int, lease *coordinationv1.Lease) *coordinationv1.Lease {
			lease.Annotations = map[string]string{annotationStopped: strings.Repeat("no\n", n%7+1)}
			return lease
		},
		"garbled holders": func(n int, lease *coordinationv1.Lease) *coordinationv1.Lease {
			lease.Annotations = map[string]string{annotationHolders: strings.Repeat("{", n%7+1)}
			return lease
		},
		"no Lease": func(n int, lease *coordinationv1.Lease) *coordinationv1.Lease { return nil },
	} {
		for _, entered := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, logged := newMemory(), &lines{}
					store := newCounted(m)
					g := newGate(store, Options{Namespace: "n", Name: "g", Identity: "me", Log: slog.New(slog.NewTextHandler(logged, nil))})
					defer time.Sleep(time.Second) // for what the memory has under way
					defer g.Close()
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
					defer cancel()
					if entered {
						if _, err := g.Enter(ctx); err != nil {
							t.Fatal(err)
						}
					} else {
						m.edit(func(*coordinationv1.Lease) *coordinationv1.Lease { return &coordinationv1.Lease{} })
						go func() { _, _ = g.Enter(ctx) }() // until Close
					}
					begun, before := time.Now(), store.requests.Load()
					for n := 0; time.Since(begun) < time.Minute; n++ {
						m.edit(func(lease *coordinationv1.Lease) *coordinationv1.Lease {
							if lease == nil {
								lease = &coordinationv1.Lease{}
							}
							return flap(n, lease)
						})
						time.Sleep(time.Millisecond)
					}
					if got := store.requests.Load() - before; got > 660 {
						t.Errorf("%d requests in a minute", got)
					}
					if got := logged.n.Load(); got > 70 {
						t.Errorf("%d lines in the log", got)
					}
				})
			})
		}
	}
}

// A claim whose Lease is made and deleted all the time is not tried all the time.
func TestFlappingClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		store := &vanishing{newCounted(m)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := claim(ctx, store, "me"); err == nil {
			t.Fatal("it was claimed")
		}
		if got := store.requests.Load(); got > 200 {
			t.Errorf("%d requests in a minute", got)
		}
	})
}

// vanishing has no Lease whenever one looks, and one whenever one makes it.
type vanishing struct{ *counted }

func (v *vanishing) get(context.Context) (*coordinationv1.Lease, error) {
	v.requests.Add(1)
	return nil, nil
}

func (v *vanishing) put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	v.edit(func(*coordinationv1.Lease) *coordinationv1.Lease { return &coordinationv1.Lease{} })
	return v.counted.put(ctx, lease)
}

// Who is dead gives way within a day, whatever stands in the Lease.
func TestHostileEntries(t *testing.T) {
	seconds, huge := int32(math.MaxInt32), strings.Repeat("x", 100_000)
	lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &huge, LeaseDurationSeconds: &seconds, LeaseTransitions: &seconds}}
	lease.Annotations = map[string]string{
		annotationQueue:   `[{"identity":"a","seconds":-2147483648},{"identity":"b","seconds":2147483647,"ordinal":-9223372036854775808}]`,
		annotationStopped: huge,
	}
	r := decode(lease)
	o := observer{duration: 15 * time.Second, limit: time.Second}
	v := view{record: r, left: func(e entry) time.Duration { return o.left(e, time.Now()) }}
	for _, e := range r.queue {
		if left := v.leftInQueue(e); left <= 0 || left > MaxDuration {
			t.Errorf("%s stays in the queue for %s", e.Identity, left)
		}
	}
	if left := o.left(r.holders[0], time.Now()); left > MaxDuration {
		t.Errorf("the holder stays for %s", left)
	}
	if got := len(r.stops[0].Reason); got > longestReason {
		t.Errorf("the reason has %d bytes", got)
	}
	next := record{holders: []entry{me(1)}}.lease(lease)
	if *next.Spec.LeaseTransitions != math.MaxInt32 {
		t.Errorf("transitions: %d", *next.Spec.LeaseTransitions)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for name, o := range map[string]Options{
		"lease time": {Duration: math.MaxInt64}, "a day and a second": {Duration: MaxDuration + time.Second}, "slots": {Slots: math.MaxInt},
	} {
		o.Namespace, o.Name, o.Identity = "n", "g", "me"
		g := newGate(newCounted(newMemory()), o)
		if _, err := g.Enter(t.Context()); err == nil {
			t.Errorf("%s: it is let in", name)
		}
		g.Close()
	}
}

// Whatever stands in a Lease, each plan for it can be written and read again, and
// none is to be carried out at once for ever.
func FuzzLease(f *testing.F) {
	good := record{holders: []entry{of("a", 1), of("b", 2)}, queue: []entry{of("c", 3)}, stops: []stop{{By: "d", Reason: "e"}}}.lease(nil)
	text, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, seed := range []string{
		`{}`, `{"spec":{"holderIdentity":"a\nb","leaseDurationSeconds":-1,"leaseTransitions":2147483647,"acquireTime":"9999-12-31T23:59:59.999999-23:59","renewTime":"0000-01-01T00:00:00.000000Z"}}`,
		`{"metadata":{"annotations":{"kconfd.io/gate-holders":"[","kconfd.io/gate-queue":"[null,{},{\"identity\":\"me\",\"seconds\":2147483647,\"ordinal\":-1}]","kconfd.io/gate-stopped":"[]"}}}`,
		`{"metadata":{"labels":{"kconfd.io/claim":"x"},"annotations":{"kconfd.io/gate-holders":"[{\"identity\":\"\\u0000[\"}]"}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lease := &coordinationv1.Lease{}
		if json.Unmarshal(text, lease) != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		r := decode(lease)
		o := observer{duration: 15 * time.Second, limit: 6 * time.Second}
		o.see(r, lease.ResourceVersion, now)
		v := view{
			record: r, exists: true, self: entry{Identity: "me", Since: stamp(now), Renewed: stamp(now), Seconds: 15}, slots: 2,
			left: func(e entry) time.Duration { return o.left(e, now.Add(time.Second)) },
		}
		for name, p := range map[string]plan{
			"waiting": v.waiting(), "inside": v.inside(), "leaving": v.leaving(), "failing": v.failing("why"), "withdrawing": v.withdrawing(),
		} {
			if !p.write {
				if !p.done && p.wait == 0 {
					t.Errorf("%s: there is nothing to do, and no wait", name)
				}
				continue
			}
			if len(p.record.holders) > v.slots && len(p.record.holders) > len(r.holders) {
				t.Errorf("%s: %d inside", name, len(p.record.holders))
			}
			written := p.record.lease(lease)
			if n := written.Spec.LeaseTransitions; n != nil && *n < 0 && *n != *lease.Spec.LeaseTransitions {
				t.Errorf("%s: transitions %d", name, *n)
			}
			again := decode(written)
			year := func(e metav1.MicroTime) bool { return e.Year() >= 0 && e.Year() <= 9999 }
			plain := true
			for _, e := range append(append([]entry{}, p.record.holders...), p.record.queue...) {
				plain = plain && year(e.Since) && year(e.Renewed)
			}
			if plain && len(p.record.queue) < maxEntries && len(again.queue) != len(p.record.queue) {
				t.Errorf("%s: wrote a queue of %d, and read one of %d", name, len(p.record.queue), len(again.queue))
			}
			if diff := cmp.Diff(len(p.record.holders), len(again.holders), cmpopts.EquateEmpty()); plain && diff != "" && p.record.garbled == "" {
				t.Errorf("%s: holders:\n%s", name, diff)
			}
		}
		status := Status{State: Waiting, Since: now, Seen: now}
		status.fill(r)
		_ = status.Waits().Error()
	})
}
