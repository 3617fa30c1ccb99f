package lint

import "strings"

// What stands in several hints.
const (
	ofConfigMap = `values come from ConfigMaps: (configMap "NAME").KEY`
	ofEndpoints = `the members of a service are endpoints "NAME" | ready, each with .Address and .Port "NAME"`
	ofSecret    = `(secret "NAME").KEY reads a Secret of Kubernetes`
	noEffects   = "templates have no side effects and run no programs: do that in a command of the resource file"
)

// Instead returns what to write in the place of a function of confd, consul-template
// or another tool of this kind; an empty string for names that these do not have.
func Instead(function string) string {
	for _, table := range []map[string]string{confdFunctions(), consulFunctions(), goFunctions()} {
		if hint := table[function]; hint != "" {
			if !strings.ContainsAny(hint, " .") {
				return "write " + hint
			}
			return hint
		}
	}
	return ""
}

// confdFunctions are those of confd and of its forks.
func confdFunctions() map[string]string {
	return map[string]string{
		"getv":   ofConfigMap + `, and with a default: get (configMap "NAME") "KEY" | default "VALUE"`,
		"get":    ofConfigMap,
		"gets":   `range $key, $value := configMap "NAME" goes through the keys of a ConfigMap`,
		"getvs":  `values (configMap "NAME") are the values of a ConfigMap, endpoints "NAME" | ready the members of a service`,
		"exists": `hasKey (configMap "NAME") "KEY"; for a member of a service: if endpoints "NAME" | ready`,
		"ls":     `keys (configMap "NAME") are the keys of a ConfigMap; services "LABEL=VALUE" lists Services`,
		"lsdir":  `services "LABEL=VALUE" lists Services, keys (configMap "NAME") the keys of a ConfigMap`,

		"cget": ofSecret, "cgetv": ofSecret,
		"cgets":  `range $key, $value := secret "NAME" goes through the keys of a Secret`,
		"cgetvs": `values (secret "NAME") are the values of a Secret`,

		"getenv":          `env "NAME" | default "VALUE"; secretEnv for what is secret`,
		"hostname":        "self.Name is the name of this pod",
		"lookupIP":        ofEndpoints,
		"lookupIPV4":      ofEndpoints + "; .Addresses has those of both IP families",
		"lookupIPV6":      ofEndpoints + "; .Addresses has those of both IP families",
		"lookupSRV":       ofEndpoints,
		"lookupIfaceIPV4": "self.IP is the address of this pod",
		"lookupIfaceIPV6": "self.Pod.IPs are the addresses of this pod",
		"fileExists":      "templates read no files: mount its content as a ConfigMap and ask with hasKey",

		"json":           "fromJson",
		"jsonArray":      "fromJsonArray",
		"map":            `dict "KEY" VALUE …`,
		"toUpper":        "upper",
		"toLower":        "lower",
		"base64Encode":   "b64enc",
		"base64Decode":   "b64dec",
		"parseBool":      `eq VALUE "true"`,
		"datetime":       "there is no clock in templates, since each render would change the file",
		"sortByLength":   "sortAlpha sorts by the alphabet; the lists that functions give are sorted",
		"sortKVByLength": "the lists that functions give are sorted",
	}
}

// consulFunctions are those of consul-template, remco and docker-gen.
func consulFunctions() map[string]string {
	return map[string]string{
		"key":          ofConfigMap,
		"keyExists":    `hasKey (configMap "NAME") "KEY"`,
		"keyOrDefault": `get (configMap "NAME") "KEY" | default "VALUE"`,
		"safeLs":       `range $key, $value := configMap "NAME"`,
		"tree":         `range $key, $value := configMap "NAME" goes through the keys of a ConfigMap`,
		"safeTree":     `range $key, $value := configMap "NAME" goes through the keys of a ConfigMap`,
		"datacenters":  "one namespace of one cluster is read; the zone of a member is .Zone of endpoints",
		"partitions":   "one namespace of one cluster is read",
		"peerings":     "one namespace of one cluster is read",
		"connect":      ofEndpoints,
		"secrets":      `secrets are named: (secret "NAME").KEY`,
		"pkiCert":      `have cert-manager make the certificate: index (secret "NAME") "tls.crt"`,
		"caRoots":      `index (secret "NAME") "ca.crt"`,
		"caLeaf":       `index (secret "NAME") "tls.crt"`,

		"exportedServices": ofEndpoints, "importedServices": ofEndpoints,
		"nomadService": ofEndpoints, "nomadServices": `services "LABEL=VALUE" lists Services`,
		"nomadVar": ofConfigMap, "nomadVarExists": `hasKey (configMap "NAME") "KEY"`,
		"nomadVarList": `range $key, $value := configMap "NAME"`, "nomadVarListSafe": `range $key, $value := configMap "NAME"`,

		"byTag":  `select by labels instead: pods "LABEL=VALUE" or services "LABEL=VALUE"`,
		"byKey":  `name one ConfigMap for each group, or dig through fromYaml ((configMap "NAME").KEY)`,
		"byPort": `.Port "NAME" of an endpoint is its port of that name`,
		"byMeta": `select by labels instead: pods "LABEL=VALUE"`,

		"file":            `mount its content as a ConfigMap: (configMap "NAME").KEY; a file beside the templates is include "_NAME.tmpl" .`,
		"plugin":          noEffects,
		"writeToFile":     noEffects + "; each file is a [[template]] of its own",
		"timestamp":       "there is no clock in templates, since each render would change the file",
		"scratch":         `a variable: {{ $x := dict }} … {{ $_ := set $x "KEY" VALUE }}`,
		"executeTemplate": `include "NAME" .`,
		"sockaddr":        "self.IP is the address of this pod",
		"mustEnv":         `required "NAME is not set" (env "NAME")`,
		"envOrDefault":    `env "NAME" | default "VALUE"`,

		"toTitle": "title", "toJSON": "toJson", "toJSONPretty": "toPrettyJson", "toUnescapedJSON": "toRawJson",
		"toUnescapedJSONPretty": "toPrettyJson", "toYAML": "toYaml", "toTOML": "toToml",
		"parseJSON": "fromJson, and fromJsonArray for a list", "parseYAML": "fromYaml, and fromYamlArray for a list",
		"parseInt": "int", "parseUint": "int", "parseFloat": "float64",
		"base64URLDecode": `replace "-" "+" TEXT | replace "_" "/" | b64dec`,
		"base64URLEncode": `b64enc TEXT | replace "+" "-" | replace "/" "_"`,
		"trimSpace":       "trim",
		"replaceAll":      "replace OLD NEW TEXT",
		"sha256Hex":       "sha256sum", "md5sum": "sha256sum", "hmacSHA256Hex": "derive it elsewhere and read it as a Secret",
		"in": "has ELEMENT LIST", "containsAll": "has ELEMENT LIST, with and", "containsAny": "has ELEMENT LIST, with or",
		"containsNone": "not (has ELEMENT LIST)", "containsNotAll": "not (has ELEMENT LIST)",
		"loop":       "until N, or untilStep FROM TO 1; range N works as well",
		"explode":    "a ConfigMap has no tree of keys; keep a YAML document in one key: fromYaml",
		"explodeMap": "a ConfigMap has no tree of keys; keep a YAML document in one key: fromYaml",
		"mergeMap":   "merge", "mergeMapWithOverride": "mergeOverwrite",
		"splitToMap": `splitList SEPARATOR TEXT, and dict`,
		"subtract":   "sub A B, which is A-B", "multiply": "mul", "divide": "div A B, which is A/B", "modulo": "mod", "minimum": "min", "maximum": "max",
		"spew_dump": "toPrettyJson", "spew_printf": "toPrettyJson", "spew_sdump": "toPrettyJson", "spew_sprintf": "toPrettyJson",

		"groupBy": "there is no grouping; select with labels", "where": "there is no filter but labels, and ready for endpoints",
		"getenvs": `env "NAME"`, "sortBy": "the lists that functions give are sorted",
	}
}

// goFunctions are names of Go's and of other template languages.
func goFunctions() map[string]string {
	return map[string]string{
		"sprintf":    "printf",
		"title_case": "title", "capitalize": "title",
		"tojson": "toJson", "to_json": "toJson", "toyaml": "toYaml", "jsonencode": "toJson", "yamlencode": "toYaml", "jsondecode": "fromJson",
		"isset": "hasKey MAP KEY", "isSet": "hasKey MAP KEY", "strlen": "len",
		"toint": "int", "tofloat": "float64",
	}
}

// usages are hints for functions of kconfd that other tools have under the same
// name with other arguments or another result.
func usages() map[string]string {
	return map[string]string{
		"get":      "get takes a map and a key; " + ofConfigMap,
		"service":  "service gives one Service; " + ofEndpoints,
		"services": `services SELECTOR lists the Services with these labels; "" selects all`,
		"nodes":    `nodes SELECTOR lists the Nodes with these labels; "" selects all`,
		"pods":     `pods SELECTOR lists the Pods with these labels; "" selects all`,
		"node":     "node NAME gives one Node; the one of this pod is node self.Node",
		"secret":   ofSecret,
		"secrets":  `secrets SELECTOR lists the Secrets with these labels; one Secret is (secret "NAME").KEY`,

		"split":      "write split SEPARATOR TEXT, which gives a map; splitList gives a list",
		"splitList":  "write splitList SEPARATOR TEXT",
		"contains":   "write contains PART TEXT; has ELEMENT LIST is for lists",
		"trimSuffix": "write trimSuffix SUFFIX TEXT",
		"trimPrefix": "write trimPrefix PREFIX TEXT",
		"hasPrefix":  "write hasPrefix PREFIX TEXT",
		"hasSuffix":  "write hasSuffix SUFFIX TEXT",
		"join":       "write join SEPARATOR LIST",
		"replace":    "write replace OLD NEW TEXT, which replaces all",
		"trim":       "trim takes a text; trimAll CHARACTERS TEXT takes characters",
		"seq":        "seq gives a text; untilStep 1 4 1 gives the list 1, 2, 3",
		".Port":      `write .Port "NAME", which is the port of that name`,
		"env":        `a default: env "NAME" | default "VALUE"`,

		"regexReplaceAll": "write regexReplaceAll PATTERN TEXT REPLACEMENT",
	}
}

// givesPairs are the functions of other tools that give lists of keys and values.
func givesPairs() []string {
	return []string{"get", "gets", "ls", "safeLs", "tree", "safeTree", "cget", "cgets", "sortKVByLength"}
}

// consulFields are the fields of a member of a service in consul-template that an
// endpoint does not have under the same name, with what takes their place.
func consulFields() map[string]string {
	pod := ".Pod is the name of its pod"
	return map[string]string{
		"ID": pod, "Name": pod, "ServiceID": pod, "ServiceName": "the name is the one that endpoints was given",
		"Tags": "(pod .Pod).Labels are the labels of its pod", "ServiceTags": "(pod .Pod).Labels are the labels of its pod",
		"ServiceMeta": "(pod .Pod).Annotations are those of its pod", "NodeMeta": "(node .Node).Labels are those of its node",
		"ServiceAddress": ".Address", "ServicePort": `.Port "NAME"`,
		"NodeAddress": "(node .Node).InternalIP is the address of its node", "NodeTaggedAddresses": "(node .Node).ExternalIP is the other address of its node",
		"NodeDatacenter": ".Zone is the zone of its node", "Datacenter": ".Zone is the zone of its node",
		"Status": ".Ready says whether it takes traffic", "Checks": ".Ready says whether it takes traffic", "Namespace": "a service is of one namespace",
	}
}
