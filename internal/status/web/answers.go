package web

import (
	"context"
	"slices"
	"sync"
	"time"
)

// An Answer is what all clients get that ask for a path at the same time.
type Answer struct {
	Code int    // as of HTTP
	Type string // of the content, as in Content-Type
	Body []byte // it is not changed any more
}

const (
	// maxSending is how many bytes of different answers may be in memory while they
	// are sent. It is several times the largest answer.
	maxSending = 2 << 20
	// shareFor is how old an answer may be that is given to one more client, while
	// it is being sent to another.
	shareFor = 250 * time.Millisecond
	// shareFull is the same while maxSending is reached, also when something has
	// changed since.
	shareFull = 2 * time.Second
	// makeTimeout is how long an answer may take to be made.
	makeTimeout = 5 * time.Second
)

// A page is a path and its answer.
type page struct {
	answer func(context.Context) Answer
	newest *sharedAnswer // nil when it is not being sent
	making *making       // nil when nothing is made
}

// A making is an answer that is being made.
type making struct {
	done   chan struct{} // closed when it is
	result *sharedAnswer // nil when that failed
}

// A sharedAnswer is being sent to clients.
type sharedAnswer struct {
	Answer
	page       *page
	generation int
	made       time.Time
	readers    map[*reader]bool
}

// A reader is a client that an answer is sent to.
type reader struct {
	conn *conn // nil outside of Serve
}

// answers has all that are being sent.
type answers struct {
	mu         sync.Mutex
	generation int // how often something has changed
	sending    []*sharedAnswer
	bytes      int // of sending
}

// changed has clients that ask from now on get new answers.
func (s *answers) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
}

// get gives a client the answer of a page, which is not older than the last change
// before the call, unless there is too much to send. Call release afterwards. The end
// of ctx is not heeded: a client that sends no more may still read.
func (s *answers) get(ctx context.Context, p *page, r *reader) *sharedAnswer {
	asked := s.now()
	for {
		shared, m, mine := s.share(p, r)
		switch {
		case shared != nil:
			return shared
		case mine:
			return s.make(ctx, p, r, m)
		}
		<-m.done // makeTimeout sees to that
		if shared := s.join(m, r, asked); shared != nil {
			return shared
		}
	}
}

// now is how often something has changed.
func (s *answers) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// share gives the answer that is being sent, if it is new enough. Else it gives the
// one that is being made, which the caller has to make if it is mine.
func (s *answers) share(p *page, r *reader) (shared *sharedAnswer, m *making, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := p.newest; a != nil && s.newEnough(a) {
		s.send(a, r)
		return a, nil, false
	}
	if p.making == nil {
		p.making = &making{done: make(chan struct{})}
		return nil, p.making, true
	}
	return nil, p.making, false
}

func (s *answers) newEnough(a *sharedAnswer) bool {
	age := time.Since(a.made)
	full := s.bytes+len(a.Body) > maxSending
	return full && age < shareFull || a.generation == s.generation && age < shareFor
}

// make makes a page's answer. It does not end with the client, who need not be the
// only one that waits.
func (s *answers) make(ctx context.Context, p *page, r *reader, m *making) *sharedAnswer {
	made := &sharedAnswer{page: p, generation: s.now(), made: time.Now(), readers: map[*reader]bool{}}
	defer func() { // also after a panic
		s.mu.Lock()
		defer s.mu.Unlock()
		p.making = nil
		close(m.done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTimeout)
	defer cancel()
	made.Answer = p.answer(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.result, p.newest = made, made
	s.send(made, r)
	return made
}

// join gives a client that has waited for an answer what was made, unless that was
// begun before the change after which the client asked.
func (s *answers) join(m *making, r *reader, asked int) *sharedAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.result == nil || m.result.generation < asked {
		return nil
	}
	s.send(m.result, r)
	return m.result
}

// send notes that the answer is being sent to a client. If that is too much in all,
// those that have not read the oldest answer are cut off.
func (s *answers) send(a *sharedAnswer, r *reader) {
	a.readers[r] = true
	if slices.Contains(s.sending, a) {
		return
	}
	for len(s.sending) > 0 && s.bytes+len(a.Body) > maxSending {
		for r := range s.sending[0].readers {
			r.conn.evict()
		}
		s.drop(s.sending[0])
	}
	s.sending = append(s.sending, a)
	s.bytes += len(a.Body)
}

// release notes that a client has the answer, or is gone.
func (s *answers) release(a *sharedAnswer, r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(a.readers, r)
	if len(a.readers) == 0 && slices.Contains(s.sending, a) {
		s.drop(a)
	}
}

func (s *answers) drop(a *sharedAnswer) {
	s.sending = slices.DeleteFunc(s.sending, func(other *sharedAnswer) bool { return other == a })
	s.bytes -= len(a.Body)
	if a.page.newest == a {
		a.page.newest = nil
	}
}
