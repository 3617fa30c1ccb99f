package reload

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

func TestParseWait(t *testing.T) {
	const longest = time.Duration(1<<63 - 1)
	for in, want := range map[string][2]time.Duration{
		"500ms:10s": {500 * ms, 10 * time.Second},
		"1s":        {time.Second, 4 * time.Second},
		"2s : 2s":   {2 * time.Second, 2 * time.Second},
		"0s":        {0, 0},
		"0":         {0, 0},
		"0s:0s":     {0, 0},
		"2562047h":  {2562047 * time.Hour, longest},
	} {
		quiet, ceiling, err := ParseWait(in)
		if got := [2]time.Duration{quiet, ceiling}; got != want || err != nil {
			t.Errorf("ParseWait(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":         `wait "": time: invalid duration ""`,
		"5":        `wait "5": time: missing unit in duration "5"`,
		"1s:":      `wait "1s:": time: invalid duration ""`,
		":1s":      `wait ":1s": time: invalid duration ""`,
		"1s:2s:3s": `wait "1s:2s:3s": time: unknown unit "s:" in duration "2s:3s"`,
		"2s:1s":    `wait "2s:1s": the ceiling 1s is less than the quiet time 2s`,
		"-1s":      `wait "-1s": negative`,
		"0s:-1s":   `wait "0s:-1s": negative`,
	} {
		quiet, ceiling, err := ParseWait(in)
		if err == nil || err.Error() != want {
			t.Errorf("ParseWait(%q) = %v, %v, error %v, want %s", in, quiet, ceiling, err, want)
		}
	}
}

// firings runs a loop around q, sends it events at the times given, and tells when it fired within an
// hour and a half. Times count from the start.
func firings(q Quiet, events []time.Duration) []time.Duration {
	start := time.Now()
	poke := make(chan struct{}, 1)
	go func() { // stops when all events have been sent
		for _, at := range events {
			time.Sleep(time.Until(start.Add(at)))
			poke <- struct{}{}
		}
	}()
	var fired []time.Duration
	end := time.After(90 * time.Minute)
	for {
		var timer <-chan time.Time
		if due, pending := q.Due(); pending {
			timer = time.After(time.Until(due))
		}
		select {
		case <-poke:
			q.Poke(time.Now())
		case <-timer:
			q.Done()
			fired = append(fired, time.Since(start))
		case <-end:
			return fired
		}
	}
}

// every gives the times from, from+step, … before to.
func every(step, from, to time.Duration) []time.Duration {
	var times []time.Duration
	for at := from; at < to; at += step {
		times = append(times, at)
	}
	return times
}

func TestQuiet(t *testing.T) {
	normal := Quiet{Min: 500 * ms, Max: 10 * time.Second}
	for what, tt := range map[string]struct {
		quiet  Quiet
		events []time.Duration
		want   []time.Duration
	}{
		"nothing":      {normal, nil, nil},
		"single event": {normal, []time.Duration{0}, []time.Duration{500 * ms}},
		"burst":        {normal, every(100*ms, 0, 2050*ms), []time.Duration{2500 * ms}},
		"two bursts":   {normal, append(every(100*ms, 0, 450*ms), every(100*ms, 1000*ms, 1450*ms)...), []time.Duration{900 * ms, 1900 * ms}},
		// A hold-off counted from the last firing would fire at once after the quiet hour, and again for the burst.
		"burst after a quiet hour": {
			normal, append([]time.Duration{0}, every(100*ms, time.Hour, time.Hour+1050*ms)...),
			[]time.Duration{500 * ms, time.Hour + 1500*ms},
		},
		// Events that never stop must not put the action off for ever: the ceiling counts from the first that is pending.
		"no end": {
			normal, every(300*ms, 0, 30*time.Second),
			[]time.Duration{10 * time.Second, 20200 * ms, 30200 * ms},
		},
		"default ceiling": {Quiet{Min: time.Second}, every(700*ms, 0, 4500*ms), []time.Duration{4 * time.Second, 5200 * ms}},
		"zero quiet":      {Quiet{}, []time.Duration{0, 1 * ms, time.Hour}, []time.Duration{0, 1 * ms, time.Hour}},
		"zero quiet with a ceiling": {
			Quiet{Max: time.Second},
			[]time.Duration{0, time.Hour},
			[]time.Duration{0, time.Hour},
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, firings(tt.quiet, tt.events)); diff != "" {
					t.Errorf("fired at (-want +got)\n%s", diff)
				}
			})
		})
	}
}

// An event that comes while the last ones are overdue, for the loop was busy, puts them off no further
// than the ceiling, and Done forgets them all.
func TestQuietOverdue(t *testing.T) {
	start := time.Now()
	q := Quiet{Min: time.Second, Max: 3 * time.Second}
	q.Poke(start)
	q.Poke(start.Add(time.Minute))
	if due, pending := q.Due(); !pending || !due.Equal(start.Add(3*time.Second)) {
		t.Errorf("due after %v, %v, want 3s", due.Sub(start), pending)
	}
	q.Done()
	if due, pending := q.Due(); pending {
		t.Errorf("still due at %v after Done", due)
	}
}
