package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kconfd/kconfd/test/process"
)

// A line is a connection on which a line is the answer to a line.
type line struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(ctx context.Context, address string) (*line, error) {
	conn, err := (&net.Dialer{Timeout: process.Patience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &line{conn: conn, reader: bufio.NewReader(conn)}, nil
}

// connect waits for somebody who listens.
func connect(t *testing.T, address string) *line {
	t.Helper()
	var l *line
	process.Await(t, address+" answers", func() (ok bool) {
		var err error
		l, err = dial(t.Context(), address)
		return err == nil
	})
	t.Cleanup(func() { l.conn.Close() })
	return l
}

// ask sends the line and gives the answer. Pauses are short: many callers share a machine.
func (l *line) ask(question string) (string, error) {
	if err := l.conn.SetDeadline(time.Now().Add(process.Patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(l.conn, "%s\r\n", question); err != nil {
		return "", err
	}
	answer, err := l.reader.ReadString('\n')
	return strings.TrimRight(answer, "\r\n"), err
}

// askNew asks over a new connection.
func askNew(ctx context.Context, address, question string) (string, error) {
	l, err := dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer l.conn.Close()
	return l.ask(question)
}

// serveLines answers every line at the address with the address.
func serveLines(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() { // until the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerLines(conn, address) // until the client goes
		}
	}()
}

func answerLines(conn net.Conn, answer string) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := fmt.Fprintln(conn, answer); err != nil {
			return
		}
	}
}

// interactive starts a client that answers a question on its standard input by a line, over one
// connection, and gives what asks it.
func interactive(t *testing.T, cmd *exec.Cmd, question string) func() (string, error) {
	t.Helper()
	stderr := &process.Output{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait() // how it ends is no matter
	})
	reader := bufio.NewReader(stdout)
	return func() (string, error) {
		if _, err := fmt.Fprintln(stdin, question); err != nil {
			return "", fmt.Errorf("%w: %s", err, stderr)
		}
		answer, err := reader.ReadString('\n')
		if said := stderr.String(); err == nil && said != "" {
			err = errors.New("the client complains")
		}
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, stderr)
		}
		return strings.TrimSpace(answer), nil
	}
}
