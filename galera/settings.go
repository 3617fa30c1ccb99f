package galera

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dialTimeout is how long a look at a peer may take, its name's resolution included.
const dialTimeout = time.Second

// defaultPort is the one of members, where nothing else is said.
const defaultPort = "4567"

// defaultSocket is the local socket of the servers that Debian builds.
const defaultSocket = "/run/mysqld/mysqld.sock"

// Settings are what a node's option file says of the node and its cluster.
type Settings struct {
	File       string
	DataDir    string
	Cluster    string // wsrep_cluster_name
	Node       string // wsrep_node_name; the host's name where the file has none
	Address    string // wsrep_node_address without port and brackets; may be empty
	Peers      []string
	Port       int    // of SQL
	Transfer   string // wsrep_sst_method
	StatusFile string // its path; empty for none
	Socket     string // the path of the local one

	TransferPort int           // where the server gets a full state transfer
	Suspect      time.Duration // evs.suspect_timeout
	Evicts       bool          // evs.auto_evict is on
}

// ReadSettings reads an option file, with the files that it includes.
func ReadSettings(file string) (Settings, error) {
	options, err := readOptions(file)
	if err != nil {
		return Settings{}, fmt.Errorf("reading the server's option file: %w", err)
	}
	value := func(name, fallback string) string {
		o, _ := lastOf(options, name)
		return cmp.Or(o.Value, fallback)
	}
	host, _ := os.Hostname()
	s := Settings{
		File:     file,
		DataDir:  filepath.Clean(value("datadir", "/var/lib/mysql")),
		Cluster:  value("wsrep_cluster_name", "my_wsrep_cluster"),
		Node:     value("wsrep_node_name", host),
		Address:  bareHost(value("wsrep_node_address", "")),
		Transfer: value("wsrep_sst_method", "rsync"),

		TransferPort: transferPort(value("wsrep_sst_receive_address", "")),
	}
	port := value("port", "3306")
	if s.Port, err = strconv.Atoi(port); err != nil {
		return s, fmt.Errorf("reading %q: port %q: want a number", file, port)
	}
	if s.Port < 0 || s.Port > math.MaxUint16 {
		return s, fmt.Errorf("reading %q: port %q: want a number from 0 to %d", file, port, math.MaxUint16)
	}
	if name := value("wsrep_status_file", ""); name != "" {
		s.StatusFile = name
		if !filepath.IsAbs(name) {
			s.StatusFile = filepath.Join(s.DataDir, name)
		}
	}
	if s.Socket = value("socket", defaultSocket); !filepath.IsAbs(s.Socket) {
		s.Socket = filepath.Join(s.DataDir, s.Socket)
	}
	provider := value("wsrep_provider_options", "")
	s.Suspect, s.Evicts = suspectTimeout(provider), evicts(provider)
	if list, ok := strings.CutPrefix(value("wsrep_cluster_address", ""), "gcomm://"); ok && list != "" {
		s.Peers = strings.Split(list, ",")
	}
	return s, nil
}

// read reads the option file of a node that is to be in the record, by its name.
func (c NodeCommand) read() (Settings, error) {
	s, err := ReadSettings(c.File)
	switch {
	case err != nil:
	case !isNodeName(s.Node):
		err = fmt.Errorf("reading %q: wsrep_node_name %q: want letters, digits, dots, hyphens and underscores, for the record", c.File, s.Node)
	case !isAddress(s.Address):
		err = fmt.Errorf("reading %q: wsrep_node_address %q: want an IP address, for the record", c.File, s.Address)
	}
	return s, err
}

// checkNodeAddress demands an IP address that is written as all others write it: the nodes find each
// other in the record by it.
func checkNodeAddress(address string) error {
	const setting, hint = "wsrep_node_address", "set the IP address at which the other nodes reach this one"
	if address == "" {
		return fmt.Errorf("%s is empty: %s", setting, hint)
	}
	ip, err := netip.ParseAddr(address)
	switch canonical := ip.Unmap().String(); {
	case err != nil:
		return fmt.Errorf("%s %q is not an IP address: %s", setting, address, hint)
	case ip.Zone() != "":
		return fmt.Errorf("%s %q has a zone: %s", setting, address, hint)
	case ip.IsUnspecified() || ip.IsMulticast():
		return fmt.Errorf("%s %q is no address of a node: %s", setting, address, hint)
	case address != canonical:
		return fmt.Errorf("%s %q is not written as %q, by which the other nodes know it", setting, address, canonical)
	}
	return nil
}

// bareHost is the host in HOST, HOST:PORT, [HOST] or [HOST]:PORT.
func bareHost(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

// A peer is an address of a member of the cluster, as far as the option file knows.
type peer struct{ host, port string }

func (p peer) String() string { return net.JoinHostPort(p.host, p.port) }

// peers are the addresses in wsrep_cluster_address, names resolved, but for this
// machine's. A name that does not resolve has none.
func (s Settings) peers(ctx context.Context) []peer {
	var all []peer
	for _, entry := range s.Peers {
		member := memberOf(entry)
		for _, address := range resolve(ctx, member.host) {
			all = append(all, peer{address, member.port})
		}
	}
	return s.elsewhere(all)
}

// elsewhere are those of the peers that are not this machine's.
func (s Settings) elsewhere(all []peer) []peer {
	own := []string{s.Address}
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().String())
		}
	}
	return slices.DeleteFunc(all, func(p peer) bool { return slices.Contains(own, p.host) })
}

// memberOf is the host and the port in an entry of wsrep_cluster_address.
func memberOf(entry string) peer {
	if host, port, err := net.SplitHostPort(entry); err == nil {
		return peer{host, port}
	}
	return peer{bareHost(entry), defaultPort}
}

func resolve(ctx context.Context, host string) []string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{ip.String()}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addresses, _ := net.DefaultResolver.LookupHost(ctx, host) // what is not there does not listen
	return addresses
}

// texts are the peers for people.
func texts(peers []peer) (all []string) {
	for _, p := range peers {
		all = append(all, p.String())
	}
	return all
}

// errNoSettings is a file that is not a node's.
var errNoSettings = errors.New("wsrep_cluster_address is not set: this is not the option file of a Galera node")
