package main

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// promtool runs Prometheus' own tool with something on its standard input, and
// gives what it has to say, empty when all is well.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: run: make packages", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return strings.TrimSpace(err.Error() + "\n" + string(out))
	}
	return ""
}

// ownMetrics are the lines of /metrics that are about kconfd's own metrics.
func ownMetrics(metrics string) string {
	return strings.Join(regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?kconfd_.*\n`).FindAllString(metrics, -1), "")
}

// Names, units and explanations are by Prometheus' conventions, and each metric
// has its explanation.
func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d, "-listen", "127.0.0.1:0", "--", "sleep", "1000")
	await(t, "kconfd is ready", func() bool { return k.status().Ready })
	_, body := k.get("/metrics")
	own := ownMetrics(body)
	if complaints := promtool(t, own, "check", "metrics"); complaints != "" {
		t.Errorf("promtool: %s\n%s", complaints, own)
	}
	found := map[string]bool{}
	for line := range strings.Lines(own) {
		if name, isHelp := strings.CutPrefix(line, "# HELP "); isHelp {
			found[strings.Fields(name)[0]] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(meanings())), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("-explained +there:\n%s", diff)
	}
	k.signal(15)
	<-k.ended
}

// A group's metrics say what its state is, and go with it.
func TestMetricsOfGroups(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/templates/a.tmpl"] = `{{ if eq (configMap "settings").colour "red" }}{{ fail "not red" }}{{ end }}{{ (configMap "settings").colour }}` + "\n"
	files["conf/conf.d/b.toml"] = "[[template]]\ncontents = 'x'\ndest = \"$DIR/live/b\"\n"
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0")
	group := `group="` + d.file("conf/conf.d/a.toml") + `"`
	states := func() (one []string) {
		_, body := k.get("/metrics")
		for _, m := range regexp.MustCompile(`kconfd_group_state\{`+regexp.QuoteMeta(group)+`,state="(\w+)"\} 1\n`).FindAllStringSubmatch(body, -1) {
			one = append(one, m[1])
		}
		return one
	}
	await(t, "applied", func() bool { return slices.Equal(states(), []string{stateApplied}) })
	if got := k.metric("kconfd_group_applied{" + group + "}"); got != "1" {
		t.Errorf("kconfd_group_applied: got %q, want 1", got)
	}
	if got := k.metric("kconfd_group_last_applied_timestamp_seconds{" + group + "}"); !regexp.MustCompile(`^1\.\d+e\+09$`).MatchString(got) {
		t.Errorf("kconfd_group_last_applied_timestamp_seconds: got %q, want a time", got)
	}
	if got := k.metric("kconfd_apply_duration_seconds_total{" + group + "}"); !strings.HasPrefix(got, "0.") {
		t.Errorf("kconfd_apply_duration_seconds_total: got %q, want milliseconds", got)
	}
	d.write("objects.yaml", settings("red"))
	await(t, "held", func() bool { return slices.Equal(states(), []string{stateHeld}) })
	if got := k.metric("kconfd_group_applied{" + group + "}"); got != "0" {
		t.Errorf("kconfd_group_applied when held: got %q, want 0", got)
	}
	if err := os.Remove(d.file("conf/conf.d/a.toml")); err != nil {
		t.Fatal(err)
	}
	await(t, "the group is gone", func() bool {
		_, body := k.get("/metrics")
		return !strings.Contains(body, "kconfd_group_applied{"+group) && !strings.Contains(body, "kconfd_group_state{"+group) &&
			!strings.Contains(body, "kconfd_group_stale{"+group) && !strings.Contains(body, "kconfd_group_last_applied_timestamp_seconds{"+group) &&
			strings.Contains(body, "kconfd_group_applied{")
	})
	k.stop()
}
