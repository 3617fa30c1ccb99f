package reload

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A process is what /proc told about one at one moment.
//
// It is read by hand, not with a library such as prometheus/procfs: six words of three files are
// needed, and with them the rule that what cannot be read (another user's exe) is merely unknown.
type process struct {
	pid     int
	parent  int
	group   int
	session int
	tty     int    // number of the terminal that controls it, or 0
	stopped bool   // by a signal
	start   string // in clock ticks since boot; together with pid it identifies a process
	comm    string // what it calls itself, at most commSize bytes
	argv0   string // base name of its first argument
	exe     string // base name of its program; empty when that may not be read
	script  string // base name of the script that its program runs
	uid     int    // the real one: whose process it is, whatever its program may do
}

// readProcess reads a process with all its names. One that does not exist, or is a zombie, is
// ErrNoProcess.
func readProcess(pid int) (process, error) {
	p, err := readStat(pid)
	if err != nil {
		return process{}, err
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	argv := readArguments(filepath.Join(dir, "cmdline"))
	p.argv0 = baseName(argv[0])
	exe, _ := os.Readlink(filepath.Join(dir, "exe"))
	p.exe = baseName(strings.TrimSuffix(exe, " (deleted)")) // replaced on disk, still running
	p.script = scriptOf(p.comm, p.exe, argv)
	p.uid, err = realUID(pid)
	return p, err
}

// maxArguments is how much is read of the arguments of a process, in bytes.
const maxArguments = 64 << 10

// readArguments reads the arguments of a process. There is at least one; it is empty when there is
// nothing to read.
func readArguments(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return []string{""}
	}
	defer file.Close()
	content, _ := io.ReadAll(io.LimitReader(file, maxArguments)) // the process may end meanwhile
	return strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00")
}

// realUID is the user to whom a process belongs. A program that is set-user-ID runs with the rights of
// another, and belongs to whoever started it.
func realUID(pid int) (int, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, ErrNoProcess
	}
	for line := range strings.Lines(string(status)) {
		uid := 0
		if _, err := fmt.Sscanf(line, "Uid:%d", &uid); err == nil {
			return uid, nil
		}
	}
	return 0, fmt.Errorf("reading /proc/%d/status: it has no user", pid)
}

// readStat is readProcess without argv0 and exe.
func readStat(pid int) (process, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, ErrNoProcess // it ended before or, as ESRCH, while it was read
	}
	return parseStat(pid, string(stat))
}

// parseStat reads "PID (COMM) STATE PPID PGRP …", where COMM may hold anything, brackets included.
func parseStat(pid int, stat string) (process, error) {
	const threadsField, startField = 17, 19 // counted from the state
	from, to := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return process{}, fmt.Errorf("reading /proc/%d/stat: no name in %q", pid, stat)
	}
	fields := strings.Fields(stat[to+1:])
	if len(fields) <= startField {
		return process{}, fmt.Errorf("reading /proc/%d/stat: too few fields in %q", pid, stat)
	}
	// A first thread that has ended looks like a zombie while others live.
	if state := fields[0]; state == "X" || state == "Z" && fields[threadsField] <= "1" {
		return process{}, ErrNoProcess
	}
	p := process{pid: pid, start: fields[startField], comm: stat[from+1 : to], stopped: fields[0] == "T"}
	if _, err := fmt.Sscan(strings.Join(fields[1:5], " "), &p.parent, &p.group, &p.session, &p.tty); err != nil {
		return process{}, fmt.Errorf("reading /proc/%d/stat: parent, group, session and terminal: %w", pid, err)
	}
	return p, nil
}

func baseName(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

// findProcess finds the process of that name which is no child of another of that name. Several are an
// error that lists them. The caller itself and its init do not count.
//
// Names prove nothing: whoever may start a process may give it any. So those of
// one user only are looked at: of user, or when that is nil, of the caller's own
// if it has any, else of the only one who has. A process of another user is
// neither signalled nor in the way.
func findProcess(name string, user *int) (process, error) {
	found, err := processesNamed(name)
	if err != nil {
		return process{}, err
	}
	byUser := map[int][]process{}
	for _, p := range found {
		if _, isWorker := found[p.parent]; !isWorker {
			byUser[p.uid] = append(byUser[p.uid], p)
		}
	}
	own := os.Geteuid()
	switch {
	case user != nil && len(byUser[*user]) == 0:
		return process{}, notFound(name, user)
	case user != nil:
		return onlyOne(byUser[*user], name)
	case len(byUser) == 0:
		return process{}, notFound(name, nil)
	case len(byUser[own]) > 0:
		return onlyOne(byUser[own], name)
	case len(byUser) > 1:
		return process{}, severalUsers(byUser)
	}
	return onlyOne(slices.Concat(slices.Collect(maps.Values(byUser))...), name)
}

// onlyOne is the one process of a list. Those whose program has the name go before those that only call
// themselves so, as one that sudo has started can for anybody.
func onlyOne(list []process, name string) (process, error) {
	if programs := slices.DeleteFunc(slices.Clone(list), func(p process) bool { return p.exe != name }); len(programs) > 0 {
		list = programs
	}
	if len(list) == 1 {
		return list[0], nil
	}
	var pids []int
	for _, p := range list {
		pids = append(pids, p.pid)
	}
	slices.Sort(pids)
	return process{}, &SeveralError{pids}
}

// A SeveralError is a name that several processes have.
type SeveralError struct {
	PIDs []int // sorted
}

func (e *SeveralError) Error() string {
	return fmt.Sprintf("several processes have the name, none was signalled: %v", e.PIDs)
}

// severalUsers says whose the processes of one name are.
func severalUsers(byUser map[int][]process) error {
	var whose []string
	for _, uid := range slices.Sorted(maps.Keys(byUser)) {
		for _, p := range byUser[uid] {
			whose = append(whose, fmt.Sprintf("%d of user %d", p.pid, uid))
		}
	}
	return &ForeignProcessError{fmt.Errorf("processes of several users have the name: %s", strings.Join(whose, ", "))}
}

// processesNamed gives the processes of that name by their ids, without the caller and its init.
func processesNamed(name string) (map[int]process, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	found := make(map[int]process)
	for _, p := range all {
		if p.named(name) {
			found[p.pid] = p
		}
	}
	return found, nil
}

// allProcesses are those of this PID namespace, without the caller and its init.
func allProcesses() ([]process, error) {
	pids, err := processIDs()
	if err != nil {
		return nil, err
	}
	var all []process
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil && !errors.Is(err, ErrNoProcess) {
			return nil, err
		}
		if err == nil && !isKconfd(pid) {
			all = append(all, p)
		}
	}
	return all, nil
}

// isKconfd tells whether a process is this one, or the init of this program
// whose worker it is.
func isKconfd(pid int) bool {
	if pid == os.Getpid() {
		return true
	}
	ours, err := os.Readlink("/proc/self/exe")
	parent, errParent := os.Readlink(fmt.Sprintf("/proc/%d/exe", os.Getppid()))
	return pid == os.Getppid() && err == nil && errParent == nil && ours == parent
}

// groupLives tells whether anything in the process group is still running. The kernel alone cannot be
// asked: to kill(2) a zombie is a member, and where nobody reaps orphans they stay for good.
func groupLives(pgid int) bool {
	if errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH) {
		return false
	}
	pids, err := processIDs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(pids, func(pid int) bool {
		p, err := readStat(pid)
		return err == nil && p.group == pgid
	})
}

// processIDs lists the processes of this PID namespace.
func processIDs() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
