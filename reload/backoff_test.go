package reload

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	for what, tt := range map[string]struct {
		backoff Backoff
		want    []time.Duration // before the 10 %
	}{
		"zero value":        {Backoff{}, seconds(1, 2, 4, 8, 16, 32, 60, 60, 60)},
		"own bounds":        {Backoff{Initial: 3 * time.Second, Max: 10 * time.Second}, seconds(3, 6, 10, 10)},
		"only a maximum":    {Backoff{Max: 3 * time.Second}, seconds(1, 2, 3, 3)},
		"long initial":      {Backoff{Initial: 100 * time.Second}, seconds(100, 100)},
		"initial above max": {Backoff{Initial: 9 * time.Second, Max: 5 * time.Second}, seconds(5, 5)},
	} {
		for range 100 {
			for i, want := range tt.want {
				if got := tt.backoff.Next(); got < want*9/10 || got > want*11/10 {
					t.Fatalf("%s: delay %d is %v, want %v ± 10 %%", what, i, got, want)
				}
			}
			tt.backoff.Reset()
		}
	}
}

// Replicas that failed together must not retry together.
func TestBackoffIsSpread(t *testing.T) {
	var least, most time.Duration
	for i := range 100 {
		var b Backoff
		d := b.Next()
		if i == 0 {
			least, most = d, d
		}
		least, most = min(least, d), max(most, d)
	}
	if spread := most - least; spread < 100*time.Millisecond {
		t.Errorf("100 first delays are within %v of each other, want more", spread)
	}
}

func seconds(ns ...int) []time.Duration {
	var ds []time.Duration
	for _, n := range ns {
		ds = append(ds, time.Duration(n)*time.Second)
	}
	return ds
}
