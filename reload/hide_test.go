package reload

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hideIt hides one secret, as it is and nothing like it.
func hideIt(secret string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, secret, "[hidden]") }
}

// hideCases are secrets that are not to be recognised any more once a line is made fit to be shown.
func hideCases() map[string]struct{ secret, said, want string } {
	atTheCut := strings.Repeat("x", lineSize-4)
	return map[string]struct{ secret, said, want string }{
		"two blanks":    {"hunter  two", "bad: hunter  two!", "bad: [hidden]!"},
		"a tab":         {"hunter\ttwo", "bad: hunter\ttwo!", "bad: [hidden]!"},
		"cut in two":    {"hunter2", atTheCut + "hunter2", atTheCut + "[hid…"},
		"not printable": {"hunter\x01two", "bad: hunter\x01two!", "bad: [hidden]!"},
	}
}

// What a command or a server says is searched for secrets as it came. In a line that has been squeezed and
// cut for an error they would not be found.
func TestSecretsInOutputAreHidden(t *testing.T) {
	for name, tt := range hideCases() {
		t.Run(name, func(t *testing.T) {
			c := Command{Shell: `printf %s "$SAID"; exit 1`, Env: []string{"SAID=" + tt.said}, Hide: hideIt(tt.secret)}
			err := c.Run(t.Context())
			if err == nil || !strings.HasSuffix(err.Error(), "exit status 1: "+tt.want) {
				t.Errorf("got %v, want an error that ends in %q", err, tt.want)
			}
		})
	}
}

// Where so much was said that its beginning is lost, what is left may begin in the middle of a secret, and is
// not shown before the next line.
func TestCutSecretsInOutputAreNotShown(t *testing.T) {
	secret := "hunter" + strings.Repeat("2", 100)
	long := secret + strings.Repeat("x", tailSize-50)
	for name, tt := range map[string]struct{ said, want string }{
		"one long line":       {long, ""},
		"and a line after it": {long + "\nbad: " + secret + "\n", "bad: [hidden]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Command{Shell: `cat "$FILE"; exit 1`, Env: []string{"FILE=" + writeFile(t, tt.said)}, Hide: hideIt(secret)}
			var failed *CommandError
			if err := c.Run(t.Context()); !errors.As(err, &failed) || failed.Output != tt.want {
				t.Errorf("got %.200v, want an error with the output %q", err, tt.want)
			}
		})
	}
}

func TestSecretsInAnswersAreHidden(t *testing.T) {
	for name, tt := range hideCases() {
		t.Run(name, func(t *testing.T) {
			s := startWeb(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(w, tt.said) // the test sees what came
			})
			err := Action{Kind: HTTP, URL: s.URL, Hide: hideIt(tt.secret)}.Do(t.Context())
			if err == nil || !strings.HasSuffix(err.Error(), "status 500: "+tt.want) {
				t.Errorf("got %v, want an error that ends in %q", err, tt.want)
			}
		})
	}
}

// An answer that is none is quoted by the error.
func TestSecretsInMalformedAnswersAreHidden(t *testing.T) {
	for name, said := range map[string]string{
		"a version":         "hunter2 200 OK\r\n\r\n",
		"a status":          "HTTP/1.1 hunter2\r\n\r\n",
		"a header":          "HTTP/1.1 200 OK\r\nhunter2\r\n\r\n",
		"a length":          "HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n",
		"a coding":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n",
		"where it leads":    "HTTP/1.1 302 Found\r\nLocation: http://x/hunter2\r\n\r\n",
		"where it does not": "HTTP/1.1 302 Found\r\nLocation: http://[hunter2\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := startWeb(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, said) // the test sees what came
				_ = conn.Close()
			})
			err := Action{Kind: HTTP, URL: s.URL, Hide: hideIt("hunter2")}.Do(t.Context())
			if err == nil || !strings.Contains(err.Error(), "[hidden]") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want an error with [hidden] in the place of the secret", err)
			}
		})
	}
}

// A FIFO in the place of the pid file holds nobody up until somebody writes to it.
func TestPIDFileThatIsAFIFO(t *testing.T) {
	path := t.TempDir() + "/pid"
	fatal(t, syscall.Mkfifo(path, 0o600))
	told := make(chan error, 1)
	go func() { told <- hup(path, "").Do(t.Context()) }() // until the error, or the test binary's end
	select {
	case err := <-told:
		if err == nil || !strings.Contains(err.Error(), "it is not a regular file") {
			t.Errorf("got %v, want that it is not a regular file", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still at work after 5 s")
	}
}
