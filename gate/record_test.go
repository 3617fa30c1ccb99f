package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func recordsAreComparable() cmp.Option { return cmp.AllowUnexported(record{}) }

// at is a time of the tests' own, n seconds in.
func at(n int) metav1.MicroTime { return stamp(time.Unix(1_700_000_000+int64(n), 123_456_789)) }

// of is an entry that was renewed once, n seconds in.
func of(identity string, n int) entry {
	return entry{Identity: identity, Since: at(0), Renewed: at(n), Seconds: 15}
}

func inOrder(identity string, ordinal int) entry {
	e := of(identity, 0)
	e.Ordinal = &ordinal
	return e
}

// What is written is read again as it was.
func TestRecordAndLease(t *testing.T) {
	for name, want := range map[string]record{
		"empty":     {},
		"a holder":  {holders: []entry{of("a", 1)}},
		"holders":   {holders: []entry{of("a", 1), of("b", 2), of("c", 3)}},
		"a queue":   {holders: []entry{of("a", 1)}, queue: []entry{inOrder("c", 2), of("b", 3)}},
		"stops":     {stops: []stop{{By: "a", Reason: `"quoted" & <marked>`, Since: at(1)}, {By: "b"}}},
		"no expiry": {holders: []entry{{Identity: "somebody"}}},
	} {
		t.Run(name, func(t *testing.T) {
			lease := want.lease(nil)
			if diff := cmp.Diff(want, decode(lease), recordsAreComparable()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			again := decode(lease).lease(lease)
			if diff := cmp.Diff(lease, again); diff != "" {
				t.Errorf("written once more, it is different:\n%s", diff)
			}
		})
	}
}

// What others have put into the Lease stays there.
func TestRecordKeepsWhatIsNotItsOwn(t *testing.T) {
	base := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			ResourceVersion: "7", Labels: map[string]string{"team": "db"}, Annotations: map[string]string{"note": "x", annotationQueue: "[]"},
		},
		Spec: coordinationv1.LeaseSpec{LeaseTransitions: new(int32(4)), HolderIdentity: new("a")},
	}
	got := record{holders: []entry{of("b", 0)}}.lease(base)
	want := base.DeepCopy()
	want.Annotations = map[string]string{"note": "x"}
	want.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: new("b"), LeaseDurationSeconds: new(int32(15)),
		AcquireTime: new(at(0)), RenewTime: new(at(0)), LeaseTransitions: new(int32(5)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if *base.Spec.HolderIdentity != "a" {
		t.Error("the Lease that it was made of was changed")
	}
}

func TestRecordByHand(t *testing.T) {
	const good = `{"identity":"b","since":"2023-11-14T22:13:20.123456Z","renewed":"2023-11-14T22:13:20.123456Z","seconds":15}`
	for name, tt := range map[string]struct {
		holder      string
		annotations map[string]string
		want        record
	}{
		"nothing":                {want: record{}},
		"an empty holder":        {holder: "", want: record{}},
		"a queue of nonsense":    {annotations: map[string]string{annotationQueue: "{{{"}, want: record{}},
		"a queue of one":         {annotations: map[string]string{annotationQueue: good}, want: record{}},
		"a nameless one":         {annotations: map[string]string{annotationQueue: `[{"seconds":1},` + good + `]`}, want: record{queue: []entry{of("b", 0)}}},
		"twice in the queue":     {annotations: map[string]string{annotationQueue: `[` + good + `,` + good + `]`}, want: record{queue: []entry{of("b", 0)}}},
		"inside and in queue":    {holder: "b", annotations: map[string]string{annotationQueue: `[` + good + `]`}, want: record{holders: []entry{{Identity: "b"}}}},
		"twice inside":           {holder: "b", annotations: map[string]string{annotationHolders: `[` + good + `]`}, want: record{holders: []entry{{Identity: "b"}}}},
		"only another holder":    {annotations: map[string]string{annotationHolders: `[` + good + `]`}, want: record{holders: []entry{of("b", 0)}}},
		"holders of nonsense":    {annotations: map[string]string{annotationHolders: "7"}, want: record{garbled: "7"}},
		"a stop in words":        {annotations: map[string]string{annotationStopped: "hands off"}, want: record{stops: []stop{{Reason: "hands off"}}}},
		"a stop as an object":    {annotations: map[string]string{annotationStopped: `{"by":"a"}`}, want: record{stops: []stop{{Reason: `{"by":"a"}`}}}},
		"an empty list of stops": {annotations: map[string]string{annotationStopped: `[]`}, want: record{stops: []stop{{Reason: `[]`}}}},
		"a stop without a time":  {annotations: map[string]string{annotationStopped: `[{"by":"a"}]`}, want: record{stops: []stop{{By: "a"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Annotations: tt.annotations}}
			lease.Spec.HolderIdentity = &tt.holder
			if diff := cmp.Diff(tt.want, decode(lease), recordsAreComparable()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	r := record{queue: []entry{of("late", 0), inOrder("ten", 10), of("later", 0), inOrder("two", 2), inOrder("also two", 2), inOrder("zero", 0)}}
	var got []string
	for _, e := range r.order() {
		got = append(got, e.Identity)
	}
	if diff := cmp.Diff([]string{"zero", "two", "also two", "ten", "late", "later"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
