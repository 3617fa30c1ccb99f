package lint

import (
	"fmt"
	"regexp"
	"strings"
)

// concrete is a hint for the call of a function of another tool that has its
// arguments, where these are literals; empty for others.
func concrete(function string, args []argument) string {
	if len(args) == 0 {
		return ""
	}
	path, ok := args[0].text()
	if !ok && len(args) > 1 && (function == "getv" || function == "keyOrDefault") {
		return `write get (configMap "NAME") "KEY"` + otherwise(args)
	}
	if !ok {
		return ""
	}
	if function == "getenv" {
		return fmt.Sprintf("write env %q", path) + otherwise(args)
	}
	from := "configMap"
	if strings.HasPrefix(function, "cget") {
		from = "secret"
	}
	key := path[strings.LastIndex(path, "/")+1:]
	if key == "" || strings.ContainsAny(key, "*?[") {
		return ""
	}
	switch function {
	case "getv", "get", "key", "keyOrDefault", "cget", "cgetv":
		if len(args) > 1 {
			return fmt.Sprintf(`write get (%s "NAME") %q`, from, key) + otherwise(args)
		}
		if regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(key) {
			return fmt.Sprintf(`write (%s "NAME").%s`, from, key)
		}
		return fmt.Sprintf(`write index (%s "NAME") %q`, from, key)
	case "exists", "keyExists":
		return fmt.Sprintf(`write hasKey (configMap "NAME") %q; for a service: if endpoints "NAME" | ready`, key)
	}
	return ""
}

// otherwise is the default that a call has as its second argument.
func otherwise(args []argument) string {
	if len(args) < 2 || args[1].node == nil {
		return ""
	}
	return " | default " + written(args[1].node)
}
