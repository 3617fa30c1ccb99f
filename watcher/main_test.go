package watcher

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/klog/v2"

	kube "github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// theCluster is the API server of all tests.
var theCluster kube.Shared

func TestMain(m *testing.M) {
	flag.Parse()
	// They wait more than they work.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // client-go complains of what tests provoke
	os.Exit(theCluster.Run(m))
}

// start runs w until the test ends; Run must return then.
func start(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }() // until the cleanup
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return when its context ended")
		}
	})
}

// A page is a template in the way that kconfd runs one: when it is stale.
type page[T any] struct {
	watcher *Watcher
	reader  *Reader
	read    func(*Reader) (T, error)

	got  T
	err  error
	runs int
}

func newPage[T any](w *Watcher, read func(*Reader) (T, error)) *page[T] {
	return &page[T]{watcher: w, reader: w.NewReader(), read: read}
}

// look runs the page if it is stale.
func (p *page[T]) look() {
	p.watcher.View(func(v *View) {
		if v.Stale(p.reader) {
			p.run(v)
		}
	})
}

func (p *page[T]) run(v *View) {
	var got T
	p.err = v.Run(p.reader, func() (err error) {
		got, err = p.read(p.reader)
		return err
	})
	p.got = got
	p.runs++
}

// stale says whether the page would be run now.
func (p *page[T]) stale() (stale bool) {
	p.watcher.View(func(v *View) { stale = v.Stale(p.reader) })
	return stale
}

// await looks at every poke until nothing is wrong.
func (p *page[T]) await(t *testing.T, wrong func() string) {
	t.Helper()
	late := time.After(patience)
	for {
		p.look()
		problem := wrong()
		if problem == "" {
			return
		}
		select {
		case <-p.watcher.Changed():
		case <-late:
			t.Fatalf("after %s and %d runs: %s\nproblems: %v", patience, p.runs, problem, p.watcher.Problems())
		}
	}
}

// awaitGot waits for a complete run with the wanted outcome.
func (p *page[T]) awaitGot(t *testing.T, want T) {
	t.Helper()
	p.await(t, func() string {
		if p.err != nil {
			return p.err.Error()
		}
		return diff(want, p.got)
	})
}

// awaitErr waits for a run with an error that contains the text.
func (p *page[T]) awaitErr(t *testing.T, text string) {
	t.Helper()
	p.await(t, func() string {
		if p.err == nil || !strings.Contains(p.err.Error(), text) {
			return fmt.Sprintf("got error %v, want one with %q", p.err, text)
		}
		return ""
	})
}

// diff compares what templates can see.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Service{}, Self{}))
}

// poll asks every few milliseconds until nothing is wrong: for states that
// nothing announces.
func poll(t *testing.T, wrong func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		problem := wrong()
		if problem == "" {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after %s: %s", patience, problem)
		}
	}
}

// watches are the names of what is watched, as Status has them.
func watches(w *Watcher) []string {
	var names []string
	for _, s := range w.Status() {
		names = append(names, s.Watch.String())
	}
	return names
}

func awaitWatches(t *testing.T, w *Watcher, want ...string) {
	t.Helper()
	poll(t, func() string { return diff(want, watches(w)) })
}

// poked takes the poke, if there is one.
func poked(w *Watcher) bool {
	select {
	case <-w.Changed():
		return true
	default:
		return false
	}
}

// A record of what was logged, for one test.
type logBook struct{ process.Output }

func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// lines are those that contain all of the parts.
func (b *logBook) lines(parts ...string) []string {
	var found []string
	for line := range strings.Lines(b.String()) {
		if containsAll(line, parts) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}
