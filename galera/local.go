package galera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/kconfd/kconfd/internal/safefs"
)

const (
	// markerName is a file in the data directory. While it is there, the record may
	// say that the server does not run.
	markerName = "kconfd-offer"

	// generationName is a file in the data directory: the record's generation at the last
	// start that the record decided. So the data themselves say of which history they are,
	// also when the node has another name by then, or its entry is gone.
	generationName = "kconfd-generation"

	grastateName = "grastate.dat"
	gvwstateName = "gvwstate.dat"

	noUUID = "00000000-0000-0000-0000-000000000000"

	// maxStateFile is how large the files may be in which the server says where it is,
	// in bytes. They have some hundreds.
	maxStateFile = 1 << 20
)

// local is what is in a data directory.
type local struct {
	data     Data
	position Position
	safe     bool   // safe_to_bootstrap
	marked   bool   // see markerName
	view     int    // members of the last view; 0 when that was left well
	me       string // what the node was called in it

	generation int // see generationName; 0 when it is not known
	memory     memory
}

// A dataDir is the data directory of a server that does not run.
type dataDir struct {
	path   string
	server string // program
	file   string // its option file
}

func (d dataDir) join(name string) string { return filepath.Join(d.path, name) }

// inspect looks into the directory. Where there are data, the server itself is
// asked for their position, which takes some tenths of a second, or as long as its
// recovery from a crash.
func (d dataDir) inspect(ctx context.Context) (local, error) {
	state, err := d.grastate()
	if err != nil {
		return local{}, err
	}
	me, members := d.lastView()
	marked, err := d.has(markerName)
	if err != nil {
		return local{}, err
	}
	tables, err := d.has("mysql")
	if err != nil {
		return local{}, err
	}
	generation, err := d.generation()
	if err != nil {
		return local{}, err
	}
	memory, err := d.memory()
	if err != nil {
		return local{}, err
	}
	l := local{data: NoData, safe: state.safe, marked: marked, view: len(members), me: me, generation: generation, memory: memory}
	switch {
	case state.none, state.found && !tables:
		l.data = Partial
	case tables && !state.found:
		l.data = Fresh
		if generation == 0 && memory.Record == "" {
			break
		}
		// The record has started a server here. A power cut may have erased the file.
		if p, err := d.position(ctx, state.position); err != nil || p.UUID != "" {
			l.data, l.position = Full, p
			return l, err
		}
	case tables:
		l.data = Full
		if l.position, err = d.position(ctx, state.position); l.position.UUID == "" {
			l.data = Partial
		}
	}
	return l, err
}

// do calls f with the rights to files of the directory's user, where that is
// another than this process's: see [account].
func (d dataDir) do(f func() error) error {
	a, err := accountIn(d.path, d.file)
	if err != nil {
		return err
	}
	return a.do(f)
}

// has says whether there is something of that name in the directory.
func (d dataDir) has(name string) (found bool, err error) {
	return found, d.do(func() error {
		found = exists(d.join(name))
		return nil
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// grastate is what the file of that name says.
type grastate struct {
	found    bool
	none     bool     // it says that there is no position, also in the tables
	position Position // without UUID when it has none
	safe     bool
}

func (d dataDir) grastate() (grastate, error) {
	content, err := readIn(d.join(grastateName), d.file, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return grastate{}, nil
	}
	if err != nil {
		return grastate{}, err
	}
	return parseGrastate(string(content)), nil
}

// parseGrastate reads what the server, and Galera, write into the file. What is not
// there, or is none, is as in a file that a power cut erased.
func parseGrastate(content string) grastate {
	values := map[string]string{}
	for line := range strings.Lines(content) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			values[key] = strings.TrimSpace(value)
		}
	}
	g := grastate{found: true, safe: values["safe_to_bootstrap"] == "1"}
	g.position.UUID = values["uuid"]
	if g.position.UUID == noUUID {
		g.position.UUID, g.none = "", true
	}
	if g.position.UUID != "" && !isUUID(g.position.UUID) {
		g.position.UUID = ""
	}
	seqno, err := strconv.ParseInt(values["seqno"], 10, 64)
	if err != nil || seqno < 0 {
		seqno = -1
	}
	g.position.Seqno = seqno
	return g
}

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// isUUID says whether the text is one as Galera writes it.
func isUUID(text string) bool { return uuidPattern.MatchString(text) }

// lastView is the last view: what the node was called in it, and who was in it. A server has
// another name there after each start.
func (d dataDir) lastView() (me string, members []string) {
	content, err := readIn(d.join(gvwstateName), d.file, maxStateFile)
	if err != nil {
		return "", nil
	}
	return parseView(string(content))
}

func parseView(content string) (me string, members []string) {
	for _, match := range regexp.MustCompile(`(?m)^(my_uuid|member): (\S{1,64})(?:\s|$)`).FindAllStringSubmatch(content, -1) {
		if match[1] == "member" {
			members = append(members, match[2])
		} else {
			me = match[2]
		}
	}
	return me, members
}

// primaryView is the last primary component that the server was in; nil when it left that in
// good order, or the file does not say.
func (d dataDir) primaryView() *View {
	content, err := readIn(d.join(gvwstateName), d.file, maxStateFile)
	if err != nil {
		return nil
	}
	return parsePrimaryView(string(content))
}

// viewIsPrimary is Galera's number for the kind of view that is a primary component.
const viewIsPrimary = "3"

func parsePrimaryView(content string) *View {
	match := regexp.MustCompile(`(?m)^view_id: ` + viewIsPrimary + ` (\S{1,64}) (\d{1,18})\s*$`).FindStringSubmatch(content)
	if match == nil {
		return nil
	}
	_, members := parseView(content)
	v := &View{ID: match[1], Members: len(members)}
	v.Seqno, _ = strconv.ParseInt(match[2], 10, 64) // the pattern takes nothing else
	if v.check() != nil {
		return nil
	}
	return v
}

// position is the furthest of what grastate.dat and the server's recovery say. The
// file has none after a crash, and after a start that came to nothing.
func (d dataDir) position(ctx context.Context, saved Position) (Position, error) {
	recovered, err := d.recover(ctx)
	if err != nil {
		return Position{}, err
	}
	switch {
	case saved.UUID == "", recovered.UUID == saved.UUID && recovered.Seqno > saved.Seqno:
		return recovered, nil
	case saved.Seqno < 0 && recovered.UUID == "":
		// A founder that was killed at once: the name of its cluster is not in the tables, and
		// the server would make up another one.
		return recovered, nil
	}
	return saved, nil
}

// recover runs `server --wsrep-recover`, as the owner of the directory.
func (d dataDir) recover(ctx context.Context) (Position, error) {
	server, err := findServer(d.server)
	if err != nil {
		return Position{}, err
	}
	a, err := accountIn(d.path, d.file)
	if err != nil {
		return Position{}, err
	}
	cmd := exec.Command(server, "--defaults-file="+d.file, "--wsrep-recover", "--disable-log-error")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential()}
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	err = runProgram(ctx, cmd)
	if ctx.Err() != nil {
		return Position{}, context.Cause(ctx)
	}
	out := []byte(output.String())
	match := regexp.MustCompile(`WSREP: Recovered position: ?([0-9a-fA-F-]{36}):(-?\d+)`).FindSubmatch(out)
	if err != nil || match == nil {
		return Position{}, fmt.Errorf("asking %q for the position of %q: %w", server, d.path, errors.Join(err, lastLines(out)))
	}
	p := Position{UUID: string(match[1])}
	if p.UUID == noUUID {
		p.UUID = ""
	}
	p.Seqno, err = strconv.ParseInt(string(match[2]), 10, 64)
	return p, err
}

// lastLines is the end of what a program has written, as an error.
func lastLines(out []byte) error {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return fmt.Errorf("it says:\n%s", bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// mark writes the marker, before it can become true. A directory without data has none: it
// has to be empty for who fills it, and nothing is started from it without the
// record.
func (d dataDir) mark() error {
	return d.write(markerName, []byte("The record of the cluster may say that this server does not run.\n"))
}

// generation is what the file of that name says; 0 when it says nothing.
func (d dataDir) generation() (int, error) {
	content, err := readIn(d.join(generationName), d.file, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	generation, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || generation < 0 || generation > maxGeneration {
		return 0, nil // as if a power cut had erased it
	}
	return generation, nil
}

// setGeneration writes the generation of the history that the data are of from now on.
func (d dataDir) setGeneration(generation int) error {
	return d.write(generationName, fmt.Appendln(nil, generation))
}

// write puts a file into the directory, whole and for good.
func (d dataDir) write(name string, content []byte) error {
	return d.do(func() error {
		dir, err := safefs.OpenDir(d.path, safefs.Trusted)
		if err != nil {
			return err
		}
		defer dir.Close()
		return dir.Replace(name, content, 0o660)
	})
}

// remove takes files away for good.
func (d dataDir) remove(names ...string) error {
	return d.do(func() error { return errors.Join(removeFiles(d.path, names...), d.sync()) })
}

// sync makes what was renamed and removed last.
func (d dataDir) sync() error {
	dir, err := os.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// restoreState writes grastate.dat for data at a position, where a power cut erased it. Without it the
// server would give the data of the cluster another UUID.
func (d dataDir) restoreState(p Position) error {
	state, err := d.grastate()
	if err != nil || state.position.UUID != "" {
		return err
	}
	return d.write(grastateName, fmt.Appendf(nil, "# GALERA saved state\nversion: 2.1\nuuid:    %s\nseqno:   -1\nsafe_to_bootstrap: 0\n", p.UUID))
}

// allowBootstrap makes the server accept to be the first.
func (d dataDir) allowBootstrap() error {
	content, err := readIn(d.join(grastateName), d.file, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	safe := regexp.MustCompile(`(?m)^safe_to_bootstrap:.*$`)
	if !safe.Match(content) {
		return nil // a server that does not know of it
	}
	return d.write(grastateName, safe.ReplaceAll(content, []byte("safe_to_bootstrap: 1")))
}

// discard makes the server ask for all data of another one. Where there is no directory, as
// in a new volume, it makes that.
func (d dataDir) discard() error {
	if err := d.create(); err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	return d.write(grastateName, []byte("# GALERA saved state\nversion: 2.1\nuuid:    "+noUUID+"\nseqno:   -1\nsafe_to_bootstrap: 0\n"))
}

// create makes the directory, for the server's user, where it is missing.
func (d dataDir) create() error {
	if exists(d.path) {
		return nil
	}
	server, err := serverAccount(d.file)
	if err != nil {
		return err
	}
	beside, err := accountBeside(d.path, server)
	if err != nil {
		return err
	}
	err = beside.do(func() error { return os.Mkdir(d.path, 0o700) })
	if err != nil || beside == server {
		return err
	}
	return server.take(d.path)
}
