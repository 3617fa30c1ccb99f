package galera

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// galeraOptions are the names that Galera knows in wsrep_provider_options. A
// provider that does not know a name ends the server.
const galeraOptions = `
	base_dir base_host base_port
	cert.length_check cert.log_conflicts cert.max_length cert.optimistic_pa
	debug
	evs.auto_evict evs.causal_keepalive_period evs.debug_log_mask evs.delay_margin
	evs.delayed_keep_period evs.evict evs.inactive_check_period evs.inactive_timeout
	evs.info_log_mask evs.install_timeout evs.join_retrans_period evs.keepalive_period
	evs.max_install_timeouts evs.send_window evs.stats_report_period evs.suspect_timeout
	evs.use_aggregate evs.user_send_window evs.version evs.view_forget_timeout
	gcache.dir gcache.keep_pages_size gcache.mem_size gcache.name gcache.page_size
	gcache.recover gcache.size
	gcomm.thread_prio
	gcs.fc_debug gcs.fc_factor gcs.fc_limit gcs.fc_master_slave gcs.max_packet_size
	gcs.max_throttle gcs.recv_q_hard_limit gcs.recv_q_soft_limit gcs.sync_donor
	gmcast.group gmcast.isolate gmcast.listen_addr gmcast.mcast_addr gmcast.mcast_ttl
	gmcast.peer_timeout gmcast.segment gmcast.time_wait gmcast.version
	ist.keep_keys ist.recv_addr ist.recv_bind
	pc.announce_timeout pc.bootstrap pc.checksum pc.ignore_quorum pc.ignore_sb pc.linger
	pc.npvo pc.recovery pc.version pc.wait_prim pc.wait_prim_timeout pc.weight
	protonet.backend protonet.version
	repl.causal_read_timeout repl.commit_order repl.key_format repl.max_ws_size repl.proto_max
	socket.checksum socket.recv_buf_size socket.send_buf_size
	socket.ssl socket.ssl_ca socket.ssl_cert socket.ssl_cipher socket.ssl_compression
	socket.ssl_key socket.ssl_password_file`

// galera4Options are those that Galera 3 does not know.
const galera4Options = `
	gcs.fc_single_primary gcs.stateless gcs.vote_policy
	socket.dynamic socket.ssl_reload`

// perconaOptions are those that only Percona's provider knows.
const perconaOptions = `
	allocator.disk_pages_encryption allocator.encryption_cache_page_size
	allocator.encryption_cache_size
	gcache.encryption gcache.encryption_cache_page_size gcache.encryption_cache_size
	gcache.freeze_purge_at_seqno gcache.keep_pages_count
	gcs.fc_auto_evict_threshold gcs.fc_auto_evict_window`

// providerOption is one key=value of wsrep_provider_options.
type providerOption struct {
	key, value string
	valued     bool
}

// parseProviderOptions takes wsrep_provider_options apart. Blanks around keys and
// values, and empty parts, mean nothing to Galera.
func parseProviderOptions(list string) []providerOption {
	var options []providerOption
	for part := range strings.SplitSeq(list, ";") {
		key, value, valued := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		if key == "" && !valued {
			continue
		}
		options = append(options, providerOption{key, strings.TrimSpace(value), valued})
	}
	return options
}

// fault says what is wrong with the option, or nothing when all is well. known
// are the names that the provider takes.
func (o providerOption) fault(known []string) string {
	switch {
	case !slices.Contains(known, o.key):
		if near := nearest(o.key, known); near != "" {
			return fmt.Sprintf("no option is %q; did you mean %q?", o.key, near)
		}
		return fmt.Sprintf("no option is %q", o.key)
	case !o.valued:
		return fmt.Sprintf("%q has no value", o.key)
	case o.splits():
		return fmt.Sprintf("%s=%s: nodes that are cut off from the others go on without them, and there are two clusters", o.key, o.value)
	}
	return ""
}

// splits says whether the option lets a part of the cluster go on without a majority.
func (o providerOption) splits() bool {
	off := slices.Contains([]string{"false", "no", "off", "0"}, strings.ToLower(o.value))
	return (o.key == "pc.ignore_sb" || o.key == "pc.ignore_quorum") && !off
}

// providerNames returns the names that a provider takes. Which provider it is
// cannot be asked without a start, so it is told from the server and from the
// path, where both vendors write the generation: /usr/lib/galera3/….
func providerNames(provider string, mariadb bool) []string {
	names := strings.Fields(galeraOptions)
	if !strings.Contains(provider, "galera3") && !strings.Contains(provider, "galera-3") {
		names = append(names, strings.Fields(galera4Options)...)
	}
	if !mariadb {
		names = append(names, strings.Fields(perconaOptions)...)
	}
	return names
}

// nearest returns the name that differs from key by the fewest typing mistakes,
// or nothing when all differ by more than three.
func nearest(key string, names []string) string {
	best, fewest := "", 4
	for _, name := range names {
		if d := levenshtein.Distance(key, name, nil); d < fewest {
			best, fewest = name, d
		}
	}
	return best
}
