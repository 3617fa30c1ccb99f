package lint

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// reordered are the functions that sprig has with the text as the last argument, and
// confd and Go's strings with the text as the first.
func reordered() []string {
	return []string{"split", "splitList", "contains", "trimSuffix", "trimPrefix", "hasPrefix", "hasSuffix", "join", "replace"}
}

// order finds calls whose arguments are in the order of another tool. It reports
// whether it has found one: what else is wrong with it follows from that.
func (c *check) order(f *parse.IdentifierNode, args []argument) bool {
	text := f.Ident == "regexReplaceAll"
	switch {
	case text && len(args) == 3:
		// consul-template has the text as the last argument, and sprig as the second.
		if !isLiteral(args[1]) || isLiteral(args[2]) && args[2].node != nil {
			return false
		}
	case !slices.Contains(reordered(), f.Ident) || len(args) < 2:
		return false
	case !c.swapped(f.Ident, args):
		return false
	}
	severity := Warning
	if c.src.Confd && !text {
		severity = Error
	}
	tools := "confd and Go"
	if text {
		tools = "consul-template"
	}
	c.add(f.Pos, severity, RuleOrder, fmt.Sprintf("%s: the arguments are in the order of %s", f.Ident, tools), c.corrected(f.Ident, args))
	return true
}

// swapped reports whether the text comes first and the part last.
func (c *check) swapped(function string, args []argument) bool {
	first, last := args[0], args[len(args)-1]
	if !isLiteral(first) {
		return isLiteral(last) && last.node != nil
	}
	if !isLiteral(last) {
		return false
	}
	part := last
	if function == "replace" {
		part = args[1]
	}
	text, ok := first.text()
	inner, also := part.text()
	other, both := last.text()
	if !ok || !also || !both || function == "join" {
		return false
	}
	return strings.Contains(text, inner) && !strings.Contains(other, text)
}

func isLiteral(a argument) bool { return a.literal != nil }

// corrected is a call as it is to be written.
func (c *check) corrected(function string, args []argument) string {
	var words []string
	for _, a := range args {
		if a.node == nil {
			return usages()[function] // through a pipeline
		}
		words = append(words, written(a.node))
	}
	switch {
	case function == "regexReplaceAll":
		words[1], words[2] = words[2], words[1]
	case function == "replace" && len(words) >= 3:
		words = []string{words[1], words[2], words[0]}
	default:
		words = append(slices.Clone(words[1:]), words[0])
	}
	if function == "split" {
		// confd's gives a list, too.
		return "write splitList " + strings.Join(words, " ") + "; split gives a map"
	}
	return "write " + function + " " + strings.Join(words, " ")
}

// written is a node as it is to be written as an argument.
func written(n parse.Node) string {
	if _, ok := n.(*parse.PipeNode); ok {
		return "(" + n.String() + ")"
	}
	return n.String()
}

// objectName checks the literal names and selectors of objects.
func (c *check) objectName(f *parse.IdentifierNode, args []argument) {
	if len(args) == 0 {
		return
	}
	name, ok := args[0].text()
	if !ok {
		return
	}
	at := f.Pos
	if args[0].node != nil {
		at = startOf(args[0].node)
	}
	switch f.Ident {
	case "service":
		if faults := validation.IsDNS1123Label(name); len(faults) > 0 {
			c.add(at, Error, RuleName, fmt.Sprintf("service: no Service can have the name %q", name), usages()["service"])
			return
		}
	case "endpoints", "pod", "node", "statefulSet", "configMap", "secret":
		if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
			c.add(at, Error, RuleName, fmt.Sprintf("%s: no object can have the name %q", f.Ident, name), usages()[f.Ident])
			return
		}
	case "services", "pods", "nodes", "configMaps", "secrets":
		if _, err := labels.Parse(name); err != nil {
			c.add(at, Error, RuleName, fmt.Sprintf("%s: %q is no label selector", f.Ident, name), usages()[f.Ident])
			return
		}
	}
	if f.Ident == "service" && len(args) == 2 {
		// The second is a namespace, and consul-template's is a state.
		if filter, ok := args[1].text(); ok && slices.Contains([]string{"any", "passing", "warning", "critical", "passing,warning", "passing, warning"}, filter) {
			c.add(f.Pos, Error, RuleName, fmt.Sprintf("service: the second argument is a namespace, and %q is a state in consul-template", filter), usages()["service"])
		}
	}
}
