package render

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// inWords is an error of a run without the names that types have in Go. Of a field that
// a value does not have, it names the one that was probably meant, or all that there are.
func (t *Template) inWords(err error) error {
	text := err.Error()
	noField := regexp.MustCompile(`can't evaluate field (\w+) in type (interface \{\}|[^\s:;]+)`)
	changed := noField.ReplaceAllStringFunc(text, func(found string) string {
		parts := noField.FindStringSubmatch(found)
		return t.withoutField(parts[1], parts[2])
	})
	noValue := regexp.MustCompile(`nil pointer evaluating (?:interface \{\}|[^\s:;.]+(?:\.\w+)?)\.(\w+)`)
	changed = noValue.ReplaceAllString(changed, "there is no value to take .$1 of")
	changed = regexp.MustCompile(`(?s)(range can't iterate over) .*$`).ReplaceAllString(changed, "$1 a value that is no list and no map")
	wrong := regexp.MustCompile(`(expected|got) (interface \{\}|[\[\]*]*(?:map\[\w+\])?[\[\]*]*(?:\w+\.\w+|interface \{\}))`)
	changed = wrong.ReplaceAllStringFunc(changed, func(found string) string {
		parts := wrong.FindStringSubmatch(found)
		return parts[1] + " " + typeInWords(parts[2])
	})
	if changed == text {
		return err
	}
	return &placed{changed, err}
}

func (t *Template) withoutField(field, typeName string) string {
	text := fmt.Sprintf("%s has no field .%s", typeInWords(typeName), field)
	if strings.HasPrefix(typeName, "[]") {
		return text + ": range goes through a list, first gives its first element"
	}
	names := fieldsOf(t.typeNamed(strings.TrimLeft(typeName, "*")))
	switch near := similar(field, names); {
	case len(names) == 0:
		return text
	case near != "":
		text += fmt.Sprintf(", did you mean .%s?", near)
	}
	return text + "; it has ." + strings.Join(names, ", .")
}

// typeInWords is what a Go type is called in a message.
func typeInWords(name string) string {
	name = strings.TrimLeft(name, "*")
	_, short, qualified := strings.Cut(name, ".")
	switch {
	case name == "interface {}":
		return "the value"
	case strings.HasPrefix(name, "[]"):
		element := strings.TrimLeft(name, "[]*")
		if _, short, ok := strings.Cut(element, "."); ok {
			return "a list of " + strings.TrimSuffix(short, "s") + "s"
		}
		return "a list"
	case strings.HasPrefix(name, "map["):
		return "a map"
	case qualified:
		return "one " + short
	case name == "bool":
		return "a boolean"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "an integer"
	case strings.HasPrefix(name, "float"):
		return "a decimal number"
	}
	return "a " + name
}

// maxTypes is how many types are looked at for one with a name.
const maxTypes = 1000

// typeNamed is the type of that name among those that functions give, and that the
// fields and methods of these have; nil when there is none.
func (t *Template) typeNamed(name string) reflect.Type {
	var types []reflect.Type
	seen := map[reflect.Type]bool{}
	add := func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() == reflect.Struct && !seen[of] && len(types) < maxTypes {
			seen[of] = true
			types = append(types, of)
		}
	}
	for _, functions := range t.funcs {
		for _, f := range functions {
			if of := reflect.TypeOf(f); of.Kind() == reflect.Func && of.NumOut() > 0 {
				add(of.Out(0))
			}
		}
	}
	for i := 0; i < len(types); i++ {
		if types[i].String() == name {
			return types[i]
		}
		for _, f := range reflect.VisibleFields(types[i]) {
			if f.IsExported() {
				add(f.Type)
			}
		}
		for m := range reflect.PointerTo(types[i]).NumMethod() {
			if of := reflect.PointerTo(types[i]).Method(m).Type; of.NumOut() > 0 {
				add(of.Out(0))
			}
		}
	}
	return nil
}

// fieldsOf are the names of the fields and methods of a type that templates can use,
// sorted.
func fieldsOf(of reflect.Type) []string {
	if of == nil {
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(of) {
		if f.IsExported() && !f.Anonymous {
			names = append(names, f.Name)
		}
	}
	for m := range reflect.PointerTo(of).NumMethod() {
		if name := reflect.PointerTo(of).Method(m).Name; name != "String" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
