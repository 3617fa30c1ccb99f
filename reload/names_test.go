package reload

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	testprocess "github.com/kconfd/kconfd/test/process"
)

func TestScriptOf(t *testing.T) {
	for _, tt := range []struct{ exe, argv, want string }{
		{"python3.11", "python3 /srv/x.py", "x.py"},
		{"python3.11", "python3 -u x.py --port 1", "x.py"},
		{"python3.11", "python3 -uB -W ignore -X dev x.py", "x.py"},
		{"python3.11", "python3 -Wignore x.py", "x.py"},
		{"python3.11", "python3 -uX dev x.py", "x.py"},
		{"python3.11", "python3 -- x.py", "x.py"},
		{"python3.11", "python3 -c x.py", ""},
		{"python3.11", "python3 -uc x.py y.py", ""},
		{"python3.11", "python3 -m http.server x.py", ""},
		{"python3.11", "python3 - x.py", ""},
		{"python3.11", "python3", ""},
		{"", "/usr/bin/python3 x.py", "x.py"}, // another user's program
		{"node", "node /srv/server.js", "server.js"},
		{"node", "node --require a.js --max-old-space-size=100 server.js", "server.js"},
		{"node", "node -e code.js", ""},
		{"node", "node --eval=1 x.js", ""},
		{"perl", "perl -w -T x.pl", "x.pl"},
		{"perl", "perl -I lib x.pl", "x.pl"},
		{"perl", "perl -e x.pl", ""},
		{"ruby3.1", "ruby -r set x.rb", "x.rb"},
		{"php8.2", "php -d a=b x.php", "x.php"},
		{"php8.2", "php -f x.php", "x.php"},
		{"php8.2", "php -S localhost:1 x.php", ""},
		{"java", "java -Xmx1g -cp a:b -jar /srv/app.jar -x", "app.jar"},
		{"java", "java -cp a.jar com.example.Main -jar x.jar", ""},
		{"dash", "sh /srv/run.sh", "run.sh"},
		{"dash", "sh -e run.sh", "run.sh"},
		{"bash", "-bash run.sh", "run.sh"},
		{"bash", "bash -eo pipefail run.sh", "run.sh"},
		{"bash", "bash --norc +x run.sh", "run.sh"},
		{"bash", "bash -euc run.sh", ""},
		{"dash", "sh -c run.sh", ""},
		{"dash", "sh -s run.sh", ""},
		{"busybox", "busybox sh run.sh", "run.sh"},
		{"busybox", "sh run.sh", "run.sh"},
		{"vim", "vim x.py", ""},
		{"timeout", "timeout 5 python3 x.py", ""},
		{"lua5.4", "lua x.lua", "x.lua"},
	} {
		if got := scriptOf("", tt.exe, strings.Split(tt.argv, " ")); got != tt.want {
			t.Errorf("%s: got script %q, want %q", tt.argv, got, tt.want)
		}
	}
}

// The kernel cuts comm. Another name that begins the same is another program's.
func TestCutNames(t *testing.T) {
	const name = "my-long-service-name.py"
	for what, tt := range map[string]struct {
		process process
		want    bool
	}{
		"cut":                {process{comm: name[:15], argv0: "python3", exe: "python3.11"}, true},
		"a title":            {process{comm: name[:15], argv0: "idle"}, true},
		"cut to the same":    {process{comm: name[:15], argv0: "my-long-service-other"}, false},
		"of another program": {process{comm: name[:15], exe: "my-long-service-other"}, false},
		"of another script":  {process{comm: name[:15], argv0: "python3", script: "my-long-service-other"}, false},
		"of just 15 bytes":   {process{comm: name[:15], argv0: name[:15]}, true},
		"shorter":            {process{comm: name[:14]}, false},
	} {
		if got := tt.process.named(name); got != tt.want {
			t.Errorf("%s: got %v, want %v", what, got, tt.want)
		}
	}
	if (process{}).named("") {
		t.Error("a process without names has an empty one")
	}
}

// writeScript writes an executable script, which says ready by a file and waits.
func writeScript(t *testing.T, name, first string) (path, ready string) {
	t.Helper()
	dir := t.TempDir()
	path, ready = filepath.Join(dir, name), filepath.Join(dir, "ready")
	text := first + "\nimport signal\nopen('" + ready + "', 'w')\nwhile True: signal.pause()\n"
	fatal(t, os.WriteFile(path, []byte(text), 0o755))
	return path, ready
}

// A script is found by its name, however its interpreter was started, and when it has been replaced.
func TestScriptsAreFound(t *testing.T) {
	for what, start := range map[string]func(path string) *exec.Cmd{
		"#!":             func(path string) *exec.Cmd { return exec.Command(path) },
		"interpreter":    func(path string) *exec.Cmd { return exec.Command("/usr/bin/python3", path) },
		"with an option": func(path string) *exec.Cmd { return exec.Command("/usr/bin/python3", "-u", path, "argument") },
		"#!, env":        func(path string) *exec.Cmd { return exec.Command(path) },
	} {
		t.Run(what, func(t *testing.T) {
			first := "#!/usr/bin/python3"
			if what == "#!, env" {
				first = "#!/usr/bin/env python3"
			}
			name := uniqueName("my-long-service-name") + ".py"
			path, ready := writeScript(t, name, first)
			cmd := start(path)
			fatal(t, cmd.Start())
			defer func() { _ = cmd.Process.Kill() }() // it may have ended
			testprocess.Await(t, "the script runs", func() bool { _, err := os.Stat(ready); return err == nil })
			fatal(t, os.Remove(path))
			action := hup("", name)
			action.Signal = syscall.SIGUSR1
			fatal(t, action.Do(t.Context()))
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGUSR1 {
				t.Errorf("the script ended with %v, want SIGUSR1", err)
			}
		})
	}
}

// The error for a name that is not there has those that are like it.
func TestCloseNames(t *testing.T) {
	name := uniqueName("webserver")
	startServer(t, "", name, 0, "COMM=other")
	err := hup("", name+"x").Do(t.Context())
	var missing *NotFoundError
	if !errors.As(err, &missing) || !errors.Is(err, ErrNoProcess) || !slices.Contains(missing.Close, name) {
		t.Errorf("got error %v, %+v, want %q among the close names", err, missing, name)
	}
	got := closeNames("nginx", []process{
		{comm: "nginx-debug"}, {comm: "ngnix"}, {comm: "cat"}, {comm: "x"}, {argv0: "nginx: worker"}, {comm: "ng\x1binx"}, {exe: "nginx1"}, {exe: "Nginx"},
	})
	if want := []string{"Nginx", "ng inx", "nginx1", "ngnix", "nginx-debug"}; !slices.Equal(got, want) {
		t.Errorf("got close names %q, want %q", got, want)
	}
}
