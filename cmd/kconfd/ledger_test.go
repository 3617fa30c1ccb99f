package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kconfd/kconfd/render"
)

// Whatever a ledger on disk says, what is undone are the group's own files, from
// backups beside them.
func FuzzLedger(f *testing.F) {
	for _, document := range []string{
		`{}`,
		`{"olds":[{"target":"DIR/a","backup":"DIR/.a1234567890123456789.old","was":"0","new":"1"}],"owed":true}`,
		`{"olds":[{"target":"DIR/a","backup":"DIR/../etc/passwd"}],"undoing":true}`,
		`{"olds":[{"target":"/etc/passwd","backup":"DIR/.a1234567890123456789.old","mode":2541,"inPlace":true}]}`,
		`{"olds":[{"target":"DIR/a","backup":"/tmp/.a1234567890123456789.old","mode":2541,"inPlace":true}]}`,
		`{"olds":[{"target":"DIR/a/../a","new":"e3b0"}],"files":["DIR/a"]}`,
		`{"olds":null,"applied":{"counts":{"x":-1}}}`,
		`[]`,
		`{"olds":[{"target":"DIR/b"}]`,
	} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document string) {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		document = strings.ReplaceAll(document, "DIR", dir)
		var compact bytes.Buffer
		_ = json.Compact(&compact, []byte(document)) // what is not JSON has no right checksum
		sum := sha256.Sum256(compact.Bytes())
		text := fmt.Sprintf(`{"version":1,"sha256":"%x","document":%s}`, sum, document)
		own := filepath.Join(dir, "a")
		l := &ledger{path: ledgerBeside(own), entry: entry{Files: []string{own}}}
		if err := os.WriteFile(l.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		foreign := filepath.Join(dir, "b")
		if err := os.WriteFile(foreign, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.load(); err != nil && l.pending() {
			t.Errorf("a ledger that cannot be used is used: %+v", l.entry)
		}
		if slices.ContainsFunc(l.Olds, func(o render.Old) bool { return o.Target != own || o.Mode&^0o777 != 0 }) {
			t.Errorf("another file: %+v", l.Olds)
		}
		_, _ = l.recover() // what cannot be undone is an error
		if _, err := os.Lstat(foreign); err != nil {
			t.Errorf("another file: %v", err)
		}
	})
}
