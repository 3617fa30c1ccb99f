package galera

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"time"
)

// lastPrimary is the last primary component that the server was in: what it is called there, and
// all members. There is none without the file. A file that does not say so is an error.
func (d dataDir) lastPrimary() (me string, members []string, v *View, err error) {
	content, err := readIn(d.join(gvwstateName), d.file, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil, nil
	}
	if err != nil {
		return "", nil, nil, err
	}
	if v = parsePrimaryView(string(content)); v == nil || !bytes.Contains(content, []byte("#vwend")) {
		return "", nil, nil, fmt.Errorf("%q is being written", d.join(gvwstateName))
	}
	me, members = parseView(string(content))
	return me, members, v, nil
}

const (
	// defaultSuspect is how long Galera waits for a member that is not heard of.
	defaultSuspect = 5 * time.Second

	// cautiousSuspect is for a setting that is not understood.
	cautiousSuspect = 30 * time.Second
)

// evicts says whether the option evs.auto_evict is on. Members that were evicted are not needed to
// bring back a last primary component.
func evicts(options string) (on bool) {
	for _, o := range parseProviderOptions(options) {
		if o.key == "evs.auto_evict" {
			on = o.value != "0"
		}
	}
	return on
}

var periodPattern = regexp.MustCompile(`^P?T?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S?)?$`)

// suspectTimeout is evs.suspect_timeout in wsrep_provider_options: a period of ISO 8601, of minutes
// and seconds.
func suspectTimeout(options string) time.Duration {
	timeout := defaultSuspect
	for _, o := range parseProviderOptions(options) {
		if o.key != "evs.suspect_timeout" {
			continue
		}
		match := periodPattern.FindStringSubmatch(o.value)
		if match == nil {
			return cautiousSuspect
		}
		minutes, _ := strconv.Atoi(match[1]) // the pattern takes numbers, or nothing
		seconds, _ := strconv.ParseFloat(match[2], 64)
		timeout = time.Duration(minutes)*time.Minute + time.Duration(seconds*float64(time.Second))
	}
	return timeout
}
