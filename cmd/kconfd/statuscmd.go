package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// exitTrouble is for commands whose 1 is an answer.
const exitTrouble = 2

// runStatus asks a kconfd that runs how it stands, and prints that. The exit code
// is 0 when all is applied, and 1 when not.
func runStatus(ctx context.Context, args []string, s streams) error {
	asJSON := false
	f, err := parseOrHelp(ctx, "kconfd status", args, s, func(set *flag.FlagSet) {
		set.BoolVar(&asJSON, "json", false, "")
	})
	if f == nil {
		return err
	}
	if f.listen == "" {
		return usageErrorf("kconfd status -listen ADDR, with the ADDR that the kconfd has behind its own -listen",
			"-listen or KCONFD_LISTEN says where the kconfd is to be asked")
	}
	text, answer, err := fetchStatus(ctx, f.listen)
	if err != nil {
		return &codeError{exitTrouble, fmt.Errorf("asking the kconfd at %q: %w", f.listen, err)}
	}
	if asJSON {
		var pretty bytes.Buffer
		_ = json.Indent(&pretty, text, "", "  ") // it has been read as JSON
		_, err = pretty.WriteTo(s.out)
	} else {
		err = answer.print(s.out, f.diff)
	}
	switch {
	case err != nil:
		return &codeError{exitTrouble, err}
	case !answer.Ready:
		return &codeError{code: exitError}
	}
	return nil
}

const (
	// statusTimeout is longer than the loop may take to come round.
	statusTimeout = 2 * askPatience
	// maxStatus is the size in bytes of an answer that can be no kconfd's.
	maxStatus = 64 << 20
)

// fetchStatus asks the kconfd that listens on an address, which may be without a
// host, as it is given to -listen.
func fetchStatus(ctx context.Context, address string) ([]byte, *status, error) {
	client := http.Client{
		Timeout: statusTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			},
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/status", nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, errors.Unwrap(err) // without the address that it was not
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(printable(string(text[:min(len(text), 200)]))))
	}
	answer := &status{}
	if err := json.Unmarshal(text, answer); err != nil || answer.Version == "" {
		return nil, nil, errors.New("what is there is no kconfd, or one of another version")
	}
	return text, answer, nil
}

// print writes the status for people: what the page shows.
func (s *status) print(out io.Writer, diffs bool) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s%s: kconfd %s, up %s, %s\n", s.Name, prefixed(" in ", s.Namespace), s.Version, s.ago(s.Started), s.verdict())
	if s.Noop {
		text.WriteString("with -noop: nothing is written and nobody is told\n")
	}
	if s.Refused != "" {
		fmt.Fprintf(&text, "the configuration on disk is refused, the one before stays: %s\n", s.Refused)
	}
	for _, g := range s.Groups {
		text.WriteString("\n")
		s.printGroup(&text, g)
	}
	printMore(&text, "", s.MoreGroups)
	if c := s.Child; c != nil {
		fmt.Fprintf(&text, "\nchild %s: %s, instance %d%s\n", c.Command, c.words(), c.Instance, s.aged(", started ", c.Since))
		if c.Refused != "" {
			fmt.Fprintf(&text, "  why      not with the command line that is asked for: %s\n", c.Refused)
		}
		if len(c.Outdated) > 0 {
			fmt.Fprintf(&text, "  changed  since it was started: %s\n", strings.Join(c.Outdated, ", "))
		}
	}
	s.printWatches(&text)
	s.printChanges(&text, diffs)
	_, err := io.WriteString(out, printable(text.String()))
	return err
}

func (s *status) verdict() string {
	if s.Ready {
		return "all applied"
	}
	return "not all applied"
}

func (s *status) printGroup(text *strings.Builder, g groupStatus) {
	fmt.Fprintf(text, "%-10s %s, for %s%s\n", g.State, g.Name, s.ago(g.Since), s.aged(", last applied ", g.Applied))
	why := g.Reason
	if !g.NextTry.IsZero() {
		why = strings.TrimPrefix(why+", next try in "+short(g.NextTry.Sub(s.Time)), ", ")
	}
	for label, value := range inOrder("why", why, "stale", g.Stale, "action", g.Action) {
		fmt.Fprintf(text, "  %-8s %s\n", label, strings.ReplaceAll(value, "\n", "\n           "))
	}
	if gate := g.Gate; gate != nil {
		fmt.Fprintf(text, "  %-8s %s, held by %s, waiting %s%s\n", "gate", gate.Lease, orNobody(gate.Holders), orNobody(gate.Queue),
			prefixed(", stopped by ", strings.Trim(gate.StoppedBy+": "+gate.Reason, ": ")))
	}
	for _, o := range g.Outputs {
		fmt.Fprintf(text, "  %-8s of the %s%s%s\n", "output", o.Of, prefixed(" of ", o.File), s.aged(", ", o.Time))
		fmt.Fprintf(text, "             %s\n", strings.ReplaceAll(o.Text, "\n", "\n             "))
	}
	for _, f := range g.Files {
		from := ""
		if f.Template != f.Path {
			from = " from " + f.Template
		}
		fmt.Fprintf(text, "  %-8s %s%s%s\n", "file", f.Path, from, s.aged(", written ", f.Written))
		for _, d := range f.Dependencies {
			fmt.Fprintf(text, "  %-8s   %s%s\n", "", d.Name, s.aged(", changed ", d.Changed)+prefixed(": ", d.Object)+prefixed(", empty: ", d.Empty))
		}
		printMore(text, fmt.Sprintf("  %-8s   ", ""), f.More)
	}
	printMore(text, fmt.Sprintf("  %-8s ", "file"), g.More)
}

// printMore says how many more there are.
func printMore(text *strings.Builder, before string, more int) {
	if more > 0 {
		fmt.Fprintf(text, "%sand %d more\n", before, more)
	}
}

// inOrder are the labels that have a value.
func inOrder(pairs ...string) func(func(label, value string) bool) {
	return func(yield func(string, string) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" && !yield(pairs[i], pairs[i+1]) {
				return
			}
		}
	}
}

func (s *status) printWatches(text *strings.Builder) {
	if len(s.Watches) == 0 {
		return
	}
	text.WriteString("\nwatches\n")
	longest := 0
	for _, w := range s.Watches {
		longest = max(longest, utf8.RuneCountInString(w.Name))
	}
	for _, w := range s.Watches {
		how := "ok"
		switch {
		case w.Error != "":
			how = w.Error
		case !w.Listed:
			how = "not listed yet"
		case !w.Healthy:
			how = "silent"
		}
		fmt.Fprintf(text, "  %-*s  %5d objects  seen %4s ago  %s\n", longest, w.Name, w.Objects, s.ago(w.Progress), how)
	}
	printMore(text, "  ", s.MoreWatches)
}

func (s *status) printChanges(text *strings.Builder, diffs bool) {
	if len(s.Changes) == 0 {
		return
	}
	text.WriteString("\nlast changes\n")
	for _, c := range s.Changes {
		times := ""
		if c.Times > 1 {
			times = fmt.Sprintf(", %d times", c.Times)
		}
		fmt.Fprintf(text, "  %s ago  %s  %s%s, in %s, by %s\n", s.ago(c.Time), c.Outcome, c.Group, times,
			time.Duration(c.Duration*float64(time.Second)).Round(time.Millisecond), c.Trigger)
		if c.Reason != "" {
			fmt.Fprintf(text, "    %s\n", strings.ReplaceAll(c.Reason, "\n", "\n    "))
		}
		if diffs {
			for line := range strings.Lines(c.Diff) {
				text.WriteString("    " + line)
			}
		}
	}
	printMore(text, "  ", s.MoreChanges)
}

func (s *status) ago(at time.Time) string { return short(s.Time.Sub(at)) }

// aged is how long ago something was, behind some words; empty when it never was.
func (s *status) aged(words string, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return words + s.ago(at) + " ago"
}

// short is a duration in its largest unit, as people say it: 90s, 3h, 2d.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(0, d); {
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// printable shows what could tell a terminal to do something as text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
