package galera

import (
	"strings"
	"testing"
)

// A record that was edited by hand into what no node writes is an error that names the key and the
// field.
func TestEditedRecord(t *testing.T) {
	t.Parallel()
	const general, node = `{"version":1,"name":"c","generation":3}`, `{"state":"offered","data":"none","seqno":0}`
	text, err := encode(lostNode("a", 5, 3, "a"))
	if err != nil {
		t.Fatal(err)
	}
	noted := func(field string) string {
		return strings.Replace(text, `"nonPrimary":{`, `"nonPrimary":{`+field+",", 1)
	}
	for name, c := range map[string]struct {
		cluster, node string
		want          []string
	}{
		"nothing":                       {general, node, nil},
		"fields of a later kconfd":      {`{"version":1,"name":"c","generation":3,"new":{"State":1}}`, node, nil},
		"a later version":               {`{"version":2,"name":["c"],"generation":"3"}`, node, []string{"it has version 2, and this kconfd knows version 1"}},
		"a generation twice":            {`{"version":1,"name":"c","generation":3,"generation":4}`, node, []string{`key "cluster"`, `field "generation"`, "twice"}},
		"a generation in other letters": {`{"version":1,"name":"c","generation":3,"Generation":4}`, node, []string{`field "Generation"`, `spelled "generation"`}},
		"a generation as text":          {`{"version":1,"name":"c","generation":"3"}`, node, []string{`field "generation"`, "string"}},
		"a generation with a fraction":  {`{"version":1,"name":"c","generation":3.5}`, node, []string{`field "generation"`}},
		"a huge generation":             {`{"version":1,"name":"c","generation":1073741825}`, node, []string{`field "generation"`}},
		"negative writes":               {`{"version":1,"name":"c","writes":-1}`, node, []string{`field "writes"`}},
		"an ID of two lines":            {`{"version":1,"name":"c","id":"a\nb"}`, node, []string{`field "id"`}},
		"forks that are no list":        {`{"version":1,"name":"c","forks":{}}`, node, []string{`field "forks"`}},
		"a fork of later":               {`{"version":1,"name":"c","generation":1,"forks":[{"generation":2,"seqno":1}]}`, node, []string{`field "forks"`}},
		"a fork twice in one":           {`{"version":1,"name":"c","generation":1,"forks":[{"generation":1,"seqno":1,"seqno":9}]}`, node, []string{`field "forks.seqno"`, "twice"}},
		"a decision for no name":        {`{"version":1,"name":"c","bootstrap":{"from":"a b"}}`, node, []string{`field "bootstrap.from"`}},
		"a decision over no name":       {`{"version":1,"name":"c","bootstrap":{"from":"a","over":{"../b":"x"}}}`, node, []string{`field "bootstrap.over"`}},
		"a decision over a node State":  {`{"version":1,"name":"c","generation":3,"bootstrap":{"from":"a","over":{"State":"x"}}}`, node, nil},
		"null":                          {`null`, node, []string{"version 0"}},
		"a state in capital letters":    {general, `{"state":"Stopped","data":"none"}`, []string{`key "node.a"`, `no state is "Stopped"`}},
		"a state in other letters":      {general, `{"state":"synced","State":"stopped","data":"none"}`, []string{`field "State"`}},
		"a state twice":                 {general, `{"state":"synced","state":"stopped","data":"none"}`, []string{`field "state"`, "twice"}},
		"no state":                      {general, `{"data":"none"}`, []string{`field "state"`}},
		"a node that is null":           {general, `null`, []string{`field "state"`}},
		"a negative seqno":              {general, `{"state":"stopped","data":"none","seqno":-2}`, []string{`field "seqno"`}},
		"a seqno as text":               {general, `{"state":"stopped","data":"none","seqno":"5"}`, []string{`field "seqno"`}},
		"a huge seqno":                  {general, `{"state":"stopped","data":"none","seqno":9223372036854775808}`, []string{`field "seqno"`}},
		"data without a UUID":           {general, `{"state":"stopped","data":"full","seqno":5}`, []string{`field "uuid"`}},
		"negative starts":               {general, `{"state":"stopped","data":"none","starts":-1}`, []string{`field "starts"`}},
		"a lost seqno twice":            {general, `{"state":"stopped","data":"none","lost":{"seqno":9,"seqno":1}}`, []string{`field "lost.seqno"`, "twice"}},
		"an agreement in other letters": {general, noted(`"Agrees":"x"`), []string{`field "nonPrimary.Agrees"`, `spelled "agrees"`}},
		"an isolation in other letters": {general, noted(`"ISOLATED":true`), []string{`field "nonPrimary.ISOLATED"`, `spelled "isolated"`}},
		"an agreement":                  {general, noted(`"agrees":"x"`), nil},
		"two values":                    {general, node + node, []string{`key "node.a"`}},
	} {
		_, err := parseRecord(map[string]string{"cluster": c.cluster, "node.a": c.node})
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", name, err, want)
			}
		}
	}
	if _, err := parseRecord(map[string]string{"cluster": general, "node.": node}); err == nil || !strings.Contains(err.Error(), `key "node."`) {
		t.Errorf("a node without a name: got %v", err)
	}
}
