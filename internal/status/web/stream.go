package web

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// MaxViewers follow a stream at the same time; more have to ask.
	MaxViewers = 16
	// Pace is how often a viewer is told of changes at most.
	Pace = 250 * time.Millisecond
	// pulse is how often a viewer is told that kconfd lives.
	pulse = 15 * time.Second
)

// viewers are the clients that follow what changes.
type viewers struct {
	limit int

	mu      sync.Mutex
	pending map[chan struct{}]bool // one for each viewer
}

// join gives a channel that has an element whenever something has changed, or nil
// when there are too many already. Leave ends it.
func (v *viewers) join() chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.pending) >= v.limit {
		return nil
	}
	news := make(chan struct{}, 1)
	v.pending[news] = true
	return news
}

func (v *viewers) leave(news chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.pending, news)
}

func (v *viewers) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.pending)
}

func (v *viewers) changed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for news := range v.pending {
		select {
		case news <- struct{}{}:
		default: // one is waiting, and stands for this one too
		}
	}
}

// serveStream tells a viewer by server-sent events that something has changed.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	news := s.viewers.join()
	if news == nil {
		s.refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d are looking already; ask for /status now and then", s.viewers.limit))
		return
	}
	defer s.viewers.leave(news)
	w.Header().Set(contentType, "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(pulse)
	defer alive.Stop()
	for message := ": hello\n\n"; ; {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // or else it may take longer
		if _, err := fmt.Fprint(w, message); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-time.After(Pace):
		case <-r.Context().Done():
			return
		}
		select {
		case <-news:
			message = "data: changed\n\n"
		case <-alive.C:
			message = ": alive\n\n"
		case <-r.Context().Done():
			return
		}
	}
}
