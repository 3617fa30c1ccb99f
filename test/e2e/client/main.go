// Command client asks and changes databases for the tests of a whole cluster. It is a
// module of its own, so that a driver for databases does not reach kconfd's.
//
//	client write ADDRESS   insert numbered rows until standard input ends
//	client query ADDRESS   run the statements of standard input
//	client pause           wait for the end, as the first process of a pod
//
// The password of root is in MYSQL_PWD.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "write":
		return write(args[1], stdin, stdout)
	case len(args) == 2 && args[0] == "query":
		return query(args[1], stdin, stdout)
	case len(args) == 1 && args[0] == "pause":
		return pause()
	}
	return errors.New("want write ADDRESS, query ADDRESS or pause")
}

// open gives a database without a connection yet. A server that says nothing for so
// long is taken for dead.
func open(address string, silence time.Duration) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = "root", os.Getenv("MYSQL_PWD")
	config.Net, config.Addr = "tcp", address
	config.Timeout, config.ReadTimeout, config.WriteTimeout = 2*time.Second, silence, silence
	config.MultiStatements = true
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", address, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, nil
}

const (
	schema = `CREATE DATABASE IF NOT EXISTS e2e;
CREATE TABLE IF NOT EXISTS e2e.written (number BIGINT PRIMARY KEY, at BIGINT NOT NULL) ENGINE=InnoDB`
	highest = `SELECT COALESCE(MAX(number), 0) FROM e2e.written`
	insert  = `INSERT INTO e2e.written VALUES (?, ?)`

	// pace is the pause behind each row, and behind each failure.
	pace = 10 * time.Millisecond
)

// write inserts rows, and prints the number and the time of each that was
// acknowledged, in nanoseconds. What was not acknowledged may be there or not: its
// number is not used again. Failures are printed as "# " and what was said.
func write(address string, stdin io.Reader, stdout io.Writer) error {
	db, err := open(address, 3*time.Second)
	if err != nil {
		return err
	}
	defer db.Close()
	end := make(chan struct{})
	go func() { // until standard input ends
		_, _ = io.Copy(io.Discard, stdin)
		close(end)
	}()
	next := int64(0) // unknown
	for {
		select {
		case <-end:
			return nil
		case <-time.After(pace):
		}
		if next, err = writeOne(db, next, stdout); err != nil {
			disconnect(db)
			fmt.Fprintf(stdout, "# %s %v\n", time.Now().Format(time.TimeOnly), err)
		}
	}
}

// disconnect makes the next statement go to whatever server the address leads to then.
func disconnect(db *sql.DB) {
	db.SetMaxIdleConns(0)
	db.SetMaxIdleConns(1)
}

// writeOne gives the number for the next row.
func writeOne(db *sql.DB, number int64, stdout io.Writer) (int64, error) {
	if number == 0 {
		if _, err := db.Exec(schema); err != nil {
			return 0, err
		}
		if err := db.QueryRow(highest).Scan(&number); err != nil {
			return 0, err
		}
		number += 1000 // more than may be under way of an earlier client
	}
	if _, err := db.Exec(insert, number, time.Now().UnixNano()); err != nil {
		return number + 1, err
	}
	fmt.Fprintf(stdout, "%d %d\n", number, time.Now().UnixNano())
	return number + 1, nil
}

// query prints a line for each row of the last statement that has rows, with tabs
// between the columns.
func query(address string, stdin io.Reader, stdout io.Writer) error {
	statements, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	db, err := open(address, time.Minute)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.Query(string(statements))
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		if err := printRows(rows, stdout); err != nil {
			return err
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

func printRows(rows *sql.Rows, stdout io.Writer) error {
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	columns := make([]sql.NullString, len(names))
	pointers := make([]any, len(names))
	for i := range columns {
		pointers[i] = &columns[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		line := make([]string, len(columns))
		for i, column := range columns {
			line[i] = column.String
		}
		fmt.Fprintln(stdout, strings.Join(line, "\t"))
	}
	return rows.Err()
}

func pause() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	return nil
}
