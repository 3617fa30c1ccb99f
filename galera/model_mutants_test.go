package galera

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"slices"
	"strings"
)

// mutantVariable is the environment variable that says which mutation a test binary with all of them
// carries out, from 1 on.
const mutantVariable = "KCONFD_GALERA_MUTANT"

// An edit is one change of a function's text, at an offset of its file.
type edit struct {
	at       int
	old, new string
}

// A variant is a function with the changes of one mutation.
type variant struct {
	mutant int
	edits  []edit
}

// mutants is the source of the files with all mutations. Each function that a mutation changes is there as it
// is, once for each mutation, and once as the one that chooses between them by the variable mutant: so all
// mutations need one build. A mutation that does not compile is named by the compiler as guard_N.go.
func mutants(sources map[string]string, all [][]mutation) (map[string]string, error) {
	made := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		source := sources[name]
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), "", source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		functions := map[*ast.FuncDecl][]variant{}
		for i, parts := range all {
			for _, m := range parts {
				if m.file != name {
					continue
				}
				e := edit{strings.Index(source, m.old), m.old, m.new}
				f := functionAt(parsed, e)
				if f == nil {
					return nil, fmt.Errorf("%s: %q is not in a function", m.name, m.old)
				}
				variants := functions[f]
				if len(variants) == 0 || variants[len(variants)-1].mutant != i+1 {
					variants = append(variants, variant{mutant: i + 1})
				}
				last := &variants[len(variants)-1]
				last.edits = append(last.edits, e)
				functions[f] = variants
			}
		}
		made[name] = withVariants(source, parsed, functions)
	}
	return made, nil
}

// functionAt is the function in whose body an edit is. Offsets are positions less one in a file that is
// alone in its set.
func functionAt(f *ast.File, e edit) *ast.FuncDecl {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && int(fn.Body.Lbrace) <= e.at+1 && e.at+len(e.old) < int(fn.End()) {
			return fn
		}
	}
	return nil
}

// withVariants is the source of a file with all variants of its functions.
func withVariants(source string, f *ast.File, functions map[*ast.FuncDecl][]variant) string {
	var changed, added bytes.Buffer
	from := 0
	text := func(n ast.Node) string { return source[n.Pos()-1 : n.End()-1] }
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		variants := functions[fn]
		if !ok || len(variants) == 0 {
			continue
		}
		name, end := int(fn.Name.Pos()-1), int(fn.Name.End()-1)
		start, last := int(fn.Type.Pos()-1), int(fn.End()-1)
		changed.WriteString(source[from:end] + "_unchanged")
		from = end
		for _, v := range variants {
			fmt.Fprintf(&added, "\n//line guard_%d.go:1\n%s%s_%d", v.mutant, source[start:name], fn.Name.Name, v.mutant)
			slices.SortFunc(v.edits, func(a, b edit) int { return a.at - b.at })
			at := end
			for _, e := range v.edits {
				added.WriteString(source[at:e.at] + e.new)
				at = e.at + len(e.old)
			}
			added.WriteString(source[at:last] + "\n")
		}
		// The one that chooses.
		receiver, call := "", ""
		if fn.Recv != nil {
			receiver, call = "(receiver "+text(fn.Recv.List[0].Type)+") ", "receiver."
		}
		var parameters, arguments []string
		for _, field := range fn.Type.Params.List {
			for range max(1, len(field.Names)) {
				p := fmt.Sprintf("p%d", len(parameters))
				parameters = append(parameters, p+" "+text(field.Type))
				if _, variadic := field.Type.(*ast.Ellipsis); variadic {
					p += "..."
				}
				arguments = append(arguments, p)
			}
		}
		results, back := "", ""
		if fn.Type.Results != nil {
			results, back = text(fn.Type.Results), "return "
		}
		with := "(" + strings.Join(arguments, ", ") + ")\n"
		fmt.Fprintf(&added, "\n//line choice.go:1\nfunc %s%s(%s) %s {\n\tswitch mutant {\n", receiver, fn.Name.Name, strings.Join(parameters, ", "), results)
		for _, v := range variants {
			fmt.Fprintf(&added, "\tcase %d:\n\t\t%s%s%s_%d%s", v.mutant, back, call, fn.Name.Name, v.mutant, with)
		}
		fmt.Fprintf(&added, "\tdefault:\n\t\t%s%s%s_unchanged%s\t}\n}\n", back, call, fn.Name.Name, with)
	}
	return changed.String() + source[from:] + added.String()
}
