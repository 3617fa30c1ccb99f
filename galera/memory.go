package galera

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// memoryName is a file in the data directory: what it remembers of the record. See [memory].
const memoryName = "kconfd-record"

// A memory is what a data directory remembers of the record, from the node's last start on. By it
// a record that was put back to an older version is known, and a data directory that was.
type memory struct {
	Record string `json:"record"` // its ID; empty: nothing is remembered
	Node   string `json:"node"`
	Writes int64  `json:"writes"`

	// Starts is how often the node was started by the record. Next is what the record may say by
	// now: it is written before the record is, and the record's answer may have been lost.
	Starts int `json:"starts"`
	Next   int `json:"next"`
}

// memory is what the file of that name says.
func (d dataDir) memory() (m memory, err error) {
	content, err := readIn(d.join(memoryName), d.file, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, nil
	}
	if err != nil {
		return memory{}, err
	}
	err = json.Unmarshal(content, &m)
	if err != nil || m.Writes < 0 || m.Starts < 0 || m.Next < m.Starts || m.Next > maxStarts {
		return memory{}, nil // as if a power cut had erased it
	}
	return m, nil
}

// remember writes the memory beside the data.
func (d dataDir) remember(m memory) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.write(memoryName, append(content, '\n'))
}

// older says why the record is older than what the node's data directory remembers, or nothing. Rows
// keep what is remembered under an earlier name of the node. An entry of that name that says less
// is of before their last start.
func (r *Record) older(node string, l local) string {
	m := l.memory
	own, known := r.Nodes[m.Node]
	fault, who := "", "this node"
	if m.Node != node {
		who = "node " + m.Node
	}
	switch {
	case m.Record == "" || m.Record != r.ID || m.Node != node && l.data != Full:
		return ""
	case known && own.Starts < m.Starts:
		fault = fmt.Sprintf("by it %s was started %d times, and by the data directory %d times", who, own.Starts, m.Starts)
	case r.Writes < m.Writes:
		fault = fmt.Sprintf("it was written %d times, and by the data directory %d times", r.Writes, m.Writes)
	case r.Generation < l.generation:
		fault = fmt.Sprintf("it has generation %d, and the data directory %d", r.Generation, l.generation)
	default:
		return ""
	}
	return "the record was put back to an older version: " + fault
}

// wayOut is what an operator can do about a record that was put back.
const wayOut = "where a server of the cluster runs, its monitor corrects the record within a minute; otherwise put the newer record back, " +
	"or decide with kconfd galera bootstrap -from NODE -force, or save this data directory and empty it if the other nodes have all rows"
