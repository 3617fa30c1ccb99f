package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
func (b FirstBoot) initialize(ctx context.Context, next string, a accounts) error {
	if a.transferUser != "" && a.transferWords == "" {
		return errors.New("WSREP_SST_USER without WSREP_SST_PASSWORD is for MariaDB")
	}
	server, err := findServer(b.Server)
	if err != nil {
		return err
	}
	arguments := []string{"--defaults-file=" + b.DefaultsFile, "--datadir=" + next, "--wsrep-provider=none"}
	tables := b.child(server, append(arguments, "--initialize-insecure")...)
	if err := runProgram(ctx, tables); err != nil {
		return b.failed(ctx, tables, err)
	}
	temporary := b.child(server, append(arguments, "--skip-networking", "--loose-mysqlx=OFF",
		"--socket="+temporarySocket, "--pid-file="+temporaryPID)...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running, err := startProgram(temporary)
	if err != nil {
		return b.failed(ctx, temporary, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Await(ctx) }() // until the server ends
	if err := b.makeAccounts(ctx, next, ended, a); err != nil {
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
	return b.server.do(func() error { return removeFiles(next, temporarySocket, temporarySocket+".lock", temporaryPID) })
}

// Files of the server that runs for the accounts, in its data directory: a path to
// the socket could be too long, and elsewhere they would stay when all is killed.
const (
	temporarySocket = "kconfd.sock"
	temporaryPID    = "kconfd.pid"
)

func removeFiles(dir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeAccounts waits until the server in the data directory answers, and runs the
// statements.
func (b FirstBoot) makeAccounts(ctx context.Context, dir string, ended chan error, a accounts) error {
	client := func(statements string) error {
		cmd := b.child("mysql", "--no-defaults", "--protocol=socket", "--socket="+temporarySocket, "--user=root", "--default-character-set=utf8mb4")
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(statements)
		if err := runProgram(ctx, cmd); err != nil {
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

// child is a command of the first boot, which is run as the server's user. The end
// of its output is in its Stdout, a tail.
func (b FirstBoot) child(program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(program, arguments...)
	cmd.Env = childEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.server.credential()}
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd
}

// failed is the error of a child that has ended with err.
func (b FirstBoot) failed(ctx context.Context, cmd *exec.Cmd, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("running %q: %w", cmd.Args[0], ctx.Err())
	}
	output := cmd.Stdout.(*tail).String()
	return fmt.Errorf("running %q: %w\n%s", cmd.Args[0], err, strings.Join(complaints(output), "\n"))
}
