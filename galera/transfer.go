package galera

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultTransferPort is where a full state transfer arrives, where the option file says nothing else.
	defaultTransferPort = 4444

	// transferWaits is how many times as long as a server may go without a primary component its donor may
	// take to begin. With the minute that is the default, mariabackup's own script waits as long, and that
	// of rsync for ever.
	transferWaits = 5
)

// transferPort is the port in wsrep_sst_receive_address.
func transferPort(address string) int {
	_, text, err := net.SplitHostPort(address)
	if port, err2 := strconv.Atoi(text); err == nil && err2 == nil {
		return port
	}
	return defaultTransferPort
}

// A transfer is what the kernel knows of a full state transfer to the server.
type transfer struct {
	waits  bool             // a script listens for it, and no donor is connected
	donors []netip.AddrPort // from where donors are connected
}

// transfer looks at the connections of this network namespace. A script that has got all, and prepares the
// data, does not listen any more.
func (d dataDir) transfer(s Settings) (t transfer, err error) {
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		table, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) { // without IPv6
			continue
		}
		if err != nil {
			return t, err
		}
		// Under a heading: a number, the own address and port, the peer's, the state; in hexadecimal.
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", s.TransferPort)) {
				continue
			}
			if fields[3] == listeningState {
				t.waits = true
				continue
			}
			host, port, _ := strings.Cut(fields[2], ":")
			address, err1 := parseKernelAddress(host)
			number, err2 := strconv.ParseUint(port, 16, 16)
			if err := errors.Join(err1, err2); err != nil {
				return t, fmt.Errorf("reading %q: %w", file, err)
			}
			t.donors = append(t.donors, netip.AddrPortFrom(address.Unmap(), uint16(number)))
		}
	}
	t.waits = t.waits && len(t.donors) == 0
	return t, nil
}

// A donorWatch is what a monitor has seen of those who may give a transfer to its server.
type donorWatch struct {
	there  bool      // anybody listened who may,
	sought time.Time // at that time
	waits  time.Time // since when no donor is connected; zero when one is

	starts map[netip.AddrPort]string // of the donors' servers, when they were first seen to be connected
}

// hasDonor says whether anybody may give a transfer to the server. It may wait for minutes, or for ever,
// for a donor that has died:
//   - Servers that all only receive have no primary component, and nobody tells them.
//   - One that was cut off while its donor died is not told either, and its connection remains.
//   - A donor may hang before it begins.
func (j *Joined) hasDonor(ctx context.Context) bool {
	d := &j.donor
	if time.Since(d.sought) < askEvery {
		return d.there
	}
	t, err := j.dir.transfer(j.settings)
	if err != nil || !t.waits {
		d.waits = time.Time{}
	} else if d.waits.IsZero() {
		d.waits = time.Now()
	}
	d.there = (d.waits.IsZero() || time.Since(d.waits) < transferWaits*j.WithoutPrimary) && j.mayGet(ctx, t.donors)
	d.sought = time.Now()
	return d.there
}

// mayGet says whether one of the servers that listen may give a transfer, of those in the option file now
// and at the server's start: by the record not all of them receive one as well, and who is connected as a
// donor has not been started since. What cannot be read says nothing.
func (j *Joined) mayGet(ctx context.Context, connected []netip.AddrPort) bool {
	all := j.settings
	if live, err := ReadSettings(j.File); err == nil {
		all.Peers = slices.Concat(all.Peers, live.Peers)
	}
	peers := all.peers(ctx)
	open := j.dial(ctx, peers)
	if len(open) == 0 {
		return false
	}
	r, err := j.store.get(ctx)
	if err != nil || r == nil {
		return true
	}
	connected = slices.DeleteFunc(slices.Clone(connected), func(a netip.AddrPort) bool { // a proxy's
		return !slices.ContainsFunc(peers, func(p peer) bool { return p.host == a.Addr().String() })
	})
	before := j.donor.starts
	j.donor.starts = map[netip.AddrPort]string{}
	gives := len(connected) == 0
	for _, a := range connected {
		host := a.Addr().String()
		now := r.startsAt(host)
		j.donor.starts[a] = cmp.Or(before[a], now)
		listens := slices.ContainsFunc(open, func(p peer) bool { return p.host == host })
		gives = gives || listens && j.donor.starts[a] == now
	}
	return gives && slices.ContainsFunc(open, func(p peer) bool {
		known, gives := r.at(p, j.settings.Node, func(n Node) bool { return n.State != Joining })
		return !known || gives
	})
}

// startsAt tells the starts of the server at an address from each other, by its entries.
func (r *Record) startsAt(address string) string {
	var text strings.Builder
	for _, name := range r.Names() {
		if n := r.Nodes[name]; n.Address == address {
			fmt.Fprintln(&text, name, n.Pod, n.Starts)
		}
	}
	return text.String()
}
