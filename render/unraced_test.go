//go:build !race

package render

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/internal/limits"
)

// What is here measures processor time and memory in one goroutine. The race
// detector finds nothing in it, and would multiply what is measured.

// Protects the process, and so its child, from what is in objects: whatever a
// template is given, it ends soon, with what it was meant to give or with an error.
func TestHostile(t *testing.T) {
	data := hostileData()
	for name, test := range hostileCases() {
		t.Run(name, func(t *testing.T) {
			small := limits.Limits{Iterations: 100_001}.OrDefaults()
			if strings.HasPrefix(name, "doubled") {
				small.Value = 1 << 20 // there are many of them
			}
			small.Time = time.Minute // another limit is to be the first, on a busy machine as well
			if test.limit == limits.Time || test.limit == "error" {
				small.Time = 250 * time.Millisecond // it may take all of it
			}
			parsed := mustParse(t, Source{Name: "main", Text: test.text, Limits: small, Partials: map[string]string{"_p": hostilePartial}})
			before, used := heapNow(), stopwatch(t)
			_, err := parsed.Execute(data)
			if took := used(); took > small.Time+10*time.Second {
				t.Errorf("took %s of processor time", took)
			}
			if grown := heapNow() - before; grown > 700<<20 {
				t.Errorf("took %d MiB", grown>>20)
			}
			checkHostile(t, err, test.limit)
		})
	}
}

func checkHostile(t *testing.T, err error, want string) {
	t.Helper()
	var over *limits.Error
	isLimit := errors.As(err, &over)
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %v", err)
	case want != "" && err == nil:
		t.Errorf("got no error, want %q", want)
	case want != "" && want != "error" && (!isLimit || over.Limit != want):
		t.Errorf("got error %v, want one of the limit %q", err, want)
	}
	if err != nil && len(err.Error()) > 2*maxError {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	if isLimit && !strings.Contains(err.Error(), fmt.Sprintf("limit %q of %s exceeded", over.Limit, over.Of)) {
		t.Errorf("got error %v, want the limit's name and value in it", err)
	}
}

// What real templates do is far below the defaults.
func TestHundredThousandEndpoints(t *testing.T) {
	type endpoint struct {
		Pod, Address string
		Port         int32
		Ready        bool
	}
	list := make([]*endpoint, 100_000)
	for i := range list {
		list[i] = &endpoint{fmt.Sprintf("web-%d", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), 8080, true}
	}
	for _, text := range []string{
		`{{range .}}server {{.Pod}} {{.Address}}:{{.Port}}{{"\n"}}{{end}}`,
		`{{range $i, $e := .}}{{if $e.Ready}}server{{$i}} {{$e.Pod | quote}} {{printf "%s:%d" $e.Address $e.Port}}{{end}}` + "\n{{end}}",
		`{{define "s"}}{{.Pod}}{{end}}{{range .}}{{include "s" . | indent 2}}` + "\n{{end}}",
		`{{define "s"}}{{.Pod}}{{end}}{{range .}}{{template "s" .}}` + "\n{{end}}",
		`{{range .}}{{$d := dict "a" .Address}}{{$d.a}}` + "\n{{end}}",
	} {
		used := stopwatch(t)
		patient := limits.Limits{Time: 10 * time.Minute} // the processor's time counts, not that of a busy machine
		if _, err := mustParse(t, Source{Name: "main", Text: text, Limits: patient}).Execute(list); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		took, limit := used(), limits.Limits{}.OrDefaults().Time
		t.Logf("%v of processor time", took)
		if took > limit {
			t.Errorf("%s: took %v of processor time, want less than %v", text, took, limit)
		}
	}
}
