package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remindAfter is how often a lasting trouble is repeated in the log.
const remindAfter = time.Minute

// A trouble is what keeps something from working. It is logged once for each
// kind of error, and again from time to time.
type trouble struct {
	kind        string
	since, told time.Time
}

// is notes an error, with what it means.
func (t *trouble) is(log *slog.Logger, meaning string, err error) {
	now := time.Now()
	if t.kind == "" {
		t.since = now
	}
	if kind := kindOf(err); kind != t.kind || now.Sub(t.told) >= remindAfter {
		t.kind, t.told = kind, now
		log.Warn(meaning, "err", err)
	}
}

// over notes that all works.
func (t *trouble) over(log *slog.Logger, meaning string) {
	if t.kind == "" {
		return
	}
	log.Info(meaning, "after", time.Since(t.since).Round(time.Millisecond).String())
	*t = trouble{}
}

// kindOf is the same for errors that differ only in a port or a number.
func kindOf(err error) string {
	var denied *DeniedError
	var errno syscall.Errno
	switch {
	case errors.As(err, &denied):
		return "denied " + denied.Verb
	case errors.Is(err, errNoAnswer):
		return errNoAnswer.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return fmt.Sprintf("%T", err)
}
