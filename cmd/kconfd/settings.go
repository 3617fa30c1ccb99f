package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/internal/steady"
	"github.com/kconfd/kconfd/render"
	"github.com/kconfd/kconfd/watcher"
)

// maxSettingFile is how large a file may be that a setting reads.
const maxSettingFile = 64 << 10

// A settingRenderer is what {{ }} in keys may use, and what they have used. The cluster is not among it:
// settings are rendered when the configuration is read.
type settingRenderer struct {
	limits  limits.Limits
	files   *steady.Files
	reads   []string // files
	secrets []string
	secret  bool            // what is rendered now may have secrets
	empty   map[string]bool // variables that were read, and are not set or empty
	mark    string          // given for the variable of the name standIn
	standIn string
	literal []string // what looks like a variable and is none, for lint
}

// render renders the value of a key. With secrets, secretEnv is among the functions.
func (s *settingRenderer) render(key, text string, secret bool, data map[string]any) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	funcs := map[string]any{"env": s.env, "getenv": s.getenv, "file": s.file, "self": selfHere}
	if s.secret = secret; secret {
		funcs["secretEnv"] = s.secretEnv
	}
	t, err := render.Parse(render.Source{Name: key, Text: text, Funcs: funcs, Limits: s.limits})
	if err != nil {
		return "", explainSetting(err)
	}
	s.empty = map[string]bool{}
	out, err := t.Execute(data)
	if err != nil {
		return "", explainSetting(err)
	}
	rendered := string(out)
	for _, name := range slices.Sorted(maps.Keys(s.empty)) {
		if s.prints(t, data, name, rendered) {
			return "", &advisedError{fmt.Errorf("the environment variable %s is not set, or is empty", name), fmt.Sprintf(`set it, or write {{ env %q | default "VALUE" }}`, name)}
		}
	}
	return rendered, nil
}

// prints says whether an empty variable goes right into the text, rather than being asked
// about: then another value of it is all that another run differs by.
func (s *settingRenderer) prints(t *render.Template, data map[string]any, name, rendered string) bool {
	const mark = "\ue000"
	s.standIn, s.mark = name, mark
	defer func() { s.standIn, s.mark = "", "" }()
	out, err := t.Execute(data)
	return err == nil && strings.Contains(string(out), mark) && strings.ReplaceAll(string(out), mark, "") == rendered
}

func (s *settingRenderer) env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		s.empty[name] = true
		if name == s.standIn {
			return s.mark
		}
	}
	return value
}

// getenv is confd's.
func (s *settingRenderer) getenv(name string, fallback ...string) string {
	if value := os.Getenv(name); value == "" && len(fallback) > 0 {
		return fallback[0]
	}
	return s.env(name)
}

func (s *settingRenderer) secretEnv(name string) string {
	value := s.env(name)
	s.hide(value)
	return value
}

// file gives what is in a file, without line breaks at its end. It counts as a secret, but not
// in a path, which is no place for one.
func (s *settingRenderer) file(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("file %q: want an absolute path", path)
	}
	if !slices.Contains(s.reads, path) {
		s.reads = append(s.reads, path)
	}
	content, err := s.files.ReadFile(path, maxSettingFile)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if s.secret {
		s.hide(text)
	}
	return text, nil
}

func (s *settingRenderer) hide(value string) {
	if value != "" && value != s.mark && !slices.Contains(s.secrets, value) {
		s.secrets = append(s.secrets, value)
	}
}

// selfHere is self, as far as it is known without the cluster.
func selfHere() (map[string]any, error) { return watcher.SelfOfEnvironment() }

// explainSetting says why a function of templates is not there.
func explainSetting(err error) error {
	var unknown *render.UnknownFunctionError
	if errors.As(err, &unknown) && slices.Contains(clusterFunctions(), unknown.Function) {
		return fmt.Errorf("%q is not to be had here, where the cluster is not known: use env, file, or a template", unknown.Function)
	}
	return err
}

// clusterFunctions are those that only templates have.
func clusterFunctions() []string {
	reader := watcher.NewOffline().NewReader()
	defer reader.Close()
	return slices.Sorted(maps.Keys(reader.Funcs()))
}

// dest renders the path of a file.
func (s *settingRenderer) dest(text string) (string, error) {
	if found := variable().FindString(actions().ReplaceAllString(text, "")); found != "" {
		return "", fmt.Errorf("%s is not replaced: write {{ env %q }}, or {{ \"$\" }} for a dollar sign", found, strings.Trim(found, "${}"))
	}
	dest, err := s.render("dest", text, false, map[string]any{})
	switch {
	case err != nil:
		return "", err
	case dest == text:
		return dest, nil
	case strings.TrimSpace(dest) == "":
		return "", errors.New("it is empty")
	case strings.ContainsFunc(dest, unicode.IsControl):
		return "", fmt.Errorf("%q has a line break or another control character in it", dest)
	case slices.Contains(strings.Split(dest, "/"), ".."):
		return "", fmt.Errorf("%q has .. in it, which leads upwards", dest)
	case strings.HasSuffix(dest, "/"):
		return "", fmt.Errorf("%q is a directory", dest)
	}
	return dest, nil
}

// variable is what a shell would replace.
func variable() *regexp.Regexp { return regexp.MustCompile(`\$(\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)`) }

// actions are what a template replaces.
func actions() *regexp.Regexp { return regexp.MustCompile(`(?s)\{\{.*?\}\}`) }

// literal refuses what would be taken literally, and is meant for something else.
func literal(text string) error {
	if strings.Contains(text, "{{") {
		return errors.New("{{ }} is not rendered here")
	}
	if found := variable().FindString(text); found != "" {
		return fmt.Errorf("%s is not replaced here", found)
	}
	return nil
}

// notLiteral are the keys in which {{ }} and $ have a meaning, or may be meant as they are.
func notLiteral() []string {
	return []string{
		"dest", "url", "header", "body", // by settings
		"contents", "args", "env", // templates
		"command", "check_cmd", "reload_cmd", "verify_cmd", "precondition_cmd", // commands
		"pre_start", "post_start", "pre_stop", "post_stop", "ready_cmd",
		"values", "delims", "keys", "prefix",
	}
}

// refuseLiterals refuses {{ }} and $NAME in keys that are taken literally.
func refuseLiterals(raw any) error {
	return refuseIn(reflect.ValueOf(raw), nil)
}

func refuseIn(v reflect.Value, path []string) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return refuseIn(v.Elem(), path)
	case reflect.String:
		if err := literal(v.String()); err != nil {
			return &keyError{path, err}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := refuseIn(v.Index(i), append(slices.Clone(path), fmt.Sprint(i))); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			key := v.Type().Field(i).Tag.Get("toml")
			if slices.Contains(notLiteral(), key) {
				continue
			}
			if err := refuseIn(v.Field(i), append(slices.Clone(path), key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// action renders what an HTTP request is made of.
func (s *settingRenderer) action(r *rawReload, data map[string]any) (*rawReload, error) {
	if r == nil {
		return nil, nil
	}
	c := *r
	var err error
	s.noteLiteral("url", r.URL)
	s.noteLiteral("body", r.Body)
	if c.URL, err = s.render("url", r.URL, true, data); err != nil {
		return nil, &keyError{[]string{"reload", "url"}, err}
	}
	if c.Body, err = s.render("body", r.Body, true, data); err != nil {
		return nil, &keyError{[]string{"reload", "body"}, err}
	}
	c.Header = maps.Clone(r.Header)
	for _, name := range slices.Sorted(maps.Keys(c.Header)) {
		s.noteLiteral("header "+name, r.Header[name])
		c.Header[name], err = s.render("header "+name, r.Header[name], true, data)
		if err == nil && c.Header[name] != r.Header[name] && strings.ContainsAny(c.Header[name], "\r\n\x00") {
			err = errors.New("the value has a line break or NUL in it")
		}
		if err != nil {
			return nil, &keyError{[]string{"reload", "header", name}, err}
		}
	}
	return &c, nil
}

// noteLiteral notes a variable of a shell in a value where a dollar sign may also be meant.
func (s *settingRenderer) noteLiteral(key, text string) {
	shouted := regexp.MustCompile(`\$(\{[A-Za-z_]\w*\}|[A-Z_][A-Z0-9_]+)`)
	if found := shouted.FindString(text); found != "" {
		s.literal = append(s.literal, fmt.Sprintf("%s: %s is taken literally; the environment variable is {{ env %q }}", key, found, strings.Trim(found, "${}")))
	}
}
