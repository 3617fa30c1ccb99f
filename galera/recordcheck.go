package galera

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

const (
	// maxGeneration is more than a cluster will ever have, and can be counted up.
	maxGeneration = 1 << 30

	// maxStarts is more than a node will ever have, and can be counted up.
	maxStarts = 1 << 30

	// maxNodes is how many nodes a record may have. An object has no room for more.
	maxNodes = 1000

	// maxRecord is how large the data of a ConfigMap may be, in bytes.
	maxRecord = 1 << 20

	// maxForks is how many forks a record may have.
	maxForks = 10_000

	// maxName is how long names and addresses may be in a record, in bytes; maxNote is
	// how much of what a node waits for is kept.
	maxName = 400
	maxNote = 1000
)

// unmarshal reads a value of the record. The error names the field, as far as there
// is one.
func unmarshal(text string, into any) error {
	err := json.Unmarshal([]byte(text), into)
	if err == nil {
		return checkFields(text)
	}
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.As(err, &wrongType) && wrongType.Field == "" {
		return err
	}
	if errors.As(err, &wrongType) {
		field := strings.Replace(wrongType.Field, "Position.", "", 1) // which the JSON does not have
		return fmt.Errorf("field %q: want %s, not %s", field, wrongType.Type, wrongType.Value)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &fields) != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		alone, _ := json.Marshal(map[string]json.RawMessage{name: fields[name]}) // it was JSON before
		if json.Unmarshal(alone, into) != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
	}
	return err
}

// check demands that the record is one that a node could have written. Otherwise a
// decision could go by what it cannot mean, such as data without a position. The
// error names the key and the field.
func (r *Record) check() error {
	if err := r.General.check(); err != nil {
		return fmt.Errorf("key %q: %w", clusterKey, err)
	}
	if len(r.Nodes) > maxNodes {
		return fmt.Errorf("there are %d nodes: want %d at most", len(r.Nodes), maxNodes)
	}
	for _, name := range r.Names() {
		n := r.Nodes[name]
		err := n.check()
		if err == nil && n.Generation > r.Generation {
			err = fmt.Errorf("field %q: %d is above the cluster's %d", "generation", n.Generation, r.Generation)
		}
		if err == nil && !isNodeName(name) {
			err = errors.New("it is not the name of a node")
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", nodePrefix+name, err)
		}
	}
	return nil
}

func (g *General) check() error {
	switch {
	case g.Founder != "" && !isNodeName(g.Founder):
		return fmt.Errorf("field %q: %q is not the name of a node", "founder", oneLine(g.Founder))
	case g.UUID != "" && !isUUID(g.UUID):
		return fmt.Errorf("field %q: %q is not a UUID", "uuid", oneLine(g.UUID))
	case g.Generation < 0 || g.Generation > maxGeneration:
		return fmt.Errorf("field %q: want a number from 0 to %d, not %d", "generation", maxGeneration, g.Generation)
	case g.Writes < 0 || g.Writes > maxWrites:
		return fmt.Errorf("field %q: want a number from 0 to %d, not %d", "writes", maxWrites, g.Writes)
	}
	if err := checkText("id", g.ID); err != nil {
		return err
	}
	for field, forks := range map[string][]Fork{"forks": g.Forks, "elections": g.Elections} {
		if err := checkForks(forks, g.Generation); err != nil {
			return fmt.Errorf("field %q: %w", field, err)
		}
	}
	for name, generation := range g.Overruled {
		switch {
		case !isNodeName(name):
			return fmt.Errorf("field %q: %q is not the name of a node", "overruled", oneLine(name))
		case generation < 0 || generation > g.Generation:
			return fmt.Errorf("field %q: %d is not from 0 to the cluster's %d", "overruled", generation, g.Generation)
		}
	}
	if d := g.Bootstrap; d != nil {
		return d.check()
	}
	return nil
}

func checkForks(forks []Fork, generation int) error {
	if len(forks) > maxForks {
		return fmt.Errorf("there are %d: want %d at most", len(forks), maxForks)
	}
	for _, f := range forks {
		switch {
		case f.Generation < 0 || f.Generation > generation:
			return fmt.Errorf("generation %d is not from 0 to the cluster's %d", f.Generation, generation)
		case f.Seqno < -1:
			return fmt.Errorf("seqno %d is less than -1", f.Seqno)
		}
	}
	return nil
}

func (d *Decree) check() error {
	if !isNodeName(d.From) {
		return fmt.Errorf("field %q: %q is not the name of a node", "bootstrap.from", oneLine(d.From))
	}
	for name := range d.Over {
		if !isNodeName(name) {
			return fmt.Errorf("field %q: %q is not the name of a node", "bootstrap.over", oneLine(name))
		}
	}
	return checkText("bootstrap.by", d.By)
}

func (n Node) check() error {
	switch {
	case !slices.Contains([]State{Offered, Stopped, Joining, Bootstrapping, Synced}, n.State):
		return fmt.Errorf("field %q: no state is %q", "state", oneLine(string(n.State)))
	case !slices.Contains([]Data{NoData, Partial, Fresh, Full}, n.Data):
		return fmt.Errorf("field %q: no data are %q", "data", oneLine(string(n.Data)))
	case n.Data == Full && n.UUID == "":
		return fmt.Errorf("field %q: it is empty, and data that are %q have one", "uuid", Full)
	case n.Generation < 0:
		return fmt.Errorf("field %q: %d is negative", "generation", n.Generation)
	case n.Starts < 0 || n.Starts > maxStarts:
		return fmt.Errorf("field %q: want a number from 0 to %d, not %d", "starts", maxStarts, n.Starts)
	case n.FailedBoots < 0 || n.FailedBoots > maxStarts:
		return fmt.Errorf("field %q: want a number from 0 to %d, not %d", "failedBoots", maxStarts, n.FailedBoots)
	}
	if err := n.Position.check(""); err != nil {
		return err
	}
	if n.View != nil {
		if err := n.View.check(); err != nil {
			return err
		}
	}
	if n.NonPrimary != nil {
		if !n.State.mayRun() {
			return fmt.Errorf("field %q: the node is %s", "nonPrimary", n.State)
		}
		if err := n.NonPrimary.check(); err != nil {
			return err
		}
	}
	if n.Lost != nil {
		if err := n.Lost.check("lost."); err != nil {
			return err
		}
	}
	if !isAddress(n.Address) {
		return fmt.Errorf("field %q: %q is neither an IP address nor a name", "address", oneLine(n.Address))
	}
	for field, text := range map[string]string{"pod": n.Pod, "token": n.Token, "member": n.Member} {
		if err := checkText(field, text); err != nil {
			return err
		}
	}
	return nil
}

func (p Position) check(prefix string) error {
	switch {
	case p.UUID != "" && !isUUID(p.UUID):
		return fmt.Errorf("field %q: %q is not a UUID", prefix+"uuid", oneLine(p.UUID))
	case p.Seqno < -1:
		return fmt.Errorf("field %q: %d is less than -1", prefix+"seqno", p.Seqno)
	}
	return nil
}

func (v *View) check() error {
	switch {
	case !isUUID(v.ID):
		return fmt.Errorf("field %q: %q is not a UUID", "view.id", oneLine(v.ID))
	case v.Seqno < 0:
		return fmt.Errorf("field %q: %d is negative", "view.seqno", v.Seqno)
	case v.Members < 1 || v.Members > maxNodes:
		return fmt.Errorf("field %q: want a number from 1 to %d, not %d", "view.members", maxNodes, v.Members)
	}
	return nil
}

// checkText demands a short text that is fit to be shown.
func checkText(field, text string) error {
	if len(text) > maxName {
		return fmt.Errorf("field %q: it has %d bytes, want %d at most", field, len(text), maxName)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("field %q: %q is not printable", field, oneLine(text))
	}
	return nil
}

// isNodeName says whether a record may have a node of that name: a key of a
// ConfigMap takes no other.
func isNodeName(name string) bool {
	return name != "" && len(name) <= 240 && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("-._", r) && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
}

// isAddress says whether it is what stands in wsrep_node_address, which may be empty.
func isAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil || text == "" {
		return true
	}
	return len(text) <= 253 && isDNSName(text)
}

// cut is a note on one line and not too long. To cut it again changes nothing.
func cut(note string) string {
	note = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(note, ""))
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-len("…")], "") + "…"
	}
	return note
}
