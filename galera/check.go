package galera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A file whose first line begins with sentinelBegin promises that its last line
// is sentinelEnd, by which a file that lost its end is told from a whole one.
const (
	sentinelBegin = "# kconfd: begin"
	sentinelEnd   = "# kconfd: end"
)

// Check examines one option file before a server is started with it. Only File
// has to be given.
type Check struct {
	File string // the option file, as a rule staged beside the live one

	// In is the option file that includes the file, which is to take the place of
	// Dest there. The server is then asked about the two together. Where In is not
	// there yet, the file is checked by itself.
	In, Dest string

	// NodeAddress is the address that wsrep_node_address must hold. Empty means
	// any, and that the file need not set one.
	NodeAddress string

	// Server is the program to ask: a name in PATH or a path. Empty means mariadbd,
	// or mysqld where there is no mariadbd. A program of the name mysqld is also
	// given --wsrep-provider=none, as Percona's own image does; this was tried on
	// MariaDB's mysqld, not on Percona's.
	Server string
}

// Run returns an error that lists all that is wrong with the file, one problem on
// a line, with the line of the file where there is one. It looks
//
//   - at the bytes: the file is not empty, has no NUL, no "{{" and no "<no value>",
//     no line that the server would read in pieces, ends with a newline and, when
//     it begins with "# kconfd: begin", with the line "# kconfd: end"; and not
//     everybody may write it, since the server ignores such a file;
//   - at what the server would notice too late: all that [Guard] refuses,
//     wsrep_node_address, server_id, the SST method and its script, the provider
//     and the names in wsrep_provider_options;
//   - at the server's own opinion: --verbose --help ends with 0, without errors
//     and without warnings that a value was changed or not understood;
//   - whether the server read what the file says: wsrep_cluster_address,
//     wsrep_node_address, server_id and datadir.
//
// Nothing is started and nothing of the cluster is touched; it takes about 50 ms.
// Files that the file includes are seen by the server only, but for their kind and
// size: see [ReadSettings]. No secret of the file is in the error. When ctx ends, so
// does Run, with ctx's error.
func (c Check) Run(ctx context.Context) error {
	if c.In != "" {
		if _, err := os.Stat(c.In); !errors.Is(err, fs.ErrNotExist) {
			return c.runIncluded(ctx)
		}
	}
	if err := c.runAlone(ctx); err != nil {
		return fmt.Errorf("checking %q:%w", c.File, err)
	}
	return nil
}

// runAlone checks the file without one that includes it.
func (c Check) runAlone(ctx context.Context) error {
	e, text, err := c.look()
	if err != nil {
		return fmt.Errorf(" %w", err)
	}
	if err := refuseIncludes(c.File, text); err != nil {
		return fmt.Errorf(" %w", err)
	}
	if len(bytes.TrimSpace(text)) > 0 {
		if err := c.examine(ctx, e, c.File, text); err != nil {
			return fmt.Errorf(" %w", err)
		}
	}
	return e.all()
}

// runIncluded checks the bytes of the file, and the file that includes it with this
// one in its place.
func (c Check) runIncluded(ctx context.Context) error {
	e, text, err := c.look()
	if err != nil {
		return fmt.Errorf("checking %q: %w", c.File, err)
	}
	e.checkGuard(text)
	if err := e.all(); err != nil {
		return fmt.Errorf("checking %q:%w", c.File, err)
	}
	if err := c.runWhole(ctx, text); err != nil {
		return fmt.Errorf("checking %q in %q:%w", c.File, c.In, err)
	}
	return nil
}

// runWhole checks the file that includes the one whose text is given.
func (c Check) runWhole(ctx context.Context, text []byte) error {
	onDisk, err := c.includer(c.File)
	if err == nil {
		err = refuseIncludes(c.In, onDisk)
	}
	if err != nil {
		return fmt.Errorf(" %w", err)
	}
	whole, err := c.includer(inherited(1))
	if err != nil {
		return fmt.Errorf(" %w", err)
	}
	// In memory, where nothing is left over when this process is killed.
	file, err1 := namelessFile("my.cnf", string(whole))
	candidate, err2 := namelessFile("candidate.cnf", string(text))
	defer file.Close()
	defer candidate.Close()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf(" %w", err)
	}
	e := newExamination(whole)
	e.checkBytes(whole)
	if err := c.examine(ctx, e, inherited(0), whole, file, candidate); err != nil {
		return fmt.Errorf(" %w", err)
	}
	for i := range e.problems {
		// The lines are those of the other file.
		e.problems[i] = errors.New(strings.TrimPrefix(e.problems[i].Error(), fmt.Sprintf("line %d: ", e.lines[i])))
	}
	return e.all()
}

// includer is the text of In with another file in the place of Dest.
func (c Check) includer(file string) ([]byte, error) {
	content, err := readOptionFile(c.In)
	if err != nil {
		return nil, err
	}
	if file, err = filepath.Abs(file); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	found := false
	for line := range strings.Lines(string(content)) {
		if included, ok := strings.CutPrefix(trimLeft(line), "!include "); ok && filepath.Clean(strings.TrimSpace(included)) == filepath.Clean(c.Dest) {
			line, found = "!include "+file+"\n", true
		}
		text.WriteString(line)
	}
	if !found {
		return nil, fmt.Errorf("it does not include %q", c.Dest)
	}
	return text.Bytes(), nil
}

// look reads the file, and examines its bytes and its mode.
func (c Check) look() (*examination, []byte, error) {
	text, err := readOptionFile(c.File)
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return nil, nil, err
	}
	e := newExamination(text)
	e.checkBytes(text)
	e.checkMode(info.Mode().Perm())
	return e, text, nil
}

// examine asks the server about a file, whose text is given, and goes on with the
// answer. Its error means that the file could not be judged.
func (c Check) examine(ctx context.Context, e *examination, file string, text []byte, open ...*os.File) error {
	server, err := findServer(c.Server)
	if err != nil {
		return err
	}
	e.answer, err = ask(ctx, server, file, text, open...)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		names := strings.NewReplacer(inherited(0), c.In, inherited(1), c.File)
		for i, message := range e.answer.messages {
			e.answer.messages[i] = names.Replace(message)
		}
	}
	e.keepServerGroups()
	e.checkGuard(text)
	e.checkNodeAddress(c.NodeAddress)
	e.checkWsrep(server)
	e.checkProviderOptions()
	e.checkMessages(filepath.Base(server))
	e.compare()
	return nil
}

// examination is a file, what the server says about it, and what was found.
type examination struct {
	options  []Option
	answer   answer
	secrets  []string
	problems []error
	lines    []int // of the problems; 0 where there is none
}

func newExamination(text []byte) *examination {
	e := &examination{options: ParseOptions(text)}
	e.hide()
	return e
}

// all is an error that lists the problems, each on a line of its own.
func (e *examination) all() error {
	if len(e.problems) == 0 {
		return nil
	}
	return fmt.Errorf("\n%w", errors.Join(e.problems...))
}

// add notes a problem, with the line of the file unless line is 0. Secrets are
// taken out of the strings in args.
func (e *examination) add(line int, format string, args ...any) {
	for i := range args {
		if text, ok := args[i].(string); ok {
			args[i] = e.redact(text)
		}
	}
	text := fmt.Sprintf(format, args...)
	if line > 0 {
		text = fmt.Sprintf("line %d: %s", line, text)
	}
	e.problems = append(e.problems, errors.New(text))
	e.lines = append(e.lines, line)
}

// hide collects what must not be told: the values of options whose name says so,
// and of "user:password" the password too.
func (e *examination) hide() {
	for _, option := range e.options {
		if !isSecret(option.Name) {
			continue
		}
		_, password, _ := strings.Cut(option.Value, ":")
		for _, secret := range []string{option.Value, password} {
			if secret != "" {
				e.secrets = append(e.secrets, secret)
			}
		}
	}
}

// isSecret says whether the value of the option of this name is a secret; the
// first is wsrep_sst_auth, which the server also knows by a beginning.
func isSecret(name string) bool {
	return strings.HasPrefix(name, "wsrep_sst_a") || strings.Contains(name, "passw")
}

// redact replaces all secrets in text.
func (e *examination) redact(text string) string {
	for _, secret := range e.secrets {
		text = strings.ReplaceAll(text, secret, "********")
	}
	return text
}

// checkBytes looks for what no whole option file holds.
func (e *examination) checkBytes(content []byte) {
	if len(bytes.TrimSpace(content)) == 0 {
		e.add(0, "the file is empty")
		return
	}
	for number, line := range lines(content) {
		if bytes.IndexByte(line, 0) >= 0 {
			e.add(number, "there is a NUL byte")
		}
		for _, leftover := range []string{"{{", "<no value>"} {
			if bytes.Contains(line, []byte(leftover)) {
				e.add(number, "%q is left over from a template", leftover)
			}
		}
		if len(line) > maxPiece {
			e.add(number, "the line has %d bytes: the server takes what follows the first %d for another line",
				len(line), maxPiece)
		}
	}
	e.checkEnd(string(content))
}

// checkEnd looks for the signs of a file that lost its end.
func (e *examination) checkEnd(content string) {
	if !strings.HasSuffix(content, "\n") {
		e.add(strings.Count(content, "\n")+1, "the last line has no newline: the file may have lost its end")
		return
	}
	if strings.HasPrefix(content, sentinelBegin) && !strings.HasSuffix(content, "\n"+sentinelEnd+"\n") {
		e.add(strings.Count(content, "\n"), "the last line is not %q: the file has lost its end", sentinelEnd)
	}
}

// checkMode looks for what makes the server pass over the file, with a warning.
func (e *examination) checkMode(mode fs.FileMode) {
	if mode&0o002 != 0 {
		e.add(0, "everybody may write the file (mode %04o): the server ignores it", mode)
	}
}

// keepServerGroups drops the options that the server at hand does not read.
func (e *examination) keepServerGroups() {
	reads := isServerGroup
	if len(e.answer.groups) > 0 {
		reads = func(group string) bool { return slices.Contains(e.answer.groups, group) }
	}
	e.options = slices.DeleteFunc(e.options, func(o Option) bool { return !reads(o.Group) })
}

// checkGuard adds what Guard found, which also looks at the groups of other versions.
func (e *examination) checkGuard(content []byte) {
	if joined, ok := Guard(content).(interface{ Unwrap() []error }); ok {
		for _, problem := range joined.Unwrap() {
			e.add(0, "%s", problem.Error())
		}
	}
}

// checkNodeAddress demands an IP address, so that no resolver decides who the node
// is, and the one that is wanted.
func (e *examination) checkNodeAddress(want string) {
	option, found := lastOf(e.options, "wsrep_node_address")
	if !found {
		if want != "" && e.wsrepOn() {
			e.add(0, "wsrep_node_address is not set: Galera takes the first interface's, which need not be %s", want)
		}
		return
	}
	ip, fault := parseNodeAddress(option.Value)
	if fault != "" {
		e.add(option.Line, "wsrep_node_address %q: %s", option.Value, fault)
		return
	}
	if wanted, err := netip.ParseAddr(strings.Trim(want, "[]")); want != "" && (err != nil || wanted != ip) {
		e.add(option.Line, "wsrep_node_address %q: this node's address is %s", option.Value, want)
	}
}

// parseNodeAddress returns the IP address in IP or IP:PORT, or what is wrong.
func parseNodeAddress(value string) (ip netip.Addr, fault string) {
	if ip, err := netip.ParseAddr(value); err == nil {
		if ip.Is6() {
			return ip, fmt.Sprintf("without brackets a state transfer aborts the server; write [%s]", value)
		}
		return ip, ""
	}
	if withPort, err := netip.ParseAddrPort(value); err == nil {
		return withPort.Addr(), ""
	}
	inner, opened := strings.CutPrefix(value, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	ip, err := netip.ParseAddr(inner)
	if err != nil || !opened || !closed {
		return ip, "not an IP address"
	}
	return ip, ""
}

// wsrepOn says whether a server started with the file is a Galera node. MariaDB
// has to be told so; Percona's is one when it has a provider.
func (e *examination) wsrepOn() bool {
	if on, found := lastOf(e.options, "wsrep_on"); found {
		return on.isOn()
	}
	provider, found := lastOf(e.options, "wsrep_provider")
	return found && provider.Value != "none" && !e.answer.mariadb
}

// checkWsrep looks at what a Galera node needs beside the addresses.
func (e *examination) checkWsrep(server string) {
	if !e.wsrepOn() {
		return
	}
	e.checkServerID()
	e.checkSST(server)
	e.checkProvider()
	if mode, found := lastOf(e.options, "innodb_autoinc_lock_mode"); found && mode.Value != "2" {
		e.add(mode.Line, "innodb_autoinc_lock_mode %q: Galera needs 2", mode.Value)
	}
	if _, found := lastOf(e.options, "wsrep_cluster_address"); !found {
		e.add(0, "wsrep_cluster_address is not set: %s", exits)
	}
}

func (e *examination) checkServerID() {
	option, found := lastOf(e.options, "server_id")
	if !found {
		e.add(0, "server_id is not set: every node would have 1")
		return
	}
	if id, err := strconv.ParseUint(option.Value, 10, 32); err != nil || id == 0 {
		e.add(option.Line, "server_id %q: not a number from 1 to 4294967295", option.Value)
	}
}

// checkSST demands the script by which the node gets, and gives, the whole of the
// data. The server looks for it only when it is needed.
func (e *examination) checkSST(server string) {
	option, found := lastOf(e.options, "wsrep_sst_method")
	method := option.Value
	if !found {
		method = e.answer.values["wsrep_sst_method"]
	}
	if method == "" && !found || method == "skip" {
		return
	}
	if strings.Trim(strings.ToLower(method), "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || method == "" {
		e.add(option.Line, "wsrep_sst_method %q: not the name of a method", method)
		return
	}
	script := "wsrep_sst_" + method
	for _, dir := range e.scriptDirs(server) {
		if _, err := exec.LookPath(filepath.Join(dir, script)); err == nil {
			return
		}
	}
	e.add(option.Line, "wsrep_sst_method %q: there is no program %s", method, script)
}

// scriptDirs returns where the server finds its scripts.
func (e *examination) scriptDirs(server string) []string {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), filepath.Dir(server), "/usr/bin")
	if basedir := e.answer.values["basedir"]; filepath.IsAbs(basedir) {
		dirs = append(dirs, filepath.Join(basedir, "bin"))
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !filepath.IsAbs(dir) })
}

func (e *examination) checkProvider() {
	option, found := lastOf(e.options, "wsrep_provider")
	if !found || option.Value == "none" {
		e.add(option.Line, "wsrep_provider is not set: the node would stand alone")
		return
	}
	if info, err := os.Stat(option.Value); err != nil || !info.Mode().IsRegular() {
		e.add(option.Line, "wsrep_provider %q: there is no such file", option.Value)
	}
}

// checkProviderOptions looks at the names, and at the one value that follows from
// the node's address.
func (e *examination) checkProviderOptions() {
	provider, _ := lastOf(e.options, "wsrep_provider")
	known := providerNames(provider.Value, e.answer.mariadb)
	option, found := lastOf(e.options, "wsrep_provider_options")
	listen := ""
	for _, o := range parseProviderOptions(option.Value) {
		if fault := o.fault(known); fault != "" {
			e.add(option.Line, "wsrep_provider_options: %s", fault)
		}
		if o.key == "gmcast.listen_addr" {
			listen = o.value
		}
	}
	node, _ := lastOf(e.options, "wsrep_node_address")
	ip, fault := parseNodeAddress(node.Value)
	if fault == "" && ip.Is6() && !strings.Contains(listen, "[") {
		line := node.Line
		if found {
			line = option.Line
		}
		e.add(line, "wsrep_provider_options: without gmcast.listen_addr=tcp://[::]:4567 Galera listens on IPv4 only, "+
			"and no node reaches this one at %s", node.Value)
	}
}

// checkMessages adds the server's errors, and those warnings that tell of a value
// other than the file's.
func (e *examination) checkMessages(server string) {
	told := len(e.problems)
	for _, message := range e.answer.messages {
		if e.isProblem(message) {
			e.add(e.lineOf(message), "%s: %s", server, tidy(message))
		}
	}
	if e.answer.exit == 0 {
		return
	}
	text := fmt.Sprintf("%s --verbose --help: exit code %d", server, e.answer.exit)
	if n := len(e.answer.messages); n > 0 && len(e.problems) == told {
		text += ": " + tidy(e.answer.messages[n-1])
	}
	e.add(0, "%s", text)
}

// isProblem says whether a message of the server tells of an error or of a value
// that is not the file's. "Changed limits" alone is none: it also comes where the
// process may have few open files, whatever the file says.
func (e *examination) isProblem(message string) bool {
	lower := strings.ToLower(message)
	switch {
	case strings.Contains(lower, "[error]"), strings.HasPrefix(lower, "error:"),
		strings.Contains(lower, "unique option prefix"):
		return true
	case !strings.Contains(lower, "warning"):
		return strings.Contains(lower, "fatal error") || strings.Contains(lower, "can't read dir")
	case strings.Contains(lower, "changed limits"):
		return e.limitsChanged(lower)
	}
	for _, sign := range []string{"adjusted", "wasn't recognized", "unknown", "is ignored"} {
		if strings.Contains(lower, sign) {
			return true
		}
	}
	return false
}

// limitsChanged says whether a "changed limits" message, in lower case, lowers
// something that the file sets.
func (e *examination) limitsChanged(message string) bool {
	options := map[string]string{"max_connections": "max_connections", "table_cache": "table_open_cache"}
	changes := regexp.MustCompile(`(\w+): (\d+) +\(was (\d+)\)`)
	for _, change := range changes.FindAllStringSubmatch(message, -1) {
		if _, set := lastOf(e.options, options[change[1]]); set && change[2] != change[3] {
			return true
		}
	}
	return false
}

// tidy returns a message without its time and the server's path, and without the
// value of a variable that the server does not know: under a mistyped name it may
// be a secret.
func tidy(message string) string {
	for _, part := range []struct{ pattern, replacement string }{
		{`^\d{4}-\d\d-\d\d[^\[]*(\[[^\]]*\] *)+`, ""},
		{`^Buffered \w+: `, ""},
		{`^\S*/?(mariadbd|mysqld): `, ""},
		{`(unknown (?:variable|option) '[^'=]*)=.*`, "$1'"},
	} {
		message = regexp.MustCompile(part.pattern).ReplaceAllString(message, part.replacement)
	}
	return message
}

// lineOf returns the line of the option that a message quotes, or 0.
func (e *examination) lineOf(message string) int {
	for _, quoted := range regexp.MustCompile(`'(?:--)?([A-Za-z][\w.-]*)`).FindAllStringSubmatch(message, -1) {
		name := withoutPrefixes(Option{Name: normalName(quoted[1])}).Name
		if option, found := lastOf(e.options, name); found {
			return option.Line
		}
	}
	return 0
}

// compare demands that the server read what the file says. Of a line with another
// problem that is not to be expected.
func (e *examination) compare() {
	same := map[string]func(file, server string) bool{
		"wsrep_cluster_address": func(file, server string) bool { return file == server },
		"wsrep_node_address":    func(file, server string) bool { return file == server },
		"server_id":             func(file, server string) bool { return strings.TrimLeft(file, "0") == server },
		"datadir":               func(file, server string) bool { return filepath.Clean(file) == filepath.Clean(server) },
	}
	for _, name := range []string{"wsrep_cluster_address", "wsrep_node_address", "server_id", "datadir"} {
		option, found := lastOf(e.options, name)
		server, answered := e.answer.values[name]
		if found && answered && !slices.Contains(e.lines, option.Line) && !same[name](option.Value, server) {
			e.add(option.Line, "%s %q: the server reads %q", name, option.Value, server)
		}
	}
}
