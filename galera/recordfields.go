package galera

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// checkFields demands of JSON that was read that each field is there once, and is spelled as in a
// record: encoding/json takes any case, and the last of two.
func checkFields(text string) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return checkValue(decoder, "", true)
}

// checkValue checks a value at a path, and how its fields are spelled where the path is known.
func checkValue(decoder *json.Decoder, path string, known bool) error {
	token, err := decoder.Token()
	delimiter, nested := token.(json.Delim)
	if err != nil || !nested {
		return err
	}
	seen := map[string]bool{}
	for decoder.More() {
		field, inside := path, known
		if delimiter == '{' {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			name := token.(string) // it was JSON before
			field = strings.TrimPrefix(path+"."+name, ".")
			want, ours := fieldNames[strings.ToLower(name)]
			inside = known && ours && field != "bootstrap.over" && field != "overruled"
			switch {
			case seen[name]:
				return fmt.Errorf("field %q: it is there twice", oneLine(field))
			case known && ours && want != name:
				return fmt.Errorf("field %q: want it spelled %q", oneLine(field), want)
			}
			seen[name] = true
		}
		if err := checkValue(decoder, field, inside); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// fieldNames are those of a record, by their names in small letters.
var fieldNames = namesOf(reflect.TypeFor[General](), reflect.TypeFor[Node](), reflect.TypeFor[Decree](), reflect.TypeFor[Fork](), reflect.TypeFor[Lost](), reflect.TypeFor[View](), reflect.TypeFor[NonPrimary]())

func namesOf(types ...reflect.Type) map[string]string {
	names := map[string]string{}
	for _, t := range types {
		for i := range t.NumField() {
			field := t.Field(i)
			if field.Anonymous {
				maps.Copy(names, namesOf(field.Type))
				continue
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names[strings.ToLower(name)] = name
		}
	}
	return names
}
