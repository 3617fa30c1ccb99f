package reload

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
)

func TestExpand(t *testing.T) {
	data := map[string]any{
		"src": "/etc/app/.app.conf.new", "dest": "/etc/app/app conf", "port": 80, "on": true,
		"files": []string{"a", "b c"}, "pod": map[string]any{"name": "x 0"},
	}
	funcs := template.FuncMap{"upper": strings.ToUpper}
	for what, tt := range map[string]struct{ in, want Command }{
		"list":     {Command{Argv: []string{"check", "-c{{.src}}", "{{.dest}}", "{{if not .on}}x{{end}}"}}, Command{Argv: []string{"check", "-c/etc/app/.app.conf.new", "/etc/app/app conf", ""}}},
		"plain":    {Command{Shell: "check {{.src}} >/dev/null"}, Command{Shell: "check /etc/app/.app.conf.new >/dev/null"}},
		"quoted":   {Command{Shell: "check {{.dest}}"}, Command{Shell: "check '/etc/app/app conf'"}},
		"number":   {Command{Shell: "check {{.port}}"}, Command{Shell: "check 80"}},
		"function": {Command{Shell: "check {{upper .dest}} {{.src | upper}}"}, Command{Shell: "check '/ETC/APP/APP CONF' /ETC/APP/.APP.CONF.NEW"}},
		"branches": {Command{Shell: "{{if .on}}{{.dest}}{{else}}x{{end}}{{if not .on}}x{{else}} {{.dest}}{{end}}{{range .files}} {{.}}{{end}}{{with .pod}} {{.name}}{{end}}"}, Command{Shell: "'/etc/app/app conf' '/etc/app/app conf' a 'b c' 'x 0'"}},
		"define":   {Command{Shell: `{{define "x"}}{{.}}{{end}}{{template "x" .dest}}`}, Command{Shell: "'/etc/app/app conf'"}},
		"variable": {Command{Shell: `{{$d := .dest}}{{$d}}`}, Command{Shell: "'/etc/app/app conf'"}},
		"the rest": {Command{Argv: []string{"x"}, Timeout: 1, Grace: 2, Dir: "{{", Env: []string{"A={{"}}, Command{Argv: []string{"x"}, Timeout: 1, Grace: 2, Dir: "{{", Env: []string{"A={{"}}},
		"nothing":  {Command{}, Command{}},
	} {
		got, err := tt.in.Expand(data, funcs)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", what, diff)
		}
	}
}

func TestExpandLeavesItsInputAlone(t *testing.T) {
	c := Command{Argv: []string{"{{.src}}"}}
	_, err := c.Expand(map[string]any{"src": "x"}, nil)
	fatal(t, err)
	if got, want := c.Argv[0], "{{.src}}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// nasty are values that a shell would make something of.
var nasty = []string{
	"/etc/my.cnf", "", "a b", "it's", `say "x"`, "$(echo run)", "`echo run`", "$HOME", `back\slash`, `\`, `'`, `"`,
	`'"'"'`, `'; echo run; '`, `"; echo run; "`, "*", "~", "-n", "a\nb", "end\n", "#x", "ä ö", "!!", "{a,b}", "\xff\x01",
}

// A value arrives whatever it is and whatever quotes the command has around it.
func TestShellSeesTheValue(t *testing.T) {
	for _, shell := range []string{
		`printf '<%s>' {{.v}}`,
		`printf '<%s>' "{{.v}}"`,
		`printf '<%s>' '{{.v}}'`,
		`printf "<%s>" ""''\'\"{{.v}}`,
		`printf '<%s>' "x\"{{.v}}'y"{{.v}}'"{{.v}}'`,
		`printf '<%s>' {{.v}}{{.v}} "{{.v}}{{.v}}"`,
		`printf '<%s>' $(printf '%s' x) a#{{.v}}`,
	} {
		for _, value := range nasty {
			c, err := Command{Shell: shell}.Expand(map[string]any{"v": value}, nil)
			if err != nil {
				t.Errorf("%s with %q: %v", shell, value, err)
				continue
			}
			got, err := exec.Command("sh", "-c", c.Shell).Output()
			want := shellView(shell, value)
			if string(got) != want || err != nil {
				t.Errorf("%s with %q became %s, which printed %q (error %v), want %q", shell, value, c.Shell, got, err, want)
			}
		}
	}
}

// shellView is what the commands of TestShellSeesTheValue must print.
func shellView(shell, value string) string {
	switch shell {
	case `printf "<%s>" ""''\'\"{{.v}}`:
		return `<'"` + value + ">"
	case `printf '<%s>' "x\"{{.v}}'y"{{.v}}'"{{.v}}'`:
		return `<x"` + value + `'y` + value + `"` + value + ">"
	case `printf '<%s>' {{.v}}{{.v}} "{{.v}}{{.v}}"`:
		return strings.Repeat("<"+value+value+">", 2)
	case `printf '<%s>' $(printf '%s' x) a#{{.v}}`:
		return "<x><a#" + value + ">"
	}
	return "<" + value + ">"
}

// Where the quotes are beyond a simple view, a value that needs some is refused, not guessed at.
func TestShellBeyondAView(t *testing.T) {
	for _, shell := range []string{
		"echo \"$(echo \"{{.v}}\")\"", "echo \"${x:-'{{.v}}'}\"", "echo `echo {{.v}}`", "echo $'{{.v}}'", "echo $\"{{.v}}\"",
		"cat <<EOF\n{{.v}}\nEOF", "# it's\necho {{.v}}", "true;# it's\necho {{.v}}", "echo ${{.v}}", `echo \{{.v}}`, `echo "${{.v}}"`,
	} {
		c, err := Command{Shell: shell}.Expand(map[string]any{"v": "(echo run)"}, nil)
		if err == nil || !strings.Contains(err.Error(), "cannot tell how to quote it here; give the command as a list") {
			t.Errorf("%s: got %q, error %v, want one", shell, c.Shell, err)
		}
		if _, err := (Command{Shell: shell}).Expand(map[string]any{"v": "/etc/my.cnf"}, nil); err != nil {
			t.Errorf("%s: %v, though the value needs no quotes", shell, err)
		}
	}
	if _, err := (Command{Shell: "echo {{.v}}"}).Expand(map[string]any{"v": "a\x00b"}, nil); err == nil {
		t.Error("a NUL was accepted")
	}
}

func TestCommandValidate(t *testing.T) {
	data := map[string]any{"src": "x", "dest": "y"}
	for what, tt := range map[string]struct {
		command Command
		want    string // in the error; empty for none
	}{
		"list":             {Command{Argv: []string{"nginx", "-t", "-c", "{{.src}}"}}, ""},
		"shell":            {Command{Shell: "nginx -t -c '{{.src}}'"}, ""},
		"neither":          {Command{}, `field "command": missing`},
		"both":             {Command{Argv: []string{"a"}, Shell: "a"}, `field "command": both a list and a shell command`},
		"empty word":       {Command{Argv: []string{""}}, `field "command": the first word is empty`},
		"negative grace":   {Command{Shell: "a", Grace: -1}, `field "grace": -1ns is negative`},
		"env":              {Command{Shell: "a", Env: []string{"A=", "B"}}, `field "env": "B" is not KEY=VALUE`},
		"env without name": {Command{Shell: "a", Env: []string{"=x"}}, `field "env": "=x" is not KEY=VALUE`},
		"unclosed":         {Command{Shell: "nginx {{.src"}, `expanding command "nginx {{.src": template: command:1: unclosed action`},
		"unknown name":     {Command{Argv: []string{"nginx", "{{.scr}}"}}, `map has no entry for key "scr"`},
		"unknown name, sh": {Command{Shell: "nginx {{.scr}}"}, `map has no entry for key "scr"`},
		"unknown function": {Command{Argv: []string{"nginx", "{{nope .src}}"}}, `function "nope" not defined`},
	} {
		err := tt.command.Validate(data, nil)
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || !strings.Contains(got, tt.want) && err != nil {
			t.Errorf("%s: got error %v, want %q in it", what, err, tt.want)
		}
	}
}
