package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kconfd/kconfd/docs"
)

// The packages of the program are those in the table of docs/design/architecture.md, and
// import what it says.
func TestImports(t *testing.T) {
	const module = "github.com/kconfd/kconfd/"
	content, err := os.ReadFile("design/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	_, rooms, _ := strings.Cut(string(content), "\n## Rooms\n")
	rooms, _, _ = strings.Cut(rooms, "\n## ")
	for _, row := range docs.Rows(rooms) {
		var imports []string
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1) {
			imports = append(imports, name[1])
		}
		slices.Sort(imports)
		documented[strings.Trim(row[0], "`")] = imports
	}
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	existing := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(strings.ReplaceAll(line, module, ""))
		var imports []string
		for _, path := range words[1:] {
			if strings.Contains(line, " "+module+path) {
				imports = append(imports, path)
			}
		}
		if path := words[0]; path == "cmd/kconfd" {
			existing[path] = nil // all
		} else if !regexp.MustCompile(`^(docs|deploy|templates|test)(/|$)`).MatchString(path) {
			existing[path] = imports
		}
	}
	if diff := cmp.Diff(documented, existing); diff != "" {
		t.Errorf("-documented +imported:\n%s", diff)
	}
}
