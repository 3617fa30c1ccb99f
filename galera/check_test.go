package galera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	testprocess "github.com/kconfd/kconfd/test/process"
)

// node is a whole configuration that the real server on this machine takes.
const node = `[mysqld]
user=mysql
binlog_format=ROW
datadir=/nonexistent/data
server_id=1
wsrep_on=ON
wsrep_provider=/usr/lib/galera/libgalera_smm.so
wsrep_provider_options="gcache.size=16M; evs.suspect_timeout = PT10S;"
wsrep_cluster_address=gcomm://10.0.0.1,10.0.0.2
wsrep_node_address=10.0.0.1
wsrep_sst_method=rsync
wsrep_sst_auth=sst:Geheim
`

// set returns node with the line of an option replaced, or removed when line is
// empty. An option that node has not is added at the end.
func set(option, line string) string {
	var file strings.Builder
	found := false
	for old := range strings.Lines(node) {
		if strings.HasPrefix(old, option+"=") {
			old, found = line+"\n", true
		}
		if old != "\n" {
			file.WriteString(old)
		}
	}
	if !found {
		file.WriteString(line + "\n")
	}
	return file.String()
}

// write puts content into a file of its own.
func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".my.cnf.kconfd-1")
	if err := os.WriteFile(file, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return file
}

// What a running server says of itself in its status file is left alone.
func TestCheckLeavesStatusFile(t *testing.T) {
	data := t.TempDir()
	status := filepath.Join(data, "wsrep.json")
	err := errors.Join( // the server becomes the user mysql
		os.WriteFile(status, []byte("synced"), 0o644),
		os.Chmod(data, 0o777), os.Chmod(status, 0o666),
	)
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, strings.Replace(node, "/nonexistent/data", data, 1)+"wsrep_status_file=wsrep.json\n")
	if err := (Check{File: file}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(status); err != nil || string(got) != "synced" {
		t.Errorf("after the check: got %q, %v, want %q", got, err, "synced")
	}
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		// exit is what the server alone says: what is wrong and 0 there needs the rest
		// of the check.
		exit int
		want string // without the first line, which names the file
	}{
		"good":                       {node, 0, ""},
		"good, with both sentinels":  {"# kconfd: begin my.cnf\n" + node + "# kconfd: end\n", 0, ""},
		"good, for IPv6":             {strings.NewReplacer("10.0.0.1", "[fd00::1]", "10.0.0.2", "[fd00::2]", "gcache.size", "gmcast.listen_addr=tcp://[::]:4567;gcache.size").Replace(node), 0, ""},
		"good, without Galera":       {"[mysqld]\nuser=mysql\nmax_connections=10\n", 0, ""},
		"good, a part of the whole":  {"[mysqld]\nuser=mysql\nwsrep_cluster_address=gcomm://10.0.0.1\n", 0, ""},
		"another group is not read":  {"[client]\nnonsense=1\n" + node + "[mariadb-99.9]\nserver_id=7\ndatadir=/elsewhere\n", 0, ""},
		"last wins":                  {"[galera]\nserver_id=9\n" + node, 0, ""},
		"unknown variable":           {set("nonsense", "nonsense=1"), 7, "line 13: mariadbd: unknown variable 'nonsense'\nmariadbd --verbose --help: exit code 7"},
		"secret in a mistyped name":  {set("wsrep_sst_auth", "wsrep_sts_auth=sst:Geheim"), 7, "line 12: mariadbd: unknown variable 'wsrep_sts_auth'\nmariadbd --verbose --help: exit code 7"},
		"plugin variable, no plugin": {set("audit", "server_audit_logging=ON"), 7, "line 13: mariadbd: unknown variable 'server_audit_logging'\nmariadbd --verbose --help: exit code 7"},
		"unknown loose variable":     {set("loose", "loose_nonsense=1"), 0, "line 13: mariadbd: unknown variable 'loose_nonsense'"},
		"abbreviated name":           {set("max", "max_error_c=10"), 0, "line 13: mariadbd: Using unique option prefix 'max_error_c' is error-prone and can break in the future. Please use the full name 'max_error_count' instead."},
		"text before a group":        {"max_connections=10\n" + node, 1, "mariadbd: error: Found option without preceding group in config file: FILE at line: 1\nmariadbd: Fatal error in defaults handling. Program aborted\nmariadbd --verbose --help: exit code 1"},
		"unclosed group":             {node + "[mysqld\n", 1, "mariadbd: error: Wrong group definition in config file: FILE at line 13\nmariadbd: Fatal error in defaults handling. Program aborted\nmariadbd --verbose --help: exit code 1"},
		"missing !includedir":        {node + "!includedir /nonexistent\n", 1, "mariadbd: Can't read dir of '/nonexistent' (Errcode: 2 \"No such file or directory\")\nmariadbd: Fatal error in defaults handling. Program aborted\nmariadbd --verbose --help: exit code 1"},
		"missing !include":           {node + "!include /nonexistent\n", 0, ""},
		"a number that is none":      {set("max", "max_connections=abc"), 9, "line 13: mariadbd: Unknown suffix 'a' used for variable 'max_connections' (value 'abc'). Legal suffix characters are: K, M, G, T, P, E\nline 13: mariadbd: Error while setting value 'abc' to 'max_connections'\nmariadbd --verbose --help: exit code 9"},
		"server_id that is none":     {set("server_id", "server-id=abc"), 9, "line 5: server_id \"abc\": not a number from 1 to 4294967295\nline 5: mariadbd: Unknown suffix 'a' used for variable 'server_id' (value 'abc'). Legal suffix characters are: K, M, G, T, P, E\nline 5: mariadbd: Error while setting value 'abc' to 'server_id'\nmariadbd --verbose --help: exit code 9"},
		"unknown enum value":         {set("binlog_format", "binlog_format=FOO"), 13, "line 3: mariadbd: Error while setting value 'FOO' to 'binlog_format'\nmariadbd --verbose --help: exit code 13"},
		"statement binlog":           {set("binlog_format", "binlog_format=STATEMENT"), 1, "mariadbd: WSREP: Only binlog_format= 'ROW' is currently supported. Configured value: 'STATEMENT'. Please adjust your configuration.\nmariadbd --verbose --help: exit code 1"},
		"no cluster address":         {set("wsrep_cluster_address", ""), 1, "wsrep_cluster_address is not set: a node started with this exits\nmariadbd: WSREP: rsync SST method requires wsrep_cluster_address to be configured on startup.\nmariadbd --verbose --help: exit code 1"},
		"template left over":         {set("x", "{{ .Foo }}"), 2, "line 13: \"{{\" is left over from a template\nmariadbd: unknown option '--{{ .Foo }}'\nmariadbd --verbose --help: exit code 2"},
		"number out of range":        {set("net", "net_buffer_length=1"), 0, "line 13: mariadbd: option 'net_buffer_length': unsigned value 1 adjusted to 1024"},
		"boolean that is none":       {set("skip", "skip_name_resolve=maybe"), 0, "line 13: mariadbd: option 'skip_name_resolve': boolean value 'maybe' wasn't recognized. Set to OFF."},
		"empty server_id":            {set("server_id", "server-id="), 0, "line 5: server_id \"\": not a number from 1 to 4294967295\nline 5: mariadbd: option 'server_id': unsigned value 0 adjusted to 1"},
		"server_id 0":                {set("server_id", "server_id=0"), 0, "line 5: server_id \"0\": not a number from 1 to 4294967295\nline 5: mariadbd: option 'server_id': unsigned value 0 adjusted to 1"},
		"server_id too large":        {set("server_id", "server_id=4294967296"), 0, "line 5: server_id \"4294967296\": not a number from 1 to 4294967295\nline 5: mariadbd: option 'server_id': unsigned value 4294967296 adjusted to 4294967295"},
		"no server_id":               {set("server_id", ""), 0, "server_id is not set: every node would have 1"},
		"missing plugin":             {set("plugin", "plugin_load_add=nonesuch"), 0, "mariadbd: Can't open shared library '/usr/lib/mysql/plugin/nonesuch.so' (errno: 2, cannot open shared object file: No such file or directory)\nmariadbd: Couldn't load plugins from 'nonesuch.so'."},
		"no provider file":           {set("wsrep_provider", "wsrep_provider=/nonexistent.so"), 0, `line 7: wsrep_provider "/nonexistent.so": there is no such file`},
		"no provider":                {set("wsrep_provider", ""), 0, "wsrep_provider is not set: the node would stand alone"},
		"unknown provider option":    {set("wsrep_provider_options", `wsrep_provider_options="gcache.sise=16M;evs.x=1"`), 0, "line 8: wsrep_provider_options: no option is \"gcache.sise\"; did you mean \"gcache.size\"?\nline 8: wsrep_provider_options: no option is \"evs.x\""},
		"provider option, no value":  {set("wsrep_provider_options", `wsrep_provider_options=gcache.size`), 0, `line 8: wsrep_provider_options: "gcache.size" has no value`},
		"no majority":                {set("wsrep_provider_options", `wsrep_provider_options="pc.ignore_sb=true;pc.ignore_quorum = YES"`), 0, "line 8: wsrep_provider_options: pc.ignore_sb=true: nodes that are cut off from the others go on without them, and there are two clusters\nline 8: wsrep_provider_options: pc.ignore_quorum=YES: nodes that are cut off from the others go on without them, and there are two clusters"},
		"good, with a majority":      {set("wsrep_provider_options", `wsrep_provider_options="pc.ignore_sb=false;pc.ignore_quorum=no"`), 0, ""},
		"start position":             {set("wsrep_start_position", "wsrep-start-position=11111111-0000-0000-0000-000000000000:9"), 0, `line 13: wsrep_start_position: a node started with this takes its data to be up to there, whatever they are; it is for the command line of a single start`},
		"Percona's provider option":  {set("wsrep_provider_options", `wsrep_provider_options="gcache.encryption=yes"`), 0, `line 8: wsrep_provider_options: no option is "gcache.encryption"`},
		"unknown SST method":         {set("wsrep_sst_method", "wsrep_sst_method=rsnc"), 0, `line 11: wsrep_sst_method "rsnc": there is no program wsrep_sst_rsnc`},
		"SST method of a shell":      {set("wsrep_sst_method", "wsrep_sst_method=rsync;id"), 0, `line 11: wsrep_sst_method "rsync;id": not the name of a method`},
		"no scheme":                  {set("wsrep_cluster_address", "wsrep_cluster_address=10.0.0.1,10.0.0.2"), 0, `line 9: wsrep_cluster_address "10.0.0.1,10.0.0.2": does not begin with gcomm://: a node started with this exits`},
		"leading comma":              {set("wsrep_cluster_address", "wsrep_cluster_address=gcomm://,10.0.0.1"), 0, `line 9: wsrep_cluster_address "gcomm://,10.0.0.1": leading comma: a node started with this founds a second cluster with the same UUID`},
		"no value as the address":    {set("wsrep_cluster_address", "wsrep_cluster_address=<no value>"), 0, "line 9: \"<no value>\" is left over from a template\nline 9: wsrep_cluster_address \"<no value>\": a template printed a value that is not there: a node started with this exits"},
		"new cluster":                {set("wsrep_new_cluster", "wsrep_new_cluster"), 0, `line 13: wsrep_new_cluster: a node started with this founds a second cluster each time; it is for the command line of a single start`},
		"bad list for other servers": {node + "[mysqld-99.9]\nwsrep_cluster_address=gcomm://\n", 0, `line 14: wsrep_cluster_address "gcomm://": no members: a node started with this founds a second cluster`},
		"node address is a name":     {set("wsrep_node_address", "wsrep_node_address=pxc-0"), 0, `line 10: wsrep_node_address "pxc-0": not an IP address`},
		"node address is empty":      {set("wsrep_node_address", "wsrep_node_address="), 0, `line 10: wsrep_node_address "": not an IP address`},
		"IPv6 without brackets":      {set("wsrep_node_address", "wsrep_node_address=fd00::1"), 0, `line 10: wsrep_node_address "fd00::1": without brackets a state transfer aborts the server; write [fd00::1]`},
		"IPv6, listening on IPv4":    {set("wsrep_node_address", "wsrep_node_address=[fd00::1]"), 0, `line 8: wsrep_provider_options: without gmcast.listen_addr=tcp://[::]:4567 Galera listens on IPv4 only, and no node reaches this one at [fd00::1]`},
		"empty file":                 {"", 0, "the file is empty"},
		"blank file":                 {"\n \n", 0, "the file is empty"},
		"NUL":                        {set("x", "max_connections=10\x00"), 0, "line 13: there is a NUL byte"},
		"no newline at the end":      {strings.TrimSuffix(node, "\n"), 0, "line 12: the last line has no newline: the file may have lost its end"},
		"cut at a line":              {"# kconfd: begin my.cnf\n" + node, 0, `line 13: the last line is not "# kconfd: end": the file has lost its end`},
		"a line in pieces":           {set("x", "#"+strings.Repeat("x", maxPiece-1)+"max_connections=10"), 0, "line 13: the line has 4113 bytes: the server takes what follows the first 4094 for another line"},
		"unusable lock mode":         {set("innodb_autoinc_lock_mode", "innodb_autoinc_lock_mode=1"), 0, "line 13: innodb_autoinc_lock_mode \"1\": Galera needs 2"},
		"an include says otherwise":  {node + "!include " + otherDatadir + "\n", 0, `line 4: datadir "/nonexistent/data": the server reads "/nonexistent/other/"`},
	} {
		t.Run(name, func(t *testing.T) {
			content := strings.ReplaceAll(test.content, otherDatadir, write(t, "[mysqld]\ndatadir=/nonexistent/other\n"))
			file := write(t, content)
			if alone, err := ask(t.Context(), "/usr/sbin/mariadbd", file, []byte(content)); err != nil || alone.exit != test.exit {
				t.Errorf("the server alone: exit code %d, error %v; want %d", alone.exit, err, test.exit)
			}
			got := problems(t, Check{File: file}.Run(t.Context()), file)
			if strings.Contains(got, "Geheim") {
				t.Errorf("a secret in the error:\n%s", got)
			}
			if got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

// otherDatadir stands for the path of a file that sets another datadir.
const otherDatadir = "OTHER"

// problems returns the lines of an error of Run but the first, with FILE for file.
func problems(t *testing.T, err error, file string) string {
	t.Helper()
	if err == nil {
		return ""
	}
	first, rest, _ := strings.Cut(err.Error(), "\n")
	if want := fmt.Sprintf("checking %q:", file); first != want {
		t.Errorf("first line %q, want %q", first, want)
	}
	return strings.ReplaceAll(rest, file, "FILE")
}

// What holds for the place of a file, not for its text.
func TestCheckOfNodeAddress(t *testing.T) {
	ipv6 := strings.NewReplacer("10.0.0.1", "[fd00::1]", "10.0.0.2", "[fd00::2]", "gcache.size", "gmcast.listen_addr=tcp://[::]:4567;gcache.size").Replace(node)
	for name, test := range map[string]struct{ content, address, want string }{
		"the one wanted":        {node, "10.0.0.1", ""},
		"with a port":           {set("wsrep_node_address", "wsrep_node_address=10.0.0.1:14567"), "10.0.0.1", ""},
		"another one":           {node, "10.0.0.2", `line 10: wsrep_node_address "10.0.0.1": this node's address is 10.0.0.2`},
		"not set":               {set("wsrep_node_address", ""), "10.0.0.1", "wsrep_node_address is not set: Galera takes the first interface's, which need not be 10.0.0.1"},
		"no Galera node":        {"[mysqld]\nuser=mysql\n", "10.0.0.1", ""},
		"IPv6":                  {ipv6, "fd00::1", ""},
		"IPv6, written longer":  {ipv6, "fd00:0:0:0::1", ""},
		"IPv6, in brackets":     {ipv6, "[fd00::1]", ""},
		"IPv6, another one":     {ipv6, "fd00::2", `line 10: wsrep_node_address "[fd00::1]": this node's address is fd00::2`},
		"IPv6 with a port":      {strings.Replace(ipv6, "wsrep_node_address=[fd00::1]", "wsrep_node_address=[fd00::1]:4567", 1), "fd00::1", ""},
		"no address was wanted": {node, "pxc-0", `line 10: wsrep_node_address "10.0.0.1": this node's address is pxc-0`},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, test.content)
			got := problems(t, Check{File: file, NodeAddress: test.address}.Run(t.Context()), file)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// The server passes over a file that everybody may write, and starts without it.
func TestCheckOfMode(t *testing.T) {
	file := write(t, node)
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	want := "everybody may write the file (mode 0666): the server ignores it\n" +
		"mariadbd: Warning: World-writable config file 'FILE' is ignored\n" +
		"line 9: wsrep_cluster_address \"gcomm://10.0.0.1,10.0.0.2\": the server reads \"\"\n" +
		"line 10: wsrep_node_address \"10.0.0.1\": the server reads \"\"\n" +
		"line 4: datadir \"/nonexistent/data\": the server reads \"/var/lib/mysql/\""
	if diff := cmp.Diff(want, problems(t, Check{File: file}.Run(t.Context()), file)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCheckThatCannotJudge(t *testing.T) {
	file := write(t, node)
	for name, test := range map[string]struct {
		check Check
		want  string
	}{
		"no file":   {Check{File: "/nonexistent.cnf"}, `checking "/nonexistent.cnf": open /nonexistent.cnf: no such file or directory`},
		"no server": {Check{File: file, Server: "nonesuch"}, fmt.Sprintf("checking %q: finding a server program: no nonesuch in PATH", file)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.check.Run(t.Context()); got == nil || got.Error() != test.want {
				t.Errorf("error %v, want %s", got, test.want)
			}
		})
	}
}

// A service's PATH often has no sbin directories.
func TestCheckFindsTheServerOutsideOfPATH(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	if err := (Check{File: write(t, node)}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// The staged file may be named from where kconfd stands.
func TestCheckOfRelativePath(t *testing.T) {
	file := write(t, node)
	t.Chdir(filepath.Dir(file))
	if err := (Check{File: filepath.Base(file)}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// program writes a shell script to stand in for a server.
func program(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := testprocess.WriteProgram(path, []byte("#!/bin/sh\n"+script)); err != nil {
		t.Fatal(err)
	}
	return path
}

// A check that takes too long is ended, and all that it started with it.
func TestCheckEndsWithContext(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	server := program(t, "mariadbd", "exec >"+fifo+" 2>&1\nsleep 1000 &\necho started\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	// Ends when cancel is called.
	go func() { result <- Check{File: write(t, node), Server: server}.Run(ctx) }()

	alive, err := os.Open(fifo) // waits for the script
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if _, err := alive.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	// The end of the file comes when the last process that holds it is gone.
	if err := alive.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := alive.Read(make([]byte, 100)); err != io.EOF {
		t.Errorf("read %d bytes, error %v, want %v", n, err, io.EOF)
	}
}

// Percona's server is told to leave the provider alone, MariaDB's need not be.
func TestCheckAsksEachServerItsWay(t *testing.T) {
	file := write(t, strings.ReplaceAll(node, "gcache.size=16M", "gcache.freeze_purge_at_seqno=-1"))
	for name, want := range map[string]string{
		"mysqld":   "--defaults-file=" + file + " --wsrep-provider=none --verbose --help\n",
		"mariadbd": "--defaults-file=" + file + " --verbose --help\n",
	} {
		t.Run(name, func(t *testing.T) {
			args := filepath.Join(t.TempDir(), "args")
			server := program(t, name, "echo \"$@\" >"+args+"\necho \"mysqld  Ver 8.0.36-28.1 for Linux on x86_64 (Percona XtraDB Cluster)\"\n")
			if err := (Check{File: file, Server: server}).Run(t.Context()); err != nil {
				t.Error(err)
			}
			got, err := os.ReadFile(args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Percona's server is a node as soon as it has a provider, MariaDB's is not.
func TestCheckKnowsWhoIsANode(t *testing.T) {
	file := write(t, strings.Replace(set("server_id", ""), "wsrep_on=ON\n", "", 1))
	for version, want := range map[string]string{
		"8.0.36-28.1 for Linux on x86_64 (Percona XtraDB Cluster)": "server_id is not set: every node would have 1",
		"10.11.19-MariaDB for debian-linux-gnu on x86_64":          "",
	} {
		t.Run(version, func(t *testing.T) {
			server := program(t, "mysqld", "echo \"mysqld  Ver "+version+"\"\n")
			if got := problems(t, Check{File: file, Server: server}.Run(t.Context()), file); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// MariaDB's own mysqld takes the way of Percona's.
func TestCheckWithMysqld(t *testing.T) {
	if err := (Check{File: write(t, node), Server: "mysqld"}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// Few open files lower limits that no line of the file asked for.
func TestIsProblem(t *testing.T) {
	const limits = "2026-11-22  8:34:08 0 [Warning] Changed limits: max_open_files: 1024  max_connections: 151 (was %d)  table_cache: 421 (was 2000)"
	for name, test := range map[string]struct {
		file, message string
		want          bool
	}{
		"limits that the file does not set": {"", fmt.Sprintf(limits, 500), false},
		"a limit that the file sets":        {"max_connections=500", fmt.Sprintf(limits, 500), true},
		"a limit that was kept":             {"max_connections=151", fmt.Sprintf(limits, 151), false},
		"the table cache":                   {"table-open-cache=2000", fmt.Sprintf(limits, 151), true},
		"another warning":                   {"", "2026-11-22  8:34:08 0 [Warning] Could not increase number of max_open_files to more than 1024 (request: 32184)", false},
		"a note":                            {"", "2026-11-22  8:34:08 0 [Note] unknown", false},
		"an error of MySQL 8":               {"", "2024-04-04T14:47:33.484752Z 0 [ERROR] [MY-000067] [Server] unknown variable 'a=b'.", true},
		"a warning of MySQL 8":              {"", "2024-04-04T14:47:33.484752Z 0 [Warning] [MY-000081] [Server] option 'a': unsigned value 1 adjusted to 2.", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := examination{options: ParseOptions([]byte("[mysqld]\n" + test.file + "\n"))}
			if got := e.isProblem(test.message); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// Whatever quotes a value may also quote a secret.
func TestCheckTellsNoSecret(t *testing.T) {
	for name, content := range map[string]string{
		"in another value":     set("wsrep_cluster_address", "wsrep_cluster_address=gcomm://sst:Geheim"),
		"in a node's address":  set("wsrep_node_address", "wsrep_node_address=Geheim"),
		"as the provider":      set("wsrep_provider", "wsrep_provider=Geheim"),
		"under another name":   set("wsrep_sst_auth", "wsrep_sst_autt=sst:Geheim"),
		"under a loose name":   set("wsrep_sst_auth", "loose_wsrep_sst_autt=sst:Geheim"),
		"under a short name":   strings.Replace(set("wsrep_sst_auth", "wsrep_sst_au=sst:Geheim"), "rsync", "Geheim", 1),
		"as a number":          set("server_id", "server_id=Geheim"),
		"in a provider option": set("wsrep_provider_options", "wsrep_provider_options=Geheim=1"),
	} {
		t.Run(name, func(t *testing.T) {
			err := Check{File: write(t, content)}.Run(t.Context())
			if err == nil || strings.Contains(err.Error(), "Geheim") {
				t.Errorf("got %v, want an error without the secret", err)
			}
		})
	}
}

// A file that another one includes is checked as a part of that one.
func TestCheckIncluded(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    string
	}{
		"good":                                   {"[mysqld]\nmax_connections=10\n", ""},
		"what the whole sets later is no matter": {"[mysqld]\nbinlog_format=STATEMENT\n", ""},
		"empty":                                  {"\n", "checking FILE:\nthe file is empty"},
		"unknown variable":                       {"[mysqld]\nnonsense=1\n", "checking FILE in WHOLE:\nmariadbd: unknown variable 'nonsense'\nmariadbd --verbose --help: exit code 7"},
		"against the whole":                      {"[mysqld]\ninnodb_autoinc_lock_mode=1\nlog_bin_trust=1\n", "checking FILE in WHOLE:\nmariadbd: Using unique option prefix 'log_bin_trust' is error-prone and can break in the future. Please use the full name 'log_bin_trust_function_creators' instead."},
		"founds a cluster":                       {"[mysqld]\nwsrep_cluster_address=gcomm://\n", "checking FILE:\nline 2: wsrep_cluster_address \"gcomm://\": no members: a node started with this founds a second cluster"},
		"the server changes":                     {"[mysqld]\nnet_buffer_length=1\n", "checking FILE in WHOLE:\nmariadbd: option 'net_buffer_length': unsigned value 1 adjusted to 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dest := filepath.Join(dir, "settings.cnf")
			whole := write(t, "!include "+dest+"\n"+node)
			file := write(t, test.content)
			t.Setenv("TMPDIR", dir)
			got := ""
			if err := (Check{File: file, In: whole, Dest: dest, NodeAddress: "10.0.0.1"}).Run(t.Context()); err != nil {
				got = strings.NewReplacer(strconv.Quote(file), "FILE", strconv.Quote(whole), "WHOLE").Replace(err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// What does not include the file cannot judge it; before there is something that
// does, it is judged alone.
func TestCheckIncludedNowhere(t *testing.T) {
	file := write(t, "[mysqld]\nnonsense=1\n")
	err := Check{File: file, In: "/nonexistent", Dest: "/x"}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "unknown variable 'nonsense'") {
		t.Errorf("alone: got %v", err)
	}
	err = Check{File: file, In: write(t, node), Dest: "/x"}.Run(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), `: it does not include "/x"`) {
		t.Errorf("not included: got %v", err)
	}
}
