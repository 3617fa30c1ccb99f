package render

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// confds are functions that confd and consul-template have, and sprig and Helm do not.
func confds() map[string]any {
	return map[string]any{"getenv": getenv, "parseBool": parseBool}
}

// synonyms are names of confd and consul-template for functions of sprig and Helm.
func synonyms(functions []map[string]any) map[string]any {
	all := map[string]any{}
	for name, same := range sameAs() {
		for _, funcs := range functions { // the last counts
			if f, there := funcs[same]; there {
				all[name] = f
			}
		}
	}
	return all
}

func sameAs() map[string]string {
	return map[string]string{
		"toUpper": "upper", "toLower": "lower", "base64Encode": "b64enc", "base64Decode": "b64dec", "json": "fromJson", "jsonArray": "fromJsonArray",
	}
}

// getenv is an environment variable, or the default where that is empty or not set.
func getenv(name string, otherwise ...string) string {
	value := os.Getenv(name)
	if value == "" && len(otherwise) > 0 {
		return otherwise[0]
	}
	return value
}

func parseBool(text string) (bool, error) {
	b, err := strconv.ParseBool(strings.TrimSpace(text))
	if err != nil {
		return false, fmt.Errorf("want true or false: %w", shortened(err))
	}
	return b, nil
}

// toYAMLPretty is toYAML with lists further in than what they belong to, as Helm's
// toYamlPretty has it.
func toYAMLPretty(v any) (string, error) {
	text, err := toYAML(v)
	if err != nil {
		return "", err
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text+"\n"), &document); err != nil {
		return "", err
	}
	var pretty bytes.Buffer
	encoder := yaml.NewEncoder(&pretty)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return "", err
	}
	return strings.TrimSuffix(pretty.String(), "\n"), encoder.Close()
}
