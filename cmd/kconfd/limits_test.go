package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

func TestLimitsAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want limits.Limits
		err  string
	}{
		"none":           {"", limits.Limits{}, ""},
		"all":            {"depth = 9\ntime = \"3s\"\nelements = 8\niterations = 7\nvalue = \"1Ki\"\noutput = 2048\nmemory = \"1Mi\"", limits.Limits{Depth: 9, Time: 3 * time.Second, Elements: 8, Iterations: 7, Value: 1024, Output: 2048, Memory: 1 << 20}, ""},
		"depth 0":        {"depth = 0", limits.Limits{}, "[limits]: depth: want a number from 1 to 1000, not 0"},
		"depth too deep": {"depth = 1001", limits.Limits{}, "[limits]: depth: want a number from 1 to 1000, not 1001"},
		"elements -1":    {"elements = -1", limits.Limits{}, "[limits]: elements: want a number from 1 to 2147483647, not -1"},
		"no size":        {"value = \"many\"", limits.Limits{}, `[limits]: value: want a size up to 2Gi, such as "16Mi", not many`},
		"size 0":         {"output = 0", limits.Limits{}, `[limits]: output: want a size up to 2Gi, such as "16Mi", not 0`},
		"size too large": {"memory = \"1Ti\"", limits.Limits{}, `[limits]: memory: want a size up to 2Gi, such as "16Mi", not 1Ti`},
		"no duration":    {"time = \"x\"", limits.Limits{}, "[limits]: time: "},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := decodeResource("x.toml", []byte("[[template]]\ncontents = \"x\"\ndest = \"x\"\n[[guard]]\npods = \"a=b\"\nmin = 1\n[limits]\n"+test.text))
			if err != nil {
				t.Fatal(err)
			}
			g, err := raw.parse(sources{steady.New(0), t.TempDir()})
			if test.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("got error %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []limits.Limits{g.limits, g.templates[0].source.Limits, g.guards[0].source.Limits} {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// What is for the command behind the flags has the limits of its file.
func TestLimitsOfTheCommandLine(t *testing.T) {
	raw, err := decodeResource("x.toml", []byte("[process]\nargs = ['{{ repeat 5 `x` }}']\n[limits]\nvalue = 4\n"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := raw.parse(sources{steady.New(0), t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := watcher.NewOffline()
	p, err := processOf(&flags{}, []groupConfig{g})
	if err != nil {
		t.Fatal(err)
	}
	line, err := newCommandLine([]string{"x"}, p, w)
	if err != nil {
		t.Fatal(err)
	}
	w.View(func(v *watcher.View) { _, err = line.render(v) })
	if over := limitOf(err); over == nil || over.Limit != limits.Value {
		t.Errorf("got error %v, want one of the limit on values", err)
	}
}

// A limit that was exceeded is counted once for each run.
func TestLimitsAreCounted(t *testing.T) {
	e := newEngine(&flags{}, slog.New(slog.DiscardHandler), watcher.NewOffline(), &render.Redactor{})
	g := &group{groupConfig: groupConfig{name: "g"}}
	first, second := &limits.Error{Limit: limits.Depth}, &limits.Error{Limit: limits.Depth}
	for _, err := range []error{nil, os.ErrNotExist, first, first, second} {
		e.countLimits(g, err)
	}
	var text bytes.Buffer
	e.meters.set.WritePrometheus(&text)
	if want := `kconfd_render_limit_exceeded_total{limit="depth"} 2`; !strings.Contains(text.String(), want) {
		t.Errorf("got\n%s\nwant %s", text.String(), want)
	}
}

// A run that a limit ends says how to raise it.
func TestLimitHint(t *testing.T) {
	if got := hint(&limits.Error{Limit: limits.Value}); !strings.Contains(got, "[limits]") {
		t.Errorf("got hint %q", got)
	}
}
