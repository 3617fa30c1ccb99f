package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// shownOutputs are the outputs of the one group, without times.
func (k *daemon) shownOutputs() (shown []string) {
	k.t.Helper()
	for _, o := range k.status().Groups[0].Outputs {
		if o.Time.IsZero() {
			k.t.Error("an output has no time")
		}
		shown = append(shown, strings.TrimSpace(fmt.Sprintf("%s %v %s %s", o.Of, o.Failed, strings.TrimPrefix(o.File, k.t.Name()), o.Text)))
	}
	return shown
}

// What checks and actions print is shown, that of the last time, also when they succeed.
func TestOutputIsShown(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] = `
check_cmd = "grep -q silent {{staged \"$DIR/live/a\"}} || echo of all"
[[template]]
src = "a.tmpl"
dest = "$DIR/live/a"
check_cmd = "echo check of $(cat {{.src}}) >&2; ! grep -q bad {{.src}}"
[[template]]
contents = "x"
dest = "$DIR/live/b"
check_cmd = "echo never printed, for it never changes again"
[reload]
action = "exec"
command = "grep -q silent $DIR/live/a || echo action on $(cat $DIR/live/a)"
verify_cmd = "echo it works"
`
	d := newDir(t, files)
	k := startIn(d, "-listen", "127.0.0.1:0", "-log-level", "debug")
	want := func(outputs ...string) {
		t.Helper()
		await(t, fmt.Sprintf("outputs are %q", outputs), func() bool {
			return strings.ReplaceAll(strings.Join(k.shownOutputs(), "\n"), d.path+"/live/", "") == strings.Join(outputs, "\n")
		})
	}
	want("check false a check of blue", "check false b never printed, for it never changes again", "check false  of all", "action false  action on blue")
	k.awaitLog(`level=DEBUG msg="command output" group=\S+ of=check file=\S+/live/a output="check of blue"`)
	k.awaitLog(`level=DEBUG msg="command output" group=\S+ of=check output="of all"`)
	k.awaitLog(`level=DEBUG msg="command output" group=\S+ of=action output="action on blue"`)
	k.awaitLog(`level=DEBUG msg="command output" group=\S+ of=verify output="it works"`)

	out, err := exec.Command("kconfd", "status", "-listen", k.address()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "action on blue") {
		t.Errorf("kconfd status prints no output (%v): %s", err, out)
	}
	d.write("objects.yaml", settings("green"))
	want("check false a check of green", "check false  of all", "action false  action on green")
	d.write("objects.yaml", settings("bad"))
	want("check true a check of bad", "action false  action on green")
	if k.count(`msg="command output".*check of bad`) > 0 {
		t.Error("the output of a command that fails is in the log twice")
	}
	d.write("objects.yaml", settings("silent"))
	want("check false a check of silent")
}

// Nothing of a secret is shown, and little of much.
func TestOutputHasNoSecrets(t *testing.T) {
	t.Parallel()
	const lines = `i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; `
	d := newDir(t, map[string]string{
		"objects.yaml": secretOf("hunter-twofold"),
		"conf/conf.d/a.toml": "[[template]]\ncontents = 'p {{ (secret \"db\").value }}'\ndest = \"$DIR/live/a\"\n" +
			"check_cmd = '" + lines + "cat {{.src}}; echo; base64 {{.src}}; echo checked'\n" +
			"[reload]\naction = 'exec'\ncommand = 'head -c 100000 /dev/zero | tr \"\\0\" x; cat $DIR/live/a; printf \"\\033[1m\\377\"; echo acted'\n",
		"live/keep": "",
	})
	k := startIn(d, "-listen", "127.0.0.1:0", "-log-level", "debug")
	k.awaitLog("told")
	await(t, "the outputs are shown", func() bool { return len(k.shownOutputs()) > 0 })
	_, body := k.get("/status")
	for _, text := range []string{body, k.log.String()} {
		wantHidden(t, text, "hunter", "twofold", "aHVudGVy")
	}
	outputs := k.shownOutputs()
	if !strings.HasSuffix(outputs[0], "checked") || len(outputs[0]) > maxOutput+100 || strings.Contains(outputs[0], "line 100\n") {
		t.Errorf("got %d bytes of output, want the end: %q", len(outputs[0]), outputs[0])
	}
}

// Output is bounded in size and number.
func TestOutputsAreBounded(t *testing.T) {
	var o outputs
	for i := range 100 {
		for _, sort := range []string{outputOfCheck, outputOfAction} {
			o.add(output{of: sort, text: endOf(fmt.Sprint(i, strings.Repeat("x", 10*i), "\n", strings.Repeat("y\n", 3*maxOutput)))})
		}
	}
	if all := o.list(); len(all) != 2*maxOutputs || len(all[0].text) > maxOutput || !strings.HasPrefix(all[0].text, "y\n") {
		t.Errorf("got %d outputs, %q first", len(all), all[0].text)
	}
	if got := endOf(strings.Repeat("x", 2*maxOutput)); got != "" {
		t.Errorf("got %d bytes of a line that may be cut in a secret", len(got))
	}
}
