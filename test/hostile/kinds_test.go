package hostile

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
