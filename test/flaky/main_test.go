package main

import (
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		out  string
		want []string
	}{
		"passed":     {`{"Action":"pass","Test":"TestA","Elapsed":1}` + "\n" + `{"Action":"pass","Elapsed":3}`, nil},
		"subtest":    {`{"Action":"fail","Test":"TestA/b","Elapsed":1}` + "\n" + `{"Action":"fail","Test":"TestA","Elapsed":1}` + "\n" + `{"Action":"fail","Elapsed":3}`, []string{"TestA/b"}},
		"others":     {"ready\n" + `{"Action":"fail","Test":"TestAB/b"}` + "\n" + `{"Action":"fail","Test":"TestA"}` + "\n" + `{"Action":"fail","Elapsed":3}`, []string{"TestAB/b", "TestA"}},
		"no test":    {`{"Action":"fail","Elapsed":3}`, []string{"(the package)"}},
		"build fail": {`{"ImportPath":"x","Action":"build-fail"}` + "\n" + `{"Action":"fail","Elapsed":0}`, []string{"(the package)"}},
	} {
		got, err := parse([]byte(test.out))
		if err != nil || !slices.Equal(got.failed, test.want) {
			t.Errorf("%s: got %q, %v, want %q", name, got.failed, err, test.want)
		}
		if name != "build fail" && got.took != 3*time.Second {
			t.Errorf("%s: took %v, want 3 s", name, got.took)
		}
	}
}
