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
	"time"

	"github.com/google/renameio/v2"
)

const (
	// markerName is a file in the data directory. While it is there, the record may
	// say that the server does not run.
	markerName = "kconfd-offer"

	grastateName = "grastate.dat"
	gvwstateName = "gvwstate.dat"

	noUUID = "00000000-0000-0000-0000-000000000000"
)

// local is what is in a data directory.
type local struct {
	data     Data
	position Position
	safe     bool // safe_to_bootstrap
	marked   bool // see markerName
	view     int  // members of the last view; 0 when that was left well
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
	_, members := d.lastView()
	l := local{data: NoData, safe: state.safe, marked: exists(d.join(markerName)), view: len(members)}
	tables := exists(d.join("mysql"))
	switch {
	case state.none, state.found && !tables:
		l.data = Partial
	case tables && !state.found:
		l.data = Fresh
	case tables:
		l.data = Full
		if l.position, err = d.position(ctx, state.position); l.position.UUID == "" {
			l.data = Partial
		}
	}
	return l, err
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
	content, err := os.ReadFile(d.join(grastateName))
	if errors.Is(err, fs.ErrNotExist) {
		return grastate{}, nil
	}
	if err != nil {
		return grastate{}, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			values[key] = strings.TrimSpace(value)
		}
	}
	g := grastate{found: true, safe: values["safe_to_bootstrap"] == "1"}
	g.position.UUID = values["uuid"]
	if g.position.UUID == noUUID {
		g.position.UUID, g.none = "", true
	}
	if g.position.Seqno, err = strconv.ParseInt(values["seqno"], 10, 64); err != nil {
		g.position.Seqno = -1
	}
	return g, nil
}

// lastView is the last view: what the node was called in it, and who was in it. A server has
// another name there after each start.
func (d dataDir) lastView() (me string, members []string) {
	content, err := os.ReadFile(d.join(gvwstateName))
	if err != nil {
		return "", nil
	}
	for _, match := range regexp.MustCompile(`(?m)^(my_uuid|member): (\S+)`).FindAllStringSubmatch(string(content), -1) {
		if match[1] == "member" {
			members = append(members, match[2])
		} else {
			me = match[2]
		}
	}
	return me, members
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
	cmd := exec.CommandContext(ctx, server, "--defaults-file="+d.file, "--wsrep-recover", "--disable-log-error")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if uid, gid := d.owner(); uid != 0 && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return Position{}, context.Cause(ctx)
	}
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

// owner is that of the directory, -1 where that is not known.
func (d dataDir) owner() (uid, gid int) {
	info, err := os.Stat(d.path)
	if err != nil {
		return -1, -1
	}
	stat := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}

// mark writes the marker, before it can become true. A directory without data has none: it
// has to be empty for who fills it, and nothing is started from it without the
// record.
func (d dataDir) mark() error {
	return d.write(markerName, []byte("The record of the cluster may say that this server does not run.\n"))
}

// write puts a file into the directory, whole and for good.
func (d dataDir) write(name string, content []byte) error {
	file, err := renameio.NewPendingFile(d.join(name), renameio.WithPermissions(0o660))
	if err != nil {
		return err
	}
	defer file.Cleanup() // what it is good for after CloseAtomicallyReplace, it does not touch
	if uid, gid := d.owner(); os.Geteuid() == 0 {
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return d.sync()
}

// remove takes files away for good.
func (d dataDir) remove(names ...string) error {
	for _, name := range names {
		if err := os.Remove(d.join(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.sync()
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

// allowBootstrap makes the server accept to be the first.
func (d dataDir) allowBootstrap() error {
	content, err := os.ReadFile(d.join(grastateName))
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

// discard makes the server ask for all data of another one.
func (d dataDir) discard() error {
	return d.write(grastateName, []byte("# GALERA saved state\nversion: 2.1\nuuid:    "+noUUID+"\nseqno:   -1\nsafe_to_bootstrap: 0\n"))
}
