package galera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"
	"time"
)

// A healSession is a login at a server, with which its monitor heals a lost majority. One session
// at a time, of all that log in, has the right to lead.
type healSession interface {
	// component returns whether the server is in a primary component, and up to where it has rows.
	component(context.Context) (primary bool, p Position, err error)

	// isolate takes the right to lead, for as long as the session lasts, and makes the server drop
	// all connections to the others and accept no new ones; or it ends that.
	isolate(ctx context.Context, on bool) error

	// bootstrap makes a primary component of an isolated server, if it has none and the position is
	// still that one.
	bootstrap(context.Context, Position) error

	close()
}

// errNotServing is a server that does not accept logins yet.
var errNotServing = errors.New("the server does not accept logins yet")

// statementTimeout is that of a login, and of one statement.
const statementTimeout = 2 * time.Second

// openHealSession logs in at the server.
func (s Settings) openHealSession(ctx context.Context) (healSession, error) {
	limited, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	in, err := s.login(limited)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNotServing
	}
	if err != nil {
		return nil, err
	}
	in.stop() // from now on, each statement has its own limit
	return sqlSession{in}, nil
}

// A sqlSession is a login over the local socket.
type sqlSession struct{ *session }

// ask runs a statement within statementTimeout.
func (s sqlSession) ask(statement string) ([][]string, error) {
	if err := s.connection.SetDeadline(time.Now().Add(statementTimeout)); err != nil {
		return nil, err
	}
	return s.query(statement)
}

func (s sqlSession) component(context.Context) (primary bool, p Position, err error) {
	rows, err := s.ask(`SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
		WHERE VARIABLE_NAME IN ('WSREP_CLUSTER_STATUS', 'WSREP_CLUSTER_STATE_UUID', 'WSREP_LAST_COMMITTED')`)
	if err != nil {
		return false, p, err
	}
	values := map[string]string{}
	for _, row := range rows {
		if len(row) == 2 {
			values[row[0]] = row[1]
		}
	}
	p.UUID = values["WSREP_CLUSTER_STATE_UUID"]
	p.Seqno, err = strconv.ParseInt(values["WSREP_LAST_COMMITTED"], 10, 64)
	if err != nil || !isUUID(p.UUID) || p.UUID == noUUID || p.Seqno < 0 {
		return false, p, fmt.Errorf("the server has no position: %q", values)
	}
	switch status := values["WSREP_CLUSTER_STATUS"]; status {
	case "Primary":
		return true, p, nil
	case "non-Primary":
		return false, p, nil
	default:
		return false, p, fmt.Errorf("wsrep_cluster_status is %q", oneLine(status))
	}
}

// leadLock is the name of the lock in the server that the session has which leads.
const leadLock = "kconfd.galera.lead"

func (s sqlSession) isolate(_ context.Context, on bool) error {
	rows, err := s.ask("SELECT IS_USED_LOCK('" + leadLock + "') <=> CONNECTION_ID() OR GET_LOCK('" + leadLock + "', 0)")
	if err != nil {
		return err
	}
	if fmt.Sprint(rows) != "[[1]]" {
		return errors.New("another session leads")
	}
	value := 0
	if on {
		value = 1
	}
	_, err = s.ask(fmt.Sprintf("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=%d'", value))
	return err
}

func (s sqlSession) bootstrap(_ context.Context, p Position) error {
	// Without a primary component, the server runs no statement that reads a table, except in a
	// session without replication.
	if _, err := s.ask("SET SESSION wsrep_on = OFF"); err != nil {
		return err
	}
	value := func(name string) string {
		return "(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '" + name + "')"
	}
	rows, err := s.ask(fmt.Sprintf(`BEGIN NOT ATOMIC
		IF IS_USED_LOCK('%s') <=> CONNECTION_ID() AND %s = 'non-Primary' AND %s = '%d' THEN
			SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES';
			SELECT 'done';
		END IF;
	END`, leadLock, value("WSREP_CLUSTER_STATUS"), value("WSREP_LAST_COMMITTED"), p.Seqno))
	if err == nil && fmt.Sprint(rows) != "[[done]]" {
		err = errors.New("the server has a primary component, or another position")
	}
	return err
}
