package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// showAccount prints who the command is and what its environment says about that.
const showAccount = `echo $(id -u) $HOME ${USER-unset} ${LOGNAME-unset}`

// inAccount has kconfd start with the environment of root.
func inAccount(t *testing.T, way string, args ...string) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test changes users: run it as root")
	}
	cmd := inWay(way, args...)
	cmd.Env = append(os.Environ(), "HOME=/root", "USER=root", "LOGNAME=root", "KCONFD_LOG_LEVEL=warn")
	return startCmd(t, cmd)
}

// A command that runs as an account has its environment, whatever user kconfd runs as.
func TestEnvironmentOfAccount(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		for name, test := range map[string]struct {
			flags   []string
			process string
			want    string
		}{
			"none":             {nil, "", "0 /root root root"},
			"a name":           {[]string{"-user", "nobody"}, "", "65534 /nonexistent nobody nobody"},
			"its number":       {[]string{"-user", "65534"}, "", "65534 /nonexistent nobody nobody"},
			"with a group":     {[]string{"-user", "nobody:root"}, "", "65534 /nonexistent nobody nobody"},
			"no account":       {[]string{"-user", "12345"}, "", "12345 / unset unset"},
			"a group alone":    {[]string{"-group", "nogroup"}, "", "0 /root root root"},
			"[process]":        {nil, `user = "nobody"`, "65534 /nonexistent nobody nobody"},
			"an explicit one":  {nil, "user = \"nobody\"\nenv = {HOME = \"/data\", USER = \"x\"}", "65534 /data x nobody"},
			"explicit, number": {nil, "user = \"12345\"\nenv = {LOGNAME = \"x\"}", "12345 / unset x"},
		} {
			for _, once := range []bool{false, true} {
				title := name
				if once {
					title += ", onetime"
				}
				t.Run(title, func(t *testing.T) {
					d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\n" + test.process + "\n", "objects.yaml": settings("blue")})
					flags := filed(d, test.flags...)
					if once {
						flags = append(flags, "-onetime")
					}
					k := inAccount(t, way, append(flags, "--", "sh", "-c", showAccount)...)
					if code := k.code(); code != 0 || k.out.String() != test.want+"\n" {
						t.Errorf("got exit code %d and %q, want 0 and %q; log:\n%s", code, k.out.String(), test.want, k.log)
					}
				})
			}
		}
	})
}

// The command that takes kconfd's place has all of [process] that needs no supervisor, its
// templates included.
func TestOnetimeAsDescribed(t *testing.T) {
	t.Parallel()
	files := colourFiles()
	files["conf/conf.d/a.toml"] += `[process]
user = "nobody"
group = "daemon"
dir = "/usr"
args = ["{{ (configMap \"settings\").colour }}"]
env = {COLOUR = "{{ (configMap \"settings\").colour }}", PATH = "/bin", HOME = "/h"}
`
	d := newDir(t, files)
	cmd := exec.Command("kconfd", filed(d, "-onetime", "--", "sh", "-c", `id -un; id -gn; id -G; pwd; echo $0 $COLOUR $PATH $HOME; env | grep -e KCONFD_ -e NOTIFY`)...)
	cmd.Env = append(os.Environ(), "KCONFD_LOG_LEVEL=warn", "NOTIFY_SOCKET=/run/none")
	k := startCmd(t, cmd)
	<-k.ended
	if want := "nobody\ndaemon\n1 65534\n/usr\nblue blue /bin /h\nNOTIFY_SOCKET=/run/none\n"; k.out.String() != want {
		t.Errorf("got %q, want %q; log:\n%s", k.out, want, k.log)
	}
}

// The flags count too, and win.
func TestOnetimeFlags(t *testing.T) {
	t.Parallel()
	d := newDir(t, map[string]string{"conf/conf.d/p.toml": "[process]\nuser = \"daemon\"\ndir = \"/usr\"\n"})
	k := start(t, "-confdir", d.file("conf"), "-onetime", "-user", "nobody", "-chdir", "/", "--", "sh", "-c", "id -un; pwd")
	<-k.ended
	if want := "nobody\n/\n"; k.out.String() != want {
		t.Errorf("got %q, want %q; log:\n%s", k.out, want, k.log)
	}
}

// What needs a supervisor is refused by its name, before anything is written.
func TestOnetimeRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags []string
		key   string
		want  string
	}{
		"a flag":    {[]string{"-stop-grace", "1s"}, "", "kconfd: error: -stop-grace: cannot be honoured with -onetime"},
		"flags":     {[]string{"-ready-cmd", "true", "-adopt", "-forward-hup", "-user", "nobody"}, "", "kconfd: error: -adopt, -forward-hup, -ready-cmd: cannot be honoured"},
		"a command": {[]string{"-pre-start", "touch $DIR/started"}, "", "kconfd: error: -pre-start: cannot be honoured"},
		"a key":     {nil, "restart = \"always\"", "a.toml: [process]: restart: cannot be honoured with -onetime, where the command takes kconfd's place"},
		"keys":      {nil, "forward = []\nstop_lease = \"x\"\nuser = \"nobody\"", "[process]: stop_lease, forward: cannot be honoured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["conf/conf.d/a.toml"] += "[process]\n" + test.key + "\n"
			d := newDir(t, files)
			for i, flag := range test.flags {
				test.flags[i] = strings.ReplaceAll(flag, "$DIR", d.path)
			}
			_, log, code := onetime(d, append(test.flags, "--", "touch", d.file("started"))...)
			if code != 2 || !strings.Contains(log, test.want) {
				t.Errorf("got exit code %d and %s, want 2 and %q", code, log, test.want)
			}
			if d.read("live/a")+strings.Join(d.glob("started"), "") != "" {
				t.Error("something was written or started")
			}
		})
	}
	t.Run("no command", func(t *testing.T) {
		t.Parallel()
		files := colourFiles()
		files["conf/conf.d/a.toml"] += "[process]\nrestart = \"always\"\n"
		d := newDir(t, files)
		if _, log, code := onetime(d); code != 0 || d.read("live/a") != "blue\n" {
			t.Errorf("got exit code %d and %s, want the file", code, log)
		}
	})
}

// Errors of the command have the codes of a shell, and its templates are waited for as files are.
func TestOnetimeCommandFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		process string
		command string
		code    int
		want    string
	}{
		"not there":                {"dir = \"/\"", "no-such-command", 127, "no-such-command"},
		"not there in its PATH":    {"env = {PATH = \"/none\"}", "ls", 127, `running "ls"`},
		"not for this user":        {"user = \"nobody\"", "$DIR/secret", 126, "permission denied"},
		"no interpreter":           {"dir = \"/\"", "$DIR/script", 126, "not the interpreter or loader"},
		"no directory":             {"dir = \"/none\"", "ls", 127, "/none"},
		"an argument without data": {"args = [\"{{ (configMap \\\"none\\\").x }}\"]", "ls", 3, "none"},
		"an argument that is held": {"args = [\"{{ required \\\"set x\\\" nil }}\"]", "ls", 3, "set x"},
		"an argument that fails":   {"args = [\"{{ index (list 1) 5 }}\"]", "ls", 1, "args 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := colourFiles()
			files["secret"], files["script"] = "#!/bin/sh\n", "#!/none\n"
			files["conf/conf.d/a.toml"] += "[process]\n" + test.process + "\n"
			d := newDir(t, files)
			for _, name := range []string{"secret", "script"} {
				if err := os.Chmod(d.file(name), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			_, log, code := onetime(d, "-timeout", "1s", "--", strings.ReplaceAll(test.command, "$DIR", d.path))
			if code != test.code || !strings.Contains(log, test.want) {
				t.Errorf("got exit code %d and %s, want %d and %q", code, log, test.code, test.want)
			}
		})
	}
}
