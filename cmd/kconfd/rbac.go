package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/kconfd/kconfd/galera"
	"github.com/kconfd/kconfd/gate"
	"github.com/kconfd/kconfd/watcher"
)

// runRBAC prints the Role that the templates need: for what they read when
// they are run here and now, and for what else their text names.
func runRBAC(ctx context.Context, args []string, s streams) error {
	p := &policy{}
	f, err := parseOrHelp(ctx, "kconfd rbac", args, s, func(set *flag.FlagSet) {
		set.StringVar(&p.name, "name", "kconfd", "")
		set.StringVar(&p.account, "service-account", "", "")
		set.StringVar(&p.galera, "galera", "", "")
	})
	if f == nil {
		return err
	}
	f.onetime = true
	e, err := f.newEngine(s)
	if err != nil {
		return err
	}
	e.apply = func(context.Context, *job) error { return nil }
	// A guard that holds a render, or a mistake in it, does not change what it
	// has read so far.
	e.enough = func(g *group) bool {
		var incomplete *watcher.IncompleteError
		return g.err != nil && !errors.As(g.err, &incomplete)
	}
	incomplete := e.supervise(ctx, f)
	rules, err := e.watcher.Rules(ctx, e.uses())
	if err != nil {
		return errors.Join(err, incomplete)
	}
	p.namespace = e.watcher.Namespace()
	if err := p.print(p.grants(e, rules), s.out); err != nil {
		return err
	}
	if incomplete != nil {
		return &codeError{exitDeadline, fmt.Errorf("the Role may lack what could not be read: %w", incomplete)}
	}
	return nil
}

// uses are the calls in the text of all templates. A service's Endpoints are a
// method, not a function: they are read in the namespace of the service.
func (e *engine) uses() []watcher.Use {
	var uses []watcher.Use
	for _, g := range e.groups {
		for _, t := range g.templates {
			endpoints := t.template.Fields()["Endpoints"]
			for _, c := range t.template.AllCalls() {
				uses = append(uses, watcher.Use(c))
				if endpoints && (c.Function == "service" || c.Function == "services") {
					uses = append(uses, watcher.Use{Function: "endpoints", Args: c.Args})
				}
			}
		}
		for _, guard := range g.guards {
			for _, c := range guard.template.AllCalls() {
				uses = append(uses, watcher.Use(c))
			}
		}
	}
	return append(uses, e.processUses()...)
}

// processUses are the calls in the arguments and the environment of [process].
func (e *engine) processUses() []watcher.Use {
	var uses []watcher.Use
	for _, g := range e.groups {
		if g.process == nil {
			continue
		}
		config, err := g.process.parse()
		if err != nil {
			continue // it was good when it was read
		}
		line := &commandLine{reader: e.watcher.NewReader()}
		if line.parse(config) == nil {
			for _, t := range slices.Concat(line.args, line.values) {
				for _, c := range t.AllCalls() {
					uses = append(uses, watcher.Use(c))
				}
			}
		}
		line.reader.Close()
	}
	return uses
}

// A policy is the Roles and bindings for a service account.
type policy struct {
	name      string
	account   string // empty means the name
	namespace string // of the service account
	galera    string // wsrep_cluster_name of a cluster whose record is kept; may be empty
}

type (
	manifest struct {
		APIVersion string        `yaml:"apiVersion"`
		Kind       string        `yaml:"kind"`
		Metadata   metadata      `yaml:"metadata"`
		Rules      []policyRule  `yaml:"rules,omitempty"`
		RoleRef    *roleRef      `yaml:"roleRef,omitempty"`
		Subjects   []roleSubject `yaml:"subjects,omitempty"`
	}
	metadata struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace,omitempty"`
	}
	policyRule struct {
		APIGroups     []string `yaml:"apiGroups,flow"`
		Resources     []string `yaml:"resources,flow"`
		ResourceNames []string `yaml:"resourceNames,flow,omitempty"`
		Verbs         []string `yaml:"verbs,flow"`
		comment       string
	}
	roleRef struct {
		APIGroup string `yaml:"apiGroup"`
		Kind     string `yaml:"kind"`
		Name     string `yaml:"name"`
	}
	roleSubject struct {
		Kind      string `yaml:"kind"`
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	}
)

// MarshalYAML implements [yaml.Marshaler]: the rule, with its comment.
func (r policyRule) MarshalYAML() (any, error) {
	type plain policyRule
	node := &yaml.Node{}
	err := node.Encode(plain(r))
	node.HeadComment = r.comment
	return node, err
}

const rbacGroup = "rbac.authorization.k8s.io"

// A grant is a rule with what it allows.
type grant struct {
	watcher.Rule
	verbs []string
}

// grants are for what the templates read, for the gates, and for what the flags
// ask for, by namespace.
func (p *policy) grants(e *engine, rules []watcher.Rule) []grant {
	var all []grant
	for _, r := range rules {
		all = append(all, grant{r, []string{"list", "watch"}})
	}
	leases := map[string][]string{}
	for _, g := range e.groups {
		if r := g.rolling; r != nil {
			namespace := cmp.Or(r.namespace, p.namespace)
			leases[namespace] = append(leases[namespace], r.lease)
		}
		if g.process == nil {
			continue
		}
		if turn, err := g.process.parseStopTurn(); err == nil && turn != nil { // it was good when it was read
			namespace := cmp.Or(turn.namespace, p.namespace)
			leases[namespace] = append(leases[namespace], turn.lease)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(leases)) {
		for _, r := range gate.Rules(leases[namespace]...) {
			all = append(all, grant{watcher.Rule{Namespace: namespace, Group: r.Group, Resource: r.Resource, Names: r.Names}, r.Verbs})
		}
	}
	if e.flags.events {
		all = append(all, grant{watcher.Rule{Namespace: p.namespace, Resource: "events"}, []string{"create", "patch"}})
	}
	if p.galera != "" {
		for _, r := range galera.Rules(p.galera) {
			all = append(all, grant{watcher.Rule{Namespace: p.namespace, Group: r.Group, Resource: r.Resource, Names: r.Names}, r.Verbs})
		}
	}
	slices.SortStableFunc(all, func(a, b grant) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return all
}

// withoutNames says whether a grant lets all ConfigMaps or Secrets of a namespace be
// read.
func (g grant) withoutNames() bool {
	return len(g.Names) == 0 && g.Group == "" && (g.Resource == "secrets" || g.Resource == "configmaps") && slices.Contains(g.verbs, "list")
}

// print writes the ServiceAccount, a Role and its RoleBinding for each namespace, and a
// ClusterRole where kinds without a namespace are read. The account "default" is in
// every namespace already.
func (p *policy) print(grants []grant, out io.Writer) error {
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if name := cmp.Or(p.account, p.name); name != "default" {
		account := manifest{APIVersion: "v1", Kind: "ServiceAccount", Metadata: metadata{name, p.namespace}}
		if err := encoder.Encode(account); err != nil {
			return err
		}
	} else if len(grants) == 0 {
		return nil // an encoder without documents cannot be closed
	}
	for len(grants) > 0 {
		end := slices.IndexFunc(grants, func(g grant) bool { return g.Namespace != grants[0].Namespace })
		if end < 0 {
			end = len(grants)
		}
		role, binding := p.manifests(grants[:end])
		if err := errors.Join(encoder.Encode(role), encoder.Encode(binding)); err != nil {
			return err
		}
		grants = grants[end:]
	}
	return encoder.Close()
}

// manifests are for grants of one namespace, or of the cluster.
func (p *policy) manifests(grants []grant) (role, binding manifest) {
	account := cmp.Or(p.account, p.name)
	kind, meta := "Role", metadata{p.name, grants[0].Namespace}
	if meta.Namespace == "" {
		// Names of cluster roles are shared by all namespaces.
		kind, meta.Name = "ClusterRole", p.namespace+"-"+p.name
	}
	role = manifest{APIVersion: rbacGroup + "/v1", Kind: kind, Metadata: meta}
	for _, g := range grants {
		role.Rules = append(role.Rules, policyRule{
			APIGroups: []string{g.Group}, Resources: []string{g.Resource}, ResourceNames: g.Names, Verbs: g.verbs,
		})
		if g.withoutNames() {
			role.Rules[len(role.Rules)-1].comment = fmt.Sprintf("All %s of the namespace: templates select them by labels, or list them.", g.Resource)
		}
	}
	binding = manifest{
		APIVersion: rbacGroup + "/v1", Kind: kind + "Binding", Metadata: meta,
		RoleRef:  &roleRef{rbacGroup, kind, meta.Name},
		Subjects: []roleSubject{{"ServiceAccount", account, p.namespace}},
	}
	return role, binding
}
