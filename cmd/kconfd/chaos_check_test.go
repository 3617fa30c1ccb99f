package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// check holds what was noted in a scene against what may be.
func (s *scene) check() {
	s.t.Helper()
	ill := regexp.MustCompile(`DATA RACE|panic: |fatal error: |SIGSEGV`)
	tellings := s.history.tellings()
	for _, k := range s.keepers {
		lines := k.journal.read()
		for _, v := range violations(s.setup, s.config.verify, lines, tellings) {
			s.t.Errorf("%s %s: %s", s.setup, k.name, v)
		}
		log, err := os.ReadFile(k.file("log"))
		if err != nil || ill.Match(log) {
			s.t.Errorf("%s %s: the log has %q (%v)", s.setup, k.name, ill.Find(log), err)
		}
		// Who dies between forgetting and removing leaves what is swept later, and
		// who is stopped before the proof needs the way back.
		proven := !s.config.verify || len(lines) == 0 || strings.HasPrefix(lines[len(lines)-1], "verified")
		if kept := k.glob("live/.*.old"); len(kept) > 0 && proven && !slices.Contains(lines, "died") {
			s.t.Errorf("%s %s: left: %q", s.setup, k.name, kept)
		}
		s.round.results.note("times that a process was told", disturbances(lines))
	}
	for _, v := range overlaps(journal(s.file("acting")).read()) {
		s.t.Errorf("%s: %s", s.setup, v)
	}
}

// disturbances is how often the process noticed something.
func disturbances(lines []string) int {
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "told ") || l == "started" || l == "ended" || l == "overlap" {
			n++
		}
	}
	return n
}

// violations are what should not have happened to a process: lines is its
// journal, tellings what it can have been told, in the order of the states. It has
// applied what was verified, or without that, what it took over.
func violations(how setup, verified bool, lines, tellings []string) []string {
	found := lives(how, lines)
	if how.exact() {
		proof := "applied"
		if verified {
			proof = "verified"
		}
		return append(found, tellingsInOrder(lines, tellings, proof)...)
	}
	return append(found, enough(lines, len(tellings))...)
}

// lives wants that a process lives as long as it is meant to.
func lives(how setup, lines []string) (found []string) {
	count := map[string]int{}
	for _, l := range lines {
		count[l]++
	}
	if count["overlap"] > 0 {
		found = append(found, "two instances side by side, or one that was killed")
	}
	switch {
	case how.hasChild() && count["started"] != count["ended"]:
		found = append(found, fmt.Sprintf("%d started, %d ended well", count["started"], count["ended"]))
	case how == childSignal && count["started"] != 1, how == bySignal && count["started"] != 1:
		found = append(found, fmt.Sprintf("started %d times, want once", count["started"]))
	case how == bySignal && count["ended"] > 0:
		found = append(found, "ended by somebody")
	}
	return found
}

// enough wants that a process was not told more often than there were changes and
// failures, each of which may take it back and forth.
func enough(lines []string, states int) []string {
	told, failures := 0, 0
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "told "):
			told++
		case isFailure(l):
			failures++
		}
	}
	if most := states + 2*failures; told > most {
		return []string{fmt.Sprintf("told %d times, with %d states and %d failures", told, states, failures)}
	}
	return nil
}

// isFailure says whether a line is about something after which a process may be
// told again.
func isFailure(line string) bool {
	return strings.HasPrefix(line, "failed") || line == "died"
}

// tellingsInOrder wants that a process was told of sets that there were, never of
// one older than what it had applied, and not twice of the same without a reason:
// a failure, or other content that was on its way to disk meanwhile.
func tellingsInOrder(lines, tellings []string, proof string) (found []string) {
	last, times, reasons, applied := "", 0, 0, 0
	for _, l := range lines {
		what, set, _ := strings.Cut(l, " ")
		at := slices.Index(tellings[applied:], set)
		switch {
		case isFailure(l), what == "checked":
			reasons++
		case what == proof:
			applied += max(at, 0)
		case what != "told":
		case !slices.Contains(tellings, set):
			found = append(found, "told of what there never was as a set: "+set)
		case at < 0:
			found = append(found, "told of something older than what it had applied: "+set)
		case set != last:
			last, times, reasons = set, 1, 0
		default:
			if times++; times > 1+reasons {
				found = append(found, fmt.Sprintf("told %d times with reason for %d: %s", times, 1+reasons, set))
			}
		}
	}
	return found
}

// overlaps wants that nobody acts before all others have been found to work, or
// have died and are not waited for. Lines are WHAT WHO.
func overlaps(lines []string) (found []string) {
	busy := map[string]bool{}
	for _, l := range lines {
		what, who, _ := strings.Cut(l, " ")
		switch what {
		case "begin":
			for other := range busy {
				if busy[other] && other != who {
					found = append(found, fmt.Sprintf("%s acted while %s was at it", who, other))
				}
			}
			busy[who] = true
		case "verified", "died":
			busy[who] = false
		}
	}
	return found
}

// wantNotStuck wants that nobody was kept waiting at the gate for longer than one
// who has died holds it.
func (s *scene) wantNotStuck(since time.Time) {
	s.t.Helper()
	idle := s.gate.longest(since)
	s.round.results.idle(idle)
	if limit := chaosLease + flagValue[time.Duration]("chaos.bar")*2/5; idle > limit {
		s.t.Errorf("nobody was let in for %s, with a lease time of %s", idle, chaosLease)
	}
}

// The checks find what they are for.
func TestChaosChecks(t *testing.T) {
	t.Parallel()
	states := []string{"a", "b", "c", "b", "d"}
	for name, test := range map[string]struct {
		how   setup
		lines []string
		want  []string
	}{
		"in order":          {byCommand, []string{"told a", "applied a", "told c", "applied c", "told b", "told d"}, nil},
		"back and forth":    {byCommand, []string{"checked", "told b", "checked", "checked", "told b"}, nil},
		"again after death": {byCommand, []string{"told a", "died", "told a", "told d"}, nil},
		"back after a failure": {
			byCommand, []string{"told a", "applied a", "told b", "failed: the action", "told a", "told b"}, nil,
		},
		"twice":         {byCommand, []string{"told a", "told a"}, []string{"told 2 times with reason for 1: a"}},
		"thrice":        {rolling, []string{"told a", "died", "told a", "told a"}, []string{"told 3 times with reason for 2: a"}},
		"failed before": {byCommand, []string{"died", "told a", "told b", "told b"}, []string{"told 2 times with reason for 1: b"}},
		"mixed":         {byCommand, []string{"told a", "told ab"}, []string{"told of what there never was as a set: ab"}},
		"older": {
			byCommand, []string{"told c", "applied c", "died", "told a"}, []string{"told of something older than what it had applied: a"},
		},
		"a child": {childRestart, []string{"started", "told a", "ended", "started", "told b", "ended"}, nil},
		"a child that is shot": {childRestart, []string{"started", "told a", "overlap", "started", "told b", "ended"}, []string{
			"two instances side by side, or one that was killed", "2 started, 1 ended well",
		}},
		"a restart too many": {childSignal, []string{"started", "ended", "started", "ended"}, []string{"started 2 times, want once"}},
		"stopped":            {bySignal, []string{"started", "ended"}, []string{"ended by somebody"}},
		"too often": {
			bySignal, append([]string{"started", "died"}, strings.Split(strings.Repeat("told a,", 8), ",")...),
			[]string{"told 8 times, with 5 states and 1 failures"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, violations(test.how, false, test.lines, states)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for name, test := range map[string]struct {
		lines []string
		want  []string
	}{
		"one by one":     {[]string{"begin x", "verified x", "begin y", "failed y", "begin y", "verified y", "begin x"}, nil},
		"one that died":  {[]string{"begin x", "died x", "begin y"}, nil},
		"side by side":   {[]string{"begin x", "begin y"}, []string{"y acted while x was at it"}},
		"not in order":   {[]string{"begin x", "failed x", "begin y"}, []string{"y acted while x was at it"}},
		"not yet proven": {[]string{"begin x", "verified x", "begin x", "begin y"}, []string{"y acted while x was at it"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, overlaps(test.lines)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// metricAt asks a kconfd for the first of its metrics with a text in its name,
// 0 when there is none.
func metricAt(address, name string) float64 {
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, name) {
			_, value, _ := strings.Cut(line, "} ")
			if value == "" {
				_, value, _ = strings.Cut(line, " ")
			}
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return n
		}
	}
	return 0
}
