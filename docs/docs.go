// Package docs reads the documentation for the tests that hold it against the
// code.
package docs

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Section is what stands in a file between a heading, given as it is written
// there ("## Flags"), and the next heading of any level.
func Section(path, heading string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, section, found := strings.Cut("\n"+string(content), "\n"+heading+"\n")
	if !found {
		return "", fmt.Errorf("reading %s: there is no heading %q", path, heading)
	}
	if next := regexp.MustCompile(`(?m)^#+ `).FindStringIndex(section); next != nil {
		section = section[:next[0]]
	}
	return section, nil
}

// Rows are the cells of all tables in a section, without their head lines.
func Rows(section string) [][]string {
	var rows [][]string
	inBody := false
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			inBody = false
		case strings.HasPrefix(line, "|---"):
			inBody = true
		case inBody:
			rows = append(rows, cells(line))
		}
	}
	return rows
}

// cells are those of one row; a bar in code is written \|.
func cells(line string) []string {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.Trim(line, "|"), `\|`, bar)
	var all []string
	for cell := range strings.SplitSeq(line, "|") {
		all = append(all, strings.TrimSpace(strings.ReplaceAll(cell, bar, "|")))
	}
	return all
}

// Names are the first words of what is marked as code in a cell: required and
// fail for "`required REASON VALUE`, `fail REASON`".
func Names(cell string) []string {
	var names []string
	for _, code := range regexp.MustCompile("`([^` ]+)[^`]*`").FindAllStringSubmatch(cell, -1) {
		names = append(names, code[1])
	}
	return names
}

// A Block is one that stands between fences.
type Block struct {
	Line int    // of the opening fence
	Kind string // what stands behind that: template, toml
	Text string
}

// Blocks are those of a file, in their order.
func Blocks(path string) ([]Block, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var open *Block
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &Block{Line: number, Kind: strings.TrimSpace(kind)}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.Text += line
		}
	}
	if open != nil {
		return nil, fmt.Errorf("reading %s: line %d: the block has no end", path, open.Line)
	}
	return blocks, nil
}
