package gate

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a gate keeps in its Lease, beside the spec, which has the first holder.
const (
	annotationHolders = "kconfd.io/gate-holders" // the others, where there are more slots than one
	annotationQueue   = "kconfd.io/gate-queue"
	annotationStopped = "kconfd.io/gate-stopped"
)

// An entry is a replica's place, in a slot or in the queue. Its times are from
// that replica's clock. They are there to be different from those before, and
// for people to read: nobody compares them with a clock of his own.
type entry struct {
	Identity string           `json:"identity"`
	Since    metav1.MicroTime `json:"since"`   // tells apart the runs of a replica, too
	Renewed  metav1.MicroTime `json:"renewed"` // changes for as long as the replica lives
	Seconds  int32            `json:"seconds"` // of silence after which the entry is void; 0 is unknown
	Ordinal  *int             `json:"ordinal,omitempty"`
}

// same says whether nothing has been heard of the replica between a and b.
func (a entry) same(b entry) bool {
	return a.Identity == b.Identity && a.Since.Equal(&b.Since) && a.Renewed.Equal(&b.Renewed) && a.Seconds == b.Seconds
}

// isOf says whether the entry belongs to this very run of a replica.
func (a entry) isOf(run entry) bool { return a.Identity == run.Identity && a.Since.Equal(&run.Since) }

// A stop is somebody's mark that nobody else is to be let in.
type stop struct {
	By     string           `json:"by"` // empty for a person who wrote plain text
	Reason string           `json:"reason"`
	Since  metav1.MicroTime `json:"since"`
}

// A record is what a Lease says about its gate.
type record struct {
	holders []entry
	queue   []entry // in the order of arrival
	stops   []stop
	garbled string // what stands where holders should, and cannot be read
}

// decode reads a Lease, which may be nil. People edit Leases by hand: a queue
// that cannot be read is empty, since those in it will come back. Holders that
// cannot be read are kept, as nobody knows how many they are. And whatever
// stands in place of a stop is one.
func decode(lease *coordinationv1.Lease) record {
	var r record
	if lease == nil {
		return r
	}
	if e, ok := holderOf(lease.Spec); ok {
		r.holders = append(r.holders, e)
	}
	others, ok := entries(lease.Annotations[annotationHolders])
	if !ok {
		r.garbled = lease.Annotations[annotationHolders]
	}
	for _, e := range others {
		if indexOf(r.holders, e.Identity) < 0 {
			r.holders = append(r.holders, e)
		}
	}
	queue, _ := entries(lease.Annotations[annotationQueue])
	for _, e := range queue {
		if indexOf(r.holders, e.Identity) < 0 && indexOf(r.queue, e.Identity) < 0 {
			r.queue = append(r.queue, e)
		}
	}
	r.stops = stopsOf(lease.Annotations[annotationStopped])
	return r
}

func holderOf(spec coordinationv1.LeaseSpec) (entry, bool) {
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" {
		return entry{}, false
	}
	e := entry{Identity: *spec.HolderIdentity}
	if spec.AcquireTime != nil {
		e.Since = *spec.AcquireTime
	}
	if spec.RenewTime != nil {
		e.Renewed = *spec.RenewTime
	}
	if spec.LeaseDurationSeconds != nil {
		e.Seconds = *spec.LeaseDurationSeconds
	}
	e.bound()
	return e, true
}

// bound makes a lease time that no kconfd would write one that it would: who is
// dead gives way within a day, whatever the Lease says.
func (e *entry) bound() { e.Seconds = min(max(e.Seconds, 0), int32(MaxDuration/time.Second)) }

// maxEntries is how many entries of a list are read. An object has room for more,
// and who wrote them is no kconfd.
const maxEntries = 1000

// entries are those of an annotation that has any; ok is false for what is none.
func entries(text string) (list []entry, ok bool) {
	if text == "" {
		return nil, true
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) > maxEntries {
		return nil, false
	}
	for i := range list {
		list[i].bound()
	}
	return slices.DeleteFunc(list, func(e entry) bool { return e.Identity == "" }), true
}

func stopsOf(text string) []stop {
	if text == "" {
		return nil
	}
	var list []stop
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) == 0 {
		list = []stop{{Reason: text}}
	}
	list = list[:min(len(list), maxEntries)]
	for i := range list {
		list[i].Reason = cutText(list[i].Reason, longestReason)
	}
	return list
}

// cutText is the beginning of a text, of at most limit bytes and without half a letter.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}

// lease is one that says what the record does, made of the one that there was,
// or of nil.
func (r record) lease(base *coordinationv1.Lease) *coordinationv1.Lease {
	lease := base.DeepCopy()
	if lease == nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{labelManagedBy: "kconfd"}}}
	}
	var others []entry
	if len(r.holders) > 0 {
		others = r.holders[1:]
	}
	if r.garbled == "" {
		annotate(lease, annotationHolders, others)
	}
	annotate(lease, annotationQueue, r.queue)
	annotate(lease, annotationStopped, r.stops)
	r.writeHolder(&lease.Spec)
	return lease
}

const labelManagedBy = "app.kubernetes.io/managed-by"

func (r record) writeHolder(spec *coordinationv1.LeaseSpec) {
	if len(r.holders) == 0 {
		spec.HolderIdentity, spec.AcquireTime, spec.RenewTime, spec.LeaseDurationSeconds = nil, nil, nil, nil
		return
	}
	e := r.holders[0]
	if spec.HolderIdentity == nil || *spec.HolderIdentity != e.Identity {
		n := int32(0)
		if spec.LeaseTransitions != nil {
			n = max(n, *spec.LeaseTransitions)
		}
		n = min(n, math.MaxInt32-1) + 1
		spec.LeaseTransitions = &n
	}
	spec.HolderIdentity, spec.LeaseDurationSeconds = &e.Identity, nil
	if e.Seconds > 0 {
		spec.LeaseDurationSeconds = &e.Seconds
	}
	spec.AcquireTime, spec.RenewTime = timeOrNil(e.Since), timeOrNil(e.Renewed)
}

func timeOrNil(t metav1.MicroTime) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return &t
}

// annotate writes a list, or removes an annotation that would be empty.
func annotate[T any](lease *coordinationv1.Lease, name string, list []T) {
	if len(list) == 0 {
		delete(lease.Annotations, name)
		return
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // these types have no value that JSON lacks
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[name] = string(text)
}

// order is the queue in the order in which it is let in: by ordinal, and those
// without one behind, as they came.
func (r record) order() []entry {
	const last = 1 << 30
	ordinal := func(e entry) int {
		if e.Ordinal == nil {
			return last
		}
		return *e.Ordinal
	}
	return slices.SortedStableFunc(slices.Values(r.queue), func(a, b entry) int { return cmp.Compare(ordinal(a), ordinal(b)) })
}

// stoppedFor is why an identity is not let in, or nil. Who made a mark himself
// may come in, to put right what he failed at, whoever else made one.
func (r record) stoppedFor(identity string) *stop {
	if len(r.stops) == 0 || slices.ContainsFunc(r.stops, func(s stop) bool { return s.By == identity }) {
		return nil
	}
	return &r.stops[0]
}

// enqueue puts the entry at the end of the queue, or where an earlier run of
// the replica has waited. It says whether that is news.
func (r *record) enqueue(e entry) bool {
	i := indexOf(r.queue, e.Identity)
	if i < 0 {
		r.queue = append(r.queue, e)
		return true
	}
	fresh := !r.queue[i].isOf(e)
	r.queue[i] = e
	return fresh
}

// remove takes out what matches, and says whether there was anything.
func remove(list *[]entry, match func(entry) bool) bool {
	before := len(*list)
	*list = slices.DeleteFunc(*list, match)
	return len(*list) < before
}

func indexOf(list []entry, identity string) int {
	return slices.IndexFunc(list, func(e entry) bool { return e.Identity == identity })
}

func (r record) clone() record {
	return record{slices.Clone(r.holders), slices.Clone(r.queue), slices.Clone(r.stops), r.garbled}
}

// stamp is t as it comes back from the server.
func stamp(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
}
