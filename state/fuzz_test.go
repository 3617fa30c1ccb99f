package state

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func encode(d document) ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{version, sum(text), text})
}

// Whatever stands in a document, it is damaged or reads as what was kept.
func FuzzDocument(f *testing.F) {
	whole, err := encode(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	for _, seed := range []string{"", "{", "null", `{"version":1,"sha256":"","document":null}`, `{"version":1e99}`, `{"version":1,"document":[[[[`, `{"Version":1,"version":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got document
		if decode(text, &got) != nil {
			return
		}
		again, err := encode(got)
		if err != nil {
			t.Fatal(err)
		}
		var second document
		if err := decode(again, &second); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, second); diff != "" {
			t.Errorf("-first +second:\n%s", diff)
		}
	})
}
