package galera

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recordVersion is of the form of what is in a record.
const recordVersion = 1

// A State is what the record says of a node's server.
type State string

const (
	// Offered and Stopped say that the server does not run, and will not before
	// the record says otherwise. Offered is said by who wants to start it, Stopped
	// by who saw it end.
	Offered State = "offered"
	Stopped State = "stopped"

	// The others say that the server may run.
	Joining       State = "joining"
	Bootstrapping State = "bootstrapping"
	Synced        State = "synced"
)

func (s State) mayRun() bool { return s != Offered && s != Stopped }

// Data is what a data directory holds.
type Data string

const (
	NoData  Data = "none"    // nothing
	Partial Data = "partial" // what a broken-off state transfer left, or a start that came to nothing
	Fresh   Data = "fresh"   // data that never were in a cluster
	Full    Data = "full"    // the cluster's, up to a position
)

// A Position is a place in the history of a cluster.
type Position struct {
	UUID  string `json:"uuid,omitempty"`
	Seqno int64  `json:"seqno"`
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.UUID, p.Seqno) }

// A Node is what the record says of one.
type Node struct {
	State State `json:"state"`
	Data  Data  `json:"data"` // at the last offer or stop
	Position
	SafeToBootstrap bool `json:"safeToBootstrap,omitempty"`

	// Generation is the record's at the node's last start.
	Generation int `json:"generation,omitempty"`

	// Starts counts how often the node was started by the record.
	Starts int `json:"starts,omitempty"`

	// FailedBoots counts how often the node has given back the role of the founder.
	FailedBoots int `json:"failedBoots,omitempty"`

	// Member is what the node is called in the view of its cluster, or was before it came to rest.
	Member string `json:"member,omitempty"`

	// View is the last primary component that the node's server was in, as far as it is known.
	// What the server was in before its last start is not.
	View *View `json:"view,omitempty"`

	// NonPrimary is there while the server runs and has lost its primary component.
	NonPrimary *NonPrimary `json:"nonPrimary,omitempty"`

	// Lost is what the node once had, and has no more.
	Lost *Lost `json:"lost,omitempty"`

	Address string    `json:"address,omitempty"` // wsrep_node_address
	Pod     string    `json:"pod,omitempty"`     // who wrote this
	Token   string    `json:"token,omitempty"`   // of this write
	At      time.Time `json:"at,omitzero"`       // by the clock of the pod, for people
	Waits   string    `json:"waits,omitempty"`   // for what, for people
}

// Has says in a word what the node has, or had.
func (n Node) Has() string {
	switch {
	case n.Lost != nil:
		return "lost"
	case n.State.mayRun() && n.UUID != "":
		return fmt.Sprintf("%d or more", n.Seqno)
	case n.State.mayRun():
		return "-"
	case n.Data == Full:
		return strconv.FormatInt(n.Seqno, 10)
	}
	return string(n.Data)
}

// A View is a primary component. Two nodes with the same ID and seqno are in the same one.
type View struct {
	ID      string `json:"id"`      // the UUID of the member that represents it
	Seqno   int64  `json:"seqno"`   // rises with each view of a component
	Members int    `json:"members"` // how many there are
}

// Lost is data that is gone: up to a position, or nobody knows how much.
type Lost struct {
	Position
	Unknown bool `json:"unknown,omitempty"` // the server may have run behind the position
}

// General is what the record says of the cluster as a whole.
type General struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // wsrep_cluster_name

	// ID is that of all versions of the record, and Writes counts them. A record that was deleted
	// and made anew has another ID, and one that was put back to an older version fewer writes.
	ID     string `json:"id,omitempty"`
	Writes int64  `json:"writes,omitempty"`

	Founder string    `json:"founder,omitempty"` // empty: it has given the role back
	UUID    string    `json:"uuid,omitempty"`
	Since   time.Time `json:"since,omitzero"`

	// Adopted is a cluster that was there before the record: it may have members
	// that are not in it.
	Adopted bool `json:"adopted,omitempty"`

	// PutBack is a record that was put back to an older version, by what the data directory of a
	// node remembers. Nobody is made the first by it without a person's decision.
	PutBack bool `json:"putBack,omitempty"`

	// Generation counts how often a node was made the first of its cluster.
	Generation int    `json:"generation"`
	Forks      []Fork `json:"forks,omitempty"`

	// Elections are where nodes became the first by themselves. By the record nobody had
	// more then: who has more of before all the same shows that the record was wrong.
	Elections []Fork `json:"elections,omitempty"`

	// Overruled has, of each node whose entry a decision has removed, the generation of its data.
	Overruled map[string]int `json:"overruled,omitempty"`

	Bootstrap *Decree `json:"bootstrap,omitempty"`
}

// A Fork is where a person's decision left behind what other nodes may have had:
// behind the position, the history before the generation is another one.
type Fork struct {
	Generation int   `json:"generation"`
	Seqno      int64 `json:"seqno"`
}

// A Decree is a person's decision about which node is to be the first.
type Decree struct {
	From  string    `json:"from"`
	Force bool      `json:"force,omitempty"`
	By    string    `json:"by,omitempty"`
	At    time.Time `json:"at,omitzero"`

	// Over are the nodes against which it was forced, with what was known of them, and From. It is
	// void when that has changed: somebody thought to be gone is not, or From has lost its volume.
	Over map[string]string `json:"over,omitempty"`
}

// A Record is what all nodes of a cluster know of each other.
type Record struct {
	General
	Nodes map[string]Node
}

// newRecord is the first one of a cluster.
func newRecord(cluster string) *Record {
	return &Record{General: General{Version: recordVersion, Name: cluster}, Nodes: map[string]Node{}}
}

func (r *Record) clone() *Record {
	c := *r
	c.Nodes = maps.Clone(r.Nodes)
	c.Forks, c.Elections, c.Overruled = slices.Clone(r.Forks), slices.Clone(r.Elections), maps.Clone(r.Overruled)
	return &c
}

// Names are those of all nodes, sorted.
func (r *Record) Names() []string { return slices.Sorted(maps.Keys(r.Nodes)) }

// says tells whether by the record a node is Synced, in that pod.
func (r *Record) says(name, pod string) bool {
	n, known := r.Nodes[name]
	return known && n.State == Synced && n.Pod == pod
}

// others are the names of all nodes but self, sorted.
func (r *Record) others(self string) []string {
	return slices.DeleteFunc(r.Names(), func(name string) bool { return name == self })
}

// The keys of the ConfigMap: one for the cluster, one for each node.
const (
	clusterKey = "cluster"
	nodePrefix = "node."
)

// ErrNoRecord is a ConfigMap that is there, and is not a record.
var ErrNoRecord = errors.New("the ConfigMap is not the record of a Galera cluster")

// parseRecord reads the data of a ConfigMap. It leaves alone what it does not know
// beside the record, and takes nothing of a record that it does not understand.
func parseRecord(data map[string]string) (*Record, error) {
	text, found := data[clusterKey]
	if !found {
		return nil, ErrNoRecord
	}
	r := newRecord("")
	r.General = General{}
	// A later version may have other fields.
	var later struct{ Version int }
	if json.Unmarshal([]byte(text), &later) == nil && later.Version > recordVersion {
		return nil, fmt.Errorf("it has version %d, and this kconfd knows version %d", later.Version, recordVersion)
	}
	if err := unmarshal(text, &r.General); err != nil {
		return nil, fmt.Errorf("key %q: %w", clusterKey, err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("it has version %d, and this kconfd knows version %d", r.Version, recordVersion)
	}
	for key, text := range data {
		name, ok := strings.CutPrefix(key, nodePrefix)
		if !ok {
			continue
		}
		var n Node
		if err := unmarshal(text, &n); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		n.Waits = cut(n.Waits)
		r.Nodes[name] = n
	}
	return r, r.check()
}

// into writes the record into the data of a ConfigMap. One that could not be read
// is not written.
func (r *Record) into(data map[string]string) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("writing a record that is not valid: %w", err)
	}
	values := map[string]any{clusterKey: r.General}
	for name, n := range r.Nodes {
		values[nodePrefix+name] = n
	}
	next := maps.Clone(data)
	maps.DeleteFunc(next, func(key, _ string) bool { return strings.HasPrefix(key, nodePrefix) })
	for key, value := range values {
		text, err := encode(value)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		next[key] = text
	}
	if size := sizeOf(next); size > maxRecord {
		return fmt.Errorf("writing a record of %d nodes: it has %d bytes, and a ConfigMap takes %d bytes: "+
			"remove the key \"node.NAME\" of each node that does not exist any more from the ConfigMap, and what else is in it", len(r.Nodes), size, maxRecord)
	}
	clear(data)
	maps.Copy(data, next)
	return nil
}

// encode is the value as JSON. Unlike json.Marshal it does not write six bytes for a character of HTML.
func encode(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSuffix(text.String(), "\n"), err
}

// sizeOf is what the API server counts of a ConfigMap's data, in bytes.
func sizeOf(data map[string]string) (size int) {
	for _, value := range data {
		size += len(value)
	}
	return size
}
