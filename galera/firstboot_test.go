package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/process/tree"
	testprocess "github.com/kconfd/kconfd/test/process"
)

// patience is how long a test waits for what must come. It is long, since the
// machine may have much else to do, and nobody waits for it when all is well.
const patience = 90 * time.Second

// A volume is a directory with a place for a data directory, which the user mysql
// may write to.
type volume struct {
	t   *testing.T
	dir string
	env map[string]string
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	dir, err := os.MkdirTemp("", "kconfd-volume-") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	v := &volume{t: t, dir: dir, env: map[string]string{"MYSQL_ROOT_PASSWORD": "root's"}}
	uid, gid := mysqlUser(t)
	err = errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, uid, gid))
	if err != nil {
		t.Fatal(err)
	}
	v.configure("")
	return v
}

// mysqlUser is the user of Debian's packages.
func mysqlUser(t *testing.T) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup("mysql")
	if err != nil {
		t.Fatalf("%v (run: make packages)", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

func (v *volume) data() string   { return filepath.Join(v.dir, "data") }
func (v *volume) config() string { return filepath.Join(v.dir, "my.cnf") }

// configure writes the option file of a node, with more settings in it.
func (v *volume) configure(more string) {
	v.t.Helper()
	content := fmt.Sprintf(`[mysqld]
user = mysql
datadir = %s
socket = %s/socket
pid_file = %s/pid
tmpdir = %s
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
performance_schema = OFF
skip_name_resolve = ON
binlog_format = ROW
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_cluster_address = gcomm://127.0.0.1
wsrep_status_file = wsrep.json
%s
`, v.data(), v.dir, v.dir, v.dir, more)
	if err := os.WriteFile(v.config(), []byte(content), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

func (v *volume) firstBoot() FirstBoot {
	return FirstBoot{
		DataDir: v.data(), DefaultsFile: v.config(),
		Environment: func(name string) (string, bool) {
			value, found := v.env[name]
			return value, found
		},
	}
}

func (v *volume) run() {
	v.t.Helper()
	if err := v.firstBoot().Run(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

// names are those of the directory, but the option file.
func (v *volume) names() []string {
	v.t.Helper()
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != "my.cnf" {
			names = append(names, entry.Name())
		}
	}
	return names
}

// serve runs the server on the data directory, until the test ends, with more arguments. It listens on
// a port of its own.
func (v *volume) serve(args ...string) (port int) {
	v.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		v.t.Fatal(err)
	}
	port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	program, err := findServer("mariadbd")
	if err != nil {
		v.t.Fatalf("%v (run: make packages)", err)
	}
	log, err := os.Create(filepath.Join(v.dir, "log"))
	if err != nil {
		v.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, append([]string{
		"--defaults-file=" + v.config(), "--wsrep-on=OFF", "--wsrep-provider=none",
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port),
	}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	// Not by cmd.Start: threads end here, with which the kernel would end the server.
	server, err := tree.Start(tree.Bind(cmd))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		server.End(0)
		_ = server.Wait() // it was killed
		if content, err := os.ReadFile(log.Name()); v.t.Failed() {
			v.t.Logf("%v\n%s", err, content)
		}
	})
	deadline := time.After(patience)
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			conn.Close()
			return port
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			v.t.Fatal("the server does not listen")
		}
	}
}

// ask runs a query as a user: over TCP, or over the socket when the port is 0. It
// gives the rows, or the error's text.
func (v *volume) ask(port int, user, password, query string) string {
	v.t.Helper()
	how := fmt.Sprintf("socket = %s/socket", v.dir)
	if port != 0 {
		how = fmt.Sprintf("protocol = TCP\nhost = 127.0.0.1\nport = %d", port)
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	file := write(v.t, fmt.Sprintf("[client]\nuser = \"%s\"\npassword = \"%s\"\n%s\ndefault-character-set = utf8mb4\n",
		escape.Replace(user), escape.Replace(password), how))
	cmd := exec.Command("mariadb", "--defaults-file="+file, "--batch", "--skip-column-names", "--execute="+query)
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		v.t.Fatalf("%v (run: make packages)", err)
	}
	answer := strings.TrimSuffix(string(out), "\n")
	return answer[max(0, strings.Index(answer, "ERROR ")):] // before it stands the query
}

// All accounts come with their passwords, over the network and over the socket,
// and nobody else comes in.
func TestFirstBootAccounts(t *testing.T) {
	v := newVolume(t)
	v.env = map[string]string{
		"MYSQL_ROOT_PASSWORD_FILE": write(t, "root's\n"),
		"MYSQL_DATABASE":           "shop_1",
		"MYSQL_USER":               "clerk",
		"MYSQL_PASSWORD":           "clerk's",
		"WSREP_SST_USER":           "sst",
		"WSREP_SST_PASSWORD":       "sst's",
	}
	v.run()
	port := v.serve()

	for name, test := range map[string]struct {
		port                  int
		user, password, query string
		want                  string
	}{
		"root over TCP":          {port, "root", "root's", "SELECT CURRENT_USER()", "root@%"},
		"root over the socket":   {0, "root", "root's", "SELECT CURRENT_USER()", "root@localhost"},
		"root may everything":    {port, "root", "root's", "CREATE USER x; GRANT ALL ON *.* TO x WITH GRANT OPTION; DROP USER x", ""},
		"no password":            {port, "root", "", "SELECT 1", "ERROR 1045 (28000): Access denied for user 'root'@'127.0.0.1' (using password: NO)"},
		"no password, socket":    {0, "root", "", "SELECT 1", "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: NO)"},
		"wrong password":         {port, "root", "roots", "SELECT 1", "ERROR 1045 (28000): Access denied for user 'root'@'127.0.0.1' (using password: YES)"},
		"user":                   {port, "clerk", "clerk's", "SELECT CURRENT_USER(); CREATE TABLE shop_1.t (i int); DROP TABLE shop_1.t", "clerk@%"},
		"user, another database": {port, "clerk", "clerk's", "CREATE DATABASE shopx1", "ERROR 1044 (42000) at line 1: Access denied for user 'clerk'@'%' to database 'shopx1'"},
		"state transfers":        {0, "sst", "sst's", "SHOW GRANTS", "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO `sst`@`localhost` IDENTIFIED BY PASSWORD '*HASH'"},
		"state transfers, TCP":   {port, "sst", "sst's", "SELECT 1", "ERROR 1045 (28000): Access denied for user 'sst'@'127.0.0.1' (using password: YES)"},
		"accounts":               {0, "root", "root's", "SELECT user, host, plugin FROM mysql.user ORDER BY 1, 2", "clerk\t%\tmysql_native_password\nmariadb.sys\tlocalhost\tmysql_native_password\nmysql\tlocalhost\tunix_socket\nroot\t%\tmysql_native_password\nroot\tlocalhost\tmysql_native_password\nsst\tlocalhost\tmysql_native_password"},
		"databases":              {0, "root", "root's", "SHOW DATABASES", "information_schema\nmysql\nperformance_schema\nshop_1\nsys"},
	} {
		t.Run(name, func(t *testing.T) {
			got := hashPattern.ReplaceAllString(v.ask(test.port, test.user, test.password, test.query), "*HASH")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Names and passwords mean what they say, whatever stands in them and whatever the
// option file says about quotes.
func TestFirstBootQuoting(t *testing.T) {
	const nasty = `a'b"c\d` + "`" + `e$(f)%_;-- #\'ü\`
	for name, settings := range map[string]string{
		"default": "",
		"no backslashes, ANSI quotes, another character set": "sql_mode = NO_BACKSLASH_ESCAPES,ANSI_QUOTES\ncharacter_set_server = latin1",
		"a policy for passwords":                             "plugin_load_add = simple_password_check\nsimple_password_check_minimal_length = 100",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVolume(t)
			v.configure(settings)
			v.env = map[string]string{
				"MYSQL_ROOT_PASSWORD": nasty, "MYSQL_DATABASE": nasty,
				"MYSQL_USER": nasty, "MYSQL_PASSWORD": nasty,
				"WSREP_SST_USER": "s" + nasty, "WSREP_SST_PASSWORD": nasty,
			}
			v.run()
			port := v.serve()
			if got := v.ask(port, "root", nasty, "SELECT 1"); got != "1" {
				t.Errorf("root: got %q", got)
			}
			if got := v.ask(0, "s"+nasty, nasty, "SELECT 1"); got != "1" {
				t.Errorf("the user for state transfers: got %q", got)
			}
			table := "`" + strings.ReplaceAll(nasty, "`", "``") + "`.t"
			if got := v.ask(port, nasty, nasty, "CREATE TABLE "+table+" (i int); INSERT INTO "+table+" VALUES (7); SELECT i FROM "+table); got != "7" {
				t.Errorf("the user in the database: got %q", got)
			}
		})
	}
}

func TestFirstBootRootHost(t *testing.T) {
	v := newVolume(t)
	v.env = map[string]string{"MYSQL_RANDOM_ROOT_PASSWORD": "yes", "MYSQL_ROOT_HOST": "localhost", "WSREP_SST_USER": "mysql"}
	v.run()
	password, err := os.ReadFile(v.data() + ".root-password")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(v.data() + ".root-password"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file of the password: %v, %v", info.Mode(), err)
	}
	port := v.serve()
	if got := v.ask(0, "root", strings.TrimSpace(string(password)), "SELECT user, host, plugin FROM mysql.user WHERE user IN ('root', 'mysql') ORDER BY 1"); got != "mysql\tlocalhost\tunix_socket\nroot\tlocalhost\tmysql_native_password" {
		t.Errorf("accounts: got %q", got)
	}
	if got := v.ask(port, "root", strings.TrimSpace(string(password)), "SELECT 1"); !strings.Contains(got, "Host '127.0.0.1' is not allowed to connect") {
		t.Errorf("root over TCP: got %q", got)
	}
}

func TestFirstBootEmptyPassword(t *testing.T) {
	v := newVolume(t)
	v.env = map[string]string{"MYSQL_ALLOW_EMPTY_PASSWORD": "1"}
	v.run()
	if got := v.ask(v.serve(), "root", "", "SELECT CURRENT_USER()"); got != "root@%" {
		t.Errorf("got %q", got)
	}
}

// A child of the installation sees none of the passwords but as hashes, and the
// disk never does.
func TestFirstBootKeepsSecrets(t *testing.T) {
	const secret = "dont-tell-4711"
	t.Setenv("MYSQL_ROOT_PASSWORD", secret)
	v := newVolume(t)
	spy := filepath.Join(v.dir, "spy")
	script := fmt.Sprintf("#!/bin/sh\nenv >%s/env\necho \"$@\" >%s/args\ncp /proc/self/fd/3 %s/sql\nexec mariadb-install-db \"$@\"\n", v.dir, v.dir, v.dir)
	if err := testprocess.WriteProgram(spy, []byte(script)); err != nil {
		t.Fatal(err)
	}
	b := v.firstBoot()
	b.Environment, b.Install = nil, spy
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sql, err := os.ReadFile(filepath.Join(v.dir, "sql"))
	if err != nil || !strings.Contains(string(sql), "ALTER USER 'root'") {
		t.Fatalf("the spy saw %q, %v", sql, err)
	}
	err = filepath.WalkDir(v.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), secret) {
			t.Errorf("%s has the password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the installation has to say against the statements is told, but no hash.
func TestFirstBootFails(t *testing.T) {
	v := newVolume(t)
	v.env["MYSQL_DATABASE"] = strings.Repeat("x", 65)
	err := v.firstBoot().Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ERROR: 1102  Incorrect database name") {
		t.Errorf("got %v", err)
	}
	if got, want := v.names(), []string{"data.kconfd-init"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	delete(v.env, "MYSQL_DATABASE")
	v.run()
	if got, want := v.names(), []string{"data"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
}

// Whenever it is broken off, there is no data directory, and the next one is
// whole.
func TestFirstBootBrokenOff(t *testing.T) {
	v := newVolume(t)
	for _, there := range []string{"", "ibdata1", "mysql/user.frm", "sys"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.firstBoot().Run(ctx) }() // until Run ends
		awaitFile(t, filepath.Join(v.data()+".kconfd-init", there))
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("broken off with %q there: got %v", there, err)
		}
		if _, err := os.Stat(v.data()); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("broken off with %q there: there is a data directory", there)
		}
	}
	v.run()
	if got, want := v.names(), []string{"data"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	if got := v.ask(v.serve(), "root", "root's", "SELECT 1"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no %s", path)
		}
		time.Sleep(time.Millisecond)
	}
}

// All belongs to the server's user, and the directory keeps the permissions that
// somebody gave it. What a vain search for a cluster left there is no data.
func TestFirstBootOwner(t *testing.T) {
	v := newVolume(t)
	if err := os.Mkdir(v.data(), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"grastate.dat", "galera.cache", "wsrep.json"} {
		if err := os.WriteFile(filepath.Join(v.data(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v.run()
	uid, gid := mysqlUser(t)
	err := filepath.WalkDir(v.data(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != uid || int(stat.Gid) != gid {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(v.data()); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	for _, name := range []string{"grastate.dat", "galera.cache", "wsrep.json"} {
		if _, err := os.Stat(filepath.Join(v.data(), name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody has to be root for it.
func TestFirstBootAsUser(t *testing.T) {
	const volumeName = "KCONFD_TEST_VOLUME"
	if dir := os.Getenv(volumeName); dir != "" { // as the user
		b := FirstBoot{DataDir: filepath.Join(dir, "data"), DefaultsFile: filepath.Join(dir, "my.cnf")}
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	v := newVolume(t)
	self := filepath.Join(v.dir, "test")
	if out, err := exec.Command("cp", os.Args[0], self).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, id := range map[string]func() (int, int){
		"the option file's":             func() (int, int) { return mysqlUser(t) },
		"another, which has no account": func() (int, int) { return 12345, 12345 },
	} {
		t.Run(name, func(t *testing.T) {
			uid, gid := id()
			if err := errors.Join(os.RemoveAll(v.data()), os.Chown(v.dir, uid, gid)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(gid), "--clear-groups",
				self, "-test.run=^TestFirstBootAsUser$")
			cmd.Dir = v.dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + v.dir, "MYSQL_ROOT_PASSWORD=root's", volumeName + "=" + v.dir}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			info, err := os.Stat(filepath.Join(v.data(), "mysql"))
			if err != nil {
				t.Fatal(err)
			}
			if got := int(info.Sys().(*syscall.Stat_t).Uid); got != uid {
				t.Errorf("got the tables of user %d, want %d", got, uid)
			}
		})
	}
}

// Where nothing can be renamed to, nothing is begun.
func TestFirstBootTarget(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(v *volume) error
		want    string
	}{
		"data": {
			func(v *volume) error { return os.MkdirAll(filepath.Join(v.data(), "mysql"), 0o755) },
			`the directory is not empty: it has "mysql"`,
		},
		"a volume with data at its top": {
			func(v *volume) error { return os.WriteFile(filepath.Join(v.dir, "ibdata1"), nil, 0o644) },
			"there is a database beside it, in VOLUME: move that into the data directory, or away",
		},
		"a mount point": {
			func(v *volume) error {
				if err := os.Mkdir(v.data(), 0o755); err != nil {
					return err
				}
				v.t.Cleanup(func() { _ = syscall.Unmount(v.data(), syscall.MNT_DETACH) })
				return syscall.Mount(v.dir, v.data(), "", syscall.MS_BIND, "")
			},
			"it is a mount point, which nothing can be renamed to: the data directory has to be a directory inside of the volume",
		},
		"no user": {
			func(v *volume) error { return os.WriteFile(v.config(), []byte("[mysqld]\n[client]\nuser=x\n"), 0o644) },
			"CONFIG sets no user, and the server does not run as root",
		},
		"an unknown user": {
			func(v *volume) error { return os.WriteFile(v.config(), []byte("[mysqld]\nuser=nonesuch\n"), 0o644) },
			`CONFIG: user "nonesuch": user: unknown user nonesuch`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t)
			if err := test.prepare(v); err != nil {
				t.Fatal(err)
			}
			err := v.firstBoot().Run(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.NewReplacer(strconv.Quote(v.config()), "CONFIG", strconv.Quote(v.dir), "VOLUME").Replace(err.Error())
			if diff := cmp.Diff(fmt.Sprintf("first boot of %q: %s", v.data(), test.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := os.Stat(v.data() + ".kconfd-init"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something was begun: %v", err)
			}
		})
	}
}

// What cannot be meant is refused before anything is begun, and no value is told.
func TestReadAccounts(t *testing.T) {
	file := write(t, "secret\n")
	empty := write(t, "\n")
	lines := write(t, "two\nsecrets\n")
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"a password":       {map[string]string{"MYSQL_ROOT_PASSWORD": "secret"}, ""},
		"from a file":      {map[string]string{"MYSQL_ROOT_PASSWORD_FILE": file, "MYSQL_ROOT_PASSWORD": ""}, ""},
		"nothing":          {nil, "none of MYSQL_ROOT_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD and MYSQL_ALLOW_EMPTY_PASSWORD is set"},
		"empty is nothing": {map[string]string{"MYSQL_ROOT_PASSWORD": "", "MYSQL_ALLOW_EMPTY_PASSWORD": "no"}, "none of MYSQL_ROOT_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD and MYSQL_ALLOW_EMPTY_PASSWORD is set"},
		"both":             {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_ROOT_PASSWORD_FILE": file}, "MYSQL_ROOT_PASSWORD and MYSQL_ROOT_PASSWORD_FILE are both set"},
		"both, of a user":  {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_USER": "u", "MYSQL_USER_FILE": file, "MYSQL_PASSWORD": "p"}, "MYSQL_USER and MYSQL_USER_FILE are both set"},
		"random and given": {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_RANDOM_ROOT_PASSWORD": "1"}, "MYSQL_ROOT_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD are both set"},
		"not yes or no":    {map[string]string{"MYSQL_ALLOW_EMPTY_PASSWORD": "maybe"}, "MYSQL_ALLOW_EMPTY_PASSWORD: want yes or no"},
		"no file":          {map[string]string{"MYSQL_ROOT_PASSWORD_FILE": "/nonexistent"}, "MYSQL_ROOT_PASSWORD_FILE: open /nonexistent: no such file or directory"},
		"an empty file":    {map[string]string{"MYSQL_ROOT_PASSWORD_FILE": empty}, fmt.Sprintf("MYSQL_ROOT_PASSWORD_FILE: %q is empty", empty)},
		"two lines":        {map[string]string{"MYSQL_ROOT_PASSWORD_FILE": lines}, "MYSQL_ROOT_PASSWORD has a line break or another control character"},
		"a tab":            {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_DATABASE": "a\tb"}, "MYSQL_DATABASE has a line break or another control character"},
		"root twice":       {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_USER": "root", "MYSQL_PASSWORD": "p"}, "MYSQL_USER is root, which there is anyway"},
		"root transfers":   {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "WSREP_SST_USER": "root"}, "WSREP_SST_USER is root: want an account that can do no more than it needs"},
		"half a user":      {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_USER": "u", "WSREP_SST_PASSWORD": "p"}, "MYSQL_USER is set, and MYSQL_PASSWORD is not\nWSREP_SST_PASSWORD is set, and WSREP_SST_USER is not"},
		"the other half":   {map[string]string{"MYSQL_ROOT_PASSWORD": "secret", "MYSQL_PASSWORD": "p"}, "MYSQL_PASSWORD is set, and MYSQL_USER is not"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAccounts(func(name string) (string, bool) {
				value, found := test.env[name]
				return value, found
			})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Percona's server makes its tables itself, and the accounts are made by a client of a
// server that nobody else can reach. Here a MariaDB stands in for it, which makes the
// tables in its own way.
func TestFirstBootMySQL(t *testing.T) {
	const nasty = `a'b"c\d` + "`" + `e%_;-- #\'ü\`
	v := newVolume(t)
	v.configure("")
	without := strings.NewReplacer("wsrep_on = ON\n", "", "wsrep_status_file = wsrep.json\n", "")
	content, err := os.ReadFile(v.config())
	if err == nil {
		err = os.WriteFile(v.config(), []byte(without.Replace(string(content))), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.env = map[string]string{
		"MYSQL_ROOT_PASSWORD": nasty, "MYSQL_DATABASE": nasty, "MYSQL_USER": nasty, "MYSQL_PASSWORD": nasty,
		"WSREP_SST_USER": "sst", "WSREP_SST_PASSWORD": "sst's",
	}
	t.Setenv("PATH", v.mysql())

	b := v.firstBoot()
	b.Server = "mysqld"
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("REAL_PATH"))
	port := v.serve()
	for user, query := range map[string]string{"root": "SELECT 1", nasty: "CREATE TABLE `" + strings.ReplaceAll(nasty, "`", "``") + "`.t (i int); SELECT 1"} {
		if got := v.ask(port, user, nasty, query); got != "1" {
			t.Errorf("user %q: got %q", user, got)
		}
	}
	if got := v.ask(0, "root", "", "SELECT 1"); !strings.Contains(got, "Access denied") {
		t.Errorf("root without a password: got %q", got)
	}
	if got := v.ask(0, "sst", "sst's", "SELECT 1"); got != "1" {
		t.Errorf("the user for state transfers: got %q", got)
	}

	// What the server says against it is told.
	if err := os.RemoveAll(v.data()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", v.mysql())
	v.env["MYSQL_DATABASE"] = strings.Repeat("x", 65)
	err = b.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Incorrect database name") || strings.Contains(err.Error(), "*") && !strings.Contains(err.Error(), "********") {
		t.Errorf("got %v", err)
	}
	delete(v.env, "WSREP_SST_PASSWORD")
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "WSREP_SST_USER without WSREP_SST_PASSWORD is for MariaDB") {
		t.Errorf("without a password for state transfers: got %v", err)
	}
}

// mysql makes directories of programs like those of Percona's image, and gives the
// PATH to them.
func (v *volume) mysql() string {
	v.t.Helper()
	dir := filepath.Join(v.dir, "programs")
	path := os.Getenv("REAL_PATH")
	if path == "" {
		path = os.Getenv("PATH")
		v.t.Setenv("REAL_PATH", path)
	}
	mysqld := fmt.Sprintf(`#!/bin/sh
export PATH=%[1]q:/usr/sbin
case " $* " in *" --initialize-insecure "*)
	echo "DELETE FROM mysql.global_priv WHERE user = 'root' AND host <> 'localhost';" >%[2]s/sql
	exec mariadb-install-db "$1" "$2" --user=mysql --force --skip-test-db --auth-root-authentication-method=normal --wsrep-on=OFF --extra-file=%[2]s/sql
esac
exec mariadbd "$@"
`, path, v.dir)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = testprocess.WriteProgram(filepath.Join(dir, "mysqld"), []byte(mysqld))
	}
	client, lookErr := exec.LookPath("mariadb")
	if err := errors.Join(err, lookErr, os.RemoveAll(filepath.Join(dir, "mysql"))); err != nil {
		v.t.Fatalf("%v (run: make packages)", err)
	}
	if err := os.Symlink(client, filepath.Join(dir, "mysql")); err != nil {
		v.t.Fatal(err)
	}
	return dir
}
