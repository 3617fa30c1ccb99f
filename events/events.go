// Package events writes Kubernetes Events about one Pod.
//
// Whoever has something to tell is never held up: what is told is noted, and
// written by [Recorder.Run]. What is told again is one Event that counts. What is
// told faster than the API server should hear it is written later; of many
// different things, some never.
package events

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/kconfd/kconfd/apiclient"
)

// A Kind says whether somebody should look.
type Kind string

// The kinds of Events.
const (
	Normal  = Kind(corev1.EventTypeNormal)
	Warning = Kind(corev1.EventTypeWarning)
)

const (
	// burst Events may be written at once, and then one each interval.
	burst    = 20
	interval = 10 * time.Second
	// maxNotes are kept; what is told when there are as many unwritten is lost.
	maxNotes = 100
	// lifetime is how long API servers keep an Event. What is told again after
	// that is a new one.
	lifetime = time.Hour
	// maxMessage is how many bytes of a message are written: API servers refuse
	// more than 1024.
	maxMessage = 1000
	// firstPause and maxPause are how long to wait after a failure.
	firstPause = 5 * time.Second
	maxPause   = 10 * time.Minute
	// requestTimeout is for one request.
	requestTimeout = 10 * time.Second
)

// A Recorder writes the Events of one Pod. The nil Recorder writes none.
type Recorder struct {
	pod  Pod
	log  *slog.Logger
	send func(context.Context, Event) error
	wake chan struct{}

	mu     sync.Mutex
	notes  map[string]*Event // by what makes them the same
	number int64             // of Events so far
}

// An Event is what has been told, once or more often.
type Event struct {
	Kind    Kind
	Reason  string // CamelCase
	Message string // of the last time
	Count   int
	First   time.Time
	Last    time.Time

	name    string    // of the object
	written bool      // once at least
	due     time.Time // since when it is to be written as it is now; zero when it is
}

// New returns a recorder of the pod's Events. It makes no request.
func New(config *rest.Config, pod Pod, log *slog.Logger) (*Recorder, error) {
	s := &sender{pod: pod}
	if err := s.connect(config); err != nil {
		return nil, err
	}
	return newRecorder(pod, s.send, log), nil
}

func newRecorder(pod Pod, send func(context.Context, Event) error, log *slog.Logger) *Recorder {
	return &Recorder{pod: pod, log: log, send: send, wake: make(chan struct{}, 1), notes: map[string]*Event{}}
}

// Record notes what is to be told. It does not wait for anything.
func (r *Recorder) Record(kind Kind, reason, message string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	e := r.note(key(reason, message), now)
	if e == nil {
		r.log.Debug("too much to tell, an Event is lost", "reason", reason)
		return
	}
	e.Kind, e.Reason, e.Message = kind, reason, shorten(message)
	e.Count++
	e.Last = now
	if e.due.IsZero() {
		e.due = now
	}
	select {
	case r.wake <- struct{}{}:
	default: // one is waiting, and stands for this one too
	}
}

// key is what makes two Events the same: all but the numbers in them, which are
// of addresses, ports and temporary files.
func key(reason, message string) string {
	return reason + "\x00" + strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, message)
}

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "…"
}

// note is the Event with the key, or a new one; nil when there is no room. The
// mutex is held.
func (r *Recorder) note(key string, now time.Time) *Event {
	if e := r.notes[key]; e != nil && now.Sub(e.First) < lifetime {
		return e
	}
	if len(r.notes) >= maxNotes && !r.forget() {
		return nil
	}
	r.number++ // two may be of the same moment
	e := &Event{First: now, name: fmt.Sprintf("%s.%x", r.pod.Name, now.UnixNano()+r.number)}
	r.notes[key] = e
	return e
}

// forget drops the oldest Event that has been written, if there is one.
func (r *Recorder) forget() bool {
	oldest := ""
	for key, e := range r.notes {
		if e.due.IsZero() && (oldest == "" || e.Last.Before(r.notes[oldest].Last)) {
			oldest = key
		}
	}
	delete(r.notes, oldest)
	return oldest != ""
}

// next is the Event that has been due for longest, or nil.
func (r *Recorder) next() *Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var next *Event
	for _, e := range r.notes {
		if !e.due.IsZero() && (next == nil || e.due.Before(next.due)) {
			next = e
		}
	}
	return next
}

// Run writes Events until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	limit := flowcontrol.NewTokenBucketRateLimiter(float32(1/interval.Seconds()), burst)
	t := trouble{pause: firstPause}
	for {
		e := r.next()
		if e == nil {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if limit.Wait(ctx) != nil {
			return nil
		}
		select {
		case <-time.After(t.after(r.write(ctx, e), r.log)):
		case <-ctx.Done():
			return nil
		}
	}
}

// trouble is that Events cannot be written.
type trouble struct {
	pause time.Duration // for which it is not tried again
	told  bool          // that it is not allowed
}

// after gives how long to wait after an attempt.
func (t *trouble) after(err error, log *slog.Logger) time.Duration {
	if err == nil {
		t.pause = firstPause
		return 0
	}
	pause := t.pause
	t.pause = min(2*t.pause, maxPause)
	if !apierrors.IsForbidden(err) {
		log.Debug("an Event is not written", "err", err, "retry", pause.String())
		return pause
	}
	if !t.told {
		t.told = true
		log.Warn("no Events are written, it is not allowed", "err", err, "hint", "`kconfd rbac -events` prints the Role that they need")
	}
	return maxPause
}

// write writes the Event as it is now. What is told meanwhile makes it due again.
func (r *Recorder) write(ctx context.Context, e *Event) error {
	r.mu.Lock()
	now := *e
	e.due = time.Time{}
	r.mu.Unlock()
	err := r.send(ctx, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		e.written = true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err): // nor would it be the next time
	default:
		e.due = time.Now() // behind the others
	}
	return err
}

// A sender makes requests of Events.
type sender struct {
	pod    Pod
	client rest.Interface
}

func (s *sender) connect(config *rest.Config) (err error) {
	s.client, err = apiclient.New(config, corev1.SchemeGroupVersion, &corev1.Event{})
	return err
}

// send writes an Event, or counts up the one that there is.
func (s *sender) send(ctx context.Context, e Event) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if e.written {
		if err := s.count(ctx, e); !apierrors.IsNotFound(err) {
			return err
		}
	} // else it is new, or the server has forgotten it since
	err := s.create(ctx, e)
	if apierrors.IsAlreadyExists(err) { // the answer was lost
		return s.count(ctx, e)
	}
	return err
}

func (s *sender) count(ctx context.Context, e Event) error {
	patch, err := json.Marshal(map[string]any{
		"count": e.Count, "lastTimestamp": metav1.NewTime(e.Last), "message": e.Message, "type": string(e.Kind),
	})
	if err != nil {
		return err
	}
	return s.client.Patch(types.MergePatchType).Namespace(s.pod.Namespace).Resource("events").Name(e.name).Body(patch).Do(ctx).Error()
}

func (s *sender) create(ctx context.Context, e Event) error {
	return s.client.Post().Namespace(s.pod.Namespace).Resource("events").Body(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pod.Namespace, Name: e.name},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: s.pod.Namespace, Name: s.pod.Name, UID: types.UID(s.pod.UID),
		},
		Type: string(e.Kind), Reason: e.Reason, Message: e.Message, Count: int32(e.Count),
		FirstTimestamp: metav1.NewTime(e.First), LastTimestamp: metav1.NewTime(e.Last),
		Source: corev1.EventSource{Component: component}, ReportingController: component, ReportingInstance: s.pod.Name,
	}).Do(ctx).Error()
}

const component = "kconfd"
