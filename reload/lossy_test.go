package reload

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Whoever writes is not held up by a pipe that nobody reads. What there is room
// for comes later, in order, and what there was none for is counted.
func TestLossy(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	fatal(t, err)
	defer r.Close()
	defer w.Close()
	l := NewLossy(w)
	const messages = 2 * lossyRoom
	long := strings.Repeat("x", 1<<16) // one of them fills the pipe
	for n := range messages {
		size, err := fmt.Fprintf(l, "%d %s\n", n, long)
		if size <= len(long) || err != nil {
			t.Fatalf("writing gives %d, %v", size, err)
		}
	}
	l.Flush(time.Millisecond) // gives up

	var got, want []string
	read := bufio.NewReader(r)
	for lost := 0; lost == 0; {
		line, err := read.ReadString('\n')
		fatal(t, err)
		if _, err := fmt.Sscanf(line, "kconfd: %d messages are lost", &lost); err == nil {
			if written := messages - lost; written < lossyRoom || written > lossyRoom+2 {
				t.Errorf("%d of %d messages are lost, there is room for %d", lost, messages, lossyRoom)
			}
			continue
		}
		number, _, _ := strings.Cut(line, " ")
		want = append(want, fmt.Sprint(len(got)))
		got = append(got, number)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestLossyFlush(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	l := NewLossy(&text)
	for n := range 100 {
		fmt.Fprintln(l, n)
	}
	l.Flush(slack)
	if got := strings.Count(text.String(), "\n"); got != 100 {
		t.Errorf("got %d messages, want 100", got)
	}
}
