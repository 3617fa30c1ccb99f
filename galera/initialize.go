package galera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// isMySQL says whether the server makes its tables itself, as Percona's does, since
// there is no program for it.
func isMySQL(server string) bool {
	if server == "" {
		server, _ = findServer("") // or none
	}
	_, err := exec.LookPath("mariadb-install-db")
	return err != nil && filepath.Base(server) == "mysqld"
}

// initialize makes the data directory of Percona XtraDB Cluster: mysqld makes the
// tables, and then runs without Galera and without a network until a client has made
// the accounts. The steps are those of Percona's own image. They were tried with a
// MariaDB that makes its tables in another way, not with Percona's server.
func (b FirstBoot) initialize(ctx context.Context, next string, o owner, a accounts) error {
	if a.transferUser != "" && a.transferWords == "" {
		return errors.New("WSREP_SST_USER without WSREP_SST_PASSWORD is for MariaDB")
	}
	server, err := findServer(b.Server)
	if err != nil {
		return err
	}
	run, err := os.MkdirTemp("", "kconfd-init-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(run)
	if err := o.take(run); err != nil {
		return err
	}
	arguments := []string{"--defaults-file=" + b.DefaultsFile, "--datadir=" + next, "--wsrep-provider=none"}
	tables := b.child(ctx, server, append(arguments, "--initialize-insecure")...)
	if err := tables.Run(); err != nil {
		return b.failed(ctx, tables, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	socket := filepath.Join(run, "socket")
	temporary := b.child(ctx, server, append(arguments, "--skip-networking", "--loose-mysqlx=OFF",
		"--socket="+socket, "--pid-file="+filepath.Join(run, "pid"))...)
	if err := temporary.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- temporary.Wait() }() // until the server ends
	if err := b.makeAccounts(ctx, socket, ended, a); err != nil {
		cancel()
		<-ended
		return err
	}
	if err := temporary.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := <-ended; err != nil {
		return b.failed(ctx, temporary, err)
	}
	return nil
}

// makeAccounts waits until the server behind the socket answers, and runs the
// statements.
func (b FirstBoot) makeAccounts(ctx context.Context, socket string, ended chan error, a accounts) error {
	client := func(statements string) error {
		cmd := b.child(ctx, "mysql", "--no-defaults", "--protocol=socket", "--socket="+socket, "--user=root", "--default-character-set=utf8mb4")
		cmd.Stdin = strings.NewReader(statements)
		if err := cmd.Run(); err != nil {
			return b.failed(ctx, cmd, err)
		}
		return nil
	}
	for {
		err := client("SELECT 1")
		if err == nil {
			return client(a.statements(false))
		}
		if errors.Is(err, exec.ErrNotFound) {
			return err
		}
		select {
		case end := <-ended:
			ended <- end
			return fmt.Errorf("the server ends before it answers: %w (and before: %w)", end, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// child is a command of the first boot. Its output is in its Stdout, a buffer. When
// ctx ends, it is killed with its process group.
func (b FirstBoot) child(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Env = childEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	output := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd
}

// failed is the error of a child that has ended with err.
func (b FirstBoot) failed(ctx context.Context, cmd *exec.Cmd, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("running %q: %w", cmd.Args[0], ctx.Err())
	}
	output := cmd.Stdout.(*bytes.Buffer).String()
	return fmt.Errorf("running %q: %w\n%s", cmd.Args[0], err, strings.Join(complaints(output), "\n"))
}
