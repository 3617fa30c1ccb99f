package gate

import (
	"sync"
	"time"
)

// A hold is for how long a pass is good. Its zero value has not begun.
type hold struct {
	lost chan struct{}

	mu    sync.Mutex
	until time.Time
	timer *time.Timer
	over  bool // lost or given back
}

// extend makes the pass good until then, unless it is over.
func (h *hold) extend(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.until = until
	if h.timer == nil {
		h.timer = time.AfterFunc(time.Until(until), h.expire) // ends by itself
		return
	}
	h.timer.Reset(time.Until(until))
}

// expire is the timer's, which may have been set anew while it fired.
func (h *hold) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !time.Now().Before(h.until) {
		h.end(true)
	}
}

// lose ends the hold, and says whether that is news.
func (h *hold) lose() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end(true)
}

// giveBack ends the hold without a loss.
func (h *hold) giveBack() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(false)
}

func (h *hold) end(lost bool) bool {
	if h.over {
		return false
	}
	h.over = true
	if h.timer != nil {
		h.timer.Stop()
	}
	if lost {
		close(h.lost)
	}
	return true
}

// good looks at the clock: after a suspension, the timer may be late.
func (h *hold) good() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.over && time.Now().Before(h.until)
}
