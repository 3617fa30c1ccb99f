package galera

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inPrimary says whether the server may be in the primary component, by what is seen of it from
// outside. It is for servers that say nothing themselves: without wsrep_status_file, and without
// [Notify]. True is not certain: see the design page.
//
// The server has written the last primary view since it was started, and is in it. And it is
// connected with as many members of that view as a majority needs: with fewer, the component is not
// primary, or will not be in a moment.
func (d dataDir) inPrimary(s Settings) bool {
	me, view := d.lastView()
	pids, err := serversIn(d.path)
	if err != nil || len(pids) != 1 || !slices.Contains(view, me) {
		return false
	}
	begun, err := startOf(pids[0])
	if err != nil {
		return false
	}
	info, err := os.Stat(d.join(gvwstateName))
	if err != nil || info.ModTime().Before(begun) {
		return false
	}
	ports := []string{defaultPort}
	for _, entry := range s.Peers {
		ports = append(ports, memberOf(entry).port)
	}
	return 2*(len(connectedTo(ports))+1) > len(view)
}

// ticksPerSecond is USER_HZ, in which the kernel gives times to all programs.
const ticksPerSecond = 100

// startOf is when a process was started, by the clock of files.
func startOf(pid int) (time.Time, error) {
	p, err := readProcess(pid)
	if err != nil {
		return time.Time{}, err
	}
	content, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}, err
	}
	text, _, _ := strings.Cut(string(content), " ")
	uptime, err := strconv.ParseFloat(text, 64)
	age := time.Duration((uptime - float64(p.Start)/ticksPerSecond) * float64(time.Second))
	return time.Now().Add(-age).Truncate(time.Second), err // what was written at once is not from before
}

// connectedTo are the other hosts that have a connection with this one at any of the ports, as the
// kernel writes their addresses.
func connectedTo(ports []string) []string {
	var hosts []string
	for _, path := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		file, err := os.Open(path)
		if err != nil {
			continue // without IPv6
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != "01" { // established
				continue
			}
			here, herePort, _ := strings.Cut(fields[1], ":")
			there, therePort, _ := strings.Cut(fields[2], ":")
			if here != there && (isPort(herePort, ports) || isPort(therePort, ports)) && !slices.Contains(hosts, there) {
				hosts = append(hosts, there)
			}
		}
		file.Close()
	}
	return hosts
}

// isPort says whether a port in hexadecimal is one of the ports.
func isPort(text string, ports []string) bool {
	n, err := strconv.ParseUint(text, 16, 16)
	return err == nil && slices.Contains(ports, strconv.FormatUint(n, 10))
}
