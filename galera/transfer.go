package galera

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// defaultTransferPort is where a full state transfer arrives, where the option file says nothing else.
	defaultTransferPort = 4444

	// transferWaits is how many times as long as a server may go without a primary component its donor may
	// send nothing. With the minute that is the default, mariabackup's own script waits as long for the
	// donor to begin, and that of rsync for ever.
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
	listens   bool          // a script waits for it, or for more connections of it
	connected bool          // donors are
	idle      time.Duration // that nothing has come from any of them
}

// transfer looks at the sockets of this network namespace. A script that has got all, and prepares the
// data, has none.
func (d dataDir) transfer(s Settings) (t transfer, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := netlink.SocketDiagTCPInfo(family)
		if err != nil {
			return t, err
		}
		for _, socket := range sockets {
			if socket.InetDiagMsg == nil || int(socket.InetDiagMsg.ID.SourcePort) != s.TransferPort {
				continue
			}
			if socket.InetDiagMsg.State == netlink.TCP_LISTEN {
				t.listens = true
				continue
			}
			if socket.TCPInfo == nil { // it has been closed
				continue
			}
			idle := time.Duration(socket.TCPInfo.Last_data_recv) * time.Millisecond
			if !t.connected || idle < t.idle {
				t.connected, t.idle = true, idle
			}
		}
	}
	return t, nil
}

// A donorWatch is what a monitor has seen of those who may give a transfer to its server.
type donorWatch struct {
	there  bool      // one may,
	sought time.Time // at that time
	silent time.Time // since when none has sent anything; zero when nothing is waited for
}

// hasDonor says whether anybody may give a transfer to the server. It may wait for minutes, or for ever,
// for a donor that has died:
//   - Servers that all only receive have no primary component, and nobody tells them.
//   - One that was cut off while its donor died is not told either, and its connection remains.
//   - A donor may hang.
func (j *Joined) hasDonor(ctx context.Context) bool {
	d, now := &j.donor, time.Now()
	if now.Sub(d.sought) < askEvery {
		return d.there
	}
	t, err := j.dir.transfer(j.settings)
	switch {
	case err == nil && t.connected:
		d.silent = now.Add(-t.idle)
	case err != nil || !t.listens:
		d.silent = time.Time{}
	case d.silent.IsZero():
		d.silent = now
	}
	gives := d.silent.IsZero() || now.Sub(d.silent) < transferWaits*j.WithoutPrimary
	d.there, d.sought = gives && j.mayGet(ctx), now
	return d.there
}

// mayGet says whether one of the servers that listen may give a transfer, of those in the option file now
// and at the server's start: by the record not all of them receive one as well. What cannot be read says
// nothing.
func (j *Joined) mayGet(ctx context.Context) bool {
	all := j.settings
	if live, err := ReadSettings(j.File); err == nil {
		all.Peers = slices.Concat(all.Peers, live.Peers)
	}
	open := j.dial(ctx, all.peers(ctx))
	if len(open) == 0 {
		return false
	}
	r, err := j.store.get(ctx)
	if err != nil || r == nil {
		return true
	}
	return slices.ContainsFunc(open, func(p peer) bool {
		known, gives := r.at(p, j.settings.Node, func(n Node) bool { return n.State != Joining })
		return !known || gives
	})
}
