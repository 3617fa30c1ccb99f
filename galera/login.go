package galera

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kconfd/kconfd/internal/safefs"
)

// A serverError is an answer of the server that reports an error. A server that gives one
// is not hung.
type serverError struct {
	Code    int    // such as 1045: access denied
	Message string // one line
}

func (e *serverError) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// refused says whether the server does not know the account, or requires a password of it.
// MariaDB logs a warning for each such login.
func (e *serverError) refused() bool {
	switch e.Code {
	case 1045, 1130, 1524, 1698: // access denied; host not allowed; no such plugin; no password accepted
		return true
	}
	return false
}

// errPassword is the server's question for a password.
var errPassword = &serverError{1698, "the account requires a password"}

// A session is a connection over which the server has accepted a login. It is for one
// goroutine at a time.
type session struct {
	connection net.Conn
	sequence   byte
	stop       func() bool // ends the watch of the context
}

// login logs in to the server at its local socket, as its own operating system user and
// without a password (see [accounts.statements]). The context bounds the login and everything
// after it. An error that is a [serverError] is the server's answer. The caller must close the
// session.
func (s Settings) login(ctx context.Context) (*session, error) {
	a, err := serverAccount(s.File)
	if err != nil {
		return nil, err
	}
	name, err := a.userName()
	if err != nil {
		return nil, err
	}
	in, err := connectLocal(ctx, a, s.Socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", s.Socket, err)
	}
	if err := in.authenticate(name); err != nil {
		in.close()
		return nil, fmt.Errorf("logging in at %q as %q: %w", s.Socket, name, err)
	}
	return in, nil
}

// connectPause is how long to wait for room in the queue of connections that the server has not
// accepted yet.
const connectPause = 50 * time.Millisecond

func connectLocal(ctx context.Context, a account, socket string) (*session, error) {
	var connection net.Conn
	connect := func() (err error) {
		connection, err = (&net.Dialer{}).DialContext(ctx, "unix", socket)
		return err
	}
	for {
		// The server gets the effective user of the thread that connects.
		err := safefs.AsEffective(a.uid, a.gid, connect)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		if pause(ctx, connectPause) != nil {
			return nil, fmt.Errorf("the queue of connections is full: %w", err)
		}
	}
	expire := func() { _ = connection.SetDeadline(time.Unix(1, 0)) } // a closed one has none
	return &session{connection: connection, stop: context.AfterFunc(ctx, expire)}, nil
}

// close ends the session in good order, which the server does not log.
func (s *session) close() {
	s.sequence = 0
	_ = s.write([]byte{comQuit}) // the server may be gone
	s.stop()
	s.connection.Close()
}

// server is the process that listens at the socket, or 0 where that is not in sight.
func (s *session) server() (pid int) {
	connection, ok := s.connection.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // a closed one has no server
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// What is used of the client/server protocol of MySQL and MariaDB, version 10.
const (
	comQuit  = 1
	comQuery = 3

	packetOK         = 0x00
	packetLocalFile  = 0xfb // in rows: NULL
	packetEOF        = 0xfe // during a login: another way to authenticate
	packetError      = 0xff
	protocolVersion  = 10
	moreResultsExist = 8
	collationUTF8MB4 = 45

	// Long password, 4.1, transactions, secure connection, several results, authentication plugins.
	capabilities = 1 | 1<<9 | 1<<13 | 1<<15 | 1<<17 | 1<<19

	// maxPacket is how large a packet of the server may be, and maxResult the rows of an
	// answer together, in bytes.
	maxPacket = 1 << 20
	maxResult = 4 << 20
)

// authenticate reads the server's greeting and answers with a name alone.
func (s *session) authenticate(name string) error {
	greeting, err := s.read()
	if err != nil {
		return err
	}
	if greeting[0] != protocolVersion {
		return fmt.Errorf("protocol version %d: want %d", greeting[0], protocolVersion)
	}
	response := binary.LittleEndian.AppendUint32(nil, capabilities)
	response = binary.LittleEndian.AppendUint32(response, maxPacket)
	response = append(response, collationUTF8MB4)
	response = append(response, make([]byte, 23)...) // reserved
	response = append(response, name...)
	response = append(response, 0, 0) // the end of the name, and the length of the password's proof
	response = append(response, "mysql_native_password\x00"...)
	if err := s.write(response); err != nil {
		return err
	}
	answer, err := s.read()
	switch {
	case err != nil:
		return err
	case answer[0] == packetOK:
		return nil
	case answer[0] == packetEOF:
		return errPassword
	}
	return fmt.Errorf("unexpected packet of type %#x", answer[0])
}

// query runs one statement, which may be a compound one, and returns the rows of all its results
// as text. NULL is empty.
func (s *session) query(statement string) (rows [][]string, err error) {
	s.sequence = 0
	if err := s.write(append([]byte{comQuery}, statement...)); err != nil {
		return nil, err
	}
	for size := 0; ; {
		head, err := s.read()
		if err != nil {
			return nil, err
		}
		var status int
		switch head[0] {
		case packetOK:
			status = okStatus(head)
		case packetLocalFile:
			return nil, errors.New("the server asks for a file of this machine")
		default:
			var result [][]string
			if result, status, err = s.readResult(&size); err != nil {
				return nil, err
			}
			rows = append(rows, result...)
		}
		if status&moreResultsExist == 0 {
			return rows, nil
		}
	}
}

// readResult reads the columns and the rows of a result, each of which end with a packet that has
// the status.
func (s *session) readResult(size *int) (rows [][]string, status int, err error) {
	for columns := true; ; {
		packet, err := s.read()
		if err != nil {
			return nil, 0, err
		}
		if packet[0] == packetEOF && len(packet) == 5 {
			if !columns {
				return rows, int(binary.LittleEndian.Uint16(packet[3:])), nil
			}
			columns = false
			continue
		}
		if *size += len(packet); *size > maxResult {
			return nil, 0, fmt.Errorf("the result has more than %d bytes", maxResult)
		}
		if columns {
			continue
		}
		row, err := parseRow(packet)
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, row)
	}
}

var errPacket = errors.New("malformed packet of the server")

func parseRow(packet []byte) (row []string, err error) {
	for len(packet) > 0 {
		if packet[0] == packetLocalFile {
			row, packet = append(row, ""), packet[1:]
			continue
		}
		length, n := lengthOf(packet)
		if n == 0 || length > uint64(len(packet)-n) {
			return nil, errPacket
		}
		row = append(row, string(packet[n:n+int(length)]))
		packet = packet[n+int(length):]
	}
	return row, nil
}

// lengthOf returns a number of 1, 3, 4 or 9 bytes, and how many it has; 0 of them when it is none.
func lengthOf(packet []byte) (value uint64, n int) {
	if len(packet) == 0 {
		return 0, 0
	}
	var width int
	switch packet[0] {
	case 0xfc:
		width = 2
	case 0xfd:
		width = 3
	case 0xfe:
		width = 8
	case packetLocalFile, packetError:
		return 0, 0
	default:
		return uint64(packet[0]), 1
	}
	if len(packet) <= width {
		return 0, 0
	}
	for i := width; i > 0; i-- {
		value = value<<8 | uint64(packet[i])
	}
	return value, width + 1
}

// okStatus returns the status of an OK packet, behind two numbers.
func okStatus(packet []byte) int {
	rest := packet[1:]
	for range 2 {
		_, n := lengthOf(rest)
		rest = rest[n:]
	}
	if len(rest) < 2 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(rest))
}

// write sends a packet: three bytes of length, one of sequence, and the payload.
func (s *session) write(payload []byte) error {
	if len(payload) >= maxPacket {
		return fmt.Errorf("statement of %d bytes: want less than %d", len(payload), maxPacket)
	}
	packet := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	packet[3] = s.sequence
	s.sequence++
	_, err := s.connection.Write(append(packet, payload...))
	return err
}

// read receives a packet, which has at least one byte. A packet that reports an error is one.
func (s *session) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.connection, head[:]); err != nil {
		return nil, err
	}
	s.sequence = head[3] + 1
	head[3] = 0
	length := binary.LittleEndian.Uint32(head[:])
	if length == 0 || length > maxPacket {
		return nil, fmt.Errorf("%w: %d bytes", errPacket, length)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(s.connection, payload); err != nil {
		return nil, err
	}
	if payload[0] == packetError {
		return nil, parseError(payload)
	}
	return payload, nil
}

// parseError reads a code, and a message that may begin with # and an SQLSTATE.
func parseError(payload []byte) error {
	if len(payload) < 3 {
		return errPacket
	}
	message := payload[3:]
	if len(message) >= 6 && bytes.HasPrefix(message, []byte("#")) {
		message = message[6:]
	}
	return &serverError{int(binary.LittleEndian.Uint16(payload[1:])), oneLine(string(message))}
}
