package reload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is refused is what the kernel refuses, and no more than that.
func TestLimitsOfTheKernel(t *testing.T) {
	kernelTakes := func(argv, env []string) bool {
		c := Child{Argv: append([]string{"/bin/true"}, argv...), Env: env}
		p, err := Launcher{}.Start(c, func() {})
		if err != nil {
			return false
		}
		p.Wait()
		fatal(t, p.Gone(t.Context()))
		return true
	}
	for _, size := range []int{0, 1, maxWord, maxWord + 1, 200_000} {
		word := strings.Repeat("x", size)
		if takes, allowed := kernelTakes([]string{word}, nil), CheckWord(word) == nil; takes != allowed {
			t.Errorf("%d bytes: the kernel takes it: %t, and it is allowed: %t", size, takes, allowed)
		}
	}
	word := strings.Repeat("x", 100_000)
	for count := 1; ; count++ {
		words := make([]string, count)
		for i := range words {
			words[i] = word
		}
		err := CheckWords(words, nil)
		if takes := kernelTakes(words, nil); err == nil && !takes {
			t.Fatalf("%d words are allowed, and the kernel does not take them", count)
		}
		var refused *LineError
		if err != nil {
			if less := words[:count-1]; !errors.As(err, &refused) || !kernelTakes(less, nil) {
				t.Errorf("%d words: got %v", count, err)
			}
			return
		}
	}
}

func TestCheckOfAProgram(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		fatal(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	script := write("script", "#! /bin/sh -e\n", 0o755)
	for name, test := range map[string]struct {
		c    Child
		code int // 0: it can be started
	}{
		"a program":                  {Child{Argv: []string{"/bin/true"}}, 0},
		"in PATH":                    {Child{Argv: []string{"true"}}, 0},
		"in the child's PATH":        {Child{Argv: []string{"script"}, Env: []string{"PATH=" + dir}}, 0},
		"not in the child's PATH":    {Child{Argv: []string{"true"}, Env: []string{"PATH=" + dir}}, 127},
		"a script":                   {Child{Argv: []string{script}}, 0},
		"a script of a script":       {Child{Argv: []string{write("second", "#!"+script+"\n", 0o755)}}, 0},
		"beside its directory":       {Child{Argv: []string{"./script"}, Dir: dir}, 0},
		"not beside its directory":   {Child{Argv: []string{"./none"}, Dir: dir}, 127},
		"no directory":               {Child{Argv: []string{"/bin/true"}, Dir: dir + "/none"}, 126},
		"a file as directory":        {Child{Argv: []string{"/bin/true"}, Dir: script}, 126},
		"not executable":             {Child{Argv: []string{write("text", "#!/bin/sh\n", 0o644)}}, 126},
		"no interpreter":             {Child{Argv: []string{write("bad", "#!/none\n", 0o755)}}, 126},
		"its own interpreter":        {Child{Argv: []string{write("own", "#!"+dir+"/own\n", 0o755)}}, 126},
		"no name of an interpreter":  {Child{Argv: []string{write("anon", "#!\n", 0o755)}}, 126},
		"neither program nor script": {Child{Argv: []string{write("words", "echo\n", 0o755)}}, 126},
		"empty":                      {Child{Argv: []string{write("empty", "", 0o755)}}, 126},
	} {
		t.Run(name, func(t *testing.T) {
			err := Launcher{}.Check(test.c)
			var start *StartError
			if test.code == 0 && err != nil || test.code != 0 && (!errors.As(err, &start) || start.Code != test.code) {
				t.Errorf("got %v, want code %d", err, test.code)
			}
			if p, err := (Launcher{}).Start(test.c, func() {}); (err == nil) != (test.code == 0) {
				t.Errorf("starting it gave %v, want code %d", err, test.code)
			} else if err == nil {
				p.Wait()
				fatal(t, p.Gone(t.Context()))
			}
		})
	}
}
