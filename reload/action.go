package reload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// A Kind is a way to tell a process that its files have changed.
type Kind int

// The kinds of action. The zero value does nothing.
const (
	None    Kind = iota // nothing: the process reads its files by itself
	Signal              // send a signal to a process
	Exec                // run a command
	HTTP                // make an HTTP request
	Restart             // end the supervised child and start it again
)

// String is the word that [ParseKind] reads.
func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case Signal:
		return "signal"
	case Exec:
		return "exec"
	case HTTP:
		return "http"
	case Restart:
		return "restart"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// ParseKind reads none, signal, exec, http or restart.
func ParseKind(s string) (Kind, error) {
	for k := None; k <= Restart; k++ {
		if s == k.String() {
			return k, nil
		}
	}
	return None, fmt.Errorf("action %q: not one of none, signal, exec, http, restart", s)
}

// An Action is what a process is told when its files have changed. The zero value is an action that
// does nothing. Each field belongs to one kind and must be empty for the others.
type Action struct {
	Kind Kind

	// For Signal: the signal, and whom it goes to. With PIDFile alone it is the process of the file;
	// with Process alone the one found by name (see [ErrNoProcess]); with both the process of the
	// file, which must bear the name; with neither the supervised child (see [Action.ForChild]).
	// UID is the user whose process it must be, see [ForeignProcessError].
	Signal  syscall.Signal // from ParseSignal
	PIDFile string
	Process string // a base name: the program's, or what the process calls itself
	UID     *int   // whose process it is; nil where the pid file or the name says enough
	Group   bool   // the whole process group, where it is the supervised child

	// For Exec: run as it is. Expand it first if it holds {{ }}.
	Command Command

	// For HTTP.
	URL     string            // http or https
	Method  string            // empty means POST
	Header  map[string]string // Host is honoured
	Body    string
	Status  []int         // what counts as success; empty means 200 to 299
	Timeout time.Duration // for the whole request; 0 means 30 s
	TLS     TLS           // for https

	// Hide takes secrets out of what an HTTP server answers, before it is shown; nil leaves it.
	Hide func(string) string
}

// defaultTimeout is for commands and HTTP requests that name none.
const defaultTimeout = 30 * time.Second

// Validate reports the first field that is missing, wrong, or does nothing for the kind of action. The
// error names it as configuration files do: pid_file, not PIDFile.
//
// It looks at the shape of the command, but not into its {{ }}; [Command.Validate] does that.
func (a Action) Validate() error {
	if err := a.validate(); err != nil {
		return fmt.Errorf("action %q: %w", a.Kind, err)
	}
	return nil
}

func (a Action) validate() error {
	if err := a.validateUnused(); err != nil {
		return err
	}
	switch a.Kind {
	case None, Restart:
		return nil
	case Signal:
		return a.validateSignal()
	case Exec:
		return a.Command.check()
	case HTTP:
		return a.validateHTTP()
	}
	return errors.New("unknown")
}

// validateUnused reports the first field that is set though it belongs to another kind.
func (a Action) validateUnused() error {
	fields := []struct {
		name string
		kind Kind
		set  bool
	}{
		{"signal", Signal, a.Signal != 0},
		{"pid_file", Signal, a.PIDFile != ""},
		{"process", Signal, a.Process != ""},
		{"user", Signal, a.UID != nil},
		{"group", Signal, a.Group},
		{"command", Exec, !a.Command.isZero()},
		{"url", HTTP, a.URL != ""},
		{"method", HTTP, a.Method != ""},
		{"header", HTTP, len(a.Header) > 0},
		{"body", HTTP, a.Body != ""},
		{"status", HTTP, len(a.Status) > 0},
		{"timeout", HTTP, a.Timeout != 0},
		{"ca_file", HTTP, a.TLS.CAFile != ""},
		{"server_name", HTTP, a.TLS.ServerName != ""},
		{"cert", HTTP, a.TLS.Cert != ""},
		{"key", HTTP, a.TLS.Key != ""},
		{"insecure_skip_verify", HTTP, a.TLS.Insecure},
	}
	for _, f := range fields {
		if f.set && f.kind != a.Kind {
			return fmt.Errorf("field %q: does nothing here", f.name)
		}
	}
	return nil
}

// ForChild says whether the action is the supervised child's, and so a
// [Supervisor]'s to do: a restart, and a signal that names nobody.
func (a Action) ForChild() bool {
	return a.Kind == Restart || (a.Kind == Signal && a.PIDFile == "" && a.Process == "")
}

// Do makes one attempt. It returns when the process has been told, which is not to say that the process
// is done with what it was told. An action that [Action.Validate] refuses is not attempted. Ending ctx
// ends the attempt.
func (a Action) Do(ctx context.Context) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.ForChild() {
		return fmt.Errorf("%v: there is no child", a)
	}
	switch a.Kind {
	case Signal:
		return a.signal(ctx)
	case Exec:
		return a.Command.Run(ctx)
	case HTTP:
		return a.request(ctx)
	}
	return nil
}

// String is for logs, on one line: `signal HUP to process "nginx"`. It shows no user, password or query
// of a URL.
func (a Action) String() string {
	switch a.Kind {
	case Signal:
		return "signal " + SignalName(a.Signal) + " to " + a.addressee()
	case Exec:
		return fmt.Sprintf("exec %q", a.Command)
	case HTTP:
		return "http " + a.method() + " " + publicURL(a.URL)
	}
	return a.Kind.String()
}

func (a Action) addressee() string {
	var parts []string
	if a.Process != "" {
		parts = append(parts, fmt.Sprintf("process %q", a.Process))
	}
	if a.PIDFile != "" {
		parts = append(parts, fmt.Sprintf("pid file %q", a.PIDFile))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, " of ")
	case a.Group:
		return "the child's group"
	}
	return "the child"
}
