package galera

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func init() {
	flag.Bool("model.mutations", false, "play games without each guard of the code, which takes an hour")
	flag.String("model.mutation", "", "with -model.mutations: only those whose name matches this")
}

// A mutation takes one guard away from the code.
type mutation struct {
	name, file string
	old, new   string

	// Why no game finds it; empty for one that has to be found.
	because string
}

// mutationGames is how many games have to find that a guard is missing, unless -model.games asks for more
// than a short run.
func mutationGames() uint64 {
	if games := modelFlag("model.games"); games > shortGames {
		return games
	}
	return 20000
}

// TestMutations holds the list of guards against the code: each is there once. With -model.mutations
// it plays without each of them, and prints after how many games a fault was found.
func TestMutations(t *testing.T) {
	t.Parallel()
	run := flag.Lookup("model.mutations").Value.(flag.Getter).Get().(bool)
	only := regexp.MustCompile(flag.Lookup("model.mutation").Value.String())
	for _, m := range mutations() {
		source, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 {
			t.Errorf("%s: %q is %d times in %s", m.name, m.old, n, m.file)
			continue
		}
		if !run || !only.MatchString(m.file+": "+m.name) {
			continue
		}
		found := m.play(t, strings.Replace(string(source), m.old, m.new, 1))
		fmt.Printf("%-12s %-62s %s\n", m.file, m.name, found)
		if found == notFound && m.because == "" {
			t.Errorf("%s: %s", m.name, found)
		}
	}
}

const notFound = "not found"

// play plays games with the changed source, and says what came of them.
func (m mutation) play(t *testing.T, source string) string {
	dir := t.TempDir()
	here, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	changed, overlay, binary := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "model.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {here: changed}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, changed, source)
	writeFile(t, overlay, string(replace))
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", m.name, err, out)
		return "does not compile"
	}
	out, err := exec.CommandContext(t.Context(), binary, "-test.run=^TestModel$", "-test.timeout=20m", fmt.Sprintf("-model.games=%d", mutationGames())).CombinedOutput()
	game := regexp.MustCompile(`game (\d+), seed \d+, theme [^:]*: (.*)`).FindSubmatch(out)
	switch {
	case game != nil:
		return fmt.Sprintf("%5s games: %.90s", game[1], game[2])
	case err != nil:
		first, _, _ := strings.Cut(string(out), "\n")
		return "fails: " + first
	case m.because != "":
		return notFound + ": " + m.because
	}
	return notFound
}
