package galera

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// readByGalera is how Galera reads wsrep_cluster_address, by its URIs: the five
// parts of RFC 3986; members between commas; of each a user before the first "@", and
// a port behind the last ":" that is not in brackets. It fails where Galera does, and
// gives the members with their ports.
func readByGalera(value string) (scheme string, members []string, rest string, err error) {
	parts := regexp.MustCompile(`(?s)^(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?`).FindStringSubmatch(value)
	if parts[1] == "" {
		return "", nil, "", fmt.Errorf("no scheme")
	}
	for entry := range strings.SplitSeq(parts[2], ",") {
		host, port := entry, ""
		if at := strings.IndexByte(host, '@'); at >= 0 {
			host = host[at+1:]
		}
		if colon := strings.LastIndexByte(host, ':'); colon > strings.IndexByte(host, ']') {
			host, port = host[:colon], host[colon+1:]
		}
		if port == "" {
			port = "4567"
		}
		number, err := strconv.Atoi(port)
		if err != nil || number > 65535 || strings.Trim(port, "0123456789") != "" {
			return "", nil, "", fmt.Errorf("no port: %q", port)
		}
		members = append(members, fmt.Sprintf("%s %d", host, number))
	}
	return parts[1], members, parts[3] + parts[4] + parts[5], nil
}

// canonical is a member as readByGalera gives it, with addresses in their shortest
// form and without brackets.
func canonical(member string) string {
	host, port, _ := strings.Cut(member, " ")
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	}
	number, _ := strconv.Atoi(port)
	return fmt.Sprintf("%s %d", host, number)
}

// What the guard lets pass, Galera reads as a list of members, each of which can be
// reached, and as the same list as kconfd does.
func FuzzAddressFault(f *testing.F) {
	for _, seed := range []string{
		"gcomm://10.0.0.1,10.0.0.2", "gcomm://", "gcomm://,", "gcomm://,a", "gcomm://a,", "gcomm://a,,b", "gcomm://[fd00::1]:4567,b:1",
		"gcomm://fd00::1", "gcomm://[fd00::1", "gcomm://fd00::1]", "gcomm://[]", "gcomm://u@a", "gcomm://a@b,c", "gcomm://a?pc.wait_prim=no", "gcomm://a#b", "gcomm://a/b",
		"gcomm://a:,b", "gcomm://a:0", "gcomm://a:65536", "gcomm://a:+1", "gcomm://a:0004567", "gcomm://a b", "gcomm://a\n,b", "gcomm://a\x00,b", "gcomm:a", "GCOMM://a",
		"gcomm://a;b", "gcomm://<no value>", "gcomm://A.,a", "gcomm://1.2.3", "gcomm://01.2.3.4", "gcomm://::ffff:1.2.3.4", "gcomm://[::ffff:1.2.3.4]", "gcomm://[fe80::1%eth0]",
		"gcomm://a:1:2", "gcomm://[a]:1", "gcomm://[::1]x:1", "gcomm:///a", "gcomm://%61", "gcomm://ä", "gcomm://a:4567,a", "", "gcomm", "gcomm://_a-b.c:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if addressFault(value) != "" {
			return
		}
		scheme, members, rest, err := readByGalera(value)
		if err != nil || scheme != "gcomm" || rest != "" || strings.ContainsFunc(value, unicode.IsControl) || strings.Contains(value, "@") {
			t.Fatalf("%q passes, and Galera reads scheme %q, rest %q, %v", value, scheme, rest, err)
		}
		list, _ := strings.CutPrefix(value, "gcomm://")
		var ours, theirs []string
		for entry := range strings.SplitSeq(list, ",") {
			m := memberOf(entry)
			ours = append(ours, canonical(m.host+" "+m.port))
		}
		for _, member := range members {
			theirs = append(theirs, canonical(member))
			if host, _, _ := strings.Cut(member, " "); host == "" || strings.HasSuffix(member, " 0") {
				t.Errorf("%q passes, and has a member %q", value, member)
			}
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%q (-Galera +kconfd):\n%s", value, diff)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(theirs))); len(unique) != len(theirs) {
			t.Errorf("%q passes, and has members twice: %q", value, theirs)
		}
	})
}

// The list is guarded however the option file spells it.
func FuzzOptionFile(f *testing.F) {
	for _, seed := range []string{
		node, "[mysqld]\nwsrep_cluster_address=gcomm://\n", "[mysqld]\r\nloose-WSREP-cluster-address = 'gcomm://,a' # x\r\n", "wsrep_new_cluster", "[mysqld\n", "[]\n=\n",
		"[mysqld]\n\xa0wsrep_new_cluster\x00\n", strings.Repeat("x", 5000) + "\n", "[mysqld]\nskip-skip-skip-x\n", "!include\n!includedir\n", "[mysqld]\nport='\\\n", "{{ x }}", "<no value>", "# kconfd: begin\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		options := ParseOptions(content)
		if limit := len(content)/2 + 1; len(options) > limit {
			t.Errorf("%d options in %d bytes", len(options), len(content))
		}
		guard := Guard(content)
		for _, o := range options {
			if o.Line < 1 || o.Name != lower(o.Name) {
				t.Errorf("option %+v", o)
			}
			if guard == nil && o.Name == "wsrep_cluster_address" && isServerGroup(o.Group) && addressFault(o.Value) != "" {
				t.Errorf("the guard passes %q", o.Value)
			}
		}
		e := newExamination(content)
		e.checkBytes(content)
		e.checkGuard(content)
		for _, o := range parseProviderOptions(string(content)) {
			_ = o.fault([]string{"gcache.size"})
		}
		_, _ = parseNodeAddress(string(content))
	})
}

// A file that is included reads as if its lines stood in the place of the line that
// includes it, and whatever it includes, the end comes.
func FuzzIncludes(f *testing.F) {
	f.Add("[mysqld]\nport=1\n", "port=2\n", "port=3\n")
	f.Add("[client]\n", "[mysqld]\nuser=x\n!include a.cnf\n!includedir .\n", "")
	f.Add("", "!include b.cnf\n!include b.cnf", "[mysqld]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, before, included, after string) {
		file := filepath.Join(dir, fmt.Sprintf("a%d.cnf", os.Getpid()))
		other := filepath.Join(dir, fmt.Sprintf("b%d.cnf", os.Getpid()))
		names := strings.NewReplacer("a.cnf", file, "b.cnf", other, "!includedir .", "!includedir "+dir)
		if err := os.WriteFile(other, []byte(names.Replace(included)), 0o600); err != nil {
			t.Fatal(err)
		}
		text := names.Replace(before) + "\n!include " + other + "\n" + names.Replace(after)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		options, err := readOptions(file)
		_ = refuseIncludes(file, []byte(text))
		if err != nil || strings.Contains(before+included+after, "!include") {
			return
		}
		_, _ = ReadSettings(file)
		group := "\n[" + lastGroup(before) + "]\n"
		want := ParseOptions([]byte(before + "\n[]\n" + included + group + after))
		want = slices.DeleteFunc(want, func(o Option) bool { return !isServerGroup(o.Group) })
		if len(options) != len(want) {
			t.Errorf("got %+v, want %+v", options, want)
		}
	})
}

// lastGroup is the group that what follows the text is in.
func lastGroup(text string) string {
	options := ParseOptions([]byte(text + "\nx=1\n"))
	return options[len(options)-1].Group
}

func FuzzGrastate(f *testing.F) {
	f.Add(saved(oneUUID, 9, 1))
	f.Add(saved(noUUID, -1, 0))
	f.Add("uuid:\nseqno: 99999999999999999999\nsafe_to_bootstrap: 1")
	f.Add("uuid: ../../etc\nseqno: -9223372036854775808\nuuid: x\n:\n")
	f.Fuzz(func(t *testing.T, content string) {
		g := parseGrastate(content)
		if !g.found || g.position.Seqno < -1 || g.position.UUID != "" && !isUUID(g.position.UUID) || g.none && g.position.UUID != "" {
			t.Errorf("got %+v", g)
		}
	})
}

func FuzzGvwstate(f *testing.F) {
	f.Add("my_uuid: 1\n#vwbeg\nview_id: 3 1 4\nbootstrap: 0\nmember: 1 0\nmember: 2 0\n#vwend\n")
	f.Add("member: " + strings.Repeat("x", 1000) + "\nmember: \nmy_uuid: \x00\n")
	f.Fuzz(func(t *testing.T, content string) {
		me, members := parseView(content)
		for _, name := range append(members, me) {
			if len(name) > 64 || strings.ContainsAny(name, " \n") {
				t.Errorf("got member %q", name)
			}
		}
	})
}

func FuzzStatusFile(f *testing.F) {
	f.Add([]byte(`{"errors": [{"timestamp": 1e300, "msg": "node restart required"}], "status": {"state": "JOINING", "comment": "Receiving IST"}, "server": {"pid": -1}}`))
	f.Add([]byte(`{"status": {"state": "SYNCED\u001b[31m\nx"}}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := parseStatusFile(content)
		if err != nil {
			return
		}
		if text := file.Status.String(); strings.ContainsFunc(text, unicode.IsControl) || len(text) > 2*longestWord+2 {
			t.Errorf("it is shown as %q", text)
		}
		if file.Server != nil && file.Server.PID != os.Getpid() {
			_ = file.Server.lives()
		}
		for _, e := range file.Errors {
			_ = time.Unix(int64(e.Timestamp), 0).String()
		}
	})
}

// Whatever stands in a record, it is an error, or no node is started by it in a way
// that loses what another one has by the same record.
func FuzzRecord(f *testing.F) {
	r := newRecord("c")
	r.UUID, r.Generation, r.Founder = oneUUID, 3, "a"
	r.Forks = []Fork{{Generation: 2, Seqno: 7}}
	r.Nodes["a"] = Node{State: Offered, Data: Full, Position: Position{oneUUID, 9}, Generation: 3}
	r.Nodes["b"] = Node{State: Stopped, Data: Full, Position: Position{oneUUID, 8}, Generation: 3, Lost: &Lost{Position: Position{oneUUID, 4}}}
	data := map[string]string{}
	if err := r.into(data); err != nil {
		f.Fatal(err)
	}
	f.Add(data["cluster"], data["node.a"], data["node.b"])
	f.Add(`{"version":1,"name":"c","generation":9223372036854775807,"founder":"a"}`, `{"state":"offered","data":"none"}`, `{"state":"synced","data":"full","seqno":-5}`)
	f.Add(`{"version":1,"name":"c","adopted":true,"bootstrap":{"from":"a","force":true}}`, `{"state":"offered","data":"full","uuid":"`+oneUUID+`","at":"never"}`, `{"state":"joining","data":"partial","lost":{"unknown":true}}`)
	f.Add(`{`, `[]`, `null`)
	f.Fuzz(func(t *testing.T, cluster, a, b string) {
		r, err := parseRecord(map[string]string{"cluster": cluster, "node.a": a, "node.b": b, "other": "x"})
		if err != nil {
			return
		}
		again := map[string]string{}
		if err := r.into(again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := parseRecord(again); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%v", err, again)
		}
		for _, name := range r.Names() {
			checkDecision(t, r, name)
		}
	})
}

// checkDecision demands of the decision about a node that it does no harm.
func checkDecision(t *testing.T, r *Record, name string) {
	t.Helper()
	own := r.Nodes[name]
	if own.State != Offered {
		_ = r.objections(name)
		return
	}
	d := decide(situation{record: r, self: name, waited: time.Hour})
	if d.record != nil && r.Generation < maxGeneration {
		if err := d.record.into(map[string]string{}); err != nil {
			t.Errorf("%s: what was decided cannot be written: %v", name, err)
		}
	}
	if d.action != bootstrap && d.action != found || r.Bootstrap != nil {
		return
	}
	for _, other := range r.others(name) {
		n := r.Nodes[other]
		switch {
		case n.State.mayRun():
			t.Errorf("%s: %s, and %s may be running", name, d.action, other)
		case r.counts(n) && (own.UUID != n.UUID || own.Seqno < n.Seqno || own.Data != Full):
			t.Errorf("%s: %s at %s, and %s has %s", name, d.action, own.Position, other, n.Position)
		case n.Lost != nil && (own.Data != Full || !n.Lost.within(own.Position)):
			t.Errorf("%s: %s at %s, and %s lost %s", name, d.action, own.Position, other, n.Lost.Position)
		}
	}
	if r.Adopted || r.UUID != "" && (own.Data != Full || own.UUID != r.UUID) {
		t.Errorf("%s: %s with %s, and the cluster is %s, adopted %v", name, d.action, own.Position, r.UUID, r.Adopted)
	}
}
