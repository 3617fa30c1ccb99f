package galera

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func init() {
	flag.Bool("model.mutations", false, "play games without each guard of the code, which takes an hour or two")
	flag.String("model.mutation", "", "with -model.mutations: only those of which \"file: name: test\" matches this")
}

// A mutation takes one guard away from the code.
type mutation struct {
	name     string
	file     string
	old, new string

	// themes are those of the games that can find it, if only such can: the others need not be played.
	themes string

	// with are guards that cover this one: a fault is found only when they are missing as well.
	with []string

	// test is one that fails without the guard, where no game can: "TestName", or "directory: TestName" for
	// one of another package. Empty for a guard that games have to find.
	test string
}

// mutationGames is how many games of each kind have to find that a guard is missing, unless
// -model.games asks for more than a short run.
func mutationGames() uint64 {
	if games := modelFlag("model.games"); games > shortGames {
		return games
	}
	return 20000
}

// mutationTime is how long all games of a mutation may take. One that goes on for longer is an error: a
// game has to find it as a fault that nothing goes on.
const mutationTime = time.Hour

// TestMutations holds the list of guards against the code: each is there once. With -model.mutations
// it plays without each of them, and prints a table of what found that. It is an error when nothing does,
// and when a mutation does not compile.
func TestMutations(t *testing.T) {
	t.Parallel()
	run := flag.Lookup("model.mutations").Value.(flag.Getter).Get().(bool)
	only := regexp.MustCompile(flag.Lookup("model.mutation").Value.String())
	all, sources := mutations(), productionCode(t)
	names := map[string]bool{}
	for i, m := range all {
		if names[m.name] {
			t.Errorf("there are two guards %q", m.name)
		}
		names[m.name] = true
		if err := all[i].locate(sources); err != nil {
			t.Error(err)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(covered)), slices.Collect(maps.Keys(gameThemes)), slices.Collect(maps.Keys(tested))) {
		if !names[name] {
			t.Errorf("there is no guard %q", name)
		}
	}
	var parts [][]mutation
	for _, m := range all {
		these := []mutation{m}
		for _, name := range m.with {
			i := slices.IndexFunc(all, func(m mutation) bool { return m.name == name })
			if i < 0 {
				t.Fatalf("%s: there is no guard %q", m.name, name)
			}
			these = append(these, all[i])
		}
		parts = append(parts, these)
	}
	if t.Failed() {
		return
	}
	changed, err := mutants(sources, parts)
	if err != nil {
		t.Fatal(err)
	}
	if !run {
		return
	}
	b := build{t.TempDir(), changed}
	binary := filepath.Join(b.dir, "model.test")
	if out, err := b.command(t.Context(), ".", 0, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-o", binary, ".").CombinedOutput(); err != nil {
		named := regexp.MustCompile(`guard_(\d+)\.go`).ReplaceAllStringFunc(string(out), func(file string) string {
			i, _ := strconv.Atoi(file[len("guard_") : len(file)-len(".go")])
			return all[i-1].name
		})
		t.Fatalf("mutations do not compile: %v\n%s", err, named)
	}
	fmt.Println("| file | guard | what finds that it is missing |\n|---|---|---|")
	for i, m := range all {
		if !only.MatchString(m.file + ": " + m.name + ": " + m.test) {
			continue
		}
		found, err := b.play(t.Context(), binary, m, i+1)
		if err != nil {
			found = "**" + err.Error() + "**"
			t.Errorf("%s: %v", m.name, err)
		}
		name := m.name
		if len(m.with) > 0 {
			name += " (with: " + strings.Join(m.with, "; ") + ")"
		}
		fmt.Printf("| %s | %s | %s |\n", m.file, name, strings.ReplaceAll(found, "|", "¦"))
	}
}

// productionCode is the text of each file of the package, but for tests.
func productionCode(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[file] = string(source)
	}
	return sources
}

// locate finds the file of a guard: the one that it names, or the only one that has its text.
func (m *mutation) locate(sources map[string]string) error {
	if strings.Count(sources[m.file], m.old) == 1 {
		return nil
	}
	all, last := 0, ""
	for file, source := range sources {
		if n := strings.Count(source, m.old); n > 0 {
			all, last = all+n, file
		}
	}
	if all != 1 {
		return fmt.Errorf("%s: %q is %d times in the code, want once", m.name, m.old, all)
	}
	m.file = last
	return nil
}

// A build has all mutations in it, and carries out one at a time.
type build struct {
	dir     string
	sources map[string]string
}

// command is a program that sees the sources with a mutation, and whose own builds do.
func (b build) command(ctx context.Context, in string, mutant int, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = in
	c.Env = append(os.Environ(), mutantVariable+"="+strconv.Itoa(mutant), "GOFLAGS=-overlay="+b.overlay(mutant))
	return c
}

// overlay writes the sources, in which a mutation is carried out if the environment names none.
func (b build) overlay(mutant int) string {
	replaced := map[string]string{}
	put := func(name, source string) {
		here, err := filepath.Abs(name)
		path := filepath.Join(b.dir, name)
		if err == nil {
			err = os.WriteFile(path, []byte(source), 0o600)
		}
		if err != nil {
			panic(err)
		}
		replaced[here] = path
	}
	for name, source := range b.sources {
		put(name, source)
	}
	put("mutant.go", fmt.Sprintf(`package galera

import ("cmp"; "os"; "strconv")

var mutant, _ = strconv.Atoi(cmp.Or(os.Getenv(%q), "%d"))
`, mutantVariable, mutant))
	content, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	overlay := filepath.Join(b.dir, "overlay.json")
	if err == nil {
		err = os.WriteFile(overlay, content, 0o600)
	}
	if err != nil {
		panic(err)
	}
	return overlay
}

var (
	foundGame = regexp.MustCompile(`game (\d+), seed \d+, theme [^:]*: (.*)`)
	failedOne = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)
	panicked  = regexp.MustCompile(`(?m)^panic: (.*)`)
)

// play runs what has to find a mutation, and says what did.
func (b build) play(ctx context.Context, binary string, m mutation, mutant int) (string, error) {
	if in, test, other := strings.Cut(m.test, ": "); other {
		return b.test(m.test, b.command(ctx, in, mutant, "go", "test", "-count=1", "-run=^"+test+"$", "."))
	}
	if m.test != "" {
		return b.test(m.test, b.command(ctx, ".", mutant, binary, "-test.run=^"+m.test+"$"))
	}
	kinds := []string{"TestModel", "TestModelMajority"}
	if slices.Contains(healingFiles, m.file) {
		slices.Reverse(kinds)
	}
	if m.themes != "" {
		kinds = kinds[:1]
	}
	ctx, cancel := context.WithTimeout(ctx, mutationTime)
	defer cancel()
	// A short run of each kind comes first: most faults are found at once, by one kind or the other.
	for _, games := range slices.Compact([]uint64{min(1000, mutationGames()), mutationGames()}) {
		for _, kind := range kinds {
			out, err := b.command(ctx, ".", mutant, binary, "-test.run=^"+kind+"$", "-test.timeout=0", "-model.theme="+m.themes, fmt.Sprintf("-model.games=%d", games)).CombinedOutput()
			switch game, crash := foundGame.FindSubmatch(out), panicked.FindSubmatch(out); {
			case game != nil:
				return fmt.Sprintf("`%s`, game %s: %s", kind, game[1], game[2]), nil
			case crash != nil:
				return fmt.Sprintf("`%s` panics: %s", kind, crash[1]), nil
			case ctx.Err() != nil:
				return "", fmt.Errorf("it does not end within %v", mutationTime)
			}
			// A run may fail since its games did not get to what they are about: that finds no fault.
			if err != nil && !failedOne.Match(out) {
				return "", fmt.Errorf("%w\n%s", err, out)
			}
		}
	}
	return "", fmt.Errorf("not found in %d games of each kind", mutationGames())
}

// test runs a test that has to fail.
func (b build) test(name string, c *exec.Cmd) (string, error) {
	out, err := c.CombinedOutput()
	switch {
	case err == nil:
		return "", fmt.Errorf("not found by %s", name)
	case failedOne.Match(out), panicked.Match(out):
		return "`" + name + "`", nil
	}
	return "", fmt.Errorf("%s: %w\n%s", name, err, out)
}
