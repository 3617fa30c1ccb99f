//go:build !race

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// However much there is, the status is JSON of a bounded size, which counts what it
// lacks and keeps what is in trouble.
func TestStatusSize(t *testing.T) {
	long := strings.Repeat("ä<&>", 20_000)
	group := func(state, text string, files, dependencies int) groupStatus {
		g := groupStatus{Name: "group " + text, State: state, Reason: text, Action: text, Files: []fileStatus{}}
		for range files {
			f := fileStatus{Path: text, Template: text, Dependencies: []dependencyStatus{}}
			for range dependencies {
				f.Dependencies = append(f.Dependencies, dependencyStatus{Name: text})
			}
			g.Files = append(g.Files, f)
		}
		return g
	}
	for name, fill := range map[string]func(s *status){
		"little":             func(s *status) { s.Groups = append(s.Groups, group(stateFailed, "x", 1, 1)) },
		"long texts":         func(s *status) { s.Groups = append(s.Groups, group(stateFailed, long, 1, 1)) },
		"control characters": func(s *status) { s.Groups = append(s.Groups, group(stateFailed, strings.Repeat("\x01", 80_000), 1, 1)) },
		"no UTF-8":           func(s *status) { s.Groups = append(s.Groups, group(stateFailed, strings.Repeat("\xff", 80_000), 1, 1)) },
		"many files":         func(s *status) { s.Groups = append(s.Groups, group(stateFailed, "x", 20_000, 1)) },
		"many dependencies":  func(s *status) { s.Groups = append(s.Groups, group(stateFailed, "x", 100, 100)) },
		"many groups": func(s *status) {
			for range 20_000 {
				s.Groups = append(s.Groups, group(stateApplied, "x", 1, 1))
			}
			s.Groups = append(s.Groups, group(stateFailed, "x", 1, 1))
		},
		"many watches": func(s *status) {
			s.Groups = append(s.Groups, group(stateFailed, "x", 1, 1))
			for range 20_000 {
				s.Watches = append(s.Watches, watchStatus{Name: long[:100], Error: "away"})
			}
		},
		"long diffs": func(s *status) {
			s.Groups = append(s.Groups, group(stateFailed, "x", 1, 1))
			for n := range maxChanges {
				s.Changes = append(s.Changes, change{Group: fmt.Sprint(n), Files: []string{}, Diff: strings.Repeat("+\x01\x01\x01\n", maxDiff/5)})
			}
		},
		"all of it": func(s *status) {
			s.Refused, s.Name = long, long
			for range 500 {
				g := group(stateFailed, long, 5, 5)
				g.Gate = &gateStatus{Lease: long, Holders: strings.Split(long[:50_000], "&"), Queue: strings.Split(long[:50_000], "&")}
				s.Groups = append(s.Groups, g)
				s.Watches = append(s.Watches, watchStatus{Name: long, Error: long})
			}
			for range maxChanges {
				s.Changes = append(s.Changes, change{Group: long, Reason: long, Trigger: long, Files: strings.Split(long, "&"), Diff: long[:maxDiff]})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &status{Time: time.Now(), Version: "1", Groups: []groupStatus{}, Watches: []watchStatus{}, Changes: []change{}}
			fill(s)
			text := s.encode()
			if len(text) > maxStatusSize {
				t.Errorf("got %d KiB, want %d at most", len(text)>>10, maxStatusSize>>10)
			}
			var got status
			if err := json.Unmarshal(text, &got); err != nil || !utf8.Valid(text) {
				t.Fatalf("it is no JSON: %v", err)
			}
			if len(got.Groups)+got.MoreGroups != len(s.Groups) || len(got.Watches)+got.MoreWatches != len(s.Watches) || len(got.Changes)+got.MoreChanges != len(s.Changes) {
				t.Errorf("got %d and %d groups, %d and %d watches, %d and %d changes, want all of them to be counted", len(got.Groups), got.MoreGroups,
					len(got.Watches), got.MoreWatches, len(got.Changes), got.MoreChanges)
			}
			if len(got.Groups) == 0 || got.Groups[0].State != stateFailed {
				t.Errorf("what has failed is not the first of %d", len(got.Groups))
			}
			if got.Groups[0].Files == nil || len(got.Groups[0].Files)+got.Groups[0].More != len(s.Groups[len(s.Groups)-1].Files) {
				t.Errorf("got %d files and %d more", len(got.Groups[0].Files), got.Groups[0].More)
			}
			t.Logf("%d KiB", len(text)>>10)
		})
	}
}

// What is cut says so, at the end of a character.
func TestCut(t *testing.T) {
	l := statusLimits{text: 5}
	for text, want := range map[string]string{
		"12345": "12345", "123456": "12345 … and 1 bytes more", "1234ä6": "1234 … and 3 bytes more", "": "",
	} {
		if got := l.cut(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
