package hostile

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kconfd/kconfd/test/process"
)

// This file lists the kinds of what is tried, with their inputs. A new input is
// one line.

// notFiles make something that is not a file to be read at a path.
func notFiles() map[string]func(path string) error {
	return map[string]func(path string) error{
		"a FIFO":             func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"a device":           func(path string) error { return os.Symlink("/dev/zero", path) },
		"a terminal":         func(path string) error { return os.Symlink("/dev/tty", path) },
		"a socket":           listenAt,
		"a directory":        func(path string) error { return os.Mkdir(path, 0o755) },
		"a huge file":        func(path string) error { return truncated(path, 1<<40) },
		"a file without end": func(path string) error { return os.Symlink("/proc/kmsg", path) },
	}
}

// A neverRunning is a command that cannot be started, or ends at once.
type neverRunning struct {
	command string // with $CHILD for the child
	process string // more keys of [process]
}

// neverRunnings are commands that are to be started again and again, but not all
// the time.
func neverRunnings() map[string]neverRunning {
	return map[string]neverRunning{
		"no such program":    {"/nonexistent", ""},
		"not in PATH":        {"no-such-program-at-all", ""},
		"a directory":        {"/etc", ""},
		"not executable":     {"/etc/passwd", ""},
		"no such directory":  {"$CHILD", `dir = "/nonexistent"`},
		"pre_start fails":    {"$CHILD", `pre_start = "exit 1"`},
		"pre_start hangs":    {"$CHILD", "pre_start = \"sleep 60\"\npre_start_timeout = \"20ms\""},
		"pre_start misleads": {"$CHILD", `pre_start = "echo nonsense >>$KCONFD_START_FILE"`},
		"it fails at once":   {"false", ""},
		"it ends at once":    {"true", ""},
		"a large argument":   {"$CHILD", `pre_start = "(printf 'arg '; head -c 200000 /dev/zero | tr '\\0' x; echo) >>$KCONFD_START_FILE"`},
	}
}

// A badLine is what a ConfigMap has that becomes an argument and a variable
// of the child. Many is how often.
type badLine struct {
	word string // in YAML
	many int
	want string // in the log
}

// badLines are what no kernel starts a program with.
func badLines() map[string]badLine {
	return map[string]badLine{
		"a long word":  {strings.Repeat("x", 200_000), 1, "it has 20000[0-9] bytes, and the kernel takes 131071 at most"},
		"just so long": {strings.Repeat("x", 131_072), 1, "it has 13107[0-9] bytes, and the kernel takes 131071 at most"},
		"many words":   {strings.Repeat("x", 130_000), 70, "the arguments and the environment have 9[0-9]+ bytes, and the kernel takes [0-9]+ at most"},
	}
}

// spoilt are what becomes of a program while it runs, so that it cannot be started again.
func spoilt() map[string]func(path string) error {
	return map[string]func(path string) error{
		"removed":                     os.Remove,
		"no longer to be run":         func(path string) error { return os.Chmod(path, 0o644) },
		"a directory":                 func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"empty":                       func(path string) error { return replaced(path, "") },
		"a text":                      func(path string) error { return replaced(path, "nothing to be run\n") },
		"without interpreter":         func(path string) error { return replaced(path, "#!/nonexistent/sh\n") },
		"an interpreter that is none": func(path string) error { return replaced(path, "#!/etc/passwd\n") },
		"a link to nothing":           func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/nonexistent", path)) },
	}
}

// replaced makes another program of that name; the one that runs is not touched.
func replaced(path, content string) error {
	return errors.Join(os.Remove(path), process.WriteProgram(path, []byte(content)))
}

func listenAt(path string) error {
	_, err := net.Listen("unix", path)
	return err
}

func truncated(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// placesOfFiles are where kconfd reads files, below its configuration directory.
func placesOfFiles() map[string]string {
	return map[string]string{
		"a template":      "templates/b.tmpl",
		"a partial":       "templates/_p.tmpl",
		"a resource file": "conf.d/c.toml",
		"a manifest":      "objects.yaml",
	}
}

// placesOfState are where kconfd keeps what outlives it.
func placesOfState() map[string]string {
	return map[string]string{
		"a journal":            "home/.app.conf.kconfd",
		"a journal in the dir": "st/0123456789abcdef.json",
		"the snapshot":         "st/objects",
	}
}

// forgedJournals write a journal at a path, as the application's user.
func forgedJournals() map[string]func(s *stage, path string) error {
	old := func(target, backup string, more map[string]any) map[string]any {
		o := map[string]any{"target": target, "backup": backup, "was": "", "new": ""}
		for key, value := range more {
			o[key] = value
		}
		return o
	}
	write := func(path string, olds ...map[string]any) error { return os.WriteFile(path, journal(olds...), 0o600) }
	const backup = "/.app.conf1234567890123456789.old"
	return map[string]func(s *stage, path string) error{
		"root's file, setuid": func(s *stage, path string) error {
			return write(path, old(s.path("etc/passwd"), s.home+backup, map[string]any{"mode": 0o4755, "uid": other, "inPlace": true}))
		},
		"root's file, by rename": func(s *stage, path string) error {
			return write(path, old(s.path("etc/passwd"), s.home+backup, nil))
		},
		"root's file, removed": func(s *stage, path string) error { return write(path, old(s.path("etc/passwd"), "", nil)) },
		"root's file as the backup": func(s *stage, path string) error {
			return write(path, old(s.home+"/app.conf", s.path("etc/passwd"), nil))
		},
		"root's file by ..": func(s *stage, path string) error {
			return write(path, old(s.home+"/../etc/passwd", s.home+backup, nil))
		},
		"its own file, forged": func(s *stage, path string) error {
			return write(path, old(s.home+"/app.conf", s.home+backup, map[string]any{"mode": 0o4777, "inPlace": true}))
		},
		"a link to root's file": func(s *stage, path string) error { return os.Symlink(s.path("etc/passwd"), path) },
		"a link to its own": func(s *stage, path string) error {
			return errors.Join(write(s.home+"/forged", old(s.path("etc/passwd"), s.home+backup, nil)), os.Symlink("forged", path))
		},
		"a directory": func(_ *stage, path string) error { return os.Mkdir(path, 0o755) },
		"a FIFO":      func(_ *stage, path string) error { return syscall.Mkfifo(path, 0o666) },
		"not a document": func(_ *stage, path string) error {
			return os.WriteFile(path, []byte("{"), 0o600)
		},
	}
}

// plantings put something into the directory of a live file whose candidate is
// being checked.
func plantings() map[string]func(s *stage, candidate string) error {
	replace := func(path string, plant func() error) error {
		return errors.Join(os.Rename(path, path+"x"), plant())
	}
	return map[string]func(s *stage, candidate string) error{
		"nothing":                    func(*stage, string) error { return nil },
		"a link for the backup":      func(s *stage, c string) error { return os.Symlink(s.path("etc/passwd"), c+".old") },
		"a directory for the backup": func(_ *stage, c string) error { return os.Mkdir(c+".old", 0o755) },
		"its own text, and the time set back": func(_ *stage, c string) error {
			info, err := os.Stat(c)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(c, []byte(strings.Repeat("f", int(info.Size()))), 0o644), os.Chtimes(c, info.ModTime(), info.ModTime()))
		},
		"a link for the candidate": func(s *stage, c string) error {
			return replace(c, func() error { return os.Symlink(s.path("etc/passwd"), c) })
		},
		"a file for the candidate": func(_ *stage, c string) error {
			return replace(c, func() error { return os.WriteFile(c, []byte("forged"), 0o644) })
		},
		"a FIFO for the candidate": func(_ *stage, c string) error { return replace(c, func() error { return syscall.Mkfifo(c, 0o644) }) },
		"no candidate":             func(_ *stage, c string) error { return os.Remove(c) },
		"a link for the live file": func(s *stage, _ string) error {
			return replace(s.home+"/app.conf", func() error { return os.Symlink(s.path("etc/passwd"), s.home+"/app.conf") })
		},
		"a FIFO for the live file": func(s *stage, _ string) error {
			return replace(s.home+"/app.conf", func() error { return syscall.Mkfifo(s.home+"/app.conf", 0o644) })
		},
		"a link for the journal": func(s *stage, _ string) error { return os.Symlink(s.path("etc/passwd"), s.home+"/.app.conf.kconfd") },
		"a second name for root's one": func(s *stage, c string) error {
			return replace(c, func() error { return ignore(os.Link(s.path("etc/passwd"), c)) })
		},
	}
}

// ignore is for what the kernel may not allow another user, which is as well.
func ignore(error) error { return nil }

// A lead makes a path lead elsewhere. Where back is nil, kconfd repairs it.
type lead struct {
	there, back func(s *stage) error
	refused     bool // with an error in the log
}

// leads are what the application's user can do to the path home/app.conf.
func leads() map[string]lead {
	swap := func(to func(s *stage) string) lead {
		return lead{
			there: func(s *stage) error {
				_ = os.Remove(s.home + "/app.conf") // it may not be there
				return os.Symlink(to(s), s.home+"/app.conf")
			},
			back:    func(s *stage) error { return os.Remove(s.home + "/app.conf") },
			refused: true,
		}
	}
	chain := swap(func(s *stage) string { return "one" })
	direct := chain.there
	chain.there = func(s *stage) error {
		return errors.Join(os.Symlink("two", s.home+"/one"), os.Symlink(s.path("etc/passwd"), s.home+"/two"), direct(s))
	}
	return map[string]lead{
		"a link to root's file":         swap(func(s *stage) string { return s.path("etc/app.conf") }),
		"a relative one":                swap(func(s *stage) string { return "../etc/passwd" }),
		"one to no file":                swap(func(s *stage) string { return s.path("etc/none") }),
		"one through proc":              swap(func(s *stage) string { return "/proc/self/root" + s.path("etc/passwd") }),
		"one through its own directory": swap(func(s *stage) string { return s.home + "/../etc/passwd" }),
		"a chain of links":              chain,
		"a file of its own": {there: func(s *stage) error {
			_ = os.Remove(s.home + "/app.conf")
			return os.WriteFile(s.home+"/app.conf", []byte("mine"), 0o777)
		}},
		"a second name of root's file": {there: func(s *stage) error {
			_ = os.Remove(s.home + "/app.conf")
			return ignore(os.Link(s.path("etc/app.conf"), s.home+"/app.conf"))
		}},
		"a file without rights": {there: func(s *stage) error {
			_ = os.Remove(s.home + "/app.conf")
			return os.WriteFile(s.home+"/app.conf", nil, 0)
		}},
	}
}

// A stateDirectory is what st is when kconfd starts.
type stateDirectory struct {
	make    func(s *stage) error
	refused bool // kconfd does not start
}

func stateDirectories() map[string]stateDirectory {
	own := func(plant func(s *stage, lock string) error) func(s *stage) error {
		return func(s *stage) error {
			return errors.Join(os.Mkdir(s.path("st"), 0o700), plant(s, s.path("st/lock")))
		}
	}
	return map[string]stateDirectory{
		"none": {make: func(*stage) error { return nil }},
		"the lock a link": {make: own(func(s *stage, lock string) error {
			return errors.Join(os.Symlink(s.path("etc/passwd"), lock), os.Lchown(lock, other, other))
		})},
		"the lock another user's": {make: own(func(_ *stage, lock string) error {
			return errors.Join(os.WriteFile(lock, nil, 0o666), os.Chown(lock, other, other))
		})},
		"the lock a FIFO":        {make: own(func(_ *stage, lock string) error { return syscall.Mkfifo(lock, 0o666) })},
		"the lock a second name": {make: own(func(s *stage, lock string) error { return os.Link(s.path("etc/passwd"), lock) }), refused: false},
		"the lock a directory":   {make: own(func(_ *stage, lock string) error { return os.Mkdir(lock, 0o755) }), refused: true},
		"another user's": {make: func(s *stage) error {
			return errors.Join(os.Mkdir(s.path("st"), 0o755), os.Chown(s.path("st"), other, other))
		}, refused: true},
		"a link of another user": {make: func(s *stage) error {
			return errors.Join(os.Symlink(s.path("etc"), s.home+"/st"), os.Lchown(s.home+"/st", other, other), os.Symlink(s.home+"/st", s.path("st")))
		}, refused: true},
		"for all to write": {make: func(s *stage) error {
			return errors.Join(os.Mkdir(s.path("st"), 0o755), os.Chmod(s.path("st"), 0o777))
		}},
		"a file": {make: func(s *stage) error { return os.WriteFile(filepath.Join(s.dir, "st"), nil, 0o600) }, refused: true},
	}
}

// hostileTemplates are templates that ask for more than there is when the data
// say so. $n is a number, $s a text from a ConfigMap.
func hostileTemplates() map[string]string {
	const cycle = `{{ $d := dict "n" $n }}{{ if gt $n 1000 }}{{ $_ := set $d "d" $d }}{{ end }}`
	return map[string]string{
		"names of replicas":    `{{ (statefulSet "pxc").PodNames | join "," }}`,
		"until":                `{{ until $n | len }}`,
		"untilStep":            `{{ untilStep 0 $n 1 | len }}`,
		"seq":                  `{{ seq $n }}`,
		"range":                `{{ range $n }}x{{ end }}`,
		"range, silent":        `{{ $x := 0 }}{{ range $n }}{{ $x = add $x 1 }}{{ end }}{{ $x }}`,
		"ranges in ranges":     `{{ range until (min $n 10000 | int) }}{{ range until (min $n 10000 | int) }}x{{ end }}{{ end }}`,
		"repeat":               `{{ repeat $n "x" }}`,
		"indent":               `{{ indent $n "x" }}`,
		"doubling":             `{{ $x := "x" }}{{ range until (min $n 60 | int) }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}`,
		"a list in itself":     cycle + `{{ $d }}`,
		"a list in itself, 2":  cycle + `{{ toYaml $d }}`,
		"a list in itself, 3":  cycle + `{{ add 1 $d.n }}{{ if gt $n 1000 }}{{ toJson $d }}{{ end }}`,
		"deep":                 `{{ $d := list $n }}{{ range until (min $n 100000 | int) }}{{ $d = list $d }}{{ end }}{{ $d }}`,
		"tpl":                  `{{ tpl $s $s }} {{ $n }}`,
		"include, template":    `{{ define "a" }}{{ if gt . 1000 }}{{ template "b" . }}{{ end }}{{ . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}{{ template "a" $n }}`,
		"template":             `{{ define "c" }}{{ if gt . 1000 }}{{ template "c" . }}{{ end }}{{ . }}{{ end }}{{ template "c" $n }}`,
		"deep text":            `{{ $x := min $n 100000 | int }}{{ tpl (print (repeat $x "{{if 1}}") (repeat $x "{{end}}") $n) . }}`,
		"deep JSON":            `{{ $x := min $n 100000 | int }}{{ fromJsonArray (print (repeat $x "[") $n (repeat $x "]")) }}`,
		"deep YAML":            `{{ $x := min $n 9000 | int }}{{ fromYamlArray (print (repeat $x "[") $n (repeat $x "]")) }}`,
		"a regular expression": `{{ $x := min $n 1000000 | int }}{{ regexReplaceAll "a.*b|a" (repeat $x "a") "c" | len }}`,
		"short texts":          `{{ $x := min $n 4000 | int }}{{ regexFindAll "(?:(a?){1000}b|a)" (repeat $x "a") -1 | len }}`,
		"sorted maps":          `{{ $d := dict "a" 1 }}{{ range $i := until (min $n 90000 | int) }}{{ $_ := set $d (print $i) 1 }}{{ end }}{{ range until (min $n 1000 | int) }}{{ range $k, $v := $d }}{{ break }}{{ end }}{{ end }}{{ $n }}`,
		"passwords":            `{{ range until (sub (min $n 1000) 2 | int) }}{{ derivePassword 1 "long" (print $n) "b" "c" }}{{ end }}`,
		"many reads":           `{{ range until (min $n 3000 | int) }}{{ lookup "v1" "ConfigMap" "default" (print "c" .) | len }}{{ end }}{{ $n }}`,
	}
}

// derivedSecrets are what templates make of secrets.
func derivedSecrets() map[string]string {
	const s = `{{ $s := secret "s" }}`
	return map[string]string{
		"plain":     s + `{{ $s.password }}`,
		"upper":     s + `{{ $s.password | upper }}`,
		"trunc":     s + `{{ $s.password | trunc 8 }}`,
		"tail":      s + `{{ trimPrefix "Tr0" $s.password }}`,
		"split":     s + `{{ index (splitList "&" $s.password) 0 }}`,
		"basic":     s + `{{ printf "%s:%s" $s.username $s.password | b64enc }}`,
		"unpadded":  s + `{{ $s.password | b64enc | trimAll "=" }}`,
		"url64":     s + `{{ $s.password | b64enc | replace "+" "-" }}`,
		"base32":    s + `{{ $s.password | b32enc }}`,
		"hex":       s + `{{ printf "%x" $s.password }}`,
		"codes":     s + `{{ range splitList "" $s.password }}{{ printf "%d " (index . 0) }}{{ end }}`,
		"letters":   s + "{{ range splitList \"\" $s.password }}\n  key = {{ . }}{{ end }}",
		"reversed":  s + `{{ range splitList "" $s.password | reverse }}{{ . }}{{ end }}`,
		"sql":       s + `'{{ $s.quote | replace "'" "''" }}'`,
		"squote":    s + `{{ $s.quote | squote }}`,
		"yaml":      s + `{{ dict "k" $s.quote | toYaml }}`,
		"json":      s + `{{ toJson $s }}`,
		"inner":     s + `{{ (index (fromJson (index $s "config.json")).auths "reg.example").password }}`,
		"inneryaml": s + `{{ (fromYaml (index $s "config.yaml")).db.password }}`,
		"userinfo":  s + `{{ (urlParse $s.uri).userinfo }}`,
		"dsn":       s + `{{ regexFind "://[^@]+" $s.uri }}`,
		"query":     s + `{{ urlquery $s.password }}`,
		"regex":     s + `{{ regexFind "[a-z0-9]+&" $s.password }}`,
		"sum":       s + `{{ add $s.digits 0 }}`,
		"lookup":    `{{ (lookup "v1" "Secret" "default" "s").data.password }}`,
		"listed":    `{{ range (lookup "v1" "Secret" "default" "").items }}{{ .data.password | b64dec | swapcase }}{{ end }}`,
		"innerlist": `{{ range (lookup "v1" "Secret" "default" "").items }}{{ index .data "config.yaml" | b64dec | fromYaml | toJson }}{{ end }}`,
		"selected":  `{{ range secrets "of=test" }}{{ .Data.password | trunc -9 }}{{ end }}`,
		"hash":      s + `{{ $s.password | sha256sum }}`,
		"length":    s + `{{ len $s.password }}`,
		"remainder": s + `{{ mod (int $s.digits) 5 }}`,
		"sorted":    s + `{{ splitList "" $s.password | sortAlpha | join "" }}`,
		"quoted":    s + `{{ $s.quote | quote | b64enc }}`,
		"part":      s + `{{ (split "-" $s.password)._1 | b64enc }}`,
		"joined":    s + `{{ list $s.username "x" $s.password | join "|" | b64enc | b64enc }}`,
		"decoded":   `{{ (lookup "v1" "Secret" "default" "s").data.password | b64dec | lower }}`,
		"tpl":       s + `{{ tpl "{{ .password | lower }}" $s }}`,
		"include":   s + `{{ define "p" }}{{ .password | title }}{{ end }}{{ include "p" $s }}`,
		"nindent":   s + `|{{ $s.password | nindent 4 }}`,
	}
}

// secretTrouble are errors and commands that have a secret in what they say.
func secretTrouble() map[string]struct{ contents, rest, want string } {
	const s = `{{ $s := secret "s" }}`
	basic := s + `token = {{ printf "%s:%s" $s.username $s.password | b64enc }}` + "\nuser = {{ $s.username | upper }}\n"
	return map[string]struct{ contents, rest, want string }{
		"urlParse":                      {s + `{{ urlParse (printf "http://[%s" $s.password) }}`, "", "urlParse"},
		"fromYaml":                      {s + `{{ fromYaml (printf "a: *%s" $s.username) }}`, "", "fromYaml"},
		"fromJson":                      {s + `{{ fromJson $s.password }}`, "", "fromJson"},
		"toDate":                        {s + `{{ mustToDate "2006-01-02" $s.password }}`, "", "[redacted]"},
		"regexp":                        {s + `{{ mustRegexMatch (printf "(%s" $s.password) "x" }}`, "", "regexp"},
		"fail":                          {s + `{{ fail (printf "the password %s is bad" $s.password) }}`, "", "the password [redacted] is bad"},
		"required":                      {s + `{{ required (printf "not with %s" ($s.password | upper)) "" }}`, "", "not with [redacted]"},
		"an index":                      {s + `{{ index (fromJson (index $s "config.json")) $s.password $s.username }}`, "", "index"},
		"no template":                   {s + `{{ include (print $s.password) . }}`, "", "include"},
		"a name":                        {s + `{{ (configMap $s.password).x }}`, "", "[redacted]"},
		"tpl":                           {s + `{{ tpl (printf "{{ %s }}" $s.password) . }}`, "", "tpl"},
		"a check that prints the file":  {basic, "check_cmd = \"cat {{.src}}; false\"\n", "[redacted]"},
		"a check that decodes":          {basic, "check_cmd = \"sed -n 's/token = //p' {{.src}} | base64 -d; false\"\n", "[redacted]"},
		"a check that prints in hex":    {basic, "check_cmd = \"sed -n 's/token = //p' {{.src}} | base64 -d | od -An -tx1 | tr -d ' '; false\"\n", "[redacted]"},
		"a check that prints its bytes": {basic, "check_cmd = \"od -An -tx1 {{.src}}; false\"\n", "[redacted]"},
		"a check that prints codes":     {basic, "check_cmd = \"od -An -tu1 {{.src}}; false\"\n", "[redacted]"},
		"a check that dumps":            {basic, "check_cmd = \"od -An -to1 {{.src}}; false\"\n", "[redacted]"},
		"a check that hashes":           {basic, "check_cmd = \"sed -n 's/token = //p' {{.src}} | base64 -d | cut -d: -f2 > p; sha256sum p; sha1sum p; md5sum p; false\"\n", "[redacted]"},
		"a check that turns around":     {basic, "check_cmd = \"rev {{.src}}; false\"\n", "[redacted]"},
		"a check that prints the end":   {basic, "check_cmd = \"tail -c 12 {{.src}}; false\"\n", "checking"},
		"a check of the group":          {basic, "[reload]\naction = \"exec\"\ncommand = \"cat $DEST; false\"\n", ""},
		"a verification":                {basic, "[reload]\naction = \"exec\"\ncommand = \"true\"\nverify_cmd = \"cat $DEST; false\"\nverify_timeout = \"300ms\"\n", ""},
	}
}

// servers are programs in the place of mariadbd that go on for ever, as lines for the
// shell. Descriptor 9 is open in all that they start.
func servers() map[string]string {
	return map[string]string{
		"it sleeps":        "echo ready >&9; exec sleep 1000",
		"it spins":         "echo ready >&9; while :; do :; done",
		"a child":          "sleep 1000 & echo ready >&9; wait",
		"a deaf child":     "(trap '' TERM INT HUP; echo ready >&9; while :; do sleep 1; done) & wait",
		"another session":  "setsid sleep 1000 & echo ready >&9; wait",
		"a daemon":         "(setsid sleep 1000 &); echo ready >&9; sleep 1000",
		"and much to say":  "echo ready >&9; exec yes",
		"and it closes it": "exec >/dev/null 2>&1; echo ready >&9; exec sleep 1000",
	}
}

// bound are those of servers that the kernel alone ends with their starter: what
// they have started themselves is for who started that.
func bound() []string {
	return []string{"it sleeps", "it spins", "and much to say", "and it closes it"}
}

// placesOfOptions are the files that the commands of `kconfd galera` read without an
// API server, with a command each that reads it. OPTIONS is an option file of root's
// with home/data as its data directory, INCLUDES one that includes home/conf.d.
func placesOfOptions() map[string][]string {
	return map[string][]string{
		"home/my.cnf":          {"check", "HOME/my.cnf"},
		"home/conf.d/x.cnf":    {"check", "INCLUDES"},
		"home/main.cnf":        {"check", "-in", "HOME/main.cnf", "-dest", "/x", "OPTIONS"},
		"home/options.cnf":     {"ready", "-defaults-file", "HOME/options.cnf"},
		"home/alive.cnf":       {"alive", "-defaults-file", "HOME/alive.cnf"},
		"home/data/wsrep.json": {"ready", "-defaults-file", "OPTIONS"},
		"home/start":           {"start", "-defaults-file", "OPTIONS"},
	}
}

// texts are what is no name, and would be configuration of nginx, an option file, a CSV
// file or JSON where a name is meant to stand. SOCKET is one that only a server would
// make that such a text brings about.
func texts() map[string]string {
	return map[string]string{
		"a server block":      "x\n}\nserver { listen unix:SOCKET; location / { root /etc; } }\nupstream y { server 127.0.0.1:1;\n#",
		"behind a brace":      "x; } server { listen unix:SOCKET; location / { root /etc; } } upstream y { server 127.0.0.1:1; #",
		"with DOS's lines":    "x\r\n}\r\nserver { listen unix:SOCKET; location / { root /etc; } }\r\nupstream y { server 127.0.0.1:1;\r\n#",
		"with a carriage":     "x\r} server { listen unix:SOCKET; location / { root /etc; } }\rupstream y { server 127.0.0.1:1;#",
		"an include":          "x\ninclude /etc/passwd;\n#",
		"an option file":      "x\n[mysqld]\nplugin_load = evil.so\n",
		"a CSV file":          "x\",\"y\"\n\"192.0.2.66\",\"z",
		"JSON":                `x"}],"y":[{"z":"`,
		"a template":          `{{ fail "x" }}`,
		"a NUL":               "x\x00y",
		"other line breaks":   "x\u2028y\u2029z\u0085\v\f",
		"a name and a blank":  "x ",
		"a name and a line":   "x\n",
		"capitals":            "X",
		"nothing to be shown": "\x1b[2J",
	}
}

// addresses are no addresses, or are read in several ways by programs.
func addresses() []string {
	return []string{
		"010.0.0.1", "10.0.0.01", "::ffff:10.0.0.1", "10.0.0.1 ", "10.0.0.1;", "10.0.0.1:80", "10.0.0.1/8", "10.1", "0x0a000001", "167772161", "fe80::1%eth0", "fd00::1", "[fd00::1]",
		"localhost", "unix:/run/x", "10.0.0.1\n", "db.example.com", "$(id)", "*", "-",
	}
}

// ports are none.
func ports() []int { return []int{0, -1, 65536, 70000, 1<<31 - 1, -1 << 31} }

// unreadRequests are sent many times on a connection, and no answer is read.
func unreadRequests() []string {
	var all []string
	for _, path := range []string{"/status", "/metrics", "/page.js", "/readyz", "/healthz", "/live", "/", "/nothing"} {
		all = append(all, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	return all
}

// clients are what many clients send, each on a connection that stays open.
func clients() map[string]string {
	const get = "GET /status HTTP/1.1\r\nHost: localhost\r\n"
	return map[string]string{
		"nothing":                      "",
		"half a method":                "GE",
		"headers that do not end":      get + "X: x\r\n",
		"huge headers":                 get + "X: " + strings.Repeat("x", 1<<20),
		"a huge URL":                   "GET /" + strings.Repeat("x", 1<<20),
		"a body that does not come":    get + "Content-Length: 1000000000\r\n\r\n",
		"a body in chunks":             get + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"an upload":                    "POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n" + strings.Repeat("x", 1<<20),
		"an expectation":               get + "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
		"TLS":                          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 200),
		"HTTP/2 without asking":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"an upgrade":                   get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		"garbage":                      strings.Repeat("\x00\xff\r\n", 10000),
		"a stream that nobody reads":   "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"one request":                  get + "\r\n",
		"requests, and one unfinished": strings.Repeat(get+"\r\n", 20) + "GET /",
	}
}

// foreignHosts are names that a web page can have, and that may lead to a loopback
// address.
func foreignHosts() []string {
	return []string{"example.com", "example.com:9100", "localhost.example.com", "127.0.0.1.example.com", "kconfd", "a.localhost.b", "2130706433", "0x7f.1"}
}

// A filler makes much to show: many groups with a template.
type filler struct {
	groups   int
	template string
}

func statusFillers() map[string]filler {
	return map[string]filler{
		"many groups":        {1000, "x"},
		"many that fail":     {300, `{{ fail (repeat 3000 "why ") }}`},
		"long diffs":         {60, `{{ range $i := until 1000 }}<line> {{ $i }}{{ "\n" }}{{ end }}`},
		"control characters": {60, `{{ range $i := until 1000 }}{{ "\x01\x02\x03" }} {{ $i }}{{ "\n" }}{{ end }}`},
		"many dependencies":  {100, `{{ range until 300 }}{{ with configMap (printf "settings-%d" .) }}{{ end }}{{ end }}`},
	}
}

// leadsToPIDFiles make HOME/run/app.pid lead to root's run/app.pid.
func leadsToPIDFiles() map[string]func(s *stage) error {
	return map[string]func(s *stage) error{
		"its directory a link": func(s *stage) error { return os.Symlink(s.path("run"), s.home+"/run") },
		"a link in a chain": func(s *stage) error {
			return errors.Join(os.Symlink("two", s.home+"/run"), os.Symlink("../run", s.home+"/two"))
		},
		"through proc": func(s *stage) error { return os.Symlink("/proc/self/root"+s.path("run"), s.home+"/run") },
		"the file a link": func(s *stage) error {
			return errors.Join(os.Mkdir(s.home+"/run", 0o755), os.Symlink(s.path("run/app.pid"), s.home+"/run/app.pid"))
		},
		"the file a second name": func(s *stage) error {
			return errors.Join(os.Mkdir(s.home+"/run", 0o755), linkAsRoot(s.path("run/app.pid"), s.home+"/run/app.pid"))
		},
	}
}

// linkAsRoot gives a file a second name, which the kernel may not allow another
// user, or may.
func linkAsRoot(from, to string) error {
	err := make(chan error)
	go func() { err <- os.Link(from, to) }() // on another thread, which is root's
	return <-err
}
