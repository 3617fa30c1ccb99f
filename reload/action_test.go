package reload

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

func TestParseKind(t *testing.T) {
	for in, want := range map[string]Kind{"none": None, "signal": Signal, "exec": Exec, "http": HTTP} {
		if got, err := ParseKind(in); got != want || err != nil {
			t.Errorf("ParseKind(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "None", "kind 4", "reload"} {
		if got, err := ParseKind(in); err == nil {
			t.Errorf("ParseKind(%q) = %v, want an error", in, got)
		}
	}
}

// A field that does nothing is a mistake of whoever wrote it, and is named.
func TestActionValidate(t *testing.T) {
	signal := Action{Kind: Signal, Signal: syscall.SIGHUP, Process: "nginx"}
	exec := Action{Kind: Exec, Command: Command{Shell: "true"}}
	web := Action{Kind: HTTP, URL: "http://127.0.0.1:9090/-/reload"}
	with := func(a Action, change func(*Action)) Action { change(&a); return a }
	for what, tt := range map[string]struct {
		action Action
		want   string // the error, empty for none
	}{
		"zero":        {Action{}, ""},
		"signal":      {signal, ""},
		"signal, pid": {Action{Kind: Signal, Signal: 37, PIDFile: "/run/x.pid"}, ""},
		"the child":   {Action{Kind: Signal, Signal: 1, Group: true}, ""},
		"restart":     {Action{Kind: Restart}, ""},
		"exec":        {exec, ""},
		"http":        {web, ""},
		"http, all": {Action{
			Kind: HTTP, URL: "https://u:p@[::1]/x?y", Method: "PUT", Header: map[string]string{"X-A": "b", "Host": "h"},
			Body: "b", Status: []int{200, 302}, Timeout: time.Second,
		}, ""},

		"none with signal":    {Action{Signal: syscall.SIGHUP}, `action "none": field "signal": does nothing here`},
		"none with command":   {Action{Command: Command{Shell: "x"}}, `action "none": field "command": does nothing here`},
		"none with cmd time":  {Action{Command: Command{Timeout: 1}}, `action "none": field "command": does nothing here`},
		"exec with pid file":  {with(exec, func(a *Action) { a.PIDFile = "x" }), `action "exec": field "pid_file": does nothing here`},
		"exec with process":   {with(exec, func(a *Action) { a.Process = "x" }), `action "exec": field "process": does nothing here`},
		"exec with timeout":   {with(exec, func(a *Action) { a.Timeout = 1 }), `action "exec": field "timeout": does nothing here`},
		"signal with url":     {with(signal, func(a *Action) { a.URL = "x" }), `action "signal": field "url": does nothing here`},
		"signal with method":  {with(signal, func(a *Action) { a.Method = "x" }), `action "signal": field "method": does nothing here`},
		"signal with header":  {with(signal, func(a *Action) { a.Header = map[string]string{"a": ""} }), `action "signal": field "header": does nothing here`},
		"signal with body":    {with(signal, func(a *Action) { a.Body = "x" }), `action "signal": field "body": does nothing here`},
		"signal with status":  {with(signal, func(a *Action) { a.Status = []int{200} }), `action "signal": field "status": does nothing here`},
		"http with process":   {with(web, func(a *Action) { a.Process = "x" }), `action "http": field "process": does nothing here`},
		"unknown kind":        {Action{Kind: 5}, `action "kind 5": unknown`},
		"signal missing":      {Action{Kind: Signal, Process: "x"}, `action "signal": field "signal": missing`},
		"signal out of range": {Action{Kind: Signal, Process: "x", Signal: 65}, `action "signal": field "signal": 65 is not a number from 1 to 64`},
		"a group of nobody's": {with(signal, func(a *Action) { a.Group = true }), `action "signal": field "group": does nothing with pid_file or process`},
		"process is a path":   {Action{Kind: Signal, Signal: 1, Process: "/bin/x"}, `action "signal": field "process": "/bin/x" is a path, want the base name`},
		"no command":          {Action{Kind: Exec}, `action "exec": field "command": missing`},
		"no url":              {Action{Kind: HTTP}, `action "http": field "url": missing`},
		"malformed url":       {Action{Kind: HTTP, URL: "http://u:secret@h:port/"}, `action "http": field "url": invalid port ":port" after host`},
		"scheme":              {Action{Kind: HTTP, URL: "unix:///run/x.sock"}, `action "http": field "url": scheme "unix", want http or https`},
		"no scheme":           {Action{Kind: HTTP, URL: "localhost"}, `action "http": field "url": want http:// or https:// in front`},
		"no host":             {Action{Kind: HTTP, URL: "http:///x"}, `action "http": field "url": no host`},
		"method":              {with(web, func(a *Action) { a.Method = "PO ST" }), `action "http": field "method": "PO ST" is no HTTP method`},
		"header name":         {with(web, func(a *Action) { a.Header = map[string]string{"a b": ""} }), `action "http": field "header": "a b" is no header name`},
		"header value":        {with(web, func(a *Action) { a.Header = map[string]string{"a": "\n"} }), `action "http": field "header": "a": the value has a line break or NUL in it`},
		"header of the body":  {with(web, func(a *Action) { a.Header = map[string]string{"content-length": "1"} }), `action "http": field "header": "content-length" follows from the body and cannot be set`},
		"status":              {with(web, func(a *Action) { a.Status = []int{100} }), `action "http": field "status": 100 is not from 200 to 599`},
		"negative timeout":    {with(web, func(a *Action) { a.Timeout = -1 }), `action "http": field "timeout": -1ns is negative`},
	} {
		err := tt.action.Validate()
		if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
			t.Errorf("%s: got error %v, want %q", what, err, tt.want)
		}
		if tt.want == "" {
			continue
		}
		if err := tt.action.Do(t.Context()); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Do gave error %v, want %q", what, err, tt.want)
		}
	}
}

func TestActionString(t *testing.T) {
	for want, action := range map[string]Action{
		"none":                          {},
		`signal HUP to process "nginx"`: {Kind: Signal, Signal: syscall.SIGHUP, Process: "nginx"},
		`signal 37 to pid file "/x"`:    {Kind: Signal, Signal: 37, PIDFile: "/x"},
		`signal USR1 to process "nginx" of pid file "/x"`: {Kind: Signal, Signal: syscall.SIGUSR1, PIDFile: "/x", Process: "nginx"},
		`exec "nginx -s 're load'"`:                       {Kind: Exec, Command: Command{Argv: []string{"nginx", "-s", "re load"}}},
		`exec "a;\nb"`:                                    {Kind: Exec, Command: Command{Shell: "a;\nb"}},
		"http POST http://127.0.0.1:9090/-/reload":        {Kind: HTTP, URL: "http://u:secret@127.0.0.1:9090/-/reload?key=secret#secret"},
		"http PUT http://h/a%2Fb":                         {Kind: HTTP, Method: "PUT", URL: "http://h/a%2Fb"},
		"http POST (a malformed URL)":                     {Kind: HTTP, URL: "http://u:secret@h:port"},
	} {
		if got := action.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDoNothing(t *testing.T) {
	fatal(t, Action{}.Do(t.Context()))
}

func TestDoCommand(t *testing.T) {
	err := Action{Kind: Exec, Command: Command{Shell: "echo oh; exit 2"}}.Do(t.Context())
	if got := commandError(t, err); got.ExitCode != 2 || got.Output != "oh\n" {
		t.Errorf("got %+v, want exit code 2 and output", got)
	}
	fatal(t, Action{Kind: Exec, Command: Command{Shell: "exit 0"}}.Do(t.Context()))
}
