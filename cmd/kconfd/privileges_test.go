package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// setuidID is a copy of id(1) that is set-user-ID root, where every user reaches it.
func setuidID(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a set-user-ID program: run it as root")
	}
	id, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(id)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "setuid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "id")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{dir: 0o755, path: 0o755 | os.ModeSetuid} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// With no_new_privs a set-user-ID program has the rights of whoever starts it.
func TestNoNewPrivs(t *testing.T) {
	inBothWays(t, func(t *testing.T, way string) {
		d := newDir(t, map[string]string{
			"conf/conf.d/keep": "", "hard/conf.d/p.toml": "[process]\nno_new_privs = true\n",
		})
		id := setuidID(t)
		for name, test := range map[string]struct {
			flags []string
			want  string
		}{
			"off":                   {[]string{"-confdir", d.file("conf")}, "0\n"},
			"by a flag":             {[]string{"-confdir", d.file("conf"), "-no-new-privs"}, "65534\n"},
			"by a key":              {[]string{"-confdir", d.file("hard")}, "65534\n"},
			"a flag before the key": {[]string{"-confdir", d.file("hard"), "-no-new-privs=false"}, "0\n"},
		} {
			t.Run(name, func(t *testing.T) {
				// The shell stands for a child that starts the program later.
				k := startWay(t, way, append(test.flags, "-user", "65534", "--", "sh", "-c", id+" -u; "+id+" -u")...)
				if code := k.code(); code != 0 {
					t.Fatalf("got exit code %d, want 0", code)
				}
				if got := k.out.String(); got != test.want+test.want {
					t.Errorf("the program ran as user %q, want %q twice", got, test.want)
				}
			})
		}
	})
}

// The command that takes kconfd's place has it too, and nothing else does.
func TestNoNewPrivsOfOnetime(t *testing.T) {
	t.Parallel()
	id := setuidID(t)
	files := colourFiles()
	files["conf/conf.d/a.toml"] += "[process]\nno_new_privs = true\n"
	for name, want := range map[string]string{"conf": "65534", "off": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDir(t, files)
			args := []string{"-onetime", "-manifests", d.file("objects.yaml"), "-confdir", d.file("conf")}
			if name == "off" {
				args = append(args, "-no-new-privs=false")
			}
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			kconfd := filepath.Join(filepath.Dir(id), name)
			if err := exec.Command("cp", program, kconfd).Run(); err != nil {
				t.Fatal(err)
			}
			for _, path := range append([]string{d.path, filepath.Dir(d.path), d.file("live")}, d.glob("conf")...) {
				if err := os.Chmod(path, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(kconfd, append(args, "--", id, "-u")...)
			cmd.Args[0] = "kconfd" // what the test binary is depends on its name
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if lines := strings.Fields(string(out)); err != nil || lines[len(lines)-1] != want {
				t.Errorf("the program ran as user %s (%v), want %s", out, err, want)
			}
		})
	}
}

// What is for a command to supervise is refused without one, and this flag with
// no command at all.
func TestNoNewPrivsWithoutCommand(t *testing.T) {
	t.Parallel()
	d := newDir(t, colourFiles())
	for _, flags := range [][]string{{"-no-new-privs"}, {"-onetime", "-no-new-privs"}} {
		out, err := exec.Command("kconfd", filed(d, flags...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "there is none") {
			t.Errorf("%q: got %v, %s, want that there is no command", flags, err, out)
		}
	}
}
