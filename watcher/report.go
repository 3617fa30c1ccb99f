package watcher

import "time"

// orNone is f, or nil when nothing is wrong.
func (f *faults) orNone() *faults {
	if f.count == 0 {
		return nil
	}
	return f
}

// report counts what is wrong with an object that takes the place of another, and
// logs it when nothing was wrong with that. The mutex is held.
func (f *feed) report(r, old *record) {
	if r.faults == nil {
		return
	}
	known := old != nil && old.faults != nil
	if !known || *old.faults != *r.faults {
		f.watcher.invalid += uint64(r.faults.count)
	}
	if known {
		return
	}
	if unreported, ok := f.watcher.warnings.next(time.Now()); ok {
		f.watcher.log.Warn("invalid values ignored", "object", f.key.gvk.Kind+" "+printable(objectKey(r.Namespace, r.Name)),
			"field", r.faults.field, "value", printable(r.faults.value), "values", r.faults.count, "unreported_objects", unreported)
	}
}

// InvalidValues is how many values of objects templates did not see so far, because
// Kubernetes would not allow them where they stood.
func (w *Watcher) InvalidValues() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.invalid
}

// A pace lets a few warnings a minute through, and counts the others.
type pace struct {
	since      time.Time
	said, held int
}

// next says whether there may be a warning now, and how many there were not since the
// last one.
func (p *pace) next(now time.Time) (held int, ok bool) {
	const most = 10
	if now.Sub(p.since) >= time.Minute {
		p.since, p.said = now, 0
	}
	if p.said == most {
		p.held++
		return 0, false
	}
	p.said++
	held, p.held = p.held, 0
	return held, true
}
