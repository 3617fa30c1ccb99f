package timing

import (
	"errors"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"1ms": "1ms", "8760h": "8760h0m0s", "1m30s": "1m30s", ".5s": "500ms", "+2s": "2s",
		"8760h1ns":                   `want a duration from 1ms to 8760h, not "8760h1ns"`,
		"9999999h":                   `want a duration from 1ms to 8760h, not "9999999h"`,
		"99999999999999999999999h":   `want a duration from 1ms to 8760h, not "99999999999999999999999h"`,
		"-99999999999999999999999h":  `want a duration from 1ms to 8760h, not "-99999999999999999999999h"`,
		"-1s":                        `want a duration from 1ms to 8760h, not "-1s"`,
		"0s":                         `want a duration from 1ms to 8760h, not "0s"`,
		"999us":                      `want a duration from 1ms to 8760h, not "999us"`,
		"1":                          `time: missing unit in duration "1"`,
		"":                           `time: invalid duration ""`,
		"h":                          `time: invalid duration "h"`,
		"1e3s":                       `time: unknown unit "e" in duration "1e3s"`,
		"99999999999999999999999 h":  `time: invalid duration "99999999999999999999999 h"`,
		"0.0000000000000000001h0.1s": "100ms",
	} {
		got := ""
		d, err := Parse(text, Shortest, Longest)
		if err != nil {
			got = err.Error()
		} else {
			got = d.String()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", time.Minute: "1m", time.Hour + time.Minute: "1h1m", 10 * time.Second: "10s",
		time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms", 0: "0s", 20 * time.Minute: "20m",
	} {
		if got := Format(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1s", "9999999h", "-1s", "0s", "1e3s", "µs", "1h1m1s1ms1us1ns", ".s", "9223372036854775807ns", "9223372036854775808ns"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text, Shortest, Longest)
		var outside *RangeError
		switch {
		case err == nil && (d < Shortest || d > Longest):
			t.Errorf("got %v", d)
		case err != nil && d != 0:
			t.Errorf("got %v with %v", d, err)
		case errors.As(err, &outside) && outside.Text != text:
			t.Errorf("the error is about %q", outside.Text)
		}
	})
}
