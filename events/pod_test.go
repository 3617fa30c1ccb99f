package events

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

func TestSelf(t *testing.T) {
	token := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	bound := token(`{"sub": "system:serviceaccount:shop:web", "kubernetes.io": {"namespace": "shop", "pod": {"name": "web-0", "uid": "u-1"}, "serviceaccount": {"name": "web"}}}`)
	for name, test := range map[string]struct {
		env   map[string]string
		token string
		want  Pod
		found bool
	}{
		"nothing":                   {nil, "", Pod{}, false},
		"by token":                  {nil, bound, Pod{"shop", "web-0", "u-1"}, true},
		"by environment":            {map[string]string{"POD_NAME": "a", "POD_NAMESPACE": "b", "POD_UID": "c"}, "", Pod{"b", "a", "c"}, true},
		"by both":                   {map[string]string{"POD_NAME": "web-0", "POD_NAMESPACE": "shop"}, bound, Pod{"shop", "web-0", "u-1"}, true},
		"a name without the rest":   {map[string]string{"POD_NAME": "web-0"}, "", Pod{"", "web-0", ""}, false},
		"the token of another":      {map[string]string{"POD_NAME": "a", "POD_NAMESPACE": "b"}, bound, Pod{"b", "a", ""}, true},
		"an old token without pod":  {nil, token(`{"kubernetes.io/serviceaccount/namespace": "shop"}`), Pod{}, false},
		"no token, but three parts": {nil, "a.b.c", Pod{}, false},
		"not base64":                {nil, "a.!.c", Pod{}, false},
		"no token at all":           {nil, "hunter2", Pod{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, key := range []string{"POD_NAME", "POD_NAMESPACE", "POD_UID"} {
				t.Setenv(key, test.env[key])
			}
			file := filepath.Join(t.TempDir(), "token")
			if test.token != "" {
				if err := os.WriteFile(file, []byte(test.token), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, found := Self(file); got != test.want || found != test.found {
				t.Errorf("got %+v, %t, want %+v, %t", got, found, test.want, test.found)
			}
		})
	}
}
