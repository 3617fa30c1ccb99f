package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/docs"
)

const monitoring = "../../deploy/monitoring"

// alertRules are the expressions of the alerts, by name.
func alertRules(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert string `yaml:"alert"`
				Expr  string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r.Expr
		}
	}
	return rules
}

// panels are the expressions of the dashboard, by the panels' titles, with values
// for what Grafana fills in.
func panels(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Name  string `json:"name"`
				Query any    `json:"query"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$pod", ".*")
	found := map[string]string{}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			found[fmt.Sprint(p.Title, " ", i+1)] = fill.Replace(target.Expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		if query, ok := v.Query.(map[string]any); ok {
			selector := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(query["query"].(string))
			if selector == nil {
				t.Fatalf("the variable %s asks for %v", v.Name, query)
			}
			found["variable "+v.Name] = fill.Replace(selector[1])
		}
	}
	return found
}

// The alerts are good rules, and each fires when it should and not before.
func TestAlerts(t *testing.T) {
	t.Parallel()
	if complaints := promtool(t, "", "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(monitoring, "alerts.yaml")); complaints != "" {
		t.Errorf("promtool check rules: %s", complaints)
	}
	if complaints := promtool(t, "", "test", "rules", filepath.Join(monitoring, "alerts_test.yaml")); complaints != "" {
		t.Errorf("promtool test rules: %s", complaints)
	}
	tests, err := os.ReadFile(filepath.Join(monitoring, "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var fire, silent []string
	for _, m := range regexp.MustCompile(`alertname: (\w+)(\n +exp_alerts:)?`).FindAllStringSubmatch(string(tests), -1) {
		if m[2] != "" {
			fire = append(fire, m[1])
		} else {
			silent = append(silent, m[1])
		}
	}
	rules := slices.Sorted(maps.Keys(alertRules(t)))
	for what, tested := range map[string][]string{"tested to fire": fire, "tested to be silent": silent} {
		if diff := cmp.Diff(rules, slices.Compact(slices.Sorted(slices.Values(tested)))); diff != "" {
			t.Errorf("-alerts +%s:\n%s", what, diff)
		}
	}
	readme, err := docs.Section(filepath.Join(monitoring, "README.md"), "# Monitoring")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range rules {
		if !strings.Contains(readme, "| `"+name+"` |") {
			t.Errorf("the README lacks %s", name)
		}
	}
}

// What the dashboard asks for can be asked for.
func TestDashboard(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for title, expr := range panels(t) {
		rules = append(rules, rule{"panel:" + regexp.MustCompile(`\W`).ReplaceAllString(title, "_"), expr})
	}
	if len(rules) < 15 {
		t.Errorf("only %d expressions found", len(rules))
	}
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if complaints := promtool(t, "", "check", "rules", file); complaints != "" {
		t.Errorf("promtool: %s\n%s", complaints, content)
	}
}

// Alerts and dashboard ask only for metrics that there are, and for labels and
// values that these have.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	k := startIn(d, "-listen", "127.0.0.1:0", "--", "sleep", "1000")
	await(t, "kconfd is ready", func() bool { return k.status().Ready })
	_, metrics := k.get("/metrics")
	labels := map[string]map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? \S+$`).FindAllStringSubmatch(metrics, -1) {
		if labels[m[1]] == nil {
			labels[m[1]] = map[string]bool{"namespace": true, "pod": true} // Prometheus'
		}
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			labels[m[1]][l[1]] = true
		}
	}
	values := append(states(), "applied", "unchanged", "failed")
	asked := alertRules(t)
	maps.Copy(asked, panels(t))
	seen := map[string]bool{}
	for name, expr := range asked {
		for _, m := range regexp.MustCompile(`\b((?:kconfd|process|go)_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(expr, -1) {
			seen[m[1]] = true
			if labels[m[1]] == nil {
				t.Errorf("%s: there is no metric %s", name, m[1])
			}
			for _, l := range regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
				if !labels[m[1]][l[1]] {
					t.Errorf("%s: %s has no label %s", name, m[1], l[1])
				}
				for value := range strings.SplitSeq(l[2], "|") {
					if value != ".*" && !slices.Contains(values, value) {
						t.Errorf("%s: no %s is %q", name, l[1], value)
					}
				}
			}
		}
	}
	for name := range meanings() {
		if !seen[name] {
			t.Errorf("nobody looks at %s", name)
		}
	}
	k.signal(15)
	<-k.ended
}
