package galera

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// What a node does that is started with a bad member list, as seen on MariaDB
// 10.11 with Galera 26.4.
const (
	founds     = "a node started with this founds a second cluster"
	foundsSame = "a node started with this founds a second cluster with the same UUID"
	exits      = "a node started with this exits"
	drops      = "Galera drops the entry"
	pretends   = "a node started with this takes its data to be up to there, whatever they are"
)

// Guard returns an error when content, read as an option file, could make a
// server found a cluster instead of joining the one that is there.
//
// In the groups that a server reads, wsrep_cluster_address must be a list of
// members as gcomm://HOST[:PORT],HOST[:PORT]… where HOST is an IPv4 address, an
// IPv6 address in brackets, or a DNS name. (Galera takes what follows the last
// colon for the port, so an IPv6 address without brackets is never reached.) And
// wsrep_new_cluster must not be there, whatever its value: to found a cluster is
// said on the command line, once; and so is wsrep_start_position, with which a node
// gets too little from the others. All spellings that the server understands are
// seen: any case, - or _, loose_ and other prefixes, unambiguous abbreviations.
//
// The error has one line for each problem, as `line 12: wsrep_cluster_address
// "gcomm://,10.0.0.1": leading comma: a node started with this founds a second
// cluster with the same UUID`. Content that has none of these options, of whatever kind
// of file, gives nil. Files named by !include and !includedir are not looked at.
func Guard(content []byte) error {
	if !mentionsWsrep(content) {
		return nil // as most files of other programs
	}
	var problems []error
	for _, option := range ParseOptions(content) {
		if !isServerGroup(option.Group) {
			continue
		}
		switch {
		case abbreviates(option.Name, "wsrep_new_cluster", "wsrep_ne"):
			problems = append(problems, fmt.Errorf("line %d: wsrep_new_cluster: %s each time; "+
				"it is for the command line of a single start", option.Line, founds))
		case abbreviates(option.Name, "wsrep_start_position", "wsrep_star"):
			problems = append(problems, fmt.Errorf("line %d: wsrep_start_position: %s; "+
				"it is for the command line of a single start", option.Line, pretends))
		case abbreviates(option.Name, "wsrep_cluster_address", "wsrep_cluster_a"):
			if fault := addressFault(option.Value); fault != "" {
				problems = append(problems, fmt.Errorf("line %d: wsrep_cluster_address %q: %s",
					option.Line, option.Value, fault))
			}
		}
	}
	return errors.Join(problems...)
}

// mentionsWsrep says whether "wsrep", in whatever case, is in content. Every
// spelling of the options has it.
func mentionsWsrep(content []byte) bool {
	wsrep := []byte("wsrep")
	for len(content) >= len(wsrep) {
		if content[0]|0x20 == 'w' && bytes.EqualFold(content[:len(wsrep)], wsrep) {
			return true
		}
		content = content[1:]
	}
	return false
}

// abbreviates says whether name is full, or a beginning of it that is no shorter
// than the shortest one by which the server knows it.
func abbreviates(name, full, shortest string) bool {
	return strings.HasPrefix(full, name) && strings.HasPrefix(name, shortest)
}

// addressFault says what is wrong with a value of wsrep_cluster_address and what
// comes of it, or nothing when all is well.
func addressFault(value string) string {
	list, isGcomm := strings.CutPrefix(value, "gcomm://")
	switch {
	case value == "":
		return "empty: " + exits
	case strings.Contains(value, "<no value>"):
		return "a template printed a value that is not there: " + exits
	case !isGcomm:
		return "does not begin with gcomm://: " + exits
	case list == "":
		return "no members: " + founds
	case strings.Trim(list, ",") == "":
		return "nothing but commas: " + foundsSame
	case list[0] == ',':
		return "leading comma: " + foundsSame
	case strings.ContainsRune("?/#@:", rune(list[0])):
		return "the first member has no host: " + foundsSame
	case strings.ContainsAny(list, " \t\r\n\v\f"):
		return "blank in the list: " + drops
	case strings.Contains(list, ";"):
		return `";" in the list: ` + exits + "; members are separated by commas"
	case strings.ContainsAny(list, "?/#"):
		return "more than a list of members: options belong in wsrep_provider_options"
	case strings.HasSuffix(list, ","):
		return "trailing comma: the mark of a template that prints a comma for a member it does not have"
	}
	return entriesFault(strings.Split(list, ","))
}

// entriesFault is addressFault for the members of the list.
func entriesFault(entries []string) string {
	var members []string
	for _, entry := range entries {
		member, fault := parseMember(entry)
		if fault != "" {
			return fault
		}
		if slices.Contains(members, member) {
			return fmt.Sprintf("%s is there twice", member)
		}
		members = append(members, member)
	}
	return ""
}

// parseMember returns an entry of the list as HOST:PORT in its shortest form, or
// what is wrong with it.
func parseMember(entry string) (member, fault string) {
	if entry == "" {
		return "", "empty entry: the mark of a template that prints a comma for a member it does not have"
	}
	if _, err := netip.ParseAddr(entry); err == nil && strings.Contains(entry, ":") {
		return "", fmt.Sprintf("%s without brackets: Galera takes what follows the last colon for the port; write [%s]",
			entry, entry)
	}
	host, port := entry, "4567"
	if i := strings.LastIndexByte(entry, ':'); i > strings.LastIndexByte(entry, ']') {
		host, port = entry[:i], entry[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Sprintf("%q: no port is %q: %s", entry, port, exits)
	}
	host, ok := normalHost(host)
	if !ok {
		return "", fmt.Sprintf("%q: neither an IP address nor a DNS name: %s", entry, drops)
	}
	return host + ":" + port, ""
}

// normalHost returns an IPv4 address, an IPv6 address in brackets or a DNS name in
// its shortest form, and whether it was one.
func normalHost(host string) (string, bool) {
	if inner, found := strings.CutPrefix(host, "["); found {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return "[" + ip.String() + "]", closed && err == nil && ip.Is6() && ip.Zone() == ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ip.Is4()
	}
	return strings.ToLower(host), isDNSName(host)
}

// isDNSName says whether a resolver may know the host. A name whose last label is
// a number is a mistyped IPv4 address.
func isDNSName(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
