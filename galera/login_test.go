package galera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logIn logs in at the volume's server, until the test ends.
func (v *volume) logIn() *session {
	v.t.Helper()
	settings, err := ReadSettings(v.config())
	if err != nil {
		v.t.Fatal(err)
	}
	in, err := settings.login(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(in.close)
	return in
}

// The first boot makes an account for the server's own user, with which kconfd logs in, also as root.
func TestLogin(t *testing.T) {
	v := newVolume(t)
	v.run()
	v.serve()
	in := v.logIn()
	for name, test := range map[string]struct{ statement, want string }{
		"user":            {"SELECT CURRENT_USER()", "[[mysql@localhost]]"},
		"rights":          {"SHOW GRANTS", "[[GRANT SUPER ON *.* TO `mysql`@`localhost` IDENTIFIED VIA unix_socket]]"},
		"NULL and rows":   {"SELECT NULL, 'x' UNION SELECT 1, 2", "[[ x] [1 2]]"},
		"long values":     {"SELECT LENGTH(x), x FROM (SELECT REPEAT('y', 300) x) t", "[[300 " + strings.Repeat("y", 300) + "]]"},
		"no row":          {"SELECT 1 FROM DUAL WHERE FALSE", "[]"},
		"no result":       {"DO 1", "[]"},
		"provider option": {"SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'", "error 1210: WSREP (galera) not started"}, // there is no provider
		"several results": {"BEGIN NOT ATOMIC IF 1 = 1 THEN SELECT 2; END IF; SELECT 3; END", "[[2] [3]]"},
		"an error":        {"SELECT 1 FROM", "error 1064: "},
		"nothing else":    {"CREATE DATABASE x", "error 1044: Access denied for user 'mysql'@'localhost' to database 'x'"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := in.query(test.statement)
			got := fmt.Sprint(rows)
			if answer := (*serverError)(nil); errors.As(err, &answer) {
				got = answer.Error()[:min(len(test.want), len(answer.Error()))]
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The account for state transfers is the same one when it is that of the server's user.
func TestLoginAsTransferUser(t *testing.T) {
	for name, test := range map[string]struct{ password, want string }{
		"by the socket":         {"", "unix_socket"},
		"by a password as well": {"it's", "unix_socket OR mysql_native_password USING '*HASH'"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t)
			v.env["WSREP_SST_USER"], v.env["WSREP_SST_PASSWORD"] = "mysql", test.password
			v.run()
			v.serve()
			rows, err := v.logIn().query("SHOW GRANTS")
			got := hashPattern.ReplaceAllString(fmt.Sprint(rows), "*HASH")
			want := "[[GRANT RELOAD, PROCESS, SUPER, LOCK TABLES, BINLOG MONITOR ON *.* TO `mysql`@`localhost` IDENTIFIED VIA " + test.want + "]]"
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if test.password == "" {
				return
			}
			if got := v.ask(0, "mysql", test.password, "SELECT CURRENT_USER()"); got != "mysql@localhost" {
				t.Errorf("with the password: got %q", got)
			}
		})
	}
}

// An account that does not exist, and one with a password, are refusals, which are answers.
func TestLoginRefused(t *testing.T) {
	v := newVolume(t)
	v.run()
	v.serve()
	for _, test := range []struct{ name, statement string }{
		{"a password", "ALTER USER mysql@localhost IDENTIFIED BY 'secret'"},
		{"none", "DROP USER mysql@localhost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := v.ask(0, "root", "root's", test.statement); got != "" {
				t.Fatal(got)
			}
			settings, err := ReadSettings(v.config())
			if err != nil {
				t.Fatal(err)
			}
			in, err := settings.login(t.Context())
			if answer := (*serverError)(nil); !errors.As(err, &answer) || !answer.refused() {
				t.Errorf("got %v, %v, want a refusal", in, err)
			}
		})
	}
}

// A server that does not answer holds nobody up for longer than the context lasts: not one that does
// not accept, and not one whose queue of connections is full.
func TestLoginHasALimit(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	settings := Settings{Socket: socket, File: write(t, "[mysqld]\nuser = mysql\n")}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(socket, 0o777)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := settings.login(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// Whatever the other side sends is an answer or an error, and takes little memory.
func FuzzLogin(f *testing.F) {
	packet := func(sequence byte, payload string) string {
		return string([]byte{byte(len(payload)), 0, 0, sequence}) + payload
	}
	greeting, ok := packet(0, "\n10.11\x00"), packet(2, "\x00\x00\x00\x02\x00\x00\x00")
	result := packet(1, "\x01") + packet(2, "\x03def") + packet(3, "\xfe\x00\x00\x02\x00") + packet(4, "\x01x") + packet(5, "\xfe\x00\x00\x02\x00")
	for _, seed := range []string{
		greeting + ok + ok, greeting + ok + result, greeting + packet(2, "\xfemysql_native_password\x00"), packet(0, "\xff\x10\x04Too many connections"),
		greeting + ok + packet(1, "\xff\x28\x04#42000syntax"), greeting + ok + packet(1, "\xfb/etc/passwd"), "\xff\xff\xff\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		mine, theirs := net.Pipe()
		go func() { // until mine is closed
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			_, _ = theirs.Write(sent)
			theirs.Close()
		}()
		in := &session{connection: mine, stop: func() bool { return true }}
		defer in.close()
		if err := in.authenticate("mysql"); err != nil {
			return
		}
		_, _ = in.query("SELECT 1")
	})
}

// An account for clients cannot have the name of the server's user.
func TestFirstBootUserIsServers(t *testing.T) {
	v := newVolume(t)
	v.env["MYSQL_USER"], v.env["MYSQL_PASSWORD"] = "mysql", "secret"
	if err := v.firstBoot().Run(t.Context()); err == nil || !strings.Contains(err.Error(), "MYSQL_USER is mysql, the server's own user") {
		t.Errorf("got %v", err)
	}
}
