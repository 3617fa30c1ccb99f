package galera

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGuardOfMemberLists(t *testing.T) {
	// What a node does with each was seen with a real one.
	for list, want := range map[string]string{
		"gcomm://10.0.0.1":                        "",
		"gcomm://10.0.0.1,10.0.0.2,10.0.0.3":      "",
		"gcomm://10.0.0.1:4567,10.0.0.2:14567":    "",
		"gcomm://10.0.0.1:4567,10.0.0.1:4568":     "",
		"gcomm://pxc-0.pxc,pxc-1.pxc.db.svc:4567": "",
		"gcomm://[fd00::1],[fd00::2]:4567":        "",
		"gcomm://[::ffff:10.0.0.1]":               "",
		"gcomm://db_1,db_2.":                      "",
		"":                                        "empty: a node started with this exits",
		"<no value>":                              "a template printed a value that is not there: a node started with this exits",
		"gcomm://<no value>":                      "a template printed a value that is not there: a node started with this exits",
		"10.0.0.1,10.0.0.2":                       "does not begin with gcomm://: a node started with this exits",
		"GCOMM://10.0.0.1":                        "does not begin with gcomm://: a node started with this exits",
		"dummy://":                                "does not begin with gcomm://: a node started with this exits",
		"gcomm:10.0.0.1":                          "does not begin with gcomm://: a node started with this exits",
		"gcomm://":                                "no members: a node started with this founds a second cluster",
		"gcomm://,":                               "nothing but commas: a node started with this founds a second cluster with the same UUID",
		"gcomm://,,":                              "nothing but commas: a node started with this founds a second cluster with the same UUID",
		"gcomm://,10.0.0.1,10.0.0.2":              "leading comma: a node started with this founds a second cluster with the same UUID",
		"gcomm://?pc.wait_prim=no":                "the first member has no host: a node started with this founds a second cluster with the same UUID",
		"gcomm:///":                               "the first member has no host: a node started with this founds a second cluster with the same UUID",
		"gcomm://:4567":                           "the first member has no host: a node started with this founds a second cluster with the same UUID",
		"gcomm://:4567,10.0.0.2:4567":             "the first member has no host: a node started with this founds a second cluster with the same UUID",
		"gcomm://@":                               "the first member has no host: a node started with this founds a second cluster with the same UUID",
		"gcomm://10.0.0.1, 10.0.0.2":              "blank in the list: Galera drops the entry",
		"gcomm:// 10.0.0.1":                       "blank in the list: Galera drops the entry",
		"gcomm:// ,10.0.0.1":                      "blank in the list: Galera drops the entry",
		"gcomm://10.0.0.1;10.0.0.2":               `";" in the list: a node started with this exits; members are separated by commas`,
		"gcomm://10.0.0.1?pc.wait_prim=no":        "more than a list of members: options belong in wsrep_provider_options",
		"gcomm://10.0.0.1/":                       "more than a list of members: options belong in wsrep_provider_options",
		"gcomm://10.0.0.1,":                       "trailing comma: the mark of a template that prints a comma for a member it does not have",
		"gcomm://10.0.0.1,,10.0.0.2":              "empty entry: the mark of a template that prints a comma for a member it does not have",
		"gcomm://10.0.0.1,10.0.0.2,10.0.0.1":      "10.0.0.1:4567 is there twice",
		"gcomm://10.0.0.1,10.0.0.1:4567":          "10.0.0.1:4567 is there twice",
		"gcomm://DB,db":                           "db:4567 is there twice",
		"gcomm://[fd00::1],[fd00:0::1]":           "[fd00::1]:4567 is there twice",
		"gcomm://fd00::1,fd00::2":                 "fd00::1 without brackets: Galera takes what follows the last colon for the port; write [fd00::1]",
		"gcomm://fd00:0:0:0:0:0:0:1":              "fd00:0:0:0:0:0:0:1 without brackets: Galera takes what follows the last colon for the port; write [fd00:0:0:0:0:0:0:1]",
		"gcomm://[]":                              `"[]": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://[10.0.0.1]":                      `"[10.0.0.1]": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://[fe80::1%eth0]":                  `"[fe80::1%eth0]": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://[fd00::1]x":                      `"[fd00::1]x": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://[fd00::1":                        `"[fd00::1": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://10.0.0.256":                      `"10.0.0.256": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://10.0.0":                          `"10.0.0": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://db..svc":                         `"db..svc": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://-db":                             `"-db": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://user@10.0.0.1":                   `"user@10.0.0.1": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://10.0.0.1:0":                      `"10.0.0.1:0": no port is "0": a node started with this exits`,
		"gcomm://10.0.0.1:":                       `"10.0.0.1:": no port is "": a node started with this exits`,
		"gcomm://10.0.0.1:99999":                  `"10.0.0.1:99999": no port is "99999": a node started with this exits`,
		"gcomm://[fd00::1]:x":                     `"[fd00::1]:x": no port is "x": a node started with this exits`,
		"gcomm://" + strings.Repeat("a", 64):      `"` + strings.Repeat("a", 64) + `": neither an IP address nor a DNS name: Galera drops the entry`,
		"gcomm://10.0.0.1\t":                      "", // the reader takes it away
		"gcomm://10.0.0.1 # gcomm://":             "",
		"gcomm://#10.0.0.1":                       "no members: a node started with this founds a second cluster",
		"gcomm://\x00,10.0.0.1":                   "no members: a node started with this founds a second cluster",
		`"gcomm://#"`:                             "the first member has no host: a node started with this founds a second cluster with the same UUID",
		`"gcomm://10.0.0.1\s,10.0.0.2"`:           "blank in the list: Galera drops the entry",
		`'gcomm://10.0.0.1'`:                      "",
	} {
		t.Run(list, func(t *testing.T) {
			got := ""
			if err := Guard([]byte("[mysqld]\nwsrep_cluster_address=" + list + "\n")); err != nil {
				prefix := "line 2: wsrep_cluster_address "
				if !strings.HasPrefix(err.Error(), prefix) {
					t.Fatalf("error does not begin with %q: %v", prefix, err)
				}
				_, got, _ = strings.Cut(strings.TrimPrefix(err.Error(), prefix), `": `)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestGuardOfFiles(t *testing.T) {
	const leading = `wsrep_cluster_address "gcomm://,a": leading comma: ` +
		`a node started with this founds a second cluster with the same UUID`
	const bootstrap = `wsrep_new_cluster: a node started with this founds a second cluster each time; ` +
		`it is for the command line of a single start`
	for name, test := range map[string]struct{ content, want string }{
		"empty":                   {"", ""},
		"another kind of file":    {"frontend db\n  bind *:3306\n  # wsrep_new_cluster\n", ""},
		"neither option":          {"[mysqld]\nwsrep_on=ON\nwsrep_cluster_name=x\nwsrep_node_name=n\n", ""},
		"not the server's group":  {"[client]\nwsrep_new_cluster\n[mysqldump]\nwsrep_cluster_address=gcomm://,a\n", ""},
		"in a comment":            {"[mysqld]\n#wsrep_new_cluster\n;wsrep_cluster_address=gcomm://\nx=1 # wsrep_new_cluster\n", ""},
		"every occurrence":        {"[mysqld]\nwsrep_cluster_address=gcomm://,a\nwsrep_new_cluster\n[galera]\nwsrep_cluster_address=gcomm://,a\n", "line 2: " + leading + "\nline 3: " + bootstrap + "\nline 5: " + leading},
		"a bad one before a good": {"[mysqld]\nwsrep_cluster_address=gcomm://,a\nwsrep_cluster_address=gcomm://a\n", "line 2: " + leading},
		"dashes":                  {"[mysqld]\nwsrep-cluster-address = gcomm://,a\n", "line 2: " + leading},
		"dashes and bars":         {"[mysqld]\nwsrep_cluster-address = gcomm://,a\n", "line 2: " + leading},
		"capitals":                {"[MYSQLD]\nWSREP_CLUSTER_ADDRESS=gcomm://,a\n", "line 2: " + leading},
		"one capital":             {"[mysqld]\nWsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"loose":                   {"[mysqld]\nloose_wsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"twice loose":             {"[mysqld]\nloose-loose-wsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"abbreviated":             {"[mysqld]\nwsrep_cluster_a=gcomm://,a\n", "line 2: " + leading},
		"behind a dot":            {"[mysqld]\nx.wsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"a group of a version":    {"[mariadb-10.11]\nwsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"a group for all":         {"[client-server]\nwsrep_cluster_address=gcomm://,a\n", "line 2: " + leading},
		"Windows line ends":       {"[mysqld]\r\nwsrep_cluster_address=gcomm://,a\r\n", "line 2: " + leading},
		"behind a long comment":   {"[mysqld]\n#" + strings.Repeat("x", maxPiece-1) + "wsrep_new_cluster\n", "line 2: " + bootstrap},
		"no value":                {"[mysqld]\nwsrep_cluster_address\n", `line 2: wsrep_cluster_address "": empty: a node started with this exits`},
		"new cluster":             {"[mysqld]\nwsrep_new_cluster\n", "line 2: " + bootstrap},
		"new cluster on":          {"[mysqld]\nwsrep-new-cluster=ON\n", "line 2: " + bootstrap},
		"new cluster off":         {"[mysqld]\nwsrep_new_cluster=OFF\n", "line 2: " + bootstrap},
		"new cluster skipped":     {"[mysqld]\nskip-wsrep-new-cluster=0\n", "line 2: " + bootstrap},
		"new cluster enabled":     {"[mysqld]\nenable_wsrep_new_cluster\n", "line 2: " + bootstrap},
		"new cluster abbreviated": {"[mysqld]\nwsrep_ne\n", "line 2: " + bootstrap},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := Guard([]byte(test.content)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
