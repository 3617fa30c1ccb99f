package main

import (
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/test/cluster"
)

// Protects the promise that the Role printed is enough, and that no rule of it
// could be left out: kconfd is run under it, and then under it less each rule.
func testRBAC(t *testing.T, w world) {
	w.write("conf/conf.d/all.toml", `
[[template]]
src = "all.tmpl"
dest = "$DIR/live/all"
`)
	w.write("conf/templates/all.tmpl", `{{ with env "NEVER" }}{{ (secret "spare").value }}{{ end -}}
{{ range services "app=web" }}{{ .Name }}{{ range .Endpoints }} {{ .Address }}{{ end }}{{ end }}
{{ (configMap "settings").value }} {{ (secret "db").value }} {{ len (pods "") }} {{ len (lookup "v1" "ConfigMap" "`+w.namespace+`" "other") }}
`)
	w.configMap("settings", "blue")
	w.secret("db", "hunter2")
	w.secret("unread", "0")
	web := cluster.Service(w.namespace, "web")
	web.Labels = map[string]string{"app": "web"}
	w.server.put(t, web)
	w.members("web", "10.0.0.1")

	printed := kconfdOutput(t, "rbac", "-kubeconfig", w.kubeconfig, "-namespace", w.namespace, "-confdir", w.file("conf"))
	rules := rulesOf(t, printed)
	if len(rules) != 5 {
		t.Fatalf("got %d rules, want 5:\n%s", len(rules), printed)
	}
	for _, want := range []string{"resourceNames: [db, spare]", "resourceNames: [other, settings]"} {
		if !strings.Contains(printed, want) {
			t.Errorf("want %q in\n%s", want, printed)
		}
	}

	var kubeconfig string
	grant := func(rules []map[string]any) {
		text, err := yaml.Marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		w.server.locked(func() {
			w.server.Grant(t, w.namespace, "kconfd", string(text))
			kubeconfig = w.server.Kubeconfig(t, "kconfd", w.namespace)
		})
	}
	once := func(timeout string) *exec.Cmd {
		return exec.Command("kconfd", "-onetime", "-kubeconfig", kubeconfig, "-confdir", w.file("conf"), "-timeout", timeout)
	}
	grant(rules)
	if out, err := once("20s").CombinedOutput(); err != nil {
		t.Fatalf("under the Role: %v\n%s", err, out)
	}
	w.awaitFile("live/all", "web 10.0.0.1\nblue hunter2 0 0\n")
	for i := range rules {
		less := append(append([]map[string]any{}, rules[:i]...), rules[i+1:]...)
		grant(less)
		cmd := once("2s")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitDeadline {
			t.Errorf("without %v: got %v, want exit code %d\n%s", rules[i], err, exitDeadline, out)
		}
	}
}

func kconfdOutput(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("kconfd", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A rule for all Secrets of a namespace says why it is one.
func TestRBACOfSelectors(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{
		"objects.yaml": secretOf("x"),
		"a.tmpl":       `{{ range secrets "of=web" }}{{ .Name }}{{ end }}{{ range configMaps "of=web" "other" }}{{ .Name }}{{ end }}{{ (configMap "settings").a }}`,
	})
	k := exec.Command("kconfd", "rbac", "-timeout", "100ms", "-manifests", d.file("objects.yaml"), "-template", d.file("a.tmpl")+":a")
	out, _ := k.Output() // the ConfigMap does not exist
	printed := string(out)
	if want := "rules:\n  - apiGroups: [\"\"]\n    resources: [configmaps]\n    resourceNames: [settings]\n    verbs: [list, watch]\n" +
		"  # All secrets of the namespace: templates select them by labels, or list them.\n  - apiGroups: [\"\"]\n    resources: [secrets]\n    verbs: [list, watch]\n"; !strings.Contains(printed, want) {
		t.Errorf("want\n%s\nin\n%s", want, printed)
	}
	if want := "namespace: other\nrules:\n  # All configmaps of the namespace: templates select them by labels, or list them.\n  - apiGroups: [\"\"]\n    resources: [configmaps]\n    verbs: [list, watch]\n"; !strings.Contains(printed, want) {
		t.Errorf("want\n%s\nin\n%s", want, printed)
	}
}

// rulesOf are those of the first document, which is the Role.
func rulesOf(t *testing.T, printed string) []map[string]any {
	t.Helper()
	var role struct {
		Kind  string           `yaml:"kind"`
		Rules []map[string]any `yaml:"rules"`
	}
	_, rest, _ := strings.Cut(printed, "\n---\n") // the ServiceAccount is first
	if err := yaml.NewDecoder(strings.NewReader(rest)).Decode(&role); err != nil || role.Kind != "Role" {
		t.Fatalf("got a %q second, and error %v, in\n%s", role.Kind, err, printed)
	}
	return role.Rules
}
