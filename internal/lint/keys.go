package lint

// ConfdKey returns what takes the place of a key of confd or of its forks, given by
// the table that it is in (empty for the top level) and its name. It is empty for
// keys that these do not have.
func ConfdKey(table, key string) string {
	switch table {
	case "":
		if hint := confdTop()[key]; hint != "" {
			return hint
		}
		return confdTemplate()[key]
	case "template":
		return confdTemplate()[key]
	case "backend":
		return confdTop()[table]
	}
	return ""
}

// confdTemplate are keys that forks of confd have in [template].
func confdTemplate() map[string]string {
	return map[string]string{
		"output_format":       `have a program check the candidate: check_cmd = "jq -e . {{.src}}"`,
		"min_reload_interval": "write min_interval in [reload]; a change in between is applied afterwards, and not dropped",
		"debounce":            `write wait = "2s" at the top of the file: quiet time, and with "2s:10s" its ceiling`,
		"check_cmd_timeout":   "write check_timeout",
		"reload_cmd_timeout":  "write timeout in [reload], with command in the place of reload_cmd",
		"backend":             "leave it out: the data comes from Kubernetes, and the templates say themselves what they read",
		"src_key":             "leave it out: src names a file in templates/",
		"sync_only":           "start kconfd with -sync-only",
		"keep_stage_file":     "kconfd render prints the files without writing them",
	}
}

// confdTop are keys of confd's own configuration file, confd.toml.
func confdTop() map[string]string {
	own := "leave it out: that is a key of confd.toml, which kconfd does not have"
	keys := map[string]string{
		"backend":     "leave it out: the data comes from Kubernetes; -kubeconfig, -context and -namespace say which",
		"confdir":     "start kconfd with -confdir",
		"noop":        "start kconfd with -noop",
		"onetime":     "start kconfd with -onetime",
		"sync-only":   "start kconfd with -sync-only",
		"log-level":   "start kconfd with -log-level",
		"interval":    "leave it out: kconfd watches the cluster, and renders when something changes",
		"watch":       "leave it out: kconfd watches the cluster, and renders when something changes",
		"prefix":      "leave it out: templates say themselves what they read",
		"nodes":       "leave it out: the data comes from Kubernetes; -kubeconfig, -context and -namespace say which",
		"reload_cmd":  "write it in [template], or command in [reload]",
		"src":         "write it in [[template]]",
		"dest":        "write it in [[template]]",
		"mode":        "write it in [[template]]",
		"owner":       "write it in [[template]]",
		"keys":        "leave it out: templates say themselves what they read",
		"batch-delay": "leave it out: wait says how long changes are collected",
	}
	for _, key := range []string{
		"scheme", "srv_domain", "srv_record", "client_cakeys", "client_cert", "client_key", "client_insecure",
		"basic_auth", "username", "password", "auth_token", "auth_type", "app_id", "user_id", "role_id", "secret_id", "table", "file", "filter", "path", "separator",
	} {
		keys[key] = own
	}
	return keys
}
