package galera

import (
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/kconfd/kconfd/internal/safefs"
)

// accounts are what the environment asks the first boot for.
type accounts struct {
	rootPassword, rootHost      string
	random                      bool // the root password
	database, user, password    string
	transferUser, transferWords string // for state transfers; the words are its password
	local                       string // the server's own user, for the local socket; empty for none
}

// readAccounts reads the variables of [FirstBoot.Run]. No value is in the error.
func readAccounts(lookup func(string) (string, bool)) (accounts, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	e := environment{lookup: lookup}
	a := accounts{
		rootPassword:  e.text("MYSQL_ROOT_PASSWORD"),
		rootHost:      e.text("MYSQL_ROOT_HOST"),
		random:        e.yes("MYSQL_RANDOM_ROOT_PASSWORD"),
		database:      e.text("MYSQL_DATABASE"),
		user:          e.text("MYSQL_USER"),
		password:      e.text("MYSQL_PASSWORD"),
		transferUser:  e.text("WSREP_SST_USER"),
		transferWords: e.text("WSREP_SST_PASSWORD"),
	}
	empty := e.yes("MYSQL_ALLOW_EMPTY_PASSWORD")
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{len(e.problems) == 0 && a.rootPassword == "" && !a.random && !empty, "none of MYSQL_ROOT_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD and MYSQL_ALLOW_EMPTY_PASSWORD is set"},
		{a.rootPassword != "" && a.random, "MYSQL_ROOT_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD are both set"},
		{a.user == "root", "MYSQL_USER is root, which there is anyway"},
		{a.user != "" && a.password == "", "MYSQL_USER is set, and MYSQL_PASSWORD is not"},
		{a.user == "" && a.password != "", "MYSQL_PASSWORD is set, and MYSQL_USER is not"},
		{a.transferUser == "root", "WSREP_SST_USER is root: want an account that can do no more than it needs"},
		{a.transferUser == "" && a.transferWords != "", "WSREP_SST_PASSWORD is set, and WSREP_SST_USER is not"},
	} {
		if wrong.is {
			e.problems = append(e.problems, errors.New(wrong.text))
		}
	}
	if a.random {
		a.rootPassword = rand.Text()
	}
	if a.rootHost == "" {
		a.rootHost = "%"
	}
	return a, errors.Join(e.problems...)
}

// maxSecretFile is how large the file with a value may be, in bytes.
const maxSecretFile = 64 << 10

// environment reads variables, and collects what is wrong with them.
type environment struct {
	lookup   func(string) (string, bool)
	problems []error
}

// text is the variable's value, or the content of the file that the variable with
// _FILE behind its name names, without line breaks at its end.
func (e *environment) text(name string) string {
	value, _ := e.lookup(name)
	file, _ := e.lookup(name + "_FILE")
	switch {
	case value != "" && file != "":
		e.problems = append(e.problems, fmt.Errorf("%s and %s_FILE are both set", name, name))
	case file != "":
		content, err := safefs.ReadFile(file, maxSecretFile)
		if err != nil {
			e.problems = append(e.problems, fmt.Errorf("%s_FILE: %w", name, err))
		}
		value = strings.TrimRight(string(content), "\r\n")
		if err == nil && value == "" {
			e.problems = append(e.problems, fmt.Errorf("%s_FILE: %q is empty", name, file))
		}
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		e.problems = append(e.problems, fmt.Errorf("%s has a line break or another control character", name))
	}
	return value
}

// yes says whether the variable is set to something that means so.
func (e *environment) yes(name string) bool {
	switch value := strings.ToLower(e.text(name)); value {
	case "yes", "true", "on", "1":
		return true
	case "", "no", "false", "off", "0":
		return false
	default:
		e.problems = append(e.problems, fmt.Errorf("%s: want yes or no", name))
		return false
	}
}

// statements make the accounts. They begin with what makes them mean the same
// under all settings of the option file: the grant tables are read, which a server
// that only installs does not do by itself, a backslash in a string stands for
// nothing but the next character, and text is UTF-8. A hash is not refused because
// nobody can see how long the password is. Percona's server is told the same in
// words that both know.
func (a accounts) statements(mariadb bool) string {
	var sql strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&sql, format+";\n", args...) }
	say("FLUSH PRIVILEGES")
	say("SET SESSION sql_log_bin = 0, sql_mode = ''")
	say("SET NAMES utf8mb4")
	if mariadb {
		say("SET GLOBAL strict_password_validation = OFF")
		say("DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost'") // root of this one node
	}
	say("ALTER USER 'root'@'localhost' %s", identified(a.rootPassword))
	if a.rootHost != "localhost" {
		root := "'root'@" + quoted(a.rootHost)
		say("CREATE USER %s %s", root, identified(a.rootPassword))
		say("GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION", root)
	}
	if a.database != "" {
		say("CREATE DATABASE %s", backticked(a.database))
	}
	if a.user != "" {
		say("CREATE USER %s@'%%' %s", quoted(a.user), identified(a.password))
	}
	if a.user != "" && a.database != "" {
		// In a GRANT, _ and % stand for other characters.
		pattern := strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`).Replace(a.database)
		say("GRANT ALL PRIVILEGES ON %s.* TO %s@'%%'", backticked(pattern), quoted(a.user))
	}
	if a.transferUser != "" && (a.transferUser != a.local || !mariadb) {
		how := identified(a.transferWords)
		if a.transferWords == "" {
			how = bySocket
		}
		say("CREATE USER %s@'localhost' %s", quoted(a.transferUser), how)
		say("GRANT %s ON *.* TO %s@'localhost'", transferRights, quoted(a.transferUser))
	}
	if a.local != "" && mariadb {
		how, rights := bySocket, localRights
		if a.transferUser == a.local {
			rights += ", " + transferRights
		}
		if a.transferUser == a.local && a.transferWords != "" {
			how += " OR mysql_native_password USING '" + nativeHash(a.transferWords) + "'"
		}
		say("CREATE USER %s@'localhost' %s", quoted(a.local), how)
		say("GRANT %s ON *.* TO %s@'localhost'", rights, quoted(a.local))
	}
	say("FLUSH PRIVILEGES")
	return sql.String()
}

// How an account of the operating system's user of that name logs in, and the rights of accounts:
// for state transfers, and for kconfd, which sets a provider option after the loss of the majority.
const (
	bySocket       = "IDENTIFIED VIA unix_socket"
	transferRights = "RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT"
	localRights    = "SUPER"
)

// withLocal returns the accounts with one for the server's own user at the local socket. It is none
// where the user has no name, or is root.
func (a accounts) withLocal(server account) (accounts, error) {
	name, err := server.userName()
	if err != nil || name == "root" {
		return a, nil
	}
	if a.user == name {
		return a, fmt.Errorf("MYSQL_USER is %s, the server's own user, which has an account for the local socket: want another name", name)
	}
	a.local = name
	return a, nil
}

// hashPattern matches what identified writes in place of a password.
var hashPattern = regexp.MustCompile(`\*[0-9A-F]{40}`)

// identified says how an account proves itself: by a password, which the server
// keeps as the hash of its hash, or, when that is empty, not at all.
func identified(password string) string {
	return fmt.Sprintf("IDENTIFIED WITH mysql_native_password AS '%s'", nativeHash(password))
}

// nativeHash is the hash of a password's hash, and empty for none.
func nativeHash(password string) string {
	if password == "" {
		return ""
	}
	once := sha1.Sum([]byte(password))
	return fmt.Sprintf("*%X", sha1.Sum(once[:]))
}

// quoted makes a string literal of text.
func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// backticked makes an identifier of text.
func backticked(text string) string { return "`" + strings.ReplaceAll(text, "`", "``") + "`" }
