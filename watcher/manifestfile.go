package watcher

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	goyaml "go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/internal/document"
)

// Limits of manifests. A document takes up to a hundred times its size in memory
// while it is read.
const (
	maxManifest  = 4 << 20  // bytes of one file, and of a document with its aliases resolved
	maxManifests = 32 << 20 // bytes of all
	maxFiles     = 10_000   // in and below a directory
	maxDocuments = 10_000   // in one file
)

// manifestFiles are path itself, or the manifests in and below the directory.
func manifestFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	var t tree
	t.add(path)
	files := slices.DeleteFunc(t.files, func(file string) bool { return !IsManifest(file) })
	if len(files) > maxFiles {
		t.failed(fmt.Errorf("%q has %d manifests, the limit is %d", path, len(files), maxFiles))
	}
	return files, errors.Join(t.errs...)
}

// IsManifest says whether a file of that name is read as a manifest, where it is in a directory.
func IsManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) && !strings.HasPrefix(filepath.Base(name), ".")
}

// readManifest reads a file within the limits, of which there are left bytes for it and
// those after it.
func (m *manifests) readManifest(path string, left int64) ([]byte, error) {
	if path == os.DevNull {
		return nil, nil // how to say that there are none
	}
	content, err := m.files.ReadFile(path, maxManifest)
	if err == nil && int64(len(content)) > left {
		err = fmt.Errorf("%q: all manifests together are larger than the limit of %d bytes", path, maxManifests)
	}
	return content, err
}

// readStdin reads manifests from standard input.
func readStdin(stdin io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(stdin, maxManifests+1))
	if err == nil && len(content) > maxManifests {
		err = fmt.Errorf("larger than the limit of %d bytes", maxManifests)
	}
	return content, err
}

// splitDocuments cuts at the lines that begin with "---". Together, the
// documents are the content.
func splitDocuments(content []byte) [][]byte {
	var docs [][]byte
	start, at := 0, 0
	for line := range bytes.Lines(content) {
		if bytes.HasPrefix(line, []byte("---")) && at > start {
			docs = append(docs, content[start:at])
			start = at
		}
		at += len(line)
	}
	return append(docs, content[start:])
}

// fieldsOf reads a document, whose first line has that number in its file. A document
// without anything in it has no fields.
func fieldsOf(doc []byte, first int) (map[string]any, error) {
	if len(doc) > maxManifest {
		return nil, fmt.Errorf("larger than the limit of %d bytes", maxManifest)
	}
	fields, err := decodeFields(doc)
	if err != nil && first > 1 {
		// Behind as many empty lines, the decoder's line numbers are the file's.
		_, err = decodeFields(append(bytes.Repeat([]byte("\n"), first-1), doc...))
	}
	return fields, err
}

func decodeFields(doc []byte) (map[string]any, error) {
	if err := checkAliases(doc); err != nil {
		return nil, err
	}
	v, err := document.FromYAML(doc)
	if v == nil || err != nil {
		return nil, err
	}
	fields, ok := document.AsOnServer(v).(map[string]any)
	if !ok {
		return nil, errors.New("not a map of fields")
	}
	return fields, nil
}

// checkAliases is an error when the document would be too large with its aliases
// resolved. The decoder limits the number of values that come from aliases, and not
// their size.
func checkAliases(doc []byte) error {
	if !bytes.ContainsRune(doc, '&') || !bytes.ContainsRune(doc, '*') {
		return nil
	}
	var root goyaml.Node
	if err := goyaml.Unmarshal(doc, &root); err != nil {
		return err
	}
	if size := resolvedSize(&root, map[*goyaml.Node]int{}); size > maxManifest {
		return fmt.Errorf("larger than the limit of %d bytes with its aliases resolved", maxManifest)
	}
	return nil
}

// resolvedSize is about how many bytes a value has with its aliases resolved, or some
// number above the limit. What known has is the size of anchors; one that is in itself,
// which the decoder refuses, counts as too large.
func resolvedSize(n *goyaml.Node, known map[*goyaml.Node]int) int {
	const tooLarge = maxManifest + 1
	if n.Kind == goyaml.AliasNode {
		n = n.Alias
	}
	if size, ok := known[n]; ok {
		return size
	}
	if n.Anchor != "" {
		known[n] = tooLarge // until it is known
	}
	size := len(n.Value) + 1
	for _, child := range n.Content {
		size = min(size+resolvedSize(child, known), tooLarge)
	}
	if n.Anchor != "" {
		known[n] = size
	}
	return size
}
